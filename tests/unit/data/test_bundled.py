"""Data sets that come with the package: what and whose they are, how they are divided, how they are made."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import circuitmem.data
from circuitmem.data import load_dataset, patches
from circuitmem.data.bundled import BANDS, HEIGHT, PATCH, PENGUINS, PICTURES, VOWELS, WIDTH, cut_patches
from circuitmem.data.make_bundled import SOURCES, interleaved, interpolated, main
from circuitmem.errors import ValidationError
from circuitmem.files import load_npz

FOLDER = Path(circuitmem.data.__file__).parent

KNOWN = {
    "penguins": ((4,), 3, 342, "CC0 1.0", "Gorman", "85246b82e5ca3bfe"),
    "vowels": ((12, 16), 9, 640, "CC BY 4.0", "Kudo", "c302a6f5c64c9134"),
    "patches": ((3, 32, 32), 8, 2960, "CC BY 2.0", "vultilion", "4a82384e9e953be8"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_set_is_what_it_says_and_says_whose_it_is(name):
    shape, classes, samples, licence, author, sha256 = KNOWN[name]
    data = load_dataset(name)
    assert (data.name, data.shape, data.outputs) == (name, shape, classes)
    assert sum(data.record()["samples"].values()) == samples
    assert data.sha256.startswith(sha256)
    text = (FOLDER / f"LICENSE-{name.upper()}.txt").read_text("utf-8")
    for where in (text, f"{data.licence} {data.credit}"):
        assert licence in where
        assert author in where
    assert data.record()["credit"] == data.credit


def test_the_files_stay_small():
    assert all((FOLDER / name).stat().st_size < 1e6 for name in (PENGUINS, VOWELS, PICTURES))


@pytest.mark.parametrize("name", ["penguins", "vowels"])
def test_table_and_sequences_are_divided_by_seed(name):
    one, again, other = (load_dataset(name, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.test_inputs, again.test_inputs)
    assert one.sha256 == other.sha256
    assert one.test_inputs.shape == other.test_inputs.shape
    assert not np.array_equal(one.test_inputs, other.test_inputs)
    assert (np.bincount(one.test_targets) == np.bincount(other.test_targets)).all()


def test_no_pixel_of_a_photograph_is_in_two_parts():
    # Pixels that say in which column they stand.
    columns = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8)[None, None, :, None], (2, HEIGHT, WIDTH, 3))
    seen = {}
    for part, (first, last, step) in BANDS.items():
        cut, places = cut_patches(columns, first, last, step)
        assert cut.shape[1:] == (3, PATCH, PATCH)
        assert places[:4].tolist() == [0, 1, 0, 1]
        seen[part] = set(np.unique(cut).tolist())
    assert set.union(*seen.values()) == set(range(WIDTH))
    assert sum(map(len, seen.values())) == WIDTH


def test_a_patch_is_where_its_photograph_has_it():
    samples, saved = patches(), load_npz(FOLDER / PICTURES)
    inputs, targets = samples.parts["test"]
    first = BANDS["test"][0]
    for k in (0, 5, len(saved)):  # the one behind the first row of photographs is 16 pixels to the right
        shift = 16 if k == len(saved) else 0
        own = saved[str(targets[k])][:PATCH, first + shift : first + shift + PATCH]
        np.testing.assert_array_equal(inputs[k], own.transpose(2, 0, 1))


def test_a_photograph_can_be_told_by_the_first_samples_of_each_part():
    data = load_dataset("patches").first(80, 40)
    assert np.bincount(data.train_targets).tolist() == [10] * 8
    assert np.bincount(data.test_targets).tolist() == [5] * 8
    utterances = load_dataset("vowels").holding_back(18, 1).first(90, 18)
    assert np.bincount(utterances.train_targets).min() >= 5
    assert np.bincount(utterances.validation[1], minlength=9).min() >= 1
    held = data.holding_back(16, 1)
    assert np.bincount(held.validation[1]).tolist() == [2] * 8


def test_samples_with_a_name_take_no_column():
    with pytest.raises(
        ValidationError, match=r"^data.target must be left out: the data know their targets \(got 'species'\)"
    ):
        load_dataset("penguins", target="species")


@pytest.fixture
def packages(tmp_path):
    """A folder with what the packages have, of a few samples."""
    table = tmp_path / "palmerpenguins/data/penguins.csv"
    table.parent.mkdir(parents=True)
    table.write_text(
        "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n"
        "Adelie,Torgersen,39.1,18.7,181,3750,male,2007\nAdelie,Torgersen,NA,NA,NA,NA,NA,2007\n"
        "Gentoo,Biscoe,46.1,13.2,211.0,4500,female,2007\n"
    )
    sequences = tmp_path / "aeon/datasets/data/JapaneseVowels"
    sequences.mkdir(parents=True)
    for part, line in (("TRAIN", "0,1,2,3:6,4,2,0:7"), ("TEST", "1,1,1:2,2,2:9")):
        (sequences / f"JapaneseVowels_{part}.ts").write_text(f"#about\n@problemName X\n@data\n{line}\n")
    for file in SOURCES.values():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1200, 1200), (10, 20, 30)).save(path)
    return tmp_path


def test_the_files_are_made_from_the_packages(packages, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    main(packages, out)
    header, *birds = (out / PENGUINS).read_text().splitlines()
    assert header == "species,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g"
    assert birds == ["Adelie,39.1,18.7,181,3750", "Gentoo,46.1,13.2,211,4500"]
    assert (FOLDER / PENGUINS).read_text().splitlines()[:2] == [header, birds[0]]
    assert interleaved(["b", "a", "b", "b", "a"]) == [1, 0, 4, 2, 3]
    saved = load_npz(out / VOWELS)
    assert saved["speakers"].tolist() == [7, 9]
    np.testing.assert_allclose(saved["coefficients"][0], [np.linspace(0, 3, 16), np.linspace(6, 0, 16)], atol=5e-5)
    pictures = load_npz(out / PICTURES)
    assert set(pictures) == set(load_npz(FOLDER / PICTURES)) == set(SOURCES)
    assert all((own == [10, 20, 30]).all() and own.shape == (HEIGHT, WIDTH, 3) for own in pictures.values())


def test_an_utterance_keeps_its_ends():
    found = interpolated(np.array([[1.0, 5.0, 2.0]]))
    assert found.dtype == np.float32
    assert found[0, [0, -1]].tolist() == [1.0, 2.0]
    assert 4.5 < found.max() <= 5.0


def test_the_command_shows_a_set_by_its_name(command):
    found = json.loads(command("data", "penguins", "--json").stdout)
    assert (found["licence"], found["classes"]["Gentoo"]) == ("CC0 1.0", {"train": 86, "validation": 12, "test": 25})
    shown = command("data", "vowels", "--seed", "3").stdout
    assert "licence: CC BY 4.0\nmade by: M. Kudo" in shown
    wrong = command("data", "penguin")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert wrong.stderr.endswith("did you mean 'penguins'?\n")
