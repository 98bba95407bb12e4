"""Parts that are cut keep all their classes: a split mixes its samples, and a cut to one class is refused."""

import numpy as np
import pytest

from circuitmem.data import load_dataset
from circuitmem.errors import ValidationError

CLASSES, EACH = 3, 40


def sorted_samples():
    """Samples sorted by class, as published tables often are; the first input counts them."""
    labels = np.repeat(np.arange(CLASSES), EACH)
    return np.stack([np.arange(len(labels)), labels], axis=1).astype(float), labels


@pytest.fixture
def table(tmp_path):
    inputs, labels = sorted_samples()
    lines = [f"{a:g},{b:g},{'abc'[label]}" for (a, b), label in zip(inputs, labels, strict=True)]
    file = tmp_path / "sorted.csv"
    file.write_text("\n".join(["number,other,target", *lines]), "utf-8")
    return file


@pytest.mark.parametrize("count", [6, 9, 21])
def test_the_first_samples_of_a_split_are_of_each_class_alike(table, count):
    data = load_dataset(str(table), "target")
    cut = data.first(train=count, test=count).validating(min(count, 9))
    for targets in (cut.train_targets, data.first(test=count).test_targets, cut.test_targets):
        numbers = np.bincount(targets, minlength=CLASSES)
        assert numbers.max() - numbers.min() <= 1


def test_a_split_keeps_every_sample_once_in_an_order_of_its_seed(table):
    one, same, other = (load_dataset(str(table), "target", seed=seed) for seed in (1, 1, 2))
    together = np.concatenate([inputs[:, 0] for inputs, _ in one.parts().values()])
    np.testing.assert_array_equal(np.sort(together), np.arange(CLASSES * EACH))
    np.testing.assert_array_equal(one.train_inputs, same.train_inputs)
    assert not np.array_equal(one.train_inputs, other.train_inputs)
    assert np.any(np.diff(one.train_inputs[one.train_targets == 0, 0]) < 0)  # nor are those of a class in file order


def test_a_cut_of_sorted_parts_to_one_class_is_refused(tmp_path):
    inputs, labels = sorted_samples()
    np.savez(tmp_path / "parts.npz", train_inputs=inputs, train_targets=labels, test_inputs=inputs, test_targets=labels)
    data = load_dataset(str(tmp_path / "parts.npz"))
    for name, cut in (
        ("train", lambda: data.first(train=10)),
        ("test", lambda: data.first(test=EACH)),
        ("validation", lambda: data.validating(10)),
    ):
        with pytest.raises(ValidationError, match=rf"^data\.{name} must leave more than class \d: .* sorted by class"):
            cut()
    assert len(data.first(train=EACH + 1, test=2).train_targets) == EACH + 1
