"""What files, directories and observers do with the calls of this system and without them."""

from __future__ import annotations

import os
import threading
import time

import pytest
from watchdog.observers.polling import PollingObserver

from depositd import portable
from depositd.portable import directories, files
from depositd.watch.listening import Listener
from depositd.watch.observers import WatchdogObserver


@pytest.fixture
def descriptor(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("read_at", [portable.read_at, files._read_at_in_turn])
def test_reading_at_an_offset_moves_nothing(descriptor, read_at):
    os.lseek(descriptor, 3, os.SEEK_SET)
    assert read_at(descriptor, 4, 5) == b"5678"
    assert read_at(descriptor, 4, 8) == b"89"
    assert read_at(descriptor, 4, 10) == b""
    assert os.read(descriptor, 2) == b"34"


def test_without_pread_a_writer_and_readers_of_one_descriptor_take_turns(tmp_path):
    path = tmp_path / "file"
    opened = os.open(path, os.O_RDWR | os.O_CREAT)
    piece, count, wrong = b"abcdefgh" * 64, 60, []
    written = threading.Event()

    def read() -> None:
        while not written.is_set():
            done = os.fstat(opened).st_size // len(piece)
            if done and files._read_at_in_turn(opened, len(piece), (done - 1) * len(piece)) != piece:
                wrong.append(done)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(count):
        assert files._write_in_turn(opened, memoryview(piece)) == len(piece)
    written.set()
    for reader in readers:
        reader.join()
    os.close(opened)
    assert wrong == []
    assert path.read_bytes() == piece * count


def test_bytes_are_read_into_a_buffer_with_one_copy_where_there_is_no_other_way(descriptor):
    buffer = bytearray(4)
    assert files._read_into_by_copy(descriptor, memoryview(buffer)) == 4
    assert buffer == b"0123"
    assert portable.read_into(descriptor, memoryview(buffer)) == 4
    assert buffer == b"4567"
    assert portable.read_into_at(descriptor, buffer, 8) == 2
    assert buffer == b"8967"


def test_a_directory_by_name_gives_what_stands_in_it_and_follows_no_link(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    for root in (directories._ByName(str(tmp_path)), portable.open_directory(str(tmp_path))):
        below = root.below("a")
        assert below.stat("file").st_size == 7
        opened = below.open_source("file")
        assert os.read(opened, 10) == b"content"
        os.close(opened)
        with pytest.raises(NotADirectoryError):
            root.below("link")
        with pytest.raises(NotADirectoryError):
            below.below("file")
        below.close()
        root.close()


def test_an_entry_that_is_asked_anew_tells_what_the_file_is_now(tmp_path):
    path = tmp_path / "growing"
    path.write_bytes(b"")
    entry = directories._AskedAnew("growing", str(path))
    path.write_bytes(b"more")
    assert entry.stat(follow_symlinks=False).st_size == 4
    assert entry.stat(follow_symlinks=False).st_ino == path.stat().st_ino
    assert not entry.is_dir(follow_symlinks=False)
    assert directories._AskedAnew(tmp_path.name, str(tmp_path)).is_dir(follow_symlinks=False)


def test_what_is_replaced_is_there_at_once(tmp_path):
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    portable.replace(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"new"


class Polling(WatchdogObserver):
    """As on a system for which watchdog has nothing better."""

    def __init__(self) -> None:
        super().__init__()
        self._observer = PollingObserver(timeout=0.1)
        self.start = self._observer.start
        self.stop = self._observer.stop
        self.schedule = self._observer.schedule
        self.unschedule = self._observer.unschedule


@pytest.mark.parametrize("observer", [WatchdogObserver, Polling])
def test_watchdogs_own_observer_is_listened_to(tmp_path, observer):
    root = tmp_path / "data"
    (root / "below").mkdir(parents=True)
    heard: set[str] = set()
    listener = Listener(str(root), heard.add, str(tmp_path), observer)
    try:
        listener.ask()
        (root / "below" / "file").write_bytes(b"x")
        end_s = time.monotonic() + 10
        while str(root / "below") not in heard and time.monotonic() < end_s:
            time.sleep(0.02)
        assert str(root / "below") in heard
        assert listener.is_alive()
        assert listener.has_room()
        assert listener.watches() is None
        assert listener.lost == 0
    finally:
        listener.close()
