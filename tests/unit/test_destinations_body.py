from __future__ import annotations

import hashlib
import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser

from depositd.destinations.body import Body, FilePart
from depositd.destinations.checked import BLOCK_BYTES, WORTH_THREADS_BYTES
from depositd.errors import ArchiveInvalid
from depositd.model import Archive, Block, Packing
from depositd.rate_limit import RateLimit

CONTENT = b"frame" * 1000


class Zeros(io.RawIOBase):
    """A file of zeros that exists nowhere."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes

    def readinto(self, buffer) -> int:
        count = min(len(buffer), self.left)
        self.left -= count
        return count


def part(content: bytes = CONTENT, **changes) -> FilePart:
    values = {
        "path": "spool/a",
        "name": "lyso_1.tar.zst",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "opener": lambda _path: io.BytesIO(content),
        **changes,
    }
    return FilePart(**values)


def multipart(file: FilePart, **options) -> Body:
    return Body.multipart([("dataset_type", "pdb")], "dataset_file", file, boundary="B", **options)


def test_the_bytes_are_those_of_a_multipart_form():
    body = multipart(part(b"abc"))
    expected = (
        b'--B\r\nContent-Disposition: form-data; name="dataset_type"\r\n\r\npdb\r\n'
        b'--B\r\nContent-Disposition: form-data; name="dataset_file"; filename="lyso_1.tar.zst"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\nabc\r\n--B--\r\n"
    )
    assert b"".join(body) == expected
    assert len(body) == len(expected)
    assert body.content_type == "multipart/form-data; boundary=B"


@given(content=st.binary(max_size=3000), size=st.integers(1, 700))
def test_a_parser_gets_the_file_back_whatever_the_block_size(content, size):
    body = multipart(part(content))
    got = bytearray()
    parser = MultipartParser(b"B", {"on_part_data": lambda data, start, end: got.extend(data[start:end])})
    total = 0
    while block := body.read(size):
        assert len(block) <= size
        total += len(block)
        parser.write(bytes(block))
    assert bytes(got) == b"pdb" + content
    assert total == len(body)
    assert body.whole


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('a"b.raw', b'filename="a%22b.raw"'),
        ("a\r\nX: y.raw", b'filename="a%0D%0AX: y.raw"'),
        ("gl\u00fcck.raw", 'filename="gl\u00fcck.raw"'.encode()),
        ("\udcff.raw", b'filename="\xff.raw"'),
    ],
)
def test_a_name_cannot_break_out_of_its_header(name, shown):
    head = b"".join(multipart(part(name=name)))
    assert shown in head


def test_it_knows_how_far_it_was_sent_and_starts_again_on_rewind():
    body = multipart(part())
    assert not body.began
    first = body.read(10)
    assert body.began
    assert not body.whole
    body.rewind()
    assert not body.began
    again = b"".join(body)
    assert again.startswith(first)
    assert CONTENT in again
    assert body.whole


def test_nothing_below_can_send_it_again_by_itself():
    assert not hasattr(multipart(part()), "tell")
    assert not hasattr(multipart(part()), "seek")


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (part(sha256="0" * 64), "has SHA-256"),
        (part(size_bytes=len(CONTENT) + 1), "ends after 5,000 of 5,001 bytes"),
        (part(size_bytes=len(CONTENT) - 1), "has grown beyond its 4,999 bytes"),
    ],
)
@pytest.mark.fault(22)
def test_a_file_that_differs_never_gets_its_closing_boundary(file, what):
    body = multipart(file)
    sent = bytearray()
    with pytest.raises(ArchiveInvalid, match=what) as caught:
        sent.extend(byte for block in iter(lambda: body.read(100), b"") for byte in block)
    assert caught.value.hint
    assert b"--B--" not in sent
    assert not body.whole


def big(last: bytes = b"!") -> bytes:
    return bytes(range(256)) * (WORTH_THREADS_BYTES // 256) + last


def test_a_big_file_is_hashed_beside_and_as_strictly():
    whole = multipart(part(big()))
    assert sum(len(block) for block in whole) == len(whole)
    assert whole.whole
    other = multipart(part(big(b"?"), sha256=hashlib.sha256(big()).hexdigest()))
    with pytest.raises(ArchiveInvalid, match="has SHA-256"):
        list(other)
    assert not other.whole


def test_a_wrong_block_breaks_it_off_before_any_of_it_is_sent():
    blocks = [Block(BLOCK_BYTES, hashlib.sha256(big()[:BLOCK_BYTES]).hexdigest())] * (WORTH_THREADS_BYTES >> 20)
    right = big(b"")
    wrong = right[: 9 * BLOCK_BYTES] + b"altered" + right[9 * BLOCK_BYTES + 7 :]
    body = multipart(part(wrong, sha256=None, blocks=blocks))
    sent = bytearray()
    with pytest.raises(ArchiveInvalid, match="is not what was packed between byte 9,437,184 and byte 10,485,760, so"):
        sent.extend(byte for block in body for byte in block)
    assert len(sent) < 9 * BLOCK_BYTES + 300
    assert b"altered" not in sent
    body.rewind()
    assert not body.began


def test_a_part_is_made_of_whatever_a_client_is_given(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"abc")
    archive = Archive("/spool/x", "x.tar", Packing.ARCHIVE, 3, "0" * 32, "1" * 32, "2" * 64, (), (Block(3, "3" * 64),))
    own = FilePart.of(archive)
    assert (own.path, own.name, own.size_bytes, own.sha256) == ("/spool/x", "x.tar", 3, "2" * 64)
    assert own.blocks == (Block(3, "3" * 64),)
    assert FilePart.of(own) is own
    by_path = FilePart.of(tmp_path / "a.raw")
    assert (by_path.name, by_path.size_bytes, by_path.sha256, by_path.blocks) == ("a.raw", 3, None, ())


def test_a_big_transfer_that_is_broken_off_leaves_no_thread():
    before = threading.active_count()
    body = multipart(part(big()))
    for _ in range(3):
        body.read()
    body.close()
    body.rewind()
    assert b"".join(body).count(big()) == 1
    body.close()
    assert threading.active_count() == before


def test_an_unreadable_file_is_no_network_error():
    def gone(_path: str):
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(ArchiveInvalid, match="cannot be read"):
        list(multipart(part(opener=gone)))


def test_an_empty_file_is_sent_as_such():
    assert b"".join(multipart(part(b""))).endswith(b"\r\n\r\n\r\n--B--\r\n")


def test_without_a_hash_to_compare_the_length_is_still_enforced():
    with pytest.raises(ArchiveInvalid):
        list(multipart(part(sha256=None, size_bytes=1)))


def test_blocks_are_one_mebibyte_and_progress_counts_the_file_alone():
    size_bytes = 3 * BLOCK_BYTES + 5
    told: list[tuple[int, int]] = []
    file = part(size_bytes=size_bytes, sha256=None, opener=lambda _path: Zeros(size_bytes))
    blocks = [len(block) for block in multipart(file, on_progress=lambda done, total: told.append((done, total)))]
    assert max(blocks) == BLOCK_BYTES
    assert told == [(n * BLOCK_BYTES, size_bytes) for n in (1, 2, 3)] + [(size_bytes, size_bytes)]


def test_progress_may_stop_the_transfer():
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    body = multipart(part(), on_progress=stop)
    with pytest.raises(KeyboardInterrupt):
        list(body)
    assert not body.whole


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_rate_limit_is_kept_by_all_transfers_together():
    clock = FakeClock()
    rate_limit = RateLimit(1_000_000, clock=clock, sleep=clock.sleep)
    bodies = [
        multipart(part(sha256=None, size_bytes=2_000_000, opener=lambda _path: Zeros(2_000_000)), rate_limit=rate_limit)
        for _ in range(2)
    ]
    readers = [iter(body) for body in bodies]
    for _ in range(100):
        for reader in readers:
            next(reader, None)
    assert all(body.whole for body in bodies)
    assert 4.0 - 0.3 <= clock.now_s - 100.0 <= 4.0


def test_a_transfer_can_be_stopped_while_it_waits_for_its_limit():
    clock = FakeClock()
    rate_limit = RateLimit(1, clock=clock, sleep=clock.sleep)
    rate_limit.take(1000)

    def stop(_sent: int, _size: int) -> None:
        raise InterruptedError

    body = multipart(part(), rate_limit=rate_limit, on_progress=stop)
    body.read()
    with pytest.raises(InterruptedError):
        body.read()
    assert clock.now_s < 101.0


def test_json_and_forms():
    assert b"".join(Body.json({"a": [1]})) == b'{"a": [1]}'
    form = Body.form([("run_keys", "rf1"), ("run_keys", "rf2"), ("p", "a&b")])
    assert b"".join(form) == b"run_keys=rf1&run_keys=rf2&p=a%26b"
    assert form.content_type == "application/x-www-form-urlencoded"
