"""Users' own data as a :class:`Dataset`: from a file, a folder, a function, a data set of torch, or arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.npyio import NpzFile

from circuitmem.data.arrays import by_name, of_values
from circuitmem.data.dataset import Dataset
from circuitmem.data.idx import read_idx_folder
from circuitmem.data.images import read_image_folder
from circuitmem.data.mnist import load_mnist
from circuitmem.data.parts import check_parts, data_digest
from circuitmem.data.samples import Samples
from circuitmem.data.split import SPLIT, divided
from circuitmem.data.tables import DataTable, read_csv, read_parquet
from circuitmem.data.targets import encoded
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.registry import find, is_reference, names
from circuitmem.validation import did_you_mean, integer, split_shares

__all__ = ["load_dataset"]

Target = str | Sequence[str] | None


def load_dataset(
    source: Any,
    target: Target = None,
    *,
    task: Literal["classes", "values"] = "classes",
    split: Sequence[float] = SPLIT,
    scale: Literal["none", "range", "standard"] = "none",
    ignore: Sequence[str] = (),
    licence: str = "",
    seed: int = 1,
) -> Dataset:
    """Load samples with their targets.

    Parameters
    ----------
    source : str, path, (inputs, targets), dict, or data set of torch
        One of these:

        - a ``.csv`` (``.tsv``, ``.txt``) or ``.parquet`` file: one line per sample, one column with the target;
        - a ``.npz`` file: arrays ``inputs`` and ``targets`` (or ``x`` and ``y``, ``data`` and ``labels``), or the same
          with ``train_`` and ``test_`` before the name, or ``_train`` and ``_test`` after it;
        - a folder with idx files, as MNIST and its relatives have them, of any content;
        - a folder of images, with a folder for each class, perhaps below ``train`` and ``test``;
        - ``"package.module:function"``, which returns any of what follows;
        - the name of a data set that ``circuitmem list datasets`` shows: ``"bundled"`` are digits of MNIST,
          ``"penguins"`` a table, ``"vowels"`` sequences, ``"patches"`` colour images;
        - arrays ``(inputs, targets)``, or ``(train inputs, train targets, test inputs, test targets)``;
        - a dictionary of arrays, with the names that a ``.npz`` file has;
        - anything with ``len()`` that gives ``(input, target)`` at each index, as data sets of torch do;
        - :class:`Samples`, arrays with what is known of them;
        - a :class:`Dataset`, to scale it.

    target : str or sequence of str, optional
        Column, or array of a ``.npz`` file, of the targets; several columns are several values.
    task : {"classes", "values"}
        What targets are: classes (whole numbers or texts), or values to predict.
    split : (train, validation, test)
        Fractions of the samples for each part, where the source has no parts: drawn at random, from each class alike.
        They add up to 1; train and test must not be 0.
    scale : {"none", "range", "standard"}
        How inputs are scaled, learnt from the training part (:class:`Scaling`).
    ignore : sequence of str
        Columns to leave out.
    licence : str
        Licence under which the data may be used; it goes into the provenance of runs.
    seed : int
        Seed of the split.

    Returns
    -------
    Dataset
        Training and test samples, perhaps validation samples: inputs (samples, ...), classes (samples,) or values.

    Raises
    ------
    ValidationError
        If samples or an argument break a rule.
    DataFileError
        If a file cannot be read, or what it holds breaks a rule.
    """
    if scale not in ("none", "range", "standard"):
        raise ValidationError("data.scale", "must be none, range or standard", scale)
    if task not in ("classes", "values"):
        raise ValidationError("data.task", "must be classes or values", task)
    shares, seed = split_shares("data.split", split), integer("seed", seed, 0)
    chosen = [ignore] if isinstance(ignore, str) else list(ignore)
    found = _found(source, target, chosen)
    if isinstance(found, Dataset):
        if target is not None or chosen or task != found.task:
            raise ValidationError("data.target", "must be left out: the data know their targets", target)
        return replace(found, licence=licence or found.licence).scaled(scale)
    return _dataset(found, task, shares, licence or found.licence, seed).scaled(scale)


def _dataset(
    found: Samples, task: Literal["classes", "values"], split: tuple[float, ...], licence: str, seed: int
) -> Dataset:
    checked = check_parts(found.parts)
    targets, classes = encoded({part: own for part, (_, own) in checked.items()}, task)
    sha256 = data_digest({part: (inputs, targets[part]) for part, (inputs, _) in checked.items()}, classes)
    grey = found.images and all(inputs.dtype == np.uint8 for inputs, _ in checked.values())
    parts = {
        part: (np.asarray(inputs, np.float64) / 255.0 if grey else np.asarray(inputs, np.float64), targets[part])
        for part, (inputs, _) in checked.items()
    }
    try:
        whole = divided(parts, task, classes, split, seed)
    except ValidationError as error:
        if task == "classes" and all(name.lstrip("-").isdigit() for name in classes):
            rule = f"{error.rule} (say task = values if targets are numbers to predict)"
            raise ValidationError(error.name, rule, error.value) from None
        raise
    validation = whole.get("validation", (None, None))
    return Dataset(
        train_inputs=whole["train"][0],
        train_targets=whole["train"][1],
        test_inputs=whole["test"][0],
        test_targets=whole["test"][1],
        name=found.name,
        sha256=sha256,
        validation_inputs=validation[0],
        validation_targets=validation[1],
        task=task,
        classes=classes,
        features=found.features,
        licence=licence,
        credit=found.credit,
        bounded=grey,
    )


def _found(source: Any, target: Target, ignore: list[str]) -> Samples | Dataset:
    if isinstance(source, Dataset):
        return source
    if isinstance(source, Samples):
        if target is not None or ignore:
            raise ValidationError("data.target", "must be left out: the data know their targets", target or ignore)
        return source
    if isinstance(source, str | os.PathLike):
        return _named(source, target, ignore)
    if ignore:
        raise ValidationError("data.ignore", "must be left out: it is for columns of a table", ignore)
    if isinstance(source, Mapping):
        return Samples(by_name(source, target, "the dictionary"), "arrays")
    if target is not None:
        raise ValidationError("data.target", "must be left out: it is for tables and named arrays", target)
    name = "arrays" if isinstance(source, tuple | list) else type(source).__name__
    return Samples(of_values(source), name)


def _named(source: str | os.PathLike[str], target: Target, ignore: list[str]) -> Samples | Dataset:
    """Return what a path, a name or a reference stands for."""
    text, path = os.fspath(source), Path(source)
    known = names("datasets")
    if isinstance(source, str) and (text in known or (is_reference(text) and not path.exists())):
        made = find("datasets", text, "data.source")
        try:
            result = made() if callable(made) else made
        except CircuitmemError:
            raise
        except Exception as error:  # a user's function may raise anything
            words = f"must name a function that returns samples; {text} raises {type(error).__name__}: {error}"
            raise ValidationError("data.source", words) from error
        own = _found(result, target, ignore) if not isinstance(result, str | os.PathLike) else None
        if own is None:
            raise ValidationError("data.source", "must name a function that returns samples, no path", text)
        return replace(own, name=text) if isinstance(own, Samples) else own
    if path.is_dir():
        return _folder(path, target, ignore)
    if not path.exists():
        rule = f"must be a file, a folder, package.module:function, or one of {', '.join(known)}"
        raise DataFileError(text, f"no such file or folder; data.source {rule}{did_you_mean(text, known)}")
    if path.suffix == ".npz":
        if ignore:
            raise ValidationError("data.ignore", "must be left out: it is for columns of a table", ignore)
        return Samples(by_name(_npz(path), target, path.name), path.name)
    readers = {".csv": read_csv, ".tsv": read_csv, ".txt": read_csv, ".parquet": read_parquet}
    if path.suffix not in readers:
        rule = f"must end with one of .npz, {', '.join(readers)}, or be a folder"
        raise DataFileError(path, rule)
    table: DataTable = readers[path.suffix](path)
    inputs, targets, features = table.divided(target, ignore)
    return Samples({"": (inputs, targets)}, path.name, features)


def _folder(path: Path, target: Target, ignore: list[str]) -> Samples | Dataset:
    if target is not None or ignore:
        raise ValidationError("data.target", "must be left out: folders of images have their classes", target or ignore)
    parts = read_idx_folder(path)
    if parts is None:
        return Samples(read_image_folder(path), path.resolve().name, images=True)
    found = Samples(parts, path.resolve().name, images=True)
    if {"train", "test"} <= set(parts):
        try:
            own = load_mnist(path)
        except DataFileError:  # the checksums are not MNIST's: these are other idx files
            return found
        side = round(own.train_inputs.shape[1] ** 0.5)
        return own.mapped(lambda inputs: inputs.reshape(-1, 1, side, side))
    return found


def _npz(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as opened, NpzFile(opened, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files if name != "sha256"}
    except Exception as error:  # for a damaged file, zipfile, zlib and numpy raise a dozen kinds of errors
        words = " ".join(str(error).split())
        if "allow_pickle" in words:
            words = "it holds Python objects: save arrays of numbers or texts"
        raise DataFileError(path, f"is not a readable npz file ({words})") from None
