import pytest
from format_files import stat_of

from depositd.formats import series


def sweep(count, **changes):
    return [
        (n, {"start_angle_deg": (n - 1) * 0.1, "increment_deg": 0.1, "wavelength_A": 0.9795, "detector": "P"} | changes)
        for n in range(1, count + 1)
    ]


def with_frame(frames, number, **changes):
    return [(n, facts | changes if n == number else facts) for n, facts in frames]


@pytest.mark.parametrize(
    ("numbers", "missing"), [([], ()), ([7], ()), ([1, 2, 3], ()), ([1, 3], (2,)), ([5, 8, 10], (6, 7, 9))]
)
def test_numbers_absent_from_inside_a_series(numbers, missing):
    assert series.missing_numbers(numbers) == (missing, len(missing))


def test_a_date_among_the_numbers_does_not_cost_twenty_million_of_them():
    missing, total = series.missing_numbers([1, 20_261_121])
    assert len(missing) == series.MOST_MISSING
    assert missing[-1] == 1001
    assert total == 20_261_119


def test_a_whole_sweep_agrees_with_itself():
    assert series.disagreement(sweep(1800)) is None
    assert series.disagreement([]) is None


def test_a_sweep_goes_on_beyond_360_degrees_and_with_rounded_headers():
    frames = [(n, {"start_angle_deg": round((350 + n / 30) % 360, 4), "increment_deg": 0.0333}) for n in range(1, 3601)]
    assert series.disagreement(frames) is None


def test_a_gap_keeps_the_angle():
    frames = [frame for frame in sweep(20) if frame[0] not in (7, 8)]
    assert series.disagreement(frames) is None


def test_equal_start_angles_are_no_sweep():
    assert series.disagreement(sweep(5, start_angle_deg=90.0)) is None


def test_a_frame_off_the_sweep_is_named_with_both_angles():
    sentence = series.disagreement(with_frame(sweep(10), 5, start_angle_deg=90.0))
    assert sentence == "frame 5 starts at 90°, but frame 4 and an increment of 0.1° lead to 0.4°"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wavelength_A": 0.9797}, "the wavelength is 0.9797 Å in frame 5, but 0.9795 Å in frame 1"),
        ({"detector": "Q"}, "the detector is Q in frame 5, but P in frame 1"),
        ({"increment_deg": 0.2}, "the increment is 0.2° in frame 5, but 0.1° in frame 1"),
    ],
)
def test_a_frame_of_another_dataset_is_named_with_both_values(changes, said):
    assert series.disagreement(with_frame(sweep(9), 5, **changes)) == said


@pytest.mark.parametrize(
    ("key", "first", "within", "beyond"),
    [
        ("wavelength_A", 1.0, 1.0001, 1.0002),
        ("distance_mm", 200.0, 200.1, 200.2),
        ("pixel_x_um", 172.0, 172.1, 175.0),
        ("width_px", 487, 487, 488),
    ],
)
def test_tolerances(key, first, within, beyond):
    assert series.disagreement([(1, {key: first}), (2, {key: within})]) is None
    assert series.disagreement([(1, {key: first}), (2, {key: beyond})]) is not None


def test_a_header_that_does_not_say_agrees_with_all():
    assert series.disagreement([(1, {}), (2, {"wavelength_A": 1.0}), (3, {})]) is None


@pytest.mark.parametrize(
    ("earlier", "later", "mixture"),
    [
        ("2026-11-21T02:00:00", "2026-11-21T02:00:01", False),
        ("2026-11-21T02:00:01", "2026-11-21T02:00:00", False),
        ("2026-11-21T02:10:00", "2026-11-21T02:00:00", True),
        ("2026-10-25T02:59:59", "2026-10-25T02:00:00", False),
        ("2026-11-21T04:00:00", "2026-11-21T02:00:00", True),
    ],
)
def test_a_frame_older_than_the_one_before_it_comes_from_another_acquisition(earlier, later, mixture):
    sentence = series.disagreement([(4, {"date": earlier}), (5, {"date": later})])
    assert (sentence is not None) == mixture
    if sentence:
        assert "two acquisitions share a name" in sentence


def test_the_cadence_is_the_median_interval():
    times = [0, 2, 4, 7, 9]
    assert series.cadence_s([stat_of(str(t), mtime_s=t) for t in times]) == pytest.approx(2.0)


def test_pauses_and_equal_times_say_nothing_about_the_cadence():
    assert series.cadence_s([stat_of("a", mtime_s=5), stat_of("b", mtime_s=5)]) is None
    assert series.cadence_s([stat_of("a", mtime_s=0), stat_of("b", mtime_s=9000)]) is None
    assert series.cadence_s([]) is None
