"""How :func:`circuitmem.evaluate` handles a network that asks for products: it goes on chips as in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuitmem.config import RunSpec
from circuitmem.control import check_faults
from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.files import save_npz
from circuitmem.network import Network, tile_counts
from circuitmem.torch.network import default_optimiser
from circuitmem.training.carry_out import ResumableMethod, Start
from circuitmem.training.methods import Hooks
from circuitmem.training.own import check_own_data, check_own_run
from circuitmem.training.recipes import check_values
from circuitmem.training.run import arrays_of, start_of

__all__ = ["AskingPlan", "check_asking"]


def check_asking(model: Network, digital: Sequence[str], optimiser: Any) -> None:
    """Refuse arguments that only networks of torch take.

    Raises
    ------
    ValidationError
        If such an argument is given.
    """
    for name, given in (("digital", bool(digital)), ("optimiser", optimiser is not default_optimiser)):
        if given:
            rule = "must be left out: it is for networks of torch, and this one asks for products"
            raise ValidationError(name, rule, type(model).__name__)


class AskingPlan:
    """Plan of a run of a network that asks for products.

    Parameters
    ----------
    spec : RunSpec
        Seed, chip and methods.
    model : Network
        The network; it is left as it is.
    data : Dataset
        What to train and test it with.

    Raises
    ------
    ValidationError
        If the network cannot do what a method needs, or does not fit its data.
    """

    def __init__(self, spec: RunSpec, model: Network, data: Dataset) -> None:
        self.spec, self.model, self.loaded = spec, model.copy(), data
        check_own_run(spec, self.model)
        self._data = data.flat()
        check_own_data(self.model, self._data)
        if data.task == "values":
            check_values(spec)
        self._tiles = sum(tile_counts([weights.shape for weights in self.model.weights], spec.chip))
        check_faults(spec.chip, self._tiles)

    def save(self, path: Path) -> None:
        """Write the weights that the methods begin from into the folder of a run."""
        save_npz(path / "digital.npz", arrays_of(self.model))

    def start(self) -> Start:
        """Return what the methods begin from; only the products of the network are counted, not all else."""
        begin = start_of(self.spec, self._data, self.model, None, None)
        return replace(begin, results={"on_tiles": 1.0, "tiles": self._tiles, **begin.results})

    def make(self, name: str, hooks: Hooks) -> ResumableMethod:
        """Return a method on the chip as it was fabricated."""
        return self.start().make(name, hooks)
