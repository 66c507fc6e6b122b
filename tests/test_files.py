"""Files that appear whole or not at all, and are there after a power cut."""

import errno
import os
from pathlib import Path

import pytest

from geounet.errors import ResourceError
from geounet.files import drafted, write_whole


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    return path


def replace_by_private(path):
    """As safetensors does: a file of its own, for its owner alone, takes the place."""
    private = path.with_name("private")
    os.close(os.open(private, os.O_CREAT | os.O_WRONLY, 0o600))
    private.write_bytes(b"new")
    private.replace(path)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
@pytest.mark.parametrize("write", [lambda path: path.write_bytes(b"new"), replace_by_private])
def test_a_file_is_replaced_whole_with_the_mode_of_new_files(old, umask, write):
    other = old.with_name("b.txt")
    before = os.umask(umask)
    try:
        other.write_text("by open()")
        with drafted(old) as partial:
            write(partial)
            assert old.read_text() == "old"
    finally:
        os.umask(before)
    assert old.read_text() == "new"
    assert old.stat().st_mode == other.stat().st_mode
    assert sorted(old.parent.iterdir()) == [old, other]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyError("what")])
def test_what_goes_wrong_names_the_file_and_leaves_the_old_one(old, error):
    expected = r"a\.txt cannot be written \((No space left|'what')\); check the folder"
    with pytest.raises(ResourceError, match=expected), drafted(old, KeyError) as partial:
        partial.write_text("half")
        raise error
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


def test_an_interruption_and_a_bug_stay_what_they_are(old):
    for error in (KeyboardInterrupt, KeyError):
        with pytest.raises(error), drafted(old):
            raise error
    assert list(old.parent.iterdir()) == [old]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ResourceError, match=r"none/a cannot be written \(No such file"):
        write_whole(tmp_path / "none" / "a", b"")


def test_a_file_is_on_disk_before_it_has_its_name(old, monkeypatch):
    """Whichever moment the power is cut at: the old file, or all of the new one."""
    events, replace, fsync = [], Path.replace, os.fsync

    def note_flush(descriptor):
        events.append(("flush", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def note_rename(self, target):
        events.append(("rename", self.stat().st_ino))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(Path, "replace", note_rename)
    write_whole(old, b"new")
    new, folder = old.stat().st_ino, old.parent.stat().st_ino
    assert events == [("flush", new), ("rename", new), ("flush", folder)]


@pytest.fixture
def refuse_to_flush(monkeypatch):
    def start(kind):
        def refuse(descriptor):
            raise OSError(kind, os.strerror(kind))

        monkeypatch.setattr(os, "fsync", refuse)

    return start


@pytest.mark.parametrize("kind", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_knows_no_flushing_is_taken_as_it_is(old, refuse_to_flush, kind):
    refuse_to_flush(kind)
    write_whole(old, b"new")
    assert old.read_text() == "new"


@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_to_flush_keeps_the_old_file(old, refuse_to_flush, kind):
    refuse_to_flush(kind)
    with pytest.raises(ResourceError, match=os.strerror(kind)):
        write_whole(old, b"new")
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]
