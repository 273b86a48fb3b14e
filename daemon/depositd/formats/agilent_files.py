"""The files of an Agilent ``AcqData`` directory: MassHunter's own flag, its table of scans, and what they describe.

``Contents.xml`` has ``AcqStatus``: 0 initialised, 1 started, 2 ended (its own comment says so).  ``MSScan.bin`` begins
with u32 257; u32 @88 is the offset of its first record.  ``MSScan.xsd`` beside it is the layout of a record: the fields
of ``ScanRecordType`` one after the other without padding, little-endian, and behind them one or more
``SpectrumParamsType`` with ``SpectrumOffset`` and ``ByteCount`` of a spectrum in ``MSPeak.bin`` or ``MSProfile.bin``.
Fields in comments are not stored.  ``ScanID`` rises, ``ScanTime`` is in minutes.  ``MSTS.xml`` tells how many scans
each time segment has; some acquisitions have none.

``MSProfile.bin`` begins with u32 258 (pewlib), ``MSPeak.bin`` with 259 (seen).

Checked on one finished acquisition: its records begin at byte 160, 2,616 of 184 bytes, as many as its only segment
tells; they follow each other in ``MSPeak.bin`` without a gap from byte 68 on, and the last ends where that file ends.

XML is read with regular expressions from a bounded head: nothing is expanded, fetched or nested.
"""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from depositd.formats import facts
from depositd.formats.reading import Malformed, ReadAt
from depositd.formats.trees import UNFINISHED
from depositd.model import Probe

SCAN_MAGIC, PROFILE_MAGIC, PEAK_MAGIC = 257, 258, 259
CHEMSTATION_MAGIC = b"\x01\x32\x00\x00"
ENDED = 2
TEXT_BYTES = 1 << 18
_BLANK_BYTES = 4096
_MOST_RECORDS = 200_000
_PROOF_RECORDS = 64
_CHUNK_RECORDS = 4096
_MOST_FIELDS = 200
_MOST_SPECTRA = 2
_RECORDS_AT = 88
_LEAF = re.compile(r"<([A-Za-z]\w{0,60})>([^<]*)</\1>", re.ASCII)
_DECLARED = re.compile(r"<(/?)\w{1,8}:(complexType|element)\b([^<>]*)>", re.ASCII)
_ATTRIBUTE = re.compile(r'\b(name|type)="(?:\w{1,8}:)?(\w{1,60})"', re.ASCII)
_CODES = {"int": "i", "long": "q", "double": "d", "float": "f", "short": "h", "byte": "b"}
_CODES |= {"unsignedInt": "I", "unsignedLong": "Q", "unsignedShort": "H", "unsignedByte": "B"}
_WANTED = ("ScanID", "ScanTime", "SpectrumOffset", "ByteCount")


class Unknown(Exception):
    """A table of scans is not laid out as expected, which is no fault of the acquisition."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A scan's record as ``struct`` formats: its own fields, and those of one spectrum.

    Unpacked, a record gives scan, time, and offset and length of each of its spectra; all else is skipped.
    """

    scan: str
    spectrum: str

    def record(self, spectra: int) -> struct.Struct:
        """Return the record of a scan that has so many spectra."""
        return struct.Struct("<" + self.scan + self.spectrum * spectra)


def contents_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Return the acquisition's status, its start and its instrument from ``Contents.xml``."""
    leaves = _leaves(_xml(read_at, size_bytes, "Contents"))
    states = {value for name, value in leaves if name == "AcqStatus"}
    if len(states) != 1 or not (state := states.pop()).isdecimal() or len(state) > 3:
        raise Malformed("names no AcqStatus", retry=True)
    said = dict(leaves)
    return Probe(
        facts=facts.clean(
            {
                "status": int(state),
                "date": facts.iso_date(said.get("AcquiredTime")),
                "instrument": said.get("InstrumentName"),
            }
        )
    )


def segment_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Return the number of scans that the time segments of ``MSTS.xml`` tell of."""
    leaves = _leaves(_xml(read_at, size_bytes, "TimeSegments"))
    counts = [int(value) for name, value in leaves if name == "NumOfScans" and re.fullmatch("[0-9]{1,9}", value)]
    return Probe(facts={"planned_scans": sum(counts)} if counts else {})


def device_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Return the serial number of the first device of ``Devices.xml``."""
    leaves = _leaves(_text(read_at(0, min(size_bytes, TEXT_BYTES))))
    serial = next((value for name, value in leaves if name == "SerialNumber"), None)
    return Probe(facts=facts.clean({"instrument_serial": serial}))


def sample_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Return the sample's name from ``sample_info.xml``, where a name is followed by its value."""
    last, sample = "", None
    for name, value in _leaves(_text(read_at(0, min(size_bytes, TEXT_BYTES)))):
        if name == "Name":
            last = value
        elif name == "Value" and last == "Sample Name":
            sample = value
    return Probe(facts=facts.clean({"sample": sample}))


def chemstation_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Say whether a ChemStation ``.ms`` file begins as such."""
    head = read_at(0, len(CHEMSTATION_MAGIC))
    if CHEMSTATION_MAGIC.startswith(head) and size_bytes < len(CHEMSTATION_MAGIC):
        raise Malformed("ends inside its signature", retry=True, facts={UNFINISHED: True})
    if head != CHEMSTATION_MAGIC:
        raise Malformed("does not begin as a ChemStation file of spectra", retry=True)
    return Probe()


def peak_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Refuse an ``MSPeak.bin`` that does not begin as one, or ends in zeros: no peak lies at m/z 0."""
    _check_magic(read_at(0, 4), size_bytes, PEAK_MAGIC)
    if size_bytes > _BLANK_BYTES and not any(read_at(size_bytes - _BLANK_BYTES, _BLANK_BYTES)):
        raise _unfinished(f"ends in {_BLANK_BYTES:,} bytes of zeros: its end was never written")
    return Probe()


def profile_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Refuse an ``MSProfile.bin`` that does not begin as one; its profiles may well end in zeros."""
    _check_magic(read_at(0, 4), size_bytes, PROFILE_MAGIC)
    return Probe()


def parse_layout(schema: str) -> Layout:
    """Return the layout that an ``MSScan.xsd`` declares; raises Unknown where it declares another kind of record."""
    if not re.search(r"</(?:\w{1,8}:)?schema>\s*\Z", schema[-200:], re.ASCII):
        raise Unknown("its MSScan.xsd ends before its end")
    types = _declared_types(_without_comments(schema))
    scan = "".join(_codes(types.get("ScanRecordType", ()), skip="SpectrumParamsType"))
    spectrum = "".join(_codes(types.get("SpectrumParamsType", ())))
    wanted = [name for kind in ("ScanRecordType", "SpectrumParamsType") for name, _type in types.get(kind, ())]
    if [name for name in wanted if name in _WANTED] != list(_WANTED):
        raise Unknown("its MSScan.xsd declares no records of the known kind")
    return Layout(scan, spectrum)


def scan_facts(read_at: ReadAt, size_bytes: int, layout: Layout) -> dict[str, Any]:
    """Return number of records, last time and the furthest end of a spectrum.

    Raises Malformed for a table that was cut or never written, Unknown for one that its layout does not describe.
    """
    head = read_at(0, _RECORDS_AT + 4)
    _check_magic(head, size_bytes, SCAN_MAGIC)
    if len(head) < _RECORDS_AT + 4:
        raise _unfinished("ends inside its header")
    start = int(struct.unpack_from("<I", head, _RECORDS_AT)[0])
    if start > size_bytes:
        raise _unfinished("ends inside its header")
    if start < _RECORDS_AT + 4:
        raise Unknown(f"MSScan.bin has its first record at byte {start}")
    record = _fitting_record(read_at, start, size_bytes, layout)
    records, rest = divmod(size_bytes - start, record.size)
    if records == 0:
        return {"records": 0}
    if rest:
        raise _unfinished(f"ends inside a record, {rest} bytes into it")
    furthest, minutes = _walk(read_at, start, records, record)
    return facts.clean({"records": records, "last_end": furthest, "run_time_min": _minutes(minutes)})


def _unfinished(problem: str) -> Malformed:
    return Malformed(problem, retry=True, facts={UNFINISHED: True})


def _check_magic(head: bytes, size_bytes: int, wanted: int) -> None:
    if size_bytes == 0:
        raise _unfinished("is empty")
    magic = int.from_bytes(head[:4], "little")
    if len(head) >= 4 and magic != wanted:
        raise Malformed(f"begins with {magic}, not with {wanted} as Agilent's does", retry=True)
    if len(head) < 4:
        raise _unfinished("ends inside its signature")


def _fitting_record(read_at: ReadAt, start: int, size_bytes: int, layout: Layout) -> struct.Struct:
    """Return the record with as many spectra as make the scans' numbers rise; Unknown where none does."""
    for spectra in range(1, _MOST_SPECTRA + 1):
        record = layout.record(spectra)
        proof = read_at(start, record.size * min((size_bytes - start) // record.size, _PROOF_RECORDS))
        if not any(proof) and proof:
            raise _unfinished("has zeros where its records belong: they were never written")
        scans = [fields[0] for fields in record.iter_unpack(proof)]
        while scans and scans[-1] == 0:  # not written yet
            scans.pop()
        if scans == sorted(set(scans)) and all(scan > 0 for scan in scans):
            return record
    raise Unknown("MSScan.bin is not laid out as its MSScan.xsd says")


def _walk(read_at: ReadAt, start: int, records: int, record: struct.Struct) -> tuple[int, float]:
    """Return the furthest end of a spectrum and the last time, of at most the last 200,000 records."""
    furthest, minutes, before = 0, 0.0, 0
    for number, fields in _records(read_at, start, records, record):
        scan, minutes = fields[0], fields[1]
        if scan == 0:
            raise _unfinished(f"has zeros instead of record {number:,}: it was never written")
        if scan <= before or any(value < 0 for value in fields[2:]):
            raise Malformed(f"has no scan in record {number:,} of {records:,}", retry=True)
        before = scan
        furthest = max(furthest, *(fields[at] + fields[at + 1] for at in range(2, len(fields), 2)))
    return furthest, minutes


def _records(read_at: ReadAt, start: int, records: int, record: struct.Struct) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Give number and fields of the last records, read a few thousand at a time."""
    for first in range(max(0, records - _MOST_RECORDS), records, _CHUNK_RECORDS):
        count = min(_CHUNK_RECORDS, records - first)
        raw = read_at(start + first * record.size, count * record.size)
        whole = len(raw) - len(raw) % record.size
        yield from enumerate(record.iter_unpack(raw[:whole]), first + 1)


def _minutes(minutes: float) -> float | None:
    return round(minutes, 4) if 0 < minutes < 1e6 else None


def _xml(read_at: ReadAt, size_bytes: int, root: str) -> str:
    """Return the text of a small XML file; raises Malformed where it does not end with its root element."""
    if size_bytes == 0:
        raise _unfinished("is empty")
    if size_bytes > TEXT_BYTES:
        raise Malformed(f"has {size_bytes:,} bytes, far more than such a file needs")
    text = _text(read_at(0, TEXT_BYTES)).rstrip(" \t\r\n\0")
    if f"<{root}" not in text:
        raise Malformed(f"holds no <{root}>", retry=True)
    if not text.endswith(f"</{root}>"):
        raise _unfinished(f"ends before </{root}>")
    return text


def _text(raw: bytes) -> str:
    codec = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return raw.decode(codec, "replace")


def _leaves(text: str) -> list[tuple[str, str]]:
    """Return every element that holds only text, as (name, text), outside comments."""
    return [(name, html.unescape(value).strip()) for name, value in _LEAF.findall(_without_comments(text))]


def _without_comments(text: str) -> str:
    kept: list[str] = []
    for part in text.split("<!--"):
        _comment, _end, rest = part.partition("-->") if kept else ("", "", part)
        kept.append(rest)
    return "".join(kept)


def _declared_types(schema: str) -> dict[str, list[tuple[str, str]]]:
    """Return the elements (name, type) of each named complex type of a schema."""
    types: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for closing, kind, attributes in _DECLARED.findall(schema):
        said = dict(_ATTRIBUTE.findall(attributes))
        if kind == "complexType":
            current = [] if closing else types.setdefault(said.get("name", ""), [])
        elif not closing and "name" in said and "type" in said:
            current.append((said["name"], said["type"]))
            if len(current) > _MOST_FIELDS:
                raise Unknown("its MSScan.xsd declares too many fields")
    return types


def _codes(fields: list[tuple[str, str]] | tuple[()], skip: str = "") -> Iterator[str]:
    """Give the ``struct`` code of each field: itself where it is wanted, as many bytes to skip elsewhere."""
    for name, kind in fields:
        if kind == skip:
            continue
        if kind not in _CODES:
            raise Unknown(f"its MSScan.xsd declares a field of type {kind}")
        yield _CODES[kind] if name in _WANTED else f"{struct.calcsize('<' + _CODES[kind])}x"
