"""load_dataset: what users have becomes a data set, or is refused in one line that says why."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from circuitmem.data import Dataset, Scaling, load_dataset
from circuitmem.errors import CircuitmemError, ValidationError

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(60, 4))
LABELS = np.arange(60) % 3
NAMES = np.array(["ant", "bee", "cat"])[LABELS]
HEAD = "a,b,c,d,kind"


def csv_of(path, inputs=INPUTS, labels=NAMES, separator=",", head=HEAD):
    rows = [
        separator.join([*map(repr, map(float, row)), str(label)]) for row, label in zip(inputs, labels, strict=True)
    ]
    path.write_text("\n".join([head.replace(",", separator), *rows]) + "\n")
    return path


def test_one_table_is_the_same_data_in_every_form(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {name: INPUTS[:, place] for place, name in enumerate("abcd")} | {"kind": NAMES.tolist()}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", x=INPUTS, y=NAMES)
    np.savez(tmp_path / "u.npz", readings=INPUTS, kind=NAMES)
    comma = csv_of(tmp_path / "c.csv", separator=";")
    comma.write_text(comma.read_text().replace(".", ","))
    found = [
        load_dataset(csv_of(tmp_path / "t.csv"), target="kind"),
        load_dataset(csv_of(tmp_path / "t.tsv", separator="\t"), target="kind"),
        load_dataset(comma, target="kind"),
        load_dataset(tmp_path / "t.parquet", target="kind"),
        load_dataset(tmp_path / "t.npz"),
        load_dataset(str(tmp_path / "u.npz"), target="kind"),
        load_dataset((INPUTS, NAMES)),
        load_dataset({"inputs": INPUTS, "targets": NAMES}),
        load_dataset(Indexed()),
    ]
    assert len({data.sha256 for data in found}) == 1
    for data in found:
        assert data.classes == ("ant", "bee", "cat")
        np.testing.assert_array_equal(data.train_inputs, found[0].train_inputs)
        np.testing.assert_array_equal(data.test_targets, found[0].test_targets)
    assert found[0].features == ("a", "b", "c", "d")
    assert load_dataset((INPUTS + 1e-15, NAMES)).sha256 != found[0].sha256


class Indexed:
    """As data sets of torch are."""

    def __len__(self):
        return len(INPUTS)

    def __getitem__(self, index):
        return INPUTS[index], NAMES[index]


def test_parts_are_of_each_class_alike_and_the_seed_decides():
    data = load_dataset((INPUTS, LABELS))
    assert {part: np.bincount(own).tolist() for part, (_, own) in data.parts().items()} == {
        "train": [14] * 3,
        "validation": [2] * 3,
        "test": [4] * 3,
    }
    together = np.concatenate([inputs for inputs, _ in data.parts().values()])
    assert sorted(map(tuple, together)) == sorted(map(tuple, INPUTS))
    again, other = load_dataset((INPUTS, LABELS)), load_dataset((INPUTS, LABELS), seed=2)
    np.testing.assert_array_equal(again.test_inputs, data.test_inputs)
    assert not np.array_equal(other.test_inputs, data.test_inputs)
    assert other.sha256 == data.sha256
    half = load_dataset((INPUTS, LABELS), split=(0.5, 0.0, 0.5))
    assert half.validation_inputs is None
    assert len(half.test_targets) == len(half.train_targets) == 30
    held = data.validating(5)
    np.testing.assert_array_equal(held.test_inputs, data.validation_inputs[:5])
    np.testing.assert_array_equal(held.train_inputs, data.train_inputs)
    with pytest.raises(ValidationError, match=r"data\.validation must be <= 6, the validation part"):
        data.validating(7)
    given = load_dataset((INPUTS[:50], LABELS[:50], INPUTS[50:], LABELS[50:]))
    np.testing.assert_array_equal(given.test_inputs, INPUTS[50:])


def test_scaling_is_learnt_from_the_training_part_alone():
    plain, data = load_dataset((INPUTS, LABELS)), load_dataset((INPUTS, LABELS), scale="range")
    assert (data.train_inputs.min(axis=0) == 0.0).all()
    assert (data.train_inputs.max(axis=0) == 1.0).all()
    low, high = plain.train_inputs.min(axis=0), plain.train_inputs.max(axis=0)
    np.testing.assert_allclose(data.test_inputs, (plain.test_inputs - low) / (high - low), atol=1e-14)
    wider = load_dataset((INPUTS, LABELS, 2.0 * INPUTS, LABELS), scale="range")
    assert wider.test_inputs.min() < 0.0  # not clipped
    record = data.record()["scaling"]
    again = Scaling("range", np.array(record["shift"]), np.array(record["spread"]))
    np.testing.assert_array_equal(again(plain.test_inputs), data.test_inputs)
    standard = load_dataset((INPUTS, LABELS), scale="standard")
    np.testing.assert_allclose(standard.train_inputs.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(standard.train_inputs.std(axis=0), 1.0, rtol=1e-13)
    maps = load_dataset((RNG.normal(size=(20, 2, 3, 3)) * [[[1.0]], [[9.0]]], np.arange(20) % 2), scale="range")
    assert maps.scaling.spread.shape == (2, 1, 1)  # one a channel
    constant = load_dataset((np.where([True, False, False, True], INPUTS, 7.0), LABELS), scale="standard")
    assert constant.constant == ("1", "2")
    assert (constant.train_inputs[:, 1] == 0.0).all()


def test_values_may_be_the_targets():
    data = load_dataset((INPUTS, INPUTS[:, :2]), task="values")
    assert (data.task, data.outputs, data.classes) == ("values", 2, ())
    assert data.train_targets.shape == (42, 2)
    assert load_dataset((INPUTS, INPUTS[:, 0]), task="values").outputs == 1


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def test_a_folder_of_idx_files_of_any_content(tmp_path):
    images, labels = RNG.integers(256, size=(24, 5, 6)), np.arange(24) % 3
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, chosen in (("train", slice(0, 18)), ("t10k", slice(18, 24))):
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[chosen])))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels[chosen]))
    data = load_dataset(tmp_path)
    assert data.bounded
    assert data.shape == (1, 5, 6)
    np.testing.assert_array_equal(data.train_inputs[:, 0], images[:18] / 255.0)
    np.testing.assert_array_equal(data.test_targets, labels[18:])
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(CircuitmemError, match="idx files of test images and labels: labels are missing"):
        load_dataset(tmp_path)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[18:])[:-1])
    with pytest.raises(CircuitmemError, match="must have 14 bytes, by its header; it has 13"):
        load_dataset(tmp_path)


def draw(folder, size=(6, 5), mode="RGB", name="a.png"):
    folder.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode in ("L", "1") else (*size[::-1], len(mode))
    Image.fromarray(RNG.integers(256, size=shape, dtype=np.uint8), None if mode == "1" else mode).save(folder / name)


def test_a_folder_of_images_by_class(tmp_path):
    for label in ("ant", "bee"):
        for number in range(8):
            draw(tmp_path / label, name=f"{number}.png")
    data = load_dataset(tmp_path)
    assert (data.shape, data.classes) == ((3, 5, 6), ("ant", "bee"))
    assert 0.0 <= data.train_inputs.min() < data.train_inputs.max() <= 1.0
    first = np.asarray(Image.open(tmp_path / "ant" / "0.png")).transpose(2, 0, 1) / 255.0
    assert any(np.array_equal(first, each) for inputs, _ in data.parts().values() for each in inputs)
    draw(tmp_path / "bee", size=(6, 6), name="9.png")
    with pytest.raises(CircuitmemError, match=r"9.png: must have 6x5 pixels and 3 channels, as the first image"):
        load_dataset(tmp_path)
    draw(tmp_path / "bee", mode="RGBA", name="9.png")
    with pytest.raises(CircuitmemError, match="no transparency"):
        load_dataset(tmp_path)
    (tmp_path / "bee" / "9.png").write_text("no image")
    with pytest.raises(CircuitmemError, match=r"9\.png: cannot be read as an image"):
        load_dataset(tmp_path)
    (tmp_path / "bee" / "9.png").unlink()
    (tmp_path / "cat").mkdir()
    with pytest.raises(CircuitmemError, match=r"cat: must have images of its class, or be left out \(it is empty\)"):
        load_dataset(tmp_path)


def test_a_function_of_a_module_in_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_samples.py").write_text(
        "import numpy as np\ndef pair():\n    return np.eye(8), [0, 1] * 4\n"
        "def named():\n    return {'inputs': np.eye(8), 'targets': [0, 1] * 4}\n"
        "def path():\n    return 'x.csv'\ndef broken():\n    return {}['x']\n"
    )
    data = load_dataset("own_samples:pair", split=(0.5, 0.0, 0.5), licence="CC0")
    assert (data.name, data.licence) == ("own_samples:pair", "CC0")
    assert data.sha256 == load_dataset("own_samples:named", split=(0.5, 0.0, 0.5)).sha256
    with pytest.raises(ValidationError, match="must name a function that returns samples"):
        load_dataset("own_samples:path")
    with pytest.raises(ValidationError, match=r"returns samples; own_samples:broken raises KeyError"):
        load_dataset("own_samples:broken")
    with pytest.raises(ValidationError, match=r"data\.source names what is not there"):
        load_dataset("own_samples:pear")


def test_the_bundled_digits_by_name():
    data = load_dataset("digits")
    assert data.sha256 == load_dataset("bundled").sha256
    assert isinstance(data, Dataset)
    assert data.licence == "CC BY-SA 3.0"
    with pytest.raises(ValidationError, match=r"data\.target must be left out"):
        load_dataset("bundled", target="kind")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        (HEAD + "\n", "must have samples"),
        (HEAD + "\n1,2,3,4\n", r"line 2: must have 5 columns, as the first line \(got 4\)"),
        (HEAD + "\n1,2,,4,ant\n" * 9, r"line 2: c must be a finite number \(got ''\)"),
        (HEAD + "\n1,2,3,4,ant\n1,nan,3,4,ant\n", r"line 3: b must be a finite number \(got 'nan'\)"),
        (HEAD + "\n1,2,3,4,ant\n1,inf,3,4,ant\n", r"line 3: b must be a finite number \(got 'inf'\)"),
        (HEAD + "\n1,red,3,4,ant\n1,blue,3,4,ant\n", "columns b are no numbers: .* name them in data.ignore"),
        (HEAD + "\n1,2,3,4,ant\n1,2,3,4,\n", "line 3: kind, the target, must not be missing"),
        (HEAD + "\n1,2,3,4,ant\n1,2,3,4,nan\n", "line 3: kind, the target, must not be missing"),
        (HEAD + "\n1,2,3,4,1\n1,2,3,4,NaN\n", "line 3: kind, the target, must not be missing"),
        (HEAD + "\n1,2,3,4,ant\n1,1e308,3,4,ant\n", r"line 3: b must be within 1e\+150 \(got 1e308\)"),
        (HEAD + "\n1,2,3,4,1\n1,2,3,4,-1e300\n", r"line 3: kind must be within 1e\+150 \(got -1e300\)"),
        (
            HEAD + "\n1,2,3,4,ant\n1,9007199254740993,3,4,ant\n",
            r"line 3: b must be within 2\^53, .*\(got 9007199254740993",
        ),
        ("," + HEAD + "\n0,1,2,3,4,ant\n", r"the first column has no name: .* to_csv\(index=False\)"),
        (
            HEAD + "".join(f"\n1,2,3,4,{k % 9}" for k in range(18)),
            r"data\.split must leave class 0 .*say task = values",
        ),
        ("a,b,b,d,kind\n1,2,3,4,ant\n", "must give each column a name of its own"),
        (
            HEAD + "\n1,2,3,4,ant\n" * 9,
            r"data targets must have two classes at least; in training all are \(got 'ant'\)",
        ),
        (HEAD + "".join(f"\n1,2,3,4,{k}" for k in range(9)), "must have two samples a class.*say task = values"),
        (HEAD + "".join(f"\n1,2,3,4,{k / 4}" for k in range(9)), "must be classes, whole numbers or texts, at index 1"),
        (HEAD + "\n1,2,3,4,ant" * 9 + "\n1,2,3,4,bee", r"data.split must leave class bee a sample for training"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(CircuitmemError, match=message) as error:
        load_dataset(path, target="kind")
    assert "\n" not in str(error.value)


def test_a_table_in_another_encoding_is_refused_in_one_line(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "mine.csv").write_text(HEAD + "\n1,2,3,4,h\xfcnd\n" * 9, encoding)
        with pytest.raises(CircuitmemError, match=r"mine\.csv: must be UTF-8 text: save it as that"):
            load_dataset(tmp_path / "mine.csv", target="kind")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_of_every_width_are_read_without_a_warning(kind):
    data = load_dataset((INPUTS.astype(kind), INPUTS[:, 0].astype(kind)), task="values")
    assert data.train_inputs.dtype == np.float64


def test_large_numbers_that_float64_has_are_read(tmp_path):
    rows = [f"{10**17 * k},2,3,{2**53 + 2 * k},{'ab'[k % 2]}" for k in range(20)]
    (tmp_path / "mine.csv").write_text("\n".join([HEAD, *rows]))
    data = load_dataset(tmp_path / "mine.csv", target="kind", scale="standard")
    assert len(np.unique(np.concatenate([data.train_inputs, data.test_inputs, data.validation_inputs])[:, 0])) == 20


@pytest.mark.parametrize("scale", ["range", "standard"])
def test_inputs_that_overflow_when_they_are_scaled_are_refused(scale):
    data = load_dataset((INPUTS, LABELS))
    wide = data.train_inputs.copy()
    wide[:2] = [[1e308], [-1e308]]
    tests = np.full(data.test_inputs.shape, 1e160)
    for parts in ({"train_inputs": wide}, {"train_inputs": 1e-150 * data.train_inputs, "test_inputs": tests}):
        with pytest.raises(ValidationError, match=r"data inputs must stay finite when scaled, at index"):
            replace(data, **parts).scaled(scale)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "kynd"}, "data.target must name a column of .*did you mean 'kind'"),
        ({"target": None}, "data.target must name the column of the targets, one of a, b, c, d, kind"),
        ({"ignore": ["e"]}, "data.ignore must name a column"),
        ({"ignore": ["a", "b", "c", "d"]}, "data.ignore must leave a column"),
        ({"split": (0.5, 0.5, 0.5)}, "data.split must be three fractions"),
        ({"split": (0.8, 0.2, 0.0)}, "data.split must leave something for training and for the test"),
        ({"scale": "rank"}, "data.scale must be none, range or standard"),
        ({"task": "numbers"}, "data.task must be classes or values"),
        ({"task": "values"}, "data targets must be numbers, the values to predict"),
        ({"seed": -1}, "seed must be >= 0"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, options, message):
    with pytest.raises(CircuitmemError, match=message) as error:
        load_dataset(csv_of(tmp_path / "t.csv"), **{"target": "kind", **options})
    assert "\n" not in str(error.value)


def test_columns_can_be_left_out_and_headings_too(tmp_path):
    data = load_dataset(csv_of(tmp_path / "t.csv"), target="kind", ignore=["b"])
    assert data.features == ("a", "c", "d")
    path = csv_of(tmp_path / "u.csv", labels=LABELS)
    path.write_text(path.read_text().partition("\n")[2])
    assert load_dataset(path, target="5").features == ("1", "2", "3", "4")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": INPUTS}, "must have arrays inputs and targets .* mine.npz has x"),
        ({"x": INPUTS, "inputs": INPUTS, "y": LABELS}, "one array of each part; mine.npz has x and inputs"),
        ({"x": INPUTS, "y": LABELS[:-1]}, r"data targets must be \(60,\), one for each input \(got \(59,\)\)"),
        ({"x": np.array([{}]), "y": LABELS}, "it holds Python objects: save arrays of numbers"),
        ({"x": INPUTS.astype(complex), "y": LABELS}, "data inputs must be real numbers"),
        ({"x": 1e151 * np.sign(INPUTS), "y": LABELS}, r"data inputs must be within 1e\+150 at index \(0, 0\)"),
        (
            {"x": np.full((60, 4), 2**62) + np.arange(60)[:, None], "y": LABELS},
            r"data inputs must be within 2\^53, .* at index \(0, 0\) \(got 4611686018427387904\)",
        ),
        ({"x": INPUTS, "y": LABELS + 2**60}, r"data targets must be within 2\^53, .* at index \(0,\)"),
        ({"x": INPUTS, "y": np.where(LABELS, "ant", "NaN")}, r"data targets must not be missing, as at index 0 .*NaN"),
        ({"x": INPUTS[:0], "y": LABELS[:0]}, "data inputs must be .* one sample"),
        (
            {"x_train": INPUTS, "y_train": LABELS, "x_test": INPUTS[:, :3], "y_test": LABELS},
            r"data test inputs must be of one shape in all parts, \(4,\) as in train \(got \(3,\)\)",
        ),
        (
            {"x_train": INPUTS, "y_train": LABELS, "x_test": INPUTS, "y_test": LABELS + 1},
            "data test targets must have no class that training lacks",
        ),
    ],
)
def test_arrays_that_are_wrong_are_refused_in_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(CircuitmemError, match=message) as error:
        load_dataset(tmp_path / "mine.npz")
    assert "\n" not in str(error.value)


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "a.h5").write_text("x")
    with pytest.raises(CircuitmemError, match=r"a.h5: must end with one of .npz, .csv, .tsv, .txt, .parquet"):
        load_dataset(tmp_path / "a.h5")
    (tmp_path / "a.npz").write_text("x")
    with pytest.raises(CircuitmemError, match="is not a readable npz file"):
        load_dataset(tmp_path / "a.npz")
    with pytest.raises(CircuitmemError, match=r"must be a file, a folder, .*did you mean 'bundled'"):
        load_dataset("bundeld")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CircuitmemError, match="must have folders of images, one a class, or idx files"):
        load_dataset(tmp_path / "empty")
    with pytest.raises(CircuitmemError, match="data must be a path, a Dataset"):
        load_dataset(3)
