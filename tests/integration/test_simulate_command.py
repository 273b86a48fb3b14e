"""``depositd simulate`` as it is typed."""

import pytest
from typer.testing import CliRunner

from depositd.cli.app import program
from depositd.simulate import FAULTS, SIMULATORS

FAST = ["--rate", "100000", "--frames", "4", "--shape", "20x30", "--frame-bytes", "100"]


def simulate(*words):
    return CliRunner().invoke(program(["simulate"]), ["simulate", *map(str, words)])


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_help_names_everything_and_fits_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    text = simulate("--help").output
    lines = text.splitlines()
    assert max(map(len, lines)) <= int(columns)
    begins = {line.split()[0] for line in lines if line.startswith("    ") and line.split()}
    assert {*SIMULATORS, *FAULTS} <= begins


@pytest.mark.parametrize("format_name", SIMULATORS)
def test_every_format_is_written_at_a_word(tmp_path, format_name):
    done = simulate(format_name, tmp_path / "data", *FAST)
    assert (done.exit_code, done.output) == (0, f"4 frames of sim_1 in {tmp_path}/data\n")


def test_the_shape_is_rows_and_columns(tmp_path):
    simulate("smv", tmp_path, *FAST, "--name", "lyso_1")
    assert (tmp_path / "lyso_1_00001.img").stat().st_size == 512 + 20 * 30 * 2
    assert b"SIZE1=30;" in (tmp_path / "lyso_1_00001.img").read_bytes()


@pytest.mark.parametrize("shape", ["100", "100x", "ax5", "100X100", "1x1x1", "-1x5", "999999x5"])
def test_a_shape_that_is_none_is_refused(tmp_path, shape):
    done = simulate("smv", tmp_path, f"--shape={shape}")
    assert done.exit_code == 2
    assert "is not a shape" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_shift_takes_faults_in_turn(tmp_path):
    done = simulate("file", tmp_path, *FAST, "--series", "4", "--fault", "none", "--fault", "abort")
    assert done.output.splitlines() == [
        f"{frames} frames of sim_{number} in {tmp_path}" for number, frames in enumerate((4, 2, 4, 2), start=1)
    ]


def test_a_shift_that_would_write_over_its_last_dataset_writes_nothing(tmp_path):
    (tmp_path / "sim_3.dat").write_bytes(b"real")
    done = simulate("file", tmp_path, *FAST, "--series", "3")
    assert isinstance(done.exception, FileExistsError)
    assert [path.name for path in tmp_path.iterdir()] == ["sim_3.dat"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--series", "2", "--fault", "none", "--fault", "gap"], "gap makes no sense for file"),
        (["--fault", "none", "--fault", "abort"], "2 faults are too many for 1 dataset"),
        (["--fault", "fire"], "is not a fault"),
        (["--series", "0"], "a series of 0 datasets"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(tmp_path, words, sentence):
    done = simulate("file", tmp_path, *words)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", " ").split())
