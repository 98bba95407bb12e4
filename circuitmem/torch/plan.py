"""A run of a network of torch: what every method begins from, on the same chip as it was fabricated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch

from circuitmem.config import RunSpec
from circuitmem.control import Chip, check_faults
from circuitmem.errors import ValidationError
from circuitmem.torch.convert import convert
from circuitmem.torch.examples import Examples
from circuitmem.torch.method import SAMPLE, InSitu, TorchMethod, outputs_of
from circuitmem.torch.observe import crossbar_layers, digitally
from circuitmem.torch.summary import summary
from circuitmem.training import Hooks
from circuitmem.training.carry_out import Start
from circuitmem.training.ex_situ import ExSituRecord
from circuitmem.training.methods import engine_of

__all__ = ["Plan", "one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread within this block: the bits of sums depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Plan:
    """What a run does with a network.

    Parameters
    ----------
    spec : RunSpec
        Seed, chip and methods, and the room that its network leaves for training in situ.
    model : torch.nn.Module
        The network; it is left as it is.
    examples : Examples
        What to train and test it with.
    how : mapping of str to InSitu
        Calibration and training of each method.

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
        how: Mapping[str, InSitu],
    ) -> None:
        self.spec, self.model, self.how = spec, model, how
        examples = examples.fitting(model)
        self._sound: frozenset[int] = frozenset()
        self._sample = examples.train_inputs[:SAMPLE]
        outputs = outputs_of(model, examples.test_inputs[:2])
        self.examples = examples.for_outputs(tuple(outputs.shape))
        analog = self._fresh()
        self._sound = self._sound_tiles(analog)
        check_faults(spec.chip, sum(len(each.layer.units) for each in _products(analog)))

    def start(self, training: ExSituRecord | None = None) -> Start:
        """Return what the methods begin from, once the network is trained: how that went, if it is known."""
        analog, examples = self._fresh(), self.examples
        with digitally(analog):
            outputs = outputs_of(analog, examples.test_inputs)
        if not bool(torch.isfinite(outputs).all()):
            raise ValidationError("model", "must give finite outputs for the test inputs")
        needs = summary(analog, self._sample[:1])
        vectors = min(cast(float, layer.vectors) for layer in needs.layers)
        return Start(
            examples.objective.score(outputs.numpy(), examples.test_targets.numpy()),
            examples.objective.guessing,
            self._make,
            self._steps,
            training,
            int(vectors * len(self._sample)),
            {"on_tiles": needs.on_tiles, "tiles": needs.tiles, **examples.objective.record()},
            {"torch": torch.__version__},
        )

    def _make(self, name: str, hooks: Hooks) -> TorchMethod:
        return TorchMethod(name, self._fresh(), self.examples, self.how[name], self.spec.seed, hooks)

    def _steps(self, name: str) -> int:
        own = self.how[name].spec
        batches = -(-len(self.examples.train_targets) // own.batch)
        return own.epochs * batches * name.endswith("in_situ") + 1

    def _fresh(self) -> torch.nn.Module:
        """Return the network on a chip as it was fabricated."""
        spec = self.spec
        engine = engine_of(spec)
        chip = Chip(spec.chip, 0, spec.seed, spec.seed, engine, spec.granularity, spec.reuse_error, self._sound)
        options: Any = {"sample": self._sample, "digital": spec.network.digital, "weight_range": spec.network.room}
        options["backward"] = "straight-through" if spec.in_situ.gradient == "ideal" else "exact"
        net = convert(self.model, chip, **options).eval()
        for product in _products(net):
            product.warns = False  # the warnings of the run say how many saturate
        return net

    def _sound_tiles(self, analog: torch.nn.Module) -> frozenset[int]:
        """Return the tiles of the layers whose devices all work, by ``chip.defects.layers``."""
        defective, layers = self.spec.chip.defects.layers, list(crossbar_layers(analog).values())
        if defective is None:
            return frozenset()
        if any(number >= len(layers) for number in defective):
            raise ValidationError("chip.defects.layers", f"must be < {len(layers)}, each", defective)
        return frozenset(
            unit.index
            for number, layer in enumerate(layers)
            if number not in defective
            for product in layer.products
            for unit in product.layer.units
        )


def _products(analog: torch.nn.Module) -> list[Any]:
    return [product for layer in crossbar_layers(analog).values() for product in layer.products]
