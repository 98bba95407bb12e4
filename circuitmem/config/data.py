"""The declared data of a run: where they come from, and how they are divided and scaled."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError
from circuitmem.validation import split_shares

__all__ = ["DataSpec"]

DIGITS = ("bundled", "digits", "download")
"""Names of MNIST: square images of a known side, ten classes."""
TEST_PARTS = {"bundled": 2000, "digits": 2000, "download": 10000, "patches": 264}
"""Sources of the package that have a test part of their own, and the samples that it has."""
SIDE = 28


class DataSpec(Spec):
    """The data for training and test of a network (:func:`circuitmem.data.load_dataset`).

    Parameters
    ----------
    source : str
        ``"bundled"`` (10,000 + 2,000 digits of MNIST in the package; ``"digits"`` are the same), ``"download"`` (all of
        MNIST, once, into the user's cache), ``"penguins"``, ``"vowels"`` or ``"patches"`` (a table, sequences and
        colour images in the package), another name that ``circuitmem list datasets`` shows, a ``.csv``, ``.parquet`` or
        ``.npz`` file, a folder of idx files or of images, or ``"package.module:function"``.
    target : str or sequence of str, optional
        Column of a table, or array of a ``.npz`` file, that the network is to predict.
    task : {"classes", "values"}
        What the targets are. Runs train networks for classes only.
    split : (float, float, float)
        Fractions for training, validation and test, where the source has no parts. Samples are drawn at random by
        ``split_seed``, in the same proportions from each class.
    split_seed : int, optional
        Seed of that split, >= 0; left out, it is the run's seed. The points of a study share one, that of its first
        map unless another is declared, so that no sample of the test part is trained with or tuned on.
    scale : {"auto", "none", "range", "standard"}
        How inputs are scaled, learnt from the training part: not at all, each feature to [0, 1], or to mean 0 and
        standard deviation 1. ``auto`` leaves images in bytes, which are divided by 255, as they are. For other data it
        is ``range`` for a network of layers, ``standard`` for a model that the run trains, and ``none`` for one with
        weights from a file.
    ignore : sequence of str
        Columns of a table to leave out.
    licence : str
        Licence under which the data may be used; it goes into the provenance.
    train, test : int, optional
        Use only this many samples, the first ones, >= 1.
    validation : int
        Number of validation samples to test with instead of the test part, >= 0, as tuning should: the test part stays
        unseen. They are the first of the validation part, or the last training samples where there is none. 0 tests
        with the test part.
    held_back : int
        Number of training samples to hold back for validation, >= 0, chosen by the run's seed in the same proportions
        from each class; where the data have a validation part, its first samples are taken instead. Tests during
        training and ``patience`` use them, and the test part is used once, at the end. With ``validation`` they are the
        test part. 0 holds none back, and all tests use the test part.
    side : int, optional
        Side of square images in pixels, >= 1; a side smaller than theirs averages over areas. Left out, images stay as
        they are.
    """

    source: str = "bundled"
    target: str | tuple[str, ...] | None = None
    task: Literal["classes", "values"] = "classes"
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    split_seed: int | None = pydantic.Field(default=None, ge=0)
    scale: Literal["auto", "none", "range", "standard"] = "auto"
    ignore: tuple[str, ...] = ()
    licence: str = ""
    train: int | None = pydantic.Field(default=None, ge=1)
    test: int | None = pydantic.Field(default=None, ge=1)
    validation: int = pydantic.Field(default=0, ge=0)
    held_back: int = pydantic.Field(default=0, ge=0)
    side: int | None = pydantic.Field(default=None, ge=1)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _whole_side_is_none(cls, values: Any) -> Any:
        """Treat the side of digits as undeclared: points of studies are named by what differs from the defaults."""
        if isinstance(values, dict) and values.get("source", "bundled") in DIGITS and values.get("side") == SIDE:
            return {key: value for key, value in values.items() if key != "side"}
        return values

    @pydantic.model_validator(mode="after")
    def _check(self) -> DataSpec:
        if self.is_digits and self.side is not None and self.side > SIDE:
            raise ValidationError("side", f"must be <= {SIDE}, the side of digits", self.side)
        split_shares("split", self.split)
        return self

    @property
    def may_be_split(self) -> bool:
        """Whether the source may have no test part, so that one is drawn at random."""
        return self.source not in TEST_PARTS

    @property
    def is_digits(self) -> bool:
        """Whether it is MNIST."""
        return self.source in DIGITS
