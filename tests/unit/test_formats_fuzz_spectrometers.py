"""Whatever a file holds: no exception out of a parser, less than 64 MB, less than a second."""

import time
import tracemalloc

import pytest
from format_files import (
    AGILENT_SCHEMA,
    agilent_files,
    compound_bytes,
    superblock,
    thermo_bytes,
    waters_files,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depositd.formats import agilent_files as agilent
from depositd.formats import bruker_tdf, compound_file, hdf5
from depositd.formats import waters_files as waters
from depositd.formats.reading import guarded
from depositd.formats.thermo_raw import probe_header
from depositd.model import Probe

MOST_BYTES = 64_000_000
LONGEST_S = 1.0
WATERS = waters_files(functions=1)
AGILENT = agilent_files(scans=20)


def agilent_scans(read_at, size_bytes):
    try:
        layout = agilent.parse_layout(AGILENT_SCHEMA.decode("utf-8-sig"))
        return Probe(facts=agilent.scan_facts(read_at, size_bytes, layout))
    except agilent.Unknown:
        return Probe()


def agilent_schema(read_at, size_bytes):
    try:
        layout = agilent.parse_layout(read_at(0, agilent.TEXT_BYTES).decode("utf-8-sig", "replace"))
        table = AGILENT["AcqData/MSScan.bin"]
        return Probe(facts=agilent.scan_facts(lambda at, count: table[at : at + count], len(table), layout))
    except agilent.Unknown:
        return Probe()


PARSERS = {
    "thermo": (probe_header, thermo_bytes()),
    "thermo 66": (probe_header, thermo_bytes(version=66)),
    "waters index": (waters.index_facts, WATERS["_FUNC001.IDX"]),
    "waters inlet": (waters.inlet_facts, WATERS["_INLET.INF"]),
    "waters header": (waters.header_facts, WATERS["_HEADER.TXT"]),
    "bruker header": (
        lambda read_at, size: Probe(facts={"wal_mode": bruker_tdf.check_database(read_at, size)}),
        bruker_tdf.SIGNATURE + b"\x10\0\1\1" + bytes(4080),
    ),
    "bruker frame": (
        lambda read_at, size: Probe(facts=bruker_tdf.last_frame(read_at, size, 64)),
        bytes(64) + b"\7" * 99,
    ),
    "agilent contents": (agilent.contents_facts, AGILENT["AcqData/Contents.xml"]),
    "agilent segments": (agilent.segment_facts, AGILENT["AcqData/MSTS.xml"]),
    "agilent devices": (agilent.device_facts, AGILENT["AcqData/Devices.xml"]),
    "agilent sample": (agilent.sample_facts, AGILENT["AcqData/sample_info.xml"]),
    "agilent scans": (agilent_scans, AGILENT["AcqData/MSScan.bin"]),
    "agilent schema": (agilent_schema, AGILENT_SCHEMA),
    "agilent peaks": (agilent.peak_facts, AGILENT["AcqData/MSPeak.bin"]),
    "chemstation": (agilent.chemstation_facts, agilent.CHEMSTATION_MAGIC),
    "sciex wiff": (compound_file.compound_facts, compound_bytes(sectors=20)),
    "sciex other": (compound_file.written_facts, b"\3" * 5000),
    "hdf5": (lambda read_at, size: Probe(facts={"_": hdf5.check_closed(read_at(0, 64), size)}), superblock(0, size=64)),
}


def try_parser(parser, content, size_bytes=None):
    """Probe a file of which only ``content`` is not a hole, with its cost bounded."""
    size = len(content) if size_bytes is None else size_bytes

    def read_at(offset, count):
        assert offset >= 0
        assert count >= 0
        found = content[offset : offset + count]
        return found + bytes(max(0, min(count, size - offset) - len(found)))

    tracemalloc.start()
    try:
        began_s = time.perf_counter()
        found = guarded(parser, read_at, size)
        assert time.perf_counter() - began_s < LONGEST_S
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert isinstance(found, Probe)
    assert found.problem is None or found.problem


@pytest.mark.parametrize(("parser", "whole"), PARSERS.values(), ids=PARSERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(keep=st.integers(0, 3000), rest=st.binary(max_size=1500))
def test_the_beginning_of_a_file_and_then_anything(parser, whole, keep, rest):
    try_parser(parser, whole[:keep] + rest)


@pytest.mark.parametrize(("parser", "whole"), PARSERS.values(), ids=PARSERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_flipped_bytes(parser, whole, data):
    at = st.integers(0, len(whole) - 1)
    value = st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), st.integers(0, 255))
    content = bytearray(whole)
    for offset, byte in data.draw(st.lists(st.tuples(at, value), min_size=1, max_size=12)):
        content[offset] = byte
    try_parser(parser, bytes(content))


@pytest.mark.parametrize("size_bytes", [70_000, 1 << 32, 1 << 50])
@pytest.mark.parametrize(("parser", "whole"), PARSERS.values(), ids=PARSERS)
def test_a_file_of_any_size_that_is_mostly_a_hole(parser, whole, size_bytes):
    try_parser(parser, whole, size_bytes)
    try_parser(parser, b"", size_bytes)


@pytest.mark.parametrize(("parser", "whole"), PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize(
    "text", [b"<", b"<a", b"<!--", b"-->", b"<a>", b"<a></a>", b"&#9;", b"1 min Run Time: ", b"$$ ", b"\xff"]
)
def test_a_text_that_repeats_itself(parser, whole, text):
    try_parser(parser, whole + text * (260_000 // len(text)))
    try_parser(parser, text * (260_000 // len(text)))


@pytest.mark.parametrize("inner", [b"<", b"<a", b"<!--", b"<AcqStatus>2", b"<AcqStatus>2</AcqStatus>", b"&amp;"])
def test_xml_that_ends_well_and_repeats_itself_inside(inner):
    try_parser(agilent.contents_facts, b"<Contents>" + inner * (250_000 // len(inner)) + b"</Contents>")
