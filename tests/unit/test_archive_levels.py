from __future__ import annotations

import random
import re
from itertools import count, pairwise

import pytest

from depositd.archive.levels import (
    ASSUMED_UPLOAD_BYTES_PER_S,
    STORING_LEVEL,
    Job,
    Measurement,
    choose,
    context_bytes,
    decide,
    explore,
    measure,
    pieces_of,
)
from depositd.archive.plan import AUTO_LEVELS, LEVELS

MIB = 1 << 20

MEASURED_LEVELS = (-7, -5, -3, -1, 1, 2, 3, 5, 7, 9, 12)


def table(ratios, speeds):
    """Return level: (share of the size that is left, bytes per second of one core)."""
    return {level: (ratio, 1e6 * speed) for level, ratio, speed in zip(MEASURED_LEVELS, ratios, speeds, strict=True)}


# measured on 200 MB each: a Pilatus, an Eiger (bitshuffle-LZ4), plain images of 16 bits
CBF = table(
    (0.757, 0.742, 0.723, 0.415, 0.415, 0.422, 0.435, 0.426, 0.423, 0.424, 0.419),
    (436, 350, 306, 409, 403, 133, 67, 42, 24, 16, 7),
)
EIGER = table(
    (0.936, 0.934, 0.929, 0.886, 0.876, 0.867, 0.872, 0.861, 0.857, 0.853, 0.85),
    (884, 801, 669, 351, 261, 183, 95, 51, 34, 25, 11),
)
SMV = table(
    (0.845, 0.818, 0.777, 0.49, 0.463, 0.432, 0.439, 0.411, 0.415, 0.414, 0.407),
    (385, 352, 268, 388, 228, 154, 100, 61, 29, 17, 6),
)
NOISE = {level: (1.0, 2e9 if level < 3 else 1e9) for level in CBF}


def job(size_bytes=50e9, workers=4, cores=4, upload_bytes_per_s=100e6, assumed=False):
    return Job(int(size_bytes), workers, cores, upload_bytes_per_s, assumed)


def measuring(known, plain_bytes=MIB, runs=2):
    asked = []

    def measure_level(level):
        asked.append(level)
        ratio, bytes_per_s = known[level]
        return Measurement(level, ratio, bytes_per_s, runs * plain_bytes / bytes_per_s)

    return measure_level, asked


def chosen(known, **facts):
    measure_level, _ = measuring(known)
    return decide(job(**facts), explore(job(**facts), measure_level))


@pytest.mark.parametrize(
    ("known", "upload_bytes_per_s", "level"),
    [
        (CBF, 1e6, 1),
        (CBF, 100e6, 1),
        (CBF, 1e9, 1),
        (EIGER, 1e6, 9),
        (EIGER, 100e6, 1),
        (EIGER, 1e9, -7),
        (SMV, 1e6, 5),
        (SMV, 10e6, 2),
        (SMV, 1e9, -1),
        (NOISE, 1e6, STORING_LEVEL),
        (NOISE, 1e9, STORING_LEVEL),
    ],
)
def test_the_level_that_brings_the_data_there_soonest(known, upload_bytes_per_s, level):
    assert chosen(known, upload_bytes_per_s=upload_bytes_per_s).level == level


@pytest.mark.parametrize("known", [CBF, EIGER, SMV])
@pytest.mark.parametrize("upload_bytes_per_s", [1e6, 10e6, 50e6, 110e6, 300e6, 1e9, 10e9])
def test_stopping_early_costs_little(known, upload_bytes_per_s):
    facts = job(upload_bytes_per_s=upload_bytes_per_s)
    everything = {level: facts.total_s(Measurement(level, *values, 0)) for level, values in known.items()}
    level = chosen(known, upload_bytes_per_s=upload_bytes_per_s).level
    assert everything[level] <= 1.05 * min(everything.values())


def test_the_sentence_gives_the_numbers_and_the_neighbours():
    assert chosen(SMV, size_bytes=10e9, upload_bytes_per_s=10e6).why == (
        "zstd level 2: 43.2 % of the size at 616 MB/s on 4 cores; 29 s to archive and 7 min 12 s to send 4.32 GB at "
        "10.0 MB/s; level 3 would take 16 s longer, level 1 would take 26 s longer"
    )


def test_the_sentence_says_that_a_rate_was_assumed():
    why = chosen(CBF, upload_bytes_per_s=ASSUMED_UPLOAD_BYTES_PER_S, assumed=True).why
    assert "at an assumed 110 MB/s" in why


def test_the_sentence_counts_no_more_cores_than_there_are():
    assert "at 403 MB/s on 1 core;" in chosen(CBF, workers=4, cores=1).why


def test_an_advantage_within_the_noise_leaves_the_usual_level():
    usual = Measurement(1, 0.5, 400e6, 0)
    facts = job(upload_bytes_per_s=10e6)
    hardly = decide(facts, [usual, Measurement(2, 0.497, 390e6, 0)])
    assert hardly.level == 1
    assert re.search(r"; level 2 perhaps \d+ s less$", hardly.why)
    assert decide(facts, [usual, Measurement(2, 0.48, 390e6, 0)]).level == 2


def test_a_difference_that_rounds_to_nothing_is_not_called_one():
    same = [Measurement(level, 0.5, 400e6, 0) for level in (1, 2)]
    assert decide(job(), same).why.endswith("; level 2 would take as long")


def test_what_does_not_compress_is_stored_and_the_sentence_says_what_was_lost():
    measured = [Measurement(1, 1.0001, 2e9, 0), Measurement(2, 0.998, 1e9, 0)]
    choice = decide(job(upload_bytes_per_s=1e3), measured)
    assert choice.level == STORING_LEVEL
    assert choice.why == "incompressible (the best level would save 0.2 %): stored"
    grown = decide(job(), [Measurement(1, 1.0001, 2e9, 0)])
    assert "would save 0.0 %" in grown.why


def test_what_only_a_slower_level_compresses_is_not_stored():
    assert decide(job(), [Measurement(1, 1.0, 2e9, 0), Measurement(2, 0.9, 1e9, 0)]).level == 2


def test_no_level_is_quicker_than_the_hash_of_the_tar():
    quick, quickest = Measurement(-5, 0.5, 5e9, 0), Measurement(-7, 0.5, 50e9, 0)
    facts = job(workers=32, cores=64)
    assert facts.archive_s(quick) == facts.archive_s(quickest) == facts.quickest_archive_s()


def test_fewer_workers_and_fewer_cores_take_longer():
    found = Measurement(3, 0.4, 90e6, 0)
    by_workers = [job(workers=workers, cores=64).archive_s(found) for workers in (1, 2, 4)]
    by_cores = [job(workers=4, cores=cores).archive_s(found) for cores in (1, 2, 4)]
    for seconds in (by_workers, by_cores):
        assert all(fewer == pytest.approx(2 * more) for fewer, more in pairwise(seconds))


def test_quicker_levels_are_not_measured_where_hashing_takes_longer_anyway():
    measure_level, asked = measuring(CBF)
    explore(job(workers=16, cores=64), measure_level)
    assert asked[0] == 1
    assert min(asked) == 1


def test_noise_is_not_ground_at_slow_levels():
    measure_level, asked = measuring(NOISE)
    explore(job(upload_bytes_per_s=1e4), measure_level)
    assert max(asked) == 3


def test_levels_that_cannot_win_any_more_are_not_measured():
    measure_level, asked = measuring(CBF)
    explore(job(upload_bytes_per_s=1e9), measure_level)
    assert max(asked) <= 2


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 64])
def test_the_tables_of_all_workers_together_stay_small(workers):
    flat = {level: (0.5 - level / 1000, 400e6) for level in range(-7, 20)}
    measure_level, asked = measuring(flat, plain_bytes=1)
    explore(job(workers=workers, cores=64, upload_bytes_per_s=1e3), measure_level)
    assert workers * context_bytes(max(asked)) <= 64 * MIB
    assert max(asked) >= 2


@pytest.mark.parametrize("known", [CBF, EIGER, SMV])
@pytest.mark.parametrize("size_bytes", [1e9, 10e9, 100e9])
@pytest.mark.parametrize("upload_bytes_per_s", [1e6, 100e6, 1e9])
def test_measuring_costs_little_of_the_datasets_time(known, size_bytes, upload_bytes_per_s):
    facts = job(size_bytes=size_bytes, upload_bytes_per_s=upload_bytes_per_s)
    measure_level, _ = measuring(known)
    measured = explore(facts, measure_level)
    spent_s = sum(found.cost_s for found in measured)
    assert spent_s <= min(0.025 * facts.total_s(facts.soonest(measured)), 1.2)


def test_pieces_come_from_the_whole_frame_and_not_from_its_first_bytes():
    frame = memoryview(bytearray(8 * MIB))
    for most in (1, 3):
        pieces = pieces_of(frame, most)
        starts = [len(frame) - len(frame[place:]) for place in _starts(frame, pieces)]
        assert [len(piece) for piece in pieces] == [MIB] * most
        assert starts[0] > MIB // 2
        assert all(later - earlier >= MIB for earlier, later in pairwise(starts))


def _starts(frame, pieces):
    frame[:] = bytes(len(frame))
    found = []
    for number, piece in enumerate(pieces, start=1):
        piece[0] = number
        found.append(bytes(frame).index(number))
    return found


@pytest.mark.parametrize("size", [1, 1000, MIB - 1])
def test_a_small_frame_is_one_piece(size):
    assert [len(piece) for piece in pieces_of(memoryview(bytes(size)), 3)] == [size]


class Clock:
    def __init__(self, step_s):
        self.ticks = count()
        self.step_s = step_s

    def __call__(self):
        return next(self.ticks) * self.step_s


def test_short_measurements_are_repeated_and_long_ones_are_not():
    pieces = [memoryview(bytes(1000)), memoryview(random.Random(1).randbytes(1000))]
    short, long = measure(1, pieces, Clock(0.001)), measure(1, pieces, Clock(0.1))
    assert short.cost_s == pytest.approx(2 * 2 * 0.001)
    assert long.cost_s == pytest.approx(2 * 0.1)
    assert short.bytes_per_s == pytest.approx(2000 / 0.002)
    assert long.bytes_per_s == pytest.approx(2000 / 0.2)
    assert short.ratio == long.ratio
    assert 0.5 < short.ratio < 0.6


def test_of_each_piece_the_run_that_was_not_disturbed_counts():
    took_s = iter([0.009, 0.002, 0.001, 0.008])  # two pieces, twice
    moments = iter([moment for seconds in took_s for moment in (0.0, seconds)])
    found = measure(1, [memoryview(bytes(1000))] * 2, lambda: next(moments))
    assert found.bytes_per_s == pytest.approx(2000 / 0.003)
    assert found.cost_s == pytest.approx(0.02)


def test_a_clock_that_stands_still_divides_by_nothing():
    assert measure(1, [memoryview(bytes(1000))], lambda: 0.0).bytes_per_s > 0


def choose_from(sample, **facts):
    known = {"size_bytes": 10**10, "upload_rate_bytes_per_s": 100e6, "workers": 4, "timer": Clock(0.001), **facts}
    return choose(memoryview(sample), **known)


@pytest.mark.parametrize(
    ("size_bytes", "sample", "why"),
    [
        (12_000_000, bytes(1000), "zstd level 1: 12.0 MB is too small to be worth measuring"),
        (0, b"", "zstd level 1: 0 B is too small to be worth measuring"),
        (10**10, b"", "zstd level 1: there was nothing to measure yet"),
    ],
)
def test_nothing_is_measured_where_it_cannot_pay(size_bytes, sample, why):
    def never():
        raise AssertionError

    choice = choose_from(sample, size_bytes=size_bytes, timer=never)
    assert (choice.level, choice.why) == (AUTO_LEVELS["zstd"], why)


def test_random_bytes_are_stored():
    choice = choose_from(random.Random(1).randbytes(MIB))
    assert choice.level == STORING_LEVEL
    assert choice.why.endswith("stored")


@pytest.mark.parametrize("rate", [None, 0.0, -1.0])
def test_an_unknown_rate_is_assumed(rate):
    choice = choose_from(bytes(range(256)) * 4096, upload_rate_bytes_per_s=rate)
    assert "an assumed 110 MB/s" in choice.why


def test_the_same_sample_and_clock_give_the_same_choice():
    sample = bytes(random.Random(1).choices(range(24), k=MIB))
    first, again = choose_from(sample), choose_from(sample)
    assert first == again
    assert first.level in LEVELS["zstd"]
