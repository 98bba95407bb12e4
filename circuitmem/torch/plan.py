"""A run of a network of torch: every method begins from the same weights, on the same chip as it was fabricated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from circuitmem.config import RunSpec
from circuitmem.control import Chip, check_faults
from circuitmem.engine import Engine
from circuitmem.errors import ValidationError
from circuitmem.files import save_npz
from circuitmem.torch.convert import convert, prepared
from circuitmem.torch.cuts import check_cuts
from circuitmem.torch.ex_situ import check_unfrozen
from circuitmem.torch.examples import Examples
from circuitmem.torch.network import SAMPLE, MakeOptimiser, TorchNetwork, TorchOptimiser
from circuitmem.torch.observe import drawing, evaluating, taking
from circuitmem.torch.source import sha256_of_weights
from circuitmem.torch.state import as_array
from circuitmem.torch.summary import summary
from circuitmem.training import Hooks, MethodResult, MethodRun, recipe_of
from circuitmem.training.carry_out import Start
from circuitmem.training.ex_situ import ExSituRecord
from circuitmem.training.methods import NO_HOOKS, engine_of
from circuitmem.training.recipes import check_values
from circuitmem.training.schedules import Patience

__all__ = ["RunPlan", "TorchMethod", "one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread within this block, and leave its generator as it was.

    The bits of sums depend on the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)


class TorchMethod(MethodRun):
    """A method on a network of torch: its random draws do not change the generator of the caller."""

    def finish(self) -> MethodResult:
        """Do what is left of the method."""
        with one_thread(), drawing(self.spec.seed):
            return super().finish()


class RunPlan:
    """Plan of a run: checks network and data, and makes the methods.

    Parameters
    ----------
    spec : RunSpec
        Seed, chip and methods, and the room that its network leaves for training in situ.
    model : torch.nn.Module
        The network; it is left as it is.
    examples : Examples
        What to train and test it with.
    optimiser : callable, optional
        Called with parameters, returns the optimiser of training in situ; the declared one when left out.
    engine : Engine, optional
        Engine that computes circuits, instead of the one that the run names.

    Raises
    ------
    ValidationError
        If the network cannot go on tiles, or does not fit its data.
    """

    def __init__(
        self,
        spec: RunSpec,
        model: torch.nn.Module,
        examples: Examples,
        optimiser: MakeOptimiser | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.spec, self.model, self.loaded = spec, model, examples.data
        self._optimiser, self._engine = optimiser, engine
        prepared(model, spec.network.digital)  # refuses what cannot go on tiles, before a forward pass is tried
        if any(recipe_of(spec, name).train for name in spec.methods):
            check_unfrozen(model)
        examples = examples.fitting(model)
        self._sound: frozenset[int] = frozenset()
        self._untouched: tuple[str, TorchNetwork] | None = None
        outputs = outputs_of(model, examples.test_inputs[:2], spec.seed)
        self.examples = examples.for_outputs(tuple(outputs.shape))
        self.data = self.examples.as_data()
        if self.data.task == "values":
            check_values(spec)
        for key, epochs in (("ex_situ", spec.ex_situ.patience), ("in_situ", spec.in_situ.patience)):
            Patience(f"{key}.patience", epochs, self.data.validation)
        analog = self.network()
        self._sound = self._sound_tiles(analog)
        if not self._sound:  # else it was fabricated with defects in every layer
            self._keep(analog)
        if any(recipe_of(spec, name).word("fine-tune") is not None for name in spec.methods):
            with drawing(spec.seed):
                check_cuts(analog.net, analog.model.tensor(self.data.train_inputs[:2]))
        check_faults(spec.chip, sum(len(layer.units) for layer in analog.layers))

    def save(self, path: Path) -> None:
        """Write the weights that the methods begin from into the folder of a run."""
        save_npz(path / "weights.npz", {name: as_array(own) for name, own in self.model.state_dict().items()})

    def start(self, training: ExSituRecord | None = None) -> Start:
        """Return what the methods begin from, once the network is trained; ``training`` records that, if known."""
        analog, objective = self._taken(), self.examples.objective
        outputs = analog.model.logits(self.data.test_inputs)
        if not np.isfinite(outputs).all():
            raise ValidationError("model", "must give finite outputs for the test inputs")
        with drawing(self.spec.seed):
            needs = summary(analog.net, self._sample[:1])
        vectors = min(cast(float, layer.vectors) for layer in needs.layers)
        self._keep(analog)
        return Start(
            objective.score(outputs, self.data.test_targets),
            objective.guessing,
            self.make,
            self._steps,
            training,
            int(vectors * min(len(self.data.train_inputs), self.spec.calibration.vectors)),
            {"on_tiles": needs.on_tiles, "tiles": needs.tiles, **objective.record()},
            {"torch": torch.__version__},
            objective.score_each(outputs, self.data.test_targets),
        )

    def make(self, name: str, hooks: Hooks = NO_HOOKS) -> TorchMethod:
        """Return a method on the chip as it was fabricated."""
        network = self._taken()
        optimiser = None if self._optimiser is None else TorchOptimiser(self._optimiser, network)
        return TorchMethod(name, self.spec, network, self.data, hooks, self.examples.objective, optimiser)

    def _steps(self, name: str) -> int:
        own = self.spec.in_situ
        batches = -(-len(self.data.train_inputs) // own.batch)
        return own.epochs * batches * recipe_of(self.spec, name).train + 1

    @property
    def _sample(self) -> torch.Tensor:
        return self.examples.train_inputs[:SAMPLE]

    def network(self) -> TorchNetwork:
        """Return the network on a chip as it was fabricated."""
        spec = self.spec
        engine = self._engine or engine_of(spec)
        chip = Chip(spec.chip, 0, spec.seed, spec.seed, engine, spec.granularity, spec.reuse_error, self._sound)
        options: Any = {"sample": self._sample, "digital": spec.network.digital, "weight_range": spec.network.room}
        with drawing(spec.seed):
            return TorchNetwork(convert(self.model, chip, **options), spec.seed)

    def _keep(self, network: TorchNetwork) -> None:
        """Keep a network whose chip has done nothing, so that the same chip need not be fabricated again."""
        self._untouched = sha256_of_weights(self.model), network

    def _taken(self) -> TorchNetwork:
        """Return the network on a chip as it was fabricated, kept or new; a kept one is handed out once."""
        kept, self._untouched = self._untouched, None
        if kept is None or kept[0] != sha256_of_weights(self.model):  # trained meanwhile: ranges of devices follow
            return self.network()
        return kept[1]

    def _sound_tiles(self, analog: TorchNetwork) -> frozenset[int]:
        """Return the tiles of the layers that ``chip.defects.layers`` leaves without defects."""
        defective, parts = self.spec.chip.defects.layers, analog.parts
        if defective is None:
            return frozenset()
        if any(number >= len(parts) for number in defective):
            raise ValidationError("chip.defects.layers", f"must be < {len(parts)}, each", defective)
        sound = [layers for number, (_, layers) in enumerate(parts) if number not in defective]
        return frozenset(unit.index for layers in sound for layer in layers for unit in layer.units)


def outputs_of(net: torch.nn.Module, inputs: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Return the outputs of a network in ``eval()``, (samples, outputs); ``seed`` seeds what its modules draw.

    Raises
    ------
    ValidationError
        If it does not take the inputs, or returns anything else than a tensor.
    """
    with evaluating(net), taking((inputs,)), drawing(seed):
        found = net(inputs)
    if not isinstance(found, torch.Tensor):
        raise ValidationError("model", "must return one tensor, (batch, outputs)", type(found).__name__)
    return found
