"""The benchmark itself, on so little data that its numbers mean nothing: it must not rot."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from bench import report
from bench.parts import PARTS

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
TINY = (
    *("--size", "1MB", "--eiger-size", "1MB", "--upload-size", "1MB", "--rss-size", "3MB"),
    *("--files", "150", "--rounds", "1"),
    *("--frames", "60", "--known", "40", "--seconds", "1", "--rate", "60"),
    *("--held", "40", "--submissions", "5", "--datasets", "60"),
)

ARCHIVES = ["archive CBF", "archive Eiger, 5 photons a pixel", "archive Eiger, 20 photons a pixel"]
ARCHIVING = ["archive", "follow", "resume", "upload", "whole", "memory"]
PROMISED = {
    "archive CBF (": ("x as fast", "x the size"),
    "archive CBF at level 3": ("x as fast",),
    "archive Eiger, 5 photons": ("x as fast", "x the size"),
    "archive Eiger, 20 photons": ("x as fast", "x the size"),
    "last frame to archive, followed": ("x the time",),
    "archive after kill -9 at 90 %": ("x the time",),
    "upload to loopback": ("x as fast",),
    "last frame to submitted": ("x as fast",),
    "peak memory, archive of": ("B",),
    "peak memory, upload of": ("B",),
    "peak memory, archive and upload, whole daemon": ("B",),
}
SWEEPS = [
    f"{sweep}, {shape}"
    for shape in ("1 directory of 150", "8 directories of 20")
    for sweep in ("first sweep", "first sweep, grouped and judged", "sweep, nothing changed")
]


@dataclass(frozen=True)
class Found:
    """What one run of the benchmark wrote: its directory, its markdown, and its JSON, also by title."""

    directory: Path
    markdown: str
    parts: dict
    contests: dict
    figures: dict


def bench(*arguments, path=None):
    environment = {**os.environ, "PYTHONPATH": str(TESTS), **({} if path is None else {"PATH": str(path)})}
    command = [sys.executable, "-P", "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


@pytest.fixture(scope="module")
def archiving(tmp_path_factory):
    """Return what one run found of archives and uploads."""
    return once(tmp_path_factory, "archiving", ARCHIVING)


@pytest.fixture(scope="module")
def watching(tmp_path_factory):
    """Return what one run found of everything else."""
    return once(tmp_path_factory, "watching", [part for part in PARTS if part not in ARCHIVING])


def once(tmp_path_factory, name, parts):
    """Return what one run of some parts found, the same for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory, output, json_file = shared / f"bench_{name}", shared / f"{name}.txt", shared / f"{name}.json"
    with FileLock(f"{directory}.lock"):
        if not output.exists():
            directory.mkdir(exist_ok=True)
            outcome = bench(*TINY, "--directory", directory, "--json", json_file, "--markdown", "--only", *parts)
            assert outcome.returncode == 0, outcome.stderr
            output.write_text(outcome.stdout)
    found = json.loads(json_file.read_text())
    return Found(
        directory,
        output.read_text(),
        found,
        {contest["title"]: contest for part in found.values() for contest in part["contests"]},
        {figure["title"]: figure for part in found.values() for figure in part["figures"]},
    )


def test_each_contest_has_depositd_and_a_rival_and_a_ratio(archiving, watching):
    rivals = dict.fromkeys([*ARCHIVES, "archive CBF at level 3"], "tar -I")
    rivals |= {"last frame to archive": "made afterwards", "archive after kill -9 at 90 %": "from scratch"}
    rivals |= {"upload to loopback": "curl", "last frame to submitted": "tar -I zstd, curl"}
    rivals |= dict.fromkeys(SWEEPS, "find")
    contests = {**archiving.contests, **watching.contests}
    assert set(contests) == set(rivals)
    for title, rival in rivals.items():
        first, *others = contests[title]["standings"]
        assert first["name"] in ("depositd", "followed", "resumed")
        assert others[0]["name"].startswith(rival)
        assert first["depositd_times_as_fast"] == 1
        for standing in others:
            assert standing["depositd_times_as_fast"] == pytest.approx(standing["wall_s"] / first["wall_s"])
            assert len(standing["runs"]) == 1


@pytest.mark.parametrize(("title", "units"), PROMISED.items())
def test_each_number_that_was_promised_of_archives_and_uploads_is_measured(archiving, title, units):
    figures = [figure for name, figure in archiving.figures.items() if name.startswith(title)]
    assert tuple(figure["unit"] for figure in figures) == units
    for figure in figures:
        assert figure["value"] > 0
        assert (figure["least"] is None) != (figure["most"] is None)


def test_a_figure_is_the_ratio_of_its_contest(archiving):
    contest = archiving.contests["archive CBF"]
    ours, rival, *_ = contest["standings"]
    speed, size = (figure for title, figure in archiving.figures.items() if title.startswith("archive CBF ("))
    assert speed["value"] == pytest.approx(rival["wall_s"] / ours["wall_s"])
    assert size["value"] == pytest.approx(ours["result_bytes"] / rival["result_bytes"])


@pytest.mark.parametrize("title", ARCHIVES)
def test_archives_are_smaller_than_their_source(archiving, title):
    contest = archiving.contests[title]
    assert all(0 < standing["result_bytes"] < contest["amount"] for standing in contest["standings"])


def test_memory_is_kept(archiving):
    peaks = [figure for title, figure in archiving.figures.items() if title.startswith("peak memory")]
    assert len(peaks) == 3
    for peak in peaks:
        assert 10_000_000 < peak["value"] <= peak["most"] == 250_000_000


def test_each_table_of_the_markdown_is_one(archiving):
    figures, contests = archiving.markdown.split("\n\n")
    for table in (figures, contests):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert sum("| curl -F |" in line for line in contests.splitlines()) == 1
    assert len(figures.splitlines()) == 2 + len(archiving.figures)


def test_the_markdown_is_what_the_json_gives(archiving):
    assert report.as_markdown(report.from_json(archiving.parts)) == archiving.markdown


def test_the_readme_shows_what_was_committed():
    """``scripts/bench --readme tests/bench/figures.json`` makes the tables anew."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = report.from_json(json.loads((TESTS / "bench" / "figures.json").read_text()))
    assert report.in_readme(readme, parts) == readme
    assert set(parts) == set(PARTS)


def test_a_readme_without_a_place_for_the_tables_is_refused():
    with pytest.raises(ValueError, match="no <!-- bench -->"):
        report.in_readme("# depositd\n", {})


def test_whatever_is_promised_of_watching_stands_beside_its_target(watching):
    figures = watching.figures
    promised = {title for title, figure in figures.items() if figure["is_reached"] is not None}
    for words in (
        *("first sweep: 150 files", "memory above idle", "nothing changed", "whole-frame check", "of them new"),
        *("1 series of 60 frames: missed", "2 series of 30 frames: missed", "the daemon's share", "close to verdict"),
        *("known datasets: share", "known datasets: memory", "40 held datasets: share", "40 held datasets: memory"),
        *("held deliveries: a tick takes", "held deliveries: housekeeping"),
        *("5 submissions: lists", "5 submissions: other requests", "5 submissions: a round takes"),
        *("not ended: depositd status", "not ended: what is due"),
    ):
        assert any(words in title for title in promised), words
    for figure in figures.values():
        reached = [figure["value"] <= figure["most"]] if figure["most"] is not None else []
        reached += [figure["value"] >= figure["least"]] if figure["least"] is not None else []
        assert figure["is_reached"] == (all(reached) if reached else None)


def test_no_frame_is_missed_and_every_verdict_comes(watching):
    figures = {title: figure["value"] for title, figure in watching.figures.items()}
    for series in ("1 series of 60 frames", "2 series of 30 frames"):
        assert figures[f"{series}: missed"] == 0
        assert 2.0 <= figures[f"{series}: last close to verdict"] < 60.0


def test_submissions_are_polled_by_one_list(watching):
    figures = {title: figure["value"] for title, figure in watching.figures.items()}
    assert 0 < figures["polling 5 submissions: lists"] <= 1
    assert figures["polling 5 submissions: other requests"] == 0
    assert figures["40 held deliveries: a tick"] > 0


def test_nothing_is_left_behind(archiving):
    assert os.listdir(archiving.directory) == []


def test_what_other_parts_found_stays_in_the_json(tmp_path):
    file = tmp_path / "found.json"
    file.write_text('{"upload": {"contests": [], "figures": []}}')
    outcome = bench(*TINY, "--only", "probe", "--directory", tmp_path, "--json", file)
    assert outcome.returncode == 0, outcome.stderr
    parts = json.loads(file.read_text())
    assert list(parts) == ["upload", "probe"]
    assert parts["probe"]["machine"]["processors"] == os.cpu_count()


def test_a_missing_tool_is_named(tmp_path):
    outcome = bench(*TINY, path=tmp_path)
    assert outcome.returncode == 2
    assert "curl" in outcome.stderr
