"""Plausible QC figures for runs that nobody has measured: the same run has the same figures, always."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from depositd.sandbox.state import Run

CHANNELS = 11
"""TMT channels."""

REPORTER = "Reporter intensity corrected"
"""The column name that expands to one column for each channel."""

_FIGURES: Mapping[str, tuple[float, float, int]] = {
    "NumMs1Scans": (6_000, 9_000, 0),
    "NumMs2Scans": (28_000, 45_000, 0),
    "MeanTopN": (8, 15, 2),
    "MeanMs2TriggerRate(/Hz)": (9, 14, 2),
    "MedianPrecursorIntensity": (1e6, 9e6, 0),
    "NumEsiInstabilityFlags": (0, 20, 0),
    "MS": (6_000, 9_000, 0),
    "MS/MS": (28_000, 45_000, 0),
    "MS/MS Identified": (9_000, 20_000, 0),
    "MS/MS Identified [%]": (28, 52, 2),
    "N_peptides": (8_000, 16_000, 0),
    "N_protein_groups": (1_500, 3_200, 0),
    "N_missing_values": (20, 400, 0),
    "Uncalibrated - Calibrated m/z [ppm] (ave)": (-2, 2, 3),
    "calibration_params": (0.9, 1.1, 4),
}
"""RawTools' and MaxQuant's columns: lowest and highest figure, decimals."""

_TMT: Mapping[str, tuple[float, float, int]] = {
    "missing_values": (20, 400, 0),
    "peptide_count": (7_000, 15_000, 0),
    "protein_group_count": (1_400, 3_000, 0),
}

PROTEINS: Sequence[tuple[str, str]] = (
    ("QC1|Peptide1", "QC1|Peptide1 heavy reference peptide 1"),
    ("QC2|Peptide2", "QC2|Peptide2 heavy reference peptide 2"),
    ("P02769", "sp|P02769|ALBU_BOVIN Albumin OS=Bos taurus"),
    ("P00330", "sp|P00330|ADH1_YEAST Alcohol dehydrogenase 1 OS=Saccharomyces cerevisiae"),
    ("P00925", "sp|P00925|ENO2_YEAST Enolase 2 OS=Saccharomyces cerevisiae"),
    ("CON__P00761", "sp|P00761|TRYP_PIG Trypsin OS=Sus scrofa"),
    ("REV__P38720", "reversed sequence"),
)
"""Protein groups: identifier and FASTA header; contaminants begin with CON__, reversed ones with REV__."""


def figure(run: Run, column: str, low: float, high: float, decimals: int = 0) -> float:
    """Return one figure between ``low`` and ``high`` that depends on the file's content and the column alone."""
    share = zlib.crc32(f"{run.md5}:{column}".encode()) / 0xFFFFFFFF
    value = round(low + share * (high - low), decimals)
    return value if decimals else int(value)


def qc_table(runs: Sequence[Run], columns: Iterable[str] | None) -> dict[str, list[Any]]:
    """Return QC data as columns of values, one for each run; ``columns`` None means all, unknown ones are left out."""
    table: dict[str, list[Any]] = {
        "Index": [run.number for run in runs],
        "RawFile": [run.stem for run in runs],
        "RunKey": [run.key for run in runs],
        "Date": [run.uploaded_at.strftime("%Y-%m-%dT%H:%M:%S") for run in runs],
        "DateAcquired": [run.uploaded_at.strftime("%Y-%m-%d %H:%M:%S") for run in runs],
        "Uploader": [run.uploader for run in runs],
        "Flagged": [run.flagged for run in runs],
        "Use Downstream": [run.use_downstream for run in runs],
    }
    for column, (low, high, decimals) in _FIGURES.items():
        table[column] = [figure(run, column, low, high, decimals) for run in runs]
    for channel in range(1, CHANNELS + 1):
        for name, (low, high, decimals) in _TMT.items():
            column = f"TMT{channel}_{name}"
            table[column] = [figure(run, column, low, high, decimals) for run in runs]
    if columns is None:
        return table
    return {column: table[column] for column in columns if column in table}


def protein_names(runs: Sequence[Run], *, contaminants: bool, reversed_sequences: bool) -> dict[str, list[Any]]:
    """Return the protein groups of some runs with mean scores and mean intensities."""
    shown = [
        (identifier, header)
        for identifier, header in PROTEINS
        if runs
        and (contaminants or not identifier.startswith("CON__"))
        and (reversed_sequences or not identifier.startswith("REV__"))
    ]
    return {
        "protein_names": [identifier for identifier, _ in shown],
        "Fasta headers": [header for _, header in shown],
        "Score": [_mean(runs, f"{identifier} Score", 12, 323) for identifier, _ in shown],
        "Intensity": [_mean(runs, f"{identifier} Intensity", 1e6, 9e9) for identifier, _ in shown],
    }


def _mean(runs: Sequence[Run], column: str, low: float, high: float) -> float:
    return round(sum(figure(run, column, low, high, 3) for run in runs) / len(runs), 3)


def protein_groups(runs: Sequence[Run], wanted: Sequence[str], columns: Sequence[str]) -> dict[str, list[Any]]:
    """Return figures of chosen protein groups, one row for each run and group that is known."""
    known = {identifier for identifier, _ in PROTEINS}
    rows = [(run, identifier) for run in runs for identifier in wanted if identifier in known]
    expanded: list[str] = []
    for column in columns:
        each_channel = [f"{REPORTER} {channel}" for channel in range(1, CHANNELS + 1)]
        expanded += each_channel if column == REPORTER else [column]
    table: dict[str, list[Any]] = {
        "RawFile": [run.stem for run, _ in rows],
        "Majority protein IDs": [identifier for _, identifier in rows],
    }
    for column in expanded:
        table[column] = [figure(run, f"{identifier} {column}", 1e3, 1e7, 1) for run, identifier in rows]
    return table
