"""One method on a network's chip: programmed, perhaps calibrated, perhaps trained in situ, tested after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord, still_products
from circuitmem.calibration.record import MacError
from circuitmem.config import CalibrationSpec, InSituSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream, stream_key
from circuitmem.torch.bring_up import calibrate_layers, chip_of, program_layers, some
from circuitmem.torch.examples import Examples
from circuitmem.torch.module import CrossbarModule
from circuitmem.torch.observe import crossbar_layers, digitally, evaluating, observe, taking
from circuitmem.torch.rule import TileRule
from circuitmem.torch.state import network_state, optimiser_state, restore_network, restore_optimiser
from circuitmem.training import Hooks
from circuitmem.training.bring_up import LOOKED_AT
from circuitmem.training.methods import NO_HOOKS, MethodResult, conversions
from circuitmem.training.schedules import rate_factor

__all__ = ["InSitu", "MakeOptimiser", "TorchMethod", "default_optimiser", "outputs_of", "train_step"]

AT_ONCE = 250
"""Inputs of a forward pass: a bound on memory."""
SAMPLE = 1000
"""Training inputs from which ranges and calibrations are learnt."""

MakeOptimiser = Callable[[Any], torch.optim.Optimizer]


def default_optimiser(parameters: Any) -> torch.optim.Optimizer:
    """Return what trains in situ unless something else is wanted."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


@dataclass(frozen=True)
class InSitu:
    """How a method calibrates and trains.

    Attributes
    ----------
    spec : InSituSpec
        Epochs, batch, how the step size falls, and the rule by which changes become pulses.
    calibration : CalibrationSpec
        How a method calibrates that does.
    optimiser : callable
        Makes an optimiser for parameters.
    """

    spec: InSituSpec
    calibration: CalibrationSpec
    optimiser: MakeOptimiser = default_optimiser


class TorchMethod:
    """A method on its way: what it has done, and what is left (:class:`circuitmem.training.carry_out.Job`).

    Time, energy and pulses are those of programming, calibration and training; tests are not counted.

    Parameters
    ----------
    name : str
        ``raw``, ``calibration``, ``in_situ`` or ``calibration_in_situ``.
    net : torch.nn.Module
        From :func:`convert`, on a fresh chip.
    examples : Examples
        Training and test.
    how : InSitu
        Calibration and training.
    seed : int
        Of the order of the examples and of what dropout draws.
    hooks : Hooks
        What is called on the way; its progress counts steps of training.
    """

    def __init__(
        self, name: str, net: torch.nn.Module, examples: Examples, how: InSitu, seed: int, hooks: Hooks = NO_HOOKS
    ) -> None:
        self.net, self.examples, self.how, self.seed = net, examples, how, seed
        self.calibrates = name.startswith("calibration")
        self.epochs = how.spec.epochs if name.endswith("in_situ") else 0
        self.result = MethodResult(calibration=CalibrationRecord().as_dict())
        self._hooks = hooks
        self._layers = crossbar_layers(net)
        self._optimiser = how.optimiser(list(net.parameters())) if self.epochs else None
        self._rates = [group["lr"] for group in self._optimiser.param_groups] if self._optimiser else []
        self._rule = TileRule(how.spec, list(self._layers.values())) if self.epochs else None
        self._losses: list[float] = []
        self._tests = {"time": 0.0, "energy": 0.0}

    @property
    def chip(self) -> Chip:
        """The chip."""
        return chip_of(self.net)

    @property
    def steps(self) -> int:
        """How many steps the method has, the last test being one."""
        return self.epochs * self._batches + 1

    @property
    def _batches(self) -> int:
        return -(-len(self.examples.train_targets) // self.how.spec.batch)

    def state(self) -> dict[str, Any]:
        """Return all that has changed since the network was made, for a checkpoint."""
        return {
            "chip": self.chip.state(),
            "network": network_state(self.net),
            "optimiser": None if self._optimiser is None else optimiser_state(self._optimiser),
            "rule": {} if self._rule is None else self._rule.state(),
            "losses": self._losses,
            "result": self.result.as_dict(),
            "tests": self._tests,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned, on a fresh network."""
        self.chip.restore(state["chip"])
        restore_network(self.net, state["network"])
        if self._optimiser is not None:
            restore_optimiser(self._optimiser, state["optimiser"])
        if self._rule is not None:
            self._rule.restore(state.get("rule", {}))  # a checkpoint of an older version has none
        self._losses, self._tests = state["losses"], state["tests"]
        self.result = MethodResult(**state["result"])

    def finish(self) -> MethodResult:
        """Do what is left."""
        chip, result = self.chip, self.result
        with torch.random.fork_rng(devices=[]):
            if not result.history:
                self._draw_from(Purpose.CALIBRATION)
                with chip.during("bring-up"):
                    self._bring_up()
                result.layers = [
                    {"name": name, "limited_before": _limited(layer)} for name, layer in self._layers.items()
                ]
                self._hooks.brought_up()
                self._record(0)
            while len(result.history) <= self.epochs:
                self._train(len(result.history) - 1)
                self._record(len(result.history))
        result.accounts = chip.ledger.as_dict()
        result.phases = {phase: asdict(account) for phase, account in chip.ledger.by("phase").items()}
        result.energy_by_part = chip.ledger.energy_by_part()
        clipped = sum(product.layer.saturated for layer in self._layers.values() for product in layer.products)
        result.saturated_codes = {"adc": chip.ledger.total.saturated, "dac": clipped}
        result.layers = [
            each | _conversions(layer) | {"weights": layer.weight.numel(), "limited_after": _limited(layer)}
            for each, layer in zip(result.layers, self._layers.values(), strict=True)
        ]
        result.utilisation = {name: used._asdict() for name, used in chip.utilisation().items()}
        result.reuse = chip.electrics.transfers.record.as_dict()
        return result

    def _draw_from(self, purpose: Purpose, *key: int) -> None:
        """Let what torch draws from here on have an address, as every random number has."""
        torch.manual_seed(stream_key(self.seed, purpose, *key)[0] % 2**63)

    def _bring_up(self) -> None:
        inputs = self.examples.train_inputs[:SAMPLE]
        program_layers(self.net, verify=True)
        unseen = self._unseen()
        self.result.product_errors = {"before": self._product_errors(unseen, raw=True)}
        if self.calibrates:
            record = CalibrationRecord()
            calibrate_layers(self.net, inputs, self.how.calibration, record)
            self.result.calibration = record.as_dict()
            self.result.product_errors["after"] = self._product_errors(unseen)

    def _unseen(self) -> dict[str, list[NDArray[np.float64]]]:
        """Return what each layer multiplies for some test inputs, for each group of its outputs (vectors, inputs)."""
        found: dict[str, list[list[NDArray[np.float64]]]] = {}
        rng = stream(self.seed, Purpose.PRODUCT_ERROR)

        def see(name: str, _: CrossbarModule, values: list[NDArray[np.float64]]) -> None:
            chosen = some(len(values[0]), LOOKED_AT, rng)
            found.setdefault(name, []).append([own[chosen] for own in values])

        observe(self.net, (self.examples.test_inputs[:LOOKED_AT],), see)
        return {name: [np.concatenate(own) for own in zip(*calls, strict=True)] for name, calls in found.items()}

    def _product_errors(
        self, vectors: Mapping[str, list[NDArray[np.float64]]], raw: bool = False
    ) -> list[dict[str, float]]:
        errors = []
        for name, layer in self._layers.items():
            pairs = [
                still_products(product.layer, own, product.layer.weights, raw=raw, signed=True)
                for product, own in zip(layer.products, vectors[name], strict=True)
            ]
            found, wanted = (np.concatenate(each, axis=1) for each in zip(*pairs, strict=True))
            errors.append(asdict(MacError.of(found, wanted)))
        return errors

    def _train(self, epoch: int) -> None:
        """Train for one pass over the examples, or what is left of it."""
        net, examples, spec, chip = self.net, self.examples, self.how.spec, self.chip
        assert self._optimiser is not None
        assert self._rule is not None
        count, batches = len(examples.train_targets), self._batches
        order = torch.from_numpy(stream(self.seed, Purpose.BATCHES, epoch).permutation(count)).split(spec.batch)
        net.train()
        for step in range(len(self._losses), batches):
            done, every = epoch * batches + step, self.epochs * batches
            self._hooks.progress(done, self.steps)
            for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
                group["lr"] = rate * rate_factor(spec.schedule, done / every, 0.1)
            self._draw_from(Purpose.BATCHES, epoch, step)
            with chip.during("training"):
                with self._rule.watching():
                    loss = train_step(net, examples, order[step], self._optimiser, done)
                self._rule.program()
            self._losses.append(loss)
            self._hooks.safe(False)
        net.eval()
        self.result.losses.append(float(np.mean(self._losses)))
        self._losses = []

    def _record(self, epoch: int) -> None:
        """Test the network, and note what was reached and spent."""
        chip, net, examples, tests = self.chip, self.net, self.examples, self._tests
        time, energy = chip.now, chip.ledger.energy
        self._draw_from(Purpose.TEST, epoch)
        with chip.during("test"):
            outputs = outputs_of(net, examples.test_inputs)
        with digitally(net):
            ideal = outputs_of(net, examples.test_inputs).numpy()
        if not np.isfinite(ideal).all():
            rule = f"must not make the loss {np.abs(ideal).max()} (epoch {epoch}): lower its learning rate"
            raise ValidationError("optimiser", rule)
        self.result.note_test(outputs.numpy(), ideal, examples.test_targets.numpy(), examples.objective)
        self.result.note_inference(len(outputs), chip.now - time, chip.ledger.energy - energy)
        self.result.note_cost(time - tests["time"], energy - tests["energy"], chip.ledger.pulses)
        tests["time"] += chip.now - time
        tests["energy"] += chip.ledger.energy - energy
        self._hooks.safe(True)
        done = epoch * self._batches
        self._hooks.progress(done + (epoch == self.epochs), self.steps)


def _limited(layer: CrossbarModule) -> int:
    return sum(
        product.layer.at_limit(weights) for product, weights in zip(layer.products, layer.matrices(), strict=True)
    )


def _conversions(layer: CrossbarModule) -> dict[str, int]:
    """Return what the converters of all groups of a layer did."""
    parts = [conversions(product.layer) for product in layer.products]
    return {key: sum(part[key] for part in parts) for key in parts[0]}


def train_step(
    net: torch.nn.Module, examples: Examples, chosen: torch.Tensor, optimiser: torch.optim.Optimizer, step: int
) -> float:
    """Take a step on some training examples; returns the loss before it.

    Raises
    ------
    ValidationError
        If the loss is no number.
    """
    optimiser.zero_grad()
    loss = examples.loss(net(examples.train_inputs[chosen]), chosen)
    if not bool(torch.isfinite(loss)):
        rule = f"must not make the loss {float(loss.detach())} (step {step}): lower its learning rate"
        raise ValidationError("optimiser", rule)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def outputs_of(net: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return the outputs of a network in ``eval()``, (samples, classes)."""
    with evaluating(net), taking((inputs[:AT_ONCE],)):
        return torch.cat([net(part) for part in inputs.split(AT_ONCE)])
