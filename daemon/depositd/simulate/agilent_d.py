"""Agilent MassHunter ``.d`` directories: ``AcqData`` with a status, an index of scans, and their peaks.

Source of the layout: the schema ``MSScan.xsd`` that the instrument puts beside its data, and a finished
acquisition of a single quadrupole, which has peaks (``MSPeak.bin``) and no profiles.
"""

from __future__ import annotations

import struct
from datetime import datetime
from xml.sax.saxutils import escape

import numpy as np

SCAN_RECORD_BYTES = 184
SCAN_HEADER_BYTES = 160
PEAK_HEADER_BYTES = 68

_PEAK_BYTES = 16
_RECORD = "<iiidiidddiiiidddddddiiiqiidddd"
_SCAN_FIELDS = (
    "ScanID:int ScanMethodID:int TimeSegmentID:int ScanTime:double MSLevel:int ScanType:int TIC:double"
    " BasePeakMZ:double BasePeakValue:double CycleNumber:int Status:int IonMode:int IonPolarity:int Fragmentor:double"
    " CollisionEnergy:double MzOfInterest:double SamplingPeriod:double MeasuredMassRangeMin:double"
    " MeasuredMassRangeMax:double Threshold:double IsFragmentorDynamic:int IsCollisionEnergyDynamic:int"
    " SpectrumParamValues:SpectrumParamsType"
)
_SPECTRUM_FIELDS = (
    "SpectrumFormatID:int SpectrumOffset:long ByteCount:int PointCount:int MinY:double MaxY:double MinX:double"
    " MaxX:double"
)


def contents_xml(status: int, *, date: datetime) -> bytes:
    """Return ``Contents.xml``; ``status`` is 0 (init), 1 (started) or 2 (ended), and changes one digit."""
    return _xml(
        f"""<Contents>
  <Version>3</Version>
  <AcquiredTime>{date.isoformat(timespec="microseconds")}</AcquiredTime>
  <!--AcqStatus (0 = Init / 1 = Start / 2 = End)-->
  <AcqStatus>{status}</AcqStatus>
  <InstrumentName>5977B GCMS</InstrumentName>
  <LockedMode>0</LockedMode>
  <MeasurementType>2</MeasurementType>
  <SeparationTechnique>2</SeparationTechnique>
  <AcqSoftwareVersion>simulated</AcqSoftwareVersion>
</Contents>"""
    )


def first_files(name: str) -> dict[str, bytes]:
    """Return what is written before the first scan, by name, save ``Contents.xml``."""
    return {
        "Devices.xml": _xml(
            """<Devices>
  <Version>1</Version>
  <Device DeviceID="1">
    <Name>SingleQuadrupole</Name>
    <ModelNumber>5977</ModelNumber>
    <OrdinalNumber>1</OrdinalNumber>
    <SerialNumber>SIM0001</SerialNumber>
    <Type>2</Type>
    <StoredDataType>8</StoredDataType>
  </Device>
</Devices>"""
        ),
        "sample_info.xml": _xml(
            f"""<SampleInfo>
  <Version>1.0</Version>
  <Field>
    <Name>Sample Name</Name>
    <DisplayName>Sample Name</DisplayName>
    <Value>{escape(name.encode("utf-8", "replace").decode("utf-8"))}</Value>
    <DataType>8</DataType>
  </Field>
</SampleInfo>"""
        ),
        "MSScan.xsd": _xml(
            f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">
  <xs:element name="MSScanBin">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="ScanRecord" type="ScanRecordType" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
  <xs:complexType name="ScanRecordType">
    <xs:sequence>
{_elements(_SCAN_FIELDS)}
    </xs:sequence>
  </xs:complexType>
  <xs:complexType name="SpectrumParamsType">
    <xs:sequence>
{_elements(_SPECTRUM_FIELDS)}
    </xs:sequence>
  </xs:complexType>
</xs:schema>"""
        ),
    }


def time_segments_xml(scans: int, run_time_min: float) -> bytes:
    """Return ``MSTS.xml``, which is written at the end and counts the scans."""
    return _xml(
        f"""<TimeSegments>
  <Version>3</Version>
  <TimeSegment TimeSegmentID="1">
    <StartTime>0</StartTime>
    <EndTime>{run_time_min:.6f}</EndTime>
    <NumOfScans>{scans}</NumOfScans>
    <FixedCycleLength>0</FixedCycleLength>
  </TimeSegment>
  <IRMStatus>0</IRMStatus>
</TimeSegments>"""
    )


def scan_header() -> bytes:
    """Return what stands in ``MSScan.bin`` before the first record, with the place of that."""
    header = bytearray(SCAN_HEADER_BYTES)
    struct.pack_into("<H", header, 0, 0x0101)
    struct.pack_into("<6I", header, 68, 1, 2, 1, 1, 0, SCAN_HEADER_BYTES)
    return bytes(header)


def peak_header() -> bytes:
    """Return what stands in ``MSPeak.bin`` before the first spectrum."""
    return struct.pack("<H", 0x0103).ljust(PEAK_HEADER_BYTES, b"\0")


def spectrum(picture: int, *, frame_bytes: int, seed: int = 0) -> bytes:
    """Return the peaks of one scan, about ``frame_bytes``: all masses, then all counts, as f64."""
    random = np.random.default_rng((seed, picture))
    points = max(frame_bytes // _PEAK_BYTES, 1)
    masses = np.sort(random.uniform(100.0, 300.0, points))
    return masses.astype("<f8").tobytes() + random.geometric(0.001, points).astype("<f8").tobytes()


def scan_record(scan: int, *, time_min: float, peaks_at: int, peaks: bytes) -> bytes:
    """Return the record of scan ``scan``, counted from 1, whose peaks begin at ``peaks_at``."""
    masses, counts = np.frombuffer(peaks, "<f8").reshape(2, -1)
    highest = int(counts.argmax())
    return struct.pack(
        _RECORD,
        scan,
        1,  # method
        0,  # time segment
        time_min,
        1,  # MS level
        1,  # scan type
        counts.sum(),
        masses[highest],
        counts[highest],
        scan,  # cycle
        0,  # status
        2,  # ion mode
        0,  # polarity
        *(0.0, 0.0, 0.0, 0.0),  # fragmentor, collision energy, m/z of interest, sampling period
        *(100.0, 300.0, 0.0),  # measured range, threshold
        *(0, 0),  # nothing dynamic
        1,  # spectrum format
        peaks_at,
        len(peaks),
        counts.size,
        *(counts.min(), counts.max(), masses.min(), masses.max()),
    )


def _elements(fields: str) -> str:
    pairs = (field.split(":") for field in fields.split())
    return "\n".join(
        f'      <xs:element name="{name}" type="{"xs:" if kind.islower() else ""}{kind}"/>' for name, kind in pairs
    )


def _xml(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode("utf-8-sig")
