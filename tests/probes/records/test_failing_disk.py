"""A disk that fails once, fails always or takes half of what is written; and one that is full."""

import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from spectrain.probes.records.atomic import write_atomically
from spectrain.probes.records.record import Record
from spectrain.probes.records.record_file import RecordFile, read_records

MODES = ["once", "always", "half"]


class Failing:
    """A system call of `os` that fails from its first call on: then, always, or half way."""

    def __init__(self, monkeypatch, name, mode):
        self.call, self.mode, self.left = getattr(os, name), mode, 1
        self.name = name
        monkeypatch.setattr(os, name, self)

    def __call__(self, *arguments, **options):
        if self.mode == "always" or self.left:
            self.left = 0
            if self.mode == "half" and self.name == "write":
                return self.call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if self.mode == "half":
                self.call(*arguments, **options)  # it is done, and fails all the same
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.call(*arguments, **options)


def steps(path):
    return [record.step for record in read_records(path)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["write", "fsync"])
def test_a_record_is_whole_or_waits(tmp_path, monkeypatch, name, mode):
    """The file ends with a whole record at any moment; what could not be written goes first."""
    path = tmp_path / "records.jsonl"
    file = RecordFile(path)
    file.write(Record(0))
    with monkeypatch.context() as during:
        failing = Failing(during, name, mode)
        if (name, mode) == ("write", "half"):
            file.write(Record(1))  # the rest is written behind it
        else:
            with pytest.raises(OSError, match="No space left") as raised:
                file.write(Record(1))
            assert raised.value.filename == str(path)
            assert steps(path) == [0]
        if mode == "always":
            for step in (2, 3):
                with pytest.raises(OSError, match="No space left"):
                    file.write(Record(step))
                assert steps(path) == [0]
        assert failing.left == 0
    file.write(Record(4))
    file.close()
    assert steps(path) == ([0, 1, 2, 3, 4] if mode == "always" else [0, 1, 4])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["write", "fsync"])
def test_a_file_that_cannot_be_begun_leaves_nothing_that_could_be_taken_for_one(
    tmp_path, monkeypatch, name, mode
):
    path = tmp_path / "records.jsonl"
    with monkeypatch.context() as during:
        Failing(during, name, mode)
        if (name, mode) == ("write", "half"):
            RecordFile(path).close()
        else:
            with pytest.raises(OSError, match="No space left"):
                RecordFile(path)
            assert path.read_bytes() == b""
    file = RecordFile(path)
    file.write(Record(0))
    file.close()
    assert steps(path) == [0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["fsync", "replace", "link", "open"])
@pytest.mark.parametrize("former", [False, True])
def test_a_file_that_is_replaced_is_the_old_or_the_new(tmp_path, monkeypatch, name, mode, former):
    path, kept = tmp_path / "file", tmp_path / "former"
    path.write_bytes(b"old")
    with monkeypatch.context() as during:
        Failing(during, name, mode)
        try:
            write_atomically(path, lambda file: file.write(b"new"), former=kept if former else None)
            told = ""
        except OSError as error:
            told = error.strerror
    # A second name is made by copying where it cannot be had by a link.
    assert told == os.strerror(errno.ENOSPC) or name == "link"
    assert path.read_bytes() in (b"old", b"new")
    if path.read_bytes() == b"new" and former:
        assert kept.read_bytes() == b"old"
    # What was not told of is there.
    assert told or path.read_bytes() == b"new"
    assert {each.name for each in tmp_path.iterdir()} <= {"file", "former"}


SHARES = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.6, 2.3, 3.4]  # of a file of one record


@pytest.fixture
def sizes(tmp_path):
    """Bytes of a header, and of a file with one record."""
    whole = RecordFile(tmp_path / "whole.jsonl")
    begun = whole.offset
    whole.write(Record(0))
    whole.close()
    return begun, whole.offset


@contextmanager
def limited(size):
    """Files of this process may have so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("share", SHARES)
def test_a_full_disk_costs_at_most_what_does_not_fit(tmp_path, sizes, share):
    """At ten sizes, by the limit on the size of a file."""
    size = int(share * sizes[1])
    path = tmp_path / "records.jsonl"
    with limited(size):
        filled = fill(path, size)
    check(path, *filled, begins=size >= sizes[0], reason=errno.EFBIG)


@pytest.mark.parametrize("share", SHARES)
def test_a_full_file_system_costs_at_most_what_does_not_fit(small_disk, sizes, share):
    """At ten sizes, where one may be mounted; what others use of it leaves no whole page."""
    page = os.sysconf("SC_PAGESIZE")
    size = -int(-share * sizes[1] // page) * page
    disk = small_disk(size)
    path = disk.folder / "records.jsonl"
    filled = fill(path, size)
    disk.grow(size + 4 * page)
    check(path, *filled, begins=size >= sizes[0], reason=errno.ENOSPC)


def fill(path, size):
    """The file, the steps that were written up to one that failed, and why it did."""
    written, reasons = [], []
    try:
        file = RecordFile(path)
    except OSError as error:
        assert path.stat().st_size == 0
        return None, written, [error.errno]
    for step in range(4000):
        try:
            file.write(Record(step))
            written.append(step)
        except OSError as error:
            reasons.append(error.errno)
            break
    assert steps(path) == written
    assert file.offset == path.stat().st_size <= size
    return file, written, reasons


def check(path, file, written, reasons, *, begins, reason):
    """With room again, all goes on behind what was written, and what failed comes first."""
    assert reasons == [reason]
    assert (file is not None) == begins
    if file is None:
        file = RecordFile(path)
    file.write(Record(10_000))
    file.close()
    failed = [len(written)] if begins else []
    assert steps(path) == [*written, *failed, 10_000]


def test_what_a_killed_process_left_goes_with_the_next_writer_of_the_file(tmp_path):
    """Of one that runs, and of another file, it stays."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from spectrain.probes.records.atomic import write_atomically\n"
        "write_atomically(Path(sys.argv[1]), lambda file: os.kill(os.getpid(), 9))"
    )
    path = tmp_path / "file [1].csv"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    name, _, end = left.name.rsplit(".", 2)
    others = [
        left.with_name(f"{name}.{os.getppid()}.{end}"),
        left.with_name(f".another{left.name}"),
    ]
    for other in others:
        other.touch()
    write_atomically(path, lambda file: file.write(b"new"))
    assert set(tmp_path.iterdir()) == {path, *others}
