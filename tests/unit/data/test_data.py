"""MNIST: the bundled subset, folders of idx files, broken files, and a download from a mirror on this machine."""

import functools
import gzip
import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

import circuitmem.data
from circuitmem.data import cached_mnist, load_mnist
from circuitmem.data.idx import FILES, read_idx
from circuitmem.data.make_subset import stratified, subset
from circuitmem.data.mnist import SUBSET
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz

FULL = Path(__file__).parents[4] / "shared" / "data" / "mnist"
needs_full = pytest.mark.skipif(not FULL.is_dir(), reason=f"the full MNIST is not at {FULL}")


def test_the_bundled_subset_has_its_size_and_all_classes():
    data = load_mnist()
    assert data.train_inputs.shape == (10_000, 784)
    assert data.test_inputs.shape == (2_000, 784)
    assert data.train_inputs.min() == 0.0
    assert data.train_inputs.max() == 1.0


# Digits of each class in the full set: as many as the label files of MNIST hold.
FULL_TRAIN = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
FULL_TEST = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


def test_the_bundled_subset_has_the_proportions_of_the_full_set():
    data = load_mnist()
    # Rounded to whole digits by largest remainders: no class is off by one or more.
    assert (np.abs(np.bincount(data.train_targets) - FULL_TRAIN / 6) < 1).all()
    assert (np.abs(np.bincount(data.test_targets) - FULL_TEST / 5) < 1).all()


def test_stratified_takes_the_first_of_each_class_in_order():
    labels = np.array([0, 1, 1, 0, 2, 2, 2, 2, 0, 1], np.uint8)
    # Half of 3, 3 and 4 digits is 1.5, 1.5 and 2; of two equal remainders the first is rounded up.
    assert stratified(labels, 5).tolist() == [0, 1, 3, 4, 5]


def test_the_package_stays_small_and_says_whose_digits_they_are():
    folder = Path(circuitmem.data.__file__).parent
    assert (folder / SUBSET).stat().st_size < 2.5e6
    text = (folder / "LICENSE-MNIST.txt").read_text("utf-8")
    assert all(word in text for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0"))


@needs_full
def test_the_subset_can_be_made_again():
    again = subset(str(FULL))
    saved = load_npz(Path(circuitmem.data.__file__).parent / SUBSET)
    assert set(again) == set(saved)
    for name, array in again.items():
        assert array.dtype == saved[name].dtype == np.uint8
        np.testing.assert_array_equal(array, saved[name])


@needs_full
def test_the_identity_of_the_data_is_that_of_its_bytes_and_not_of_its_files():
    full = load_mnist(FULL)
    assert (full.name, load_mnist().name) == ("MNIST", "MNIST, bundled subset")
    pixels = [read_idx(FULL, name).tobytes() for name in FILES]
    assert full.sha256 == hashlib.sha256(b"".join(pixels)).hexdigest()
    assert full.sha256 != load_mnist().sha256 == load_mnist().first(10, 10).resized(7).sha256


def idx(array):
    """Return an array of bytes in the idx format."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def digits(monkeypatch):
    """Twelve digits that pass for the full set: its four files by name, and their arrays."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(256, size=(8, 28, 28)), np.arange(8), rng.integers(256, size=(4, 28, 28)), np.arange(4)]
    contents = {name: idx(array.astype(np.uint8)) for name, array in zip(FILES, arrays, strict=True)}
    for name, content in contents.items():
        monkeypatch.setitem(FILES, name, hashlib.sha256(content).hexdigest())
    return contents, arrays


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_a_folder_gzipped_or_plain_and_as_torchvision_lays_it_out(tmp_path, digits, place, packed):
    contents, arrays = digits
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = tmp_path / place / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    data = load_mnist(str(tmp_path))
    np.testing.assert_array_equal(data.train_inputs, arrays[0].reshape(8, 784) / 255.0)
    np.testing.assert_array_equal(data.test_targets, arrays[3])
    assert (data.train_inputs.dtype, data.train_targets.dtype) == (np.float64, np.int64)


@needs_full
def test_the_full_set():
    data = load_mnist(FULL)
    assert data.train_inputs.shape == (60_000, 784)
    assert np.array_equal(np.bincount(data.train_targets), FULL_TRAIN)
    assert np.array_equal(np.bincount(data.test_targets), FULL_TEST)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(DataFileError, match="is not a folder"):
        load_mnist(tmp_path / "nowhere")
    with pytest.raises(DataFileError, match="has no train-images-idx3-ubyte"):
        load_mnist(tmp_path)


LABELS = "t10k-labels-idx1-ubyte"
HEADER = bytes([0, 0, 8, 1, 0, 0, 0, 4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + b"123", "must have 12 bytes, by its header; it has 11"),
        (b"\x00\x00\x08\x03" + b"\x00" * 8, "is not an idx file"),
        (b"", "is not an idx file"),
        (HEADER[:6], "is not an idx file"),
        (HEADER + b"12345", "must have 12 bytes, by its header; it has 13"),
        (HEADER + b"1234", "SHA-256 differs"),
    ],
)
def test_broken_files_are_refused(tmp_path, content, message):
    (tmp_path / LABELS).write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read_idx(tmp_path, LABELS)


def test_a_gzip_file_cut_short_is_refused(tmp_path):
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(HEADER + b"1234")[:-9])
    with pytest.raises(DataFileError, match="cannot be unpacked"):
        read_idx(tmp_path, LABELS)


def test_resizing_averages_areas():
    data = load_mnist().first(20, 20)
    small = data.resized(7)
    assert small.train_inputs.shape == (20, 49)
    blocks = data.train_inputs.reshape(20, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(20, 49)
    np.testing.assert_allclose(small.train_inputs, blocks, atol=1e-12)
    assert data.resized(8).test_inputs.mean() == pytest.approx(data.test_inputs.mean(), rel=1e-12)
    assert np.array_equal(data.resized(28).test_inputs, data.test_inputs)
    for side in (0, 29):
        with pytest.raises(ValidationError, match="side must be"):
            data.resized(side)


def test_more_digits_than_there_are():
    with pytest.raises(ValidationError, match=r"data.test must be <= 2000"):
        load_mnist().first(None, 2001)


def test_validation_digits_are_the_last_of_the_training_digits_and_no_others():
    data = load_mnist().first(100, 20)
    held = data.validating(30)
    np.testing.assert_array_equal(held.train_inputs, data.train_inputs[:70])
    np.testing.assert_array_equal(held.test_inputs, data.train_inputs[70:])
    np.testing.assert_array_equal(held.test_targets, data.train_targets[70:])
    assert data.validating(0) is data
    for count in (100, -1):
        with pytest.raises(ValidationError, match=r"data\.validation must be"):
            data.validating(count)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def serve(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_download_once_then_from_the_cache(tmp_path, digits, monkeypatch, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not cached_mnist()[1]
    for name, content in digits[0].items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    with serve(tmp_path) as server:
        mirror = f"http://127.0.0.1:{server.server_port}"
        assert len(load_mnist("download", mirror).train_targets) == 8
        server.shutdown()
    assert len(load_mnist("download", mirror).train_targets) == 8
    folder, complete = cached_mnist()
    assert complete
    assert tmp_path / "cache" in folder.parents
    assert capfd.readouterr() == ("", "")


def test_a_wrong_download_is_refused_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in FILES:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(HEADER + b"1234"))
    with serve(tmp_path) as server:
        with pytest.raises(DataFileError, match="is not an idx file"):
            load_mnist("download", f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(DataFileError, match="cannot be downloaded"):
            load_mnist("download", f"http://127.0.0.1:{server.server_port}/nothing/")
        server.shutdown()
    assert not list((tmp_path / "cache").rglob("*.gz"))
