"""What a run found: the table, the JSON, and whether all of it is as it should be."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from depositd.units import show_size
from soak.flatness import Bound, Trend, level, rate
from soak.sampling import Sample

BOUNDS = {
    "rss": Bound("memory (RSS)", "B", 1.05, 5e6),
    "pss": Bound("memory (PSS)", "B", 1.05, 5e6),
    "descriptors": Bound("open descriptors", "", 1.05, 4),
    "threads": Bound("threads", "", 1.05, 3),
    "children": Bound("child processes", "", 1.0, 1),
    "spool": Bound("spool", "B", 1.5, 20e6),
    "web": Bound("answer of /healthz", "s", 2.0, 0.25),
    "journal": Bound("journal, for each dataset", "B", 1.5, 2048),
    "log": Bound("log, for each dataset", "B", 1.5, 512),
}
"""Memory is promised to 5 % and 5 MB, descriptors and threads to a few that are at work in one moment and not in the
next.  A rate may rise by half, since faults are drawn by chance; what grows with all that came before rises more."""


@dataclass(frozen=True, slots=True)
class Result:
    """What happened, how long it took, and everything that is wrong."""

    seed: int
    hours: float
    pace: float
    elapsed_s: float
    datasets: int
    happened: Mapping[str, int]
    words: Mapping[str, int]
    faults: Mapping[str, int]
    samples: Sequence[Sample]
    findings: Sequence[str]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def trends(self) -> list[Trend]:
        """What is flat in the process that lived longest, and what is not."""
        own = longest(self.samples)
        datasets = [sample.datasets for sample in own]
        return [
            level(BOUNDS["rss"], [sample.rss_bytes for sample in own]),
            level(BOUNDS["pss"], [sample.pss_bytes for sample in own]),
            level(BOUNDS["descriptors"], [sample.descriptors for sample in own]),
            level(BOUNDS["threads"], [sample.threads for sample in own]),
            level(BOUNDS["children"], [sample.children for sample in own]),
            level(BOUNDS["spool"], [sample.spool_bytes for sample in own]),
            level(BOUNDS["web"], [sample.web_s for sample in own if sample.web_s is not None]),
            rate(BOUNDS["journal"], datasets, [sample.journal_bytes for sample in own]),
            rate(BOUNDS["log"], datasets, [sample.log_bytes for sample in own]),
        ]

    @property
    def is_well(self) -> bool:
        """Whether no rule is broken."""
        return not self.findings and all(trend.is_flat is not False for trend in self.trends)


def longest(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of the process that lived longest."""
    pids = [sample.pid for sample in samples]
    chosen = max(set(pids), key=pids.count, default=0)
    return [sample for sample in samples if sample.pid == chosen]


def as_text(result: Result) -> str:
    """Return the findings for a person."""
    own = longest(result.samples)
    lived_s = own[-1].at_s - own[0].at_s if own else 0.0
    lines = [
        f"{result.datasets:,} datasets in {result.elapsed_s / 60:.1f} min at pace {result.pace:g}, seed {result.seed}",
        f"happened: {_counted(result.happened)}",
        f"server faults met: {_counted(result.faults)}",
        f"operator's answers: {_counted(result.words)}",
        "",
        f"one process over {lived_s / 60:.1f} min, {len(own)} samples; medians of its second and its last third",
    ]
    header = ("", "second third", "last third", "at most", "")
    rows = [header, *(_row(trend) for trend in result.trends)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", *(f"{name}: {value:,.3g}" for name, value in result.figures.items())]
    lines += ["", *(f"WRONG: {finding}" for finding in result.findings)]
    verdict = "all well" if result.is_well else "NOT well"
    again = f"scripts/soak --hours {result.hours:g} --pace {result.pace:g} --seed {result.seed}"
    return "\n".join([*lines, f"{verdict}; the same again: {again}"]) + "\n"


def as_json(result: Result) -> dict[str, Any]:
    """Return everything, each sample included."""
    return {
        "well": result.is_well,
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "processors": os.cpu_count(),
            "python": sys.version.split()[0],
        },
        "trends": [
            {**asdict(trend), "most": trend.bound.most(trend.before), "is_flat": trend.is_flat}
            for trend in result.trends
        ],
        **asdict(result),
    }


def figures(samples: Sequence[Sample]) -> dict[str, float]:
    """Return what a run says besides."""
    if len(samples) < 2 or samples[-1].datasets == samples[0].datasets:
        return {}
    first, last = samples[0], samples[-1]
    datasets = last.datasets - first.datasets
    return {
        "datasets an hour": datasets / (last.at_s - first.at_s) * 3600,
        "seconds of a core for each dataset": (last.cpu_s - first.cpu_s) / datasets,
        "share of a core, %": 100 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s),
        "longest answer of /healthz, s": max((one.web_s for one in samples if one.web_s is not None), default=0.0),
        "median memory, MB": median(one.rss_bytes for one in samples) / 1e6,
    }


def _row(trend: Trend) -> tuple[str, str, str, str, str]:
    outcome = {None: "too short to tell", True: "flat", False: "NOT FLAT"}[trend.is_flat]
    unit = trend.bound.unit
    before, after, most = (_shown(value, unit) for value in (trend.before, trend.after, trend.bound.most(trend.before)))
    return trend.bound.title, before, after, most, outcome


def _shown(value: float, unit: str) -> str:
    if unit == "B":
        return show_size(round(value))
    return f"{value:.3f} s" if unit == "s" else f"{value:g}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "nothing"
