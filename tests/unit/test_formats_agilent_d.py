import struct

import pytest
from format_files import AGILENT_SCHEMA, agilent_files, stat_of

from depositd.formats import FORMATS, claims, group
from depositd.formats import agilent_files as reading
from depositd.formats.reading import guarded
from depositd.model import Listing, Probe, Quiet, Terms, VerdictKind

AGILENT = FORMATS["agilent-d"]
SCHEMA = AGILENT_SCHEMA.decode("utf-8-sig")
PARSERS = {
    "Contents.xml": reading.contents_facts,
    "MSTS.xml": reading.segment_facts,
    "Devices.xml": reading.device_facts,
    "sample_info.xml": reading.sample_facts,
    "MSPeak.bin": reading.peak_facts,
    "MSProfile.bin": reading.profile_facts,
}


def read_at(content):
    return lambda offset, count: content[offset : offset + count]


def scans(content, schema=SCHEMA):
    try:
        return guarded(
            lambda: Probe(facts=reading.scan_facts(read_at(content), len(content), reading.parse_layout(schema)))
        )
    except reading.Unknown as unknown:
        return Probe(facts={"unknown": str(unknown)})


def probe(name, content):
    short = name.rpartition("/")[2]
    if short == "MSScan.bin":
        return scans(content)
    return guarded(PARSERS[short], read_at(content), len(content)) if short in PARSERS else Probe()


def dataset_and_probes(files):
    stats = tuple(stat_of(f"q/a.D/{name}", size=len(content)) for name, content in sorted(files.items()))
    (dataset,) = group(Listing("q", (), {"q/a.D": stats}), "agilent-d")
    return dataset, {f"q/a.D/{name}": probe(name, content) for name, content in files.items()}


def judge(files, quiet_s):
    dataset, probes = dataset_and_probes(files)
    return AGILENT.judge(dataset, probes, Quiet(quiet_s, quiet_s), Terms(30.0))


def test_names():
    assert claims("q/a.D", "agilent-d")
    assert not claims("q/a.raw", "agilent-d")
    dataset, _probes = dataset_and_probes(agilent_files())
    assert (dataset.name, dataset.path, dataset.directory, dataset.key) == ("a", "q/a.D", "q", "a.D")


@pytest.mark.parametrize("spectra", [1, 2])
@pytest.mark.parametrize("data", ["MSPeak.bin", "MSProfile.bin"])
def test_a_run_that_ended_with_all_its_scans_is_complete_once_settled(spectra, data):
    files = agilent_files(spectra=spectra, data=data)
    assert judge(files, 29).kind is VerdictKind.GROWING
    judged = judge(files, 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert not judged.by_quiescence
    assert judged.evidence == ("50 scans", "last write 30 s ago")
    end = 68 + 50 * spectra * 400
    assert [rung.finding for rung in judged.ladder[:3]] == [
        "AcqStatus 2: acquisition has ended",
        f"the scans of MSScan.bin reach to byte {end:,} of {data}, which has {end:,}",
        "MSScan.bin holds 50 of the 50 scans that MSTS.xml tells of",
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "Contents.xml has AcqStatus 0: acquisition has not begun"),
        (1, "Contents.xml has AcqStatus 1: acquisition goes on"),
        (7, "Contents.xml has AcqStatus 7: a state that is not known"),
    ],
)
def test_the_instrument_s_own_flag_is_waited_for_an_hour(status, said):
    files = agilent_files(status=status)
    assert judge(files, 3599).kind is VerdictKind.GROWING
    judged = judge(files, 3600)
    assert judged.kind is VerdictKind.ABORTED
    assert said in judged.evidence


def without(*names):
    return {name: content for name, content in agilent_files().items() if name.rpartition("/")[2] not in names}


@pytest.mark.parametrize(
    ("files", "quiet_s", "said"),
    [
        (without("Contents.xml"), 3600, "AcqData holds no Contents.xml yet"),
        (without("MSScan.bin"), 3600, "MSPeak.bin stands alone: MSScan.bin is missing"),
        (without("MSPeak.bin"), 3600, "MSScan.bin stands alone: MSPeak.bin or MSProfile.bin is missing"),
        (without("MSPeak.bin", "MSScan.bin"), 3600, "AcqData holds no data yet"),
        (agilent_files(scans=0), 3600, "MSScan.bin counts no scan"),
        (agilent_files(planned=60), 600, "MSScan.bin holds 50 of the 60 scans that MSTS.xml tells of"),
    ],
)
def test_what_is_not_there_is_waited_for_and_then_named(files, quiet_s, said):
    assert judge(files, quiet_s - 1).kind is VerdictKind.GROWING
    judged = judge(files, quiet_s)
    assert judged.kind is VerdictKind.TRUNCATED
    assert said in judged.evidence


def change(name, make):
    files = agilent_files()
    return judge(files | {f"AcqData/{name}": make(files[f"AcqData/{name}"])}, 600)


@pytest.mark.parametrize(
    ("name", "make", "kind", "said"),
    [
        ("MSPeak.bin", lambda old: old[:-1], "truncated", "MSPeak.bin ends 1 byte before the end of its last scan"),
        ("MSPeak.bin", lambda old: old[:3], "truncated", "MSPeak.bin ends inside its signature"),
        ("MSPeak.bin", lambda old: old[:9000] + bytes(len(old) - 9000), "truncated", "MSPeak.bin ends in 4,096 bytes"),
        ("MSPeak.bin", lambda old: bytes(len(old)), "corrupt", "MSPeak.bin begins with 0, not with 259"),
        ("MSScan.bin", lambda old: old[:-1], "truncated", "MSScan.bin ends inside a record, 43 bytes into it"),
        ("MSScan.bin", lambda old: old[:80], "truncated", "MSScan.bin ends inside its header"),
        (
            "MSScan.bin",
            lambda old: old[:160] + bytes(len(old) - 160),
            "truncated",
            "has zeros where its records belong",
        ),
        ("MSScan.bin", lambda old: old[:-44] + bytes(44), "truncated", "has zeros instead of record 50"),
        ("MSScan.bin", lambda old: b"<html>" + old[6:], "corrupt", "MSScan.bin begins with 1836345404, not with 257"),
        ("MSScan.bin", lambda old: b"", "truncated", "MSScan.bin is empty"),
        ("Contents.xml", lambda old: b"", "truncated", "Contents.xml is empty"),
        ("Contents.xml", lambda old: old[:-12], "truncated", "Contents.xml ends before </Contents>"),
        ("Contents.xml", lambda old: bytes(len(old)), "corrupt", "Contents.xml holds no <Contents>"),
        ("Contents.xml", lambda old: b"<Contents></Contents>", "corrupt", "Contents.xml names no AcqStatus"),
        ("Contents.xml", lambda old: old + b" " * 300_000, "corrupt", "far more than such a file needs"),
        ("MSTS.xml", lambda old: b"<html>", "corrupt", "MSTS.xml holds no <TimeSegments>"),
    ],
)
def test_a_damaged_file_is_named(name, make, kind, said):
    judged = change(name, make)
    assert judged.kind == kind, judged
    assert said in judged.sentence


def test_a_record_that_is_none_is_corrupt():
    files = agilent_files(scans=100)
    table = bytearray(files["AcqData/MSScan.bin"])
    struct.pack_into("<i", table, 160 + 80 * 44, 3)
    judged = judge(files | {"AcqData/MSScan.bin": bytes(table)}, 600)
    assert judged.kind is VerdictKind.CORRUPT
    assert "MSScan.bin has no scan in record 81 of 100" in judged.evidence


def test_a_run_whose_table_is_laid_out_otherwise_ends_by_an_hour_of_silence_and_says_so():
    files = agilent_files()
    table = bytearray(files["AcqData/MSScan.bin"])
    struct.pack_into("<i", table, 160 + 44, 3)
    struct.pack_into("<i", table, 160 + 88, 2)
    files |= {"AcqData/MSScan.bin": bytes(table)}
    assert judge(files, 3599).kind is VerdictKind.GROWING
    judged = judge(files, 3600)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.by_quiescence
    assert "its scans cannot be checked: MSScan.bin is not laid out as its MSScan.xsd says" in judged.evidence


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            without("MSPeak.bin", "MSScan.bin") | {"AcqData/DAD1.cd": b"x", "AcqData/DAD1.cg": b"x"},
            "no MSScan.bin: nothing says how long the data of other detectors must be",
        ),
        (without("MSScan.xsd"), "its scans cannot be checked: MSScan.xsd is missing"),
        (agilent_files() | {"AcqData/FID1.cd": b"x"}, "FID1.cd is there without its .cg"),
        (agilent_files() | {"AcqData/DAD1.sp": b"x"}, "DAD1.sp is there without its .sd"),
    ],
)
def test_the_flag_alone_proves_nothing_and_is_followed_by_an_hour_of_silence(files, said):
    assert judge(files, 3599).kind is VerdictKind.GROWING
    judged = judge(files, 3600)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.by_quiescence
    assert said in judged.evidence


def test_a_schema_that_is_awaited_is_named():
    assert "MSScan.xsd" in judge(without("MSScan.xsd"), 30).awaits


def test_a_run_without_segments_or_with_all_of_another_detector_is_proven():
    assert judge(without("MSTS.xml"), 30).kind is VerdictKind.COMPLETE
    both = {"AcqData/FID1.cd": b"x", "AcqData/FID1.cg": b"x"}
    assert judge(agilent_files() | both, 30).kind is VerdictKind.COMPLETE


def test_a_schema_that_was_copied_in_part_is_none():
    assert "ends before its end" in scans(agilent_files()["AcqData/MSScan.bin"], SCHEMA[:-5]).facts["unknown"]


def test_a_chemstation_directory_ends_by_an_hour_of_silence_and_says_so():
    files = {"data.ms": b"\x01\x32\0\0" + b"x" * 500, "runstart.txt": b"x"}
    assert judge(files, 3599).kind is VerdictKind.GROWING
    judged = judge(files, 3600)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.by_quiescence
    assert "no AcqData: nothing in a ChemStation directory says when it is whole" in judged.evidence
    judged = judge({"runstart.txt": b"x"}, 3600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "it holds no .ms, .ch or .uv file yet" in judged.evidence
    assert judge({"FID1A.ch": b""}, 3600).kind is VerdictKind.TRUNCATED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x01\x32\0\0rest", None),
        (b"\x01\x32", "ends inside its signature"),
        (b"", "ends inside its signature"),
        (b"<html>", "does not begin as a ChemStation file of spectra"),
        (bytes(500), "does not begin as a ChemStation file of spectra"),
    ],
)
def test_a_chemstation_file_begins_as_such(content, problem):
    assert guarded(reading.chemstation_facts, read_at(content), len(content)).problem == problem


def test_metadata():
    dataset, probes = dataset_and_probes(agilent_files())
    assert AGILENT.metadata(dataset, probes) == {
        "instrument": "6546 Q-TOF & LC",
        "instrument_serial": "SG1839D002",
        "sample": "HeLa",
        "date": "2026-11-21T02:14:07.844",
        "run_time_min": 0.5,
    }


def test_a_layout_is_what_the_schema_declares_outside_comments():
    layout = reading.parse_layout(SCHEMA)
    assert layout.record(1).size == 44
    assert layout.record(2).size == 64
    assert layout.record(1).unpack(struct.pack("<2i2diq2i", 7, 1, 0.5, 9.0, 1, 68, 400, 50)) == (7, 0.5, 68, 400)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("xs:long", "xs:string", "declares a field of type string"),
        ("ScanID", "Scan", "declares no records of the known kind"),
        ("SpectrumParamsType", "Other", "declares a field of type Other"),
        (
            'name="TIC"',
            'name="TIC"/>' + '<xs:element name="x" type="xs:int"/>' * 201 + "<xs:element",
            "too many fields",
        ),
    ],
)
def test_a_schema_of_another_kind_is_said(old, new, said):
    assert said in scans(agilent_files()["AcqData/MSScan.bin"], SCHEMA.replace(old, new)).facts["unknown"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_xml_in_the_encodings_that_windows_writes(encoding):
    content = agilent_files()["AcqData/Contents.xml"].decode("utf-8-sig").encode(encoding)
    assert probe("Contents.xml", content).facts["status"] == 2


def test_a_status_in_a_comment_says_nothing_and_no_entity_is_expanded():
    content = (
        b'<!DOCTYPE c [<!ENTITY a "2"><!ENTITY b "&a;&a;">]><Contents><!-- <AcqStatus>2</AcqStatus> -->'
        b"<AcqStatus>&b;</AcqStatus></Contents>"
    )
    assert probe("Contents.xml", content).problem == "names no AcqStatus"
    twice = b"<Contents><AcqStatus>1</AcqStatus><AcqStatus>2</AcqStatus></Contents>"
    assert probe("Contents.xml", twice).problem == "names no AcqStatus"
