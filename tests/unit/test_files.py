"""Files that are never half-written, and npz files that are refused if a bit is wrong."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from circuitmem.errors import CircuitmemError, DataFileError
from circuitmem.files import load_npz, locked, save_npz, write_bytes, write_text
from circuitmem.rng import Purpose, stream

ARRAYS = {
    "matrix": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "empty": np.zeros((0, 5), np.float32),
    "flag": np.array(True),
    "text": np.array("unit: Ω"),
}


def test_arrays_come_back_as_they_were(tmp_path):
    save_npz(tmp_path / "a.npz", ARRAYS)
    loaded = load_npz(tmp_path / "a.npz")
    assert set(loaded) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype


def test_the_same_arrays_are_the_same_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        save_npz(tmp_path / name, ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_changed_array_is_refused_though_the_zip_file_is_whole(tmp_path):
    save_npz(tmp_path / "a.npz", {"x": np.arange(5.0)})
    with np.load(tmp_path / "a.npz") as file:
        saved = dict(file)
    for name, change in (("x", saved["x"] + 1e-15), ("y", np.arange(5.0)), ("x", saved["x"].astype(np.float32))):
        np.savez(tmp_path / "b.npz", **(saved | {name: change}))
        with pytest.raises(DataFileError, match=r"b\.npz: is corrupt: its SHA-256 does not match its content"):
            load_npz(tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", x=saved["x"])
    with pytest.raises(DataFileError, match="is corrupt"):
        load_npz(tmp_path / "b.npz")


def test_a_damaged_byte_is_seen_or_does_not_matter(tmp_path):
    path = tmp_path / "a.npz"
    save_npz(path, {"x": np.arange(5.0)})
    content = path.read_bytes()
    messages = []
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            np.testing.assert_array_equal(load_npz(path)["x"], np.arange(5.0))
        except DataFileError as error:
            messages.append(str(error))
    assert all(text.startswith(f"{path}: is ") and "\n" not in text for text in messages)
    # Dates, versions and attributes of the zip format do not matter, and are less than half of so small a file.
    assert len(messages) > len(content) / 2


@pytest.mark.parametrize("size", [0, 10, 200, -1])
def test_a_file_cut_short_is_refused(tmp_path, size):
    path = tmp_path / "a.npz"
    save_npz(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataFileError, match="is not a readable npz file"):
        load_npz(path)


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="x must not hold Python objects"):
        save_npz(tmp_path / "a.npz", {"x": np.array([{}], dtype=object)})
    assert not list(tmp_path.iterdir())
    np.savez(tmp_path / "b.npz", x=np.array([{}], dtype=object))
    with pytest.raises(DataFileError, match="is not a readable npz file"):
        load_npz(tmp_path / "b.npz")


def test_what_is_no_npz_file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    save_npz(tmp_path / "b.npz", {"x": np.arange(3)})
    with zipfile.ZipFile(tmp_path / "b.npz", "a") as file:
        file.writestr("y.npy", "not an array")
    with pytest.raises(DataFileError, match=r"nothing\.npz: no such file"):
        load_npz(tmp_path / "nothing.npz")
    for path in (tmp_path, tmp_path / "a.npy"):
        with pytest.raises(DataFileError, match="is not a readable npz file"):
            load_npz(path)
    with pytest.raises(DataFileError, match="is corrupt"):
        load_npz(tmp_path / "b.npz")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataFileError, match=r"a\.txt: cannot be written: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataFileError, match="cannot be written: No such file or directory"):
        write_bytes(tmp_path / "nowhere" / "a.bin", b"")
    with pytest.raises(DataFileError, match="cannot be written"):
        write_bytes(tmp_path, b"")
    assert not list(tmp_path.iterdir())


def test_others_may_read_what_was_written_and_text_is_utf8(tmp_path):
    write_text(tmp_path / "a.txt", "2 Ω")
    assert (tmp_path / "a.txt").read_bytes() == "2 Ω".encode()
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


KILLED = """
import os, sys
from circuitmem.files import write_bytes
os.replace = lambda *_: os._exit(9)
write_bytes(sys.argv[1], b"new" * 1000)
"""


def test_a_process_that_dies_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_bytes() == b"old"


def test_streams_are_addressed_by_what_they_are_for():
    expected = stream(3, Purpose.DAC, 1, 2).random(4)
    stream(3, Purpose.ADC, 1, 2).random(100)
    np.testing.assert_array_equal(stream(3, Purpose.DAC, 1, 2).random(4), expected)
    others = [(4, Purpose.DAC, 1, 2), (3, Purpose.ADC, 1, 2), (3, Purpose.DAC, 2, 1), (3, Purpose.DAC, 1)]
    assert not any(np.isin(stream(*address).random(4), expected).any() for address in others)


def test_the_numbers_of_a_stream_are_part_of_the_file_format():
    # A saved run resumes to the same bits only if these never change; Philox is specified, its doubles are too.
    assert [purpose.value for purpose in Purpose] == list(range(1, len(Purpose) + 1))
    assert stream(1, Purpose.DEFECTS).integers(2**32, size=3).tolist() == [3825502332, 775629595, 4036871576]


def test_a_lock_that_is_free_within_a_moment_is_waited_for(tmp_path):
    path = tmp_path / ".lock"
    with open(path, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CircuitmemError, match="busy"), locked(path, CircuitmemError("busy")):
            pytest.fail("two have it")
        free = threading.Timer(0.2, fcntl.flock, (held, fcntl.LOCK_UN))
        free.start()
        with locked(path, CircuitmemError("busy")):
            free.join()
