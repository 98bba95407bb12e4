"""One method on a network's chip: programmed, perhaps calibrated, perhaps trained in situ, tested after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from circuitmem.calibration import CalibrationRecord
from circuitmem.config import CalibrationSpec
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream, stream_key
from circuitmem.torch.bring_up import JOINED, calibrate, chip_of, program
from circuitmem.torch.examples import Examples
from circuitmem.torch.observe import crossbar_layers, digitally, evaluating, taking
from circuitmem.training.methods import MethodResult

__all__ = ["InSitu", "MakeOptimiser", "accuracy_of", "default_optimiser", "outputs_of", "run_method", "train_step"]

AT_ONCE = 250
"""Inputs of a forward pass: a bound on memory."""
SAMPLE = 1000
"""Training inputs from which ranges and calibrations are learnt."""

MakeOptimiser = Callable[[Any], torch.optim.Optimizer]
Tell = Callable[[int, int], None]


def default_optimiser(parameters: Any) -> torch.optim.Optimizer:
    """Return what trains in situ unless something else is wanted."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


@dataclass(frozen=True)
class InSitu:
    """How a method calibrates and trains.

    Attributes
    ----------
    epochs, batch : int
        Passes over the training examples, and examples a step.
    optimiser : callable
        Makes an optimiser for parameters.
    calibration : sequence of str
        Names of calibrations (``circuitmem list calibrations``).
    vectors : int
        Vectors with which each layer is calibrated.
    falls : bool
        Whether the step size falls linearly to a tenth.
    """

    epochs: int = 1
    batch: int = 50
    optimiser: MakeOptimiser = default_optimiser
    calibration: str | Sequence[str] = JOINED
    vectors: int = CalibrationSpec().vectors
    falls: bool = False


def run_method(
    name: str,
    net: torch.nn.Module,
    examples: Examples,
    how: InSitu,
    seed: int,
    tell: Tell,
    programmed: Callable[[], None],
) -> MethodResult:
    """Bring a network up on its fresh chip, train it if the method does, and test it; returns all that it came to.

    Time, energy and pulses are those of programming, calibration and training; tests are not counted.

    Parameters
    ----------
    name : str
        ``raw``, ``calibration``, ``in_situ`` or ``calibration_in_situ``.
    net : torch.nn.Module
        From :func:`convert`.
    examples : Examples
        Training and test.
    how : InSitu
        Calibration and training.
    seed : int
        Of the order of the examples and of dropout.
    tell : callable
        Called with (steps done, steps) of training.
    programmed : callable
        Called once the chip is programmed and calibrated.
    """
    chip, result = chip_of(net), MethodResult(calibration=CalibrationRecord().as_dict())
    program(net, verify=True)
    if name.startswith("calibration"):
        record = calibrate(net, examples.train_inputs[:SAMPLE], how.calibration, vectors=how.vectors)
        result.calibration = record.as_dict()
    programmed()
    tests = {"time": 0.0, "energy": 0.0}
    _record(net, examples, result, tests)
    if name.endswith("in_situ"):
        parameters = list(net.parameters())
        optimiser = how.optimiser(parameters)
        count = len(examples.train_targets)
        steps = how.epochs * -(-count // how.batch)
        rates = [group["lr"] for group in optimiser.param_groups]
        deadband, done = chip.spec.programming.deadband, 0
        with torch.random.fork_rng(devices=[]):
            for epoch in range(how.epochs):
                net.train()
                losses = []
                order = torch.from_numpy(stream(seed, Purpose.BATCHES, epoch).permutation(count))
                for step, chosen in enumerate(order.split(how.batch)):
                    tell(done, steps)
                    for group, rate in zip(optimiser.param_groups, rates, strict=True):
                        group["lr"] = rate * (1.0 - 0.9 * done / steps) if how.falls else rate
                    # What dropout draws is addressed, as every random number is.
                    torch.manual_seed(stream_key(seed, Purpose.BATCHES, epoch, step)[0] % 2**63)
                    with chip.during("training"):
                        losses.append(train_step(net, examples, chosen, optimiser, done))
                    program(net, deadband)
                    done += 1
                net.eval()
                result.losses.append(float(np.mean(losses)))
                _record(net, examples, result, tests)
    result.accounts = chip.ledger.as_dict()
    result.phases = {phase: asdict(account) for phase, account in chip.ledger.by("phase").items()}
    result.energy_by_part = chip.ledger.energy_by_part()
    clipped = sum(product.layer.saturated for layer in crossbar_layers(net).values() for product in layer.products)
    result.saturated_codes = {"adc": chip.ledger.total.saturated, "dac": clipped}
    result.utilisation = {name: used._asdict() for name, used in chip.utilisation().items()}
    result.reuse = chip.electrics.transfers.record.as_dict()
    return result


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
    loss = torch.nn.functional.cross_entropy(net(examples.train_inputs[chosen]), examples.train_targets[chosen])
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


def accuracy_of(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the percentage of right answers."""
    return 100.0 * int((outputs.argmax(1) == targets).sum()) / len(targets)


def _record(net: torch.nn.Module, examples: Examples, result: MethodResult, tests: dict[str, float]) -> None:
    """Test a network, and note what was reached and spent."""
    chip = chip_of(net)
    time, energy = chip.now, chip.ledger.energy
    with chip.during("test"):
        outputs = outputs_of(net, examples.test_inputs)
    with digitally(net):
        ideal = outputs_of(net, examples.test_inputs).numpy()
    if not np.isfinite(ideal).all():
        epoch = len(result.history)
        rule = f"must not make the loss {np.abs(ideal).max()} (epoch {epoch}): lower its learning rate"
        raise ValidationError("optimiser", rule)
    result.note_test(outputs.numpy(), ideal, examples.test_targets.numpy())
    result.note_cost(time - tests["time"], energy - tests["energy"], chip.ledger.pulses)
    tests["time"] += chip.now - time
    tests["energy"] += chip.ledger.energy - energy
