"""What a network does on a chip: as programmed, calibrated, and trained in situ, on one defect map."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from circuitmem.config import ChipSpec
from circuitmem.control import Chip
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import write_text
from circuitmem.rng import Purpose, stream, stream_key
from circuitmem.torch.bring_up import JOINED, calibrate, chip_of, program
from circuitmem.torch.convert import convert
from circuitmem.torch.examples import Examples, examples_of
from circuitmem.torch.observe import digitally, evaluating
from circuitmem.torch.product import checked_methods
from circuitmem.torch.summary import summary
from circuitmem.validation import did_you_mean, integer

__all__ = ["Run", "evaluate"]

METHODS = ("raw", "calibration", "in_situ", "calibration_in_situ")
AT_ONCE = 250
"""Inputs of a forward pass: a bound on memory."""
SAMPLE = 1000
"""Training inputs from which ranges and calibrations are learnt."""

Progress = Callable[[str, int, int], None]
MakeOptimiser = Callable[[Any], torch.optim.Optimizer]


@dataclass
class Run:
    """What the methods came to; each dictionary is by method. ``print`` shows a table.

    Attributes
    ----------
    seed : int
        Seed of the chip, the order of the examples, and what dropout draws.
    accuracy_percent : dict of str to float
        On the test part, ``"digital"`` too.
    simulated_time_s, energy_j : dict of str to float
        Of all that the method did: programming, calibration, training, and the test.
    pulses : dict of str to int
        Programming pulses of cells.
    calibration : dict of str to dict
        What calibrating cost.
    losses : dict of str to list of float
        Loss of each step of training in situ.
    on_tiles : float
        Fraction of the multiplications of an inference that tiles do; the rest is digital.
    tiles : int
        Tiles of the chip.
    """

    seed: int
    accuracy_percent: dict[str, float] = field(default_factory=dict)
    simulated_time_s: dict[str, float] = field(default_factory=dict)
    energy_j: dict[str, float] = field(default_factory=dict)
    pulses: dict[str, int] = field(default_factory=dict)
    calibration: dict[str, dict[str, float]] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    on_tiles: float = 0.0
    tiles: int = 0

    def __str__(self) -> str:
        """Return a line for each method, and the share of the multiplications that tiles do."""
        wide = max(map(len, self.accuracy_percent))
        lines = [f"{'method'.ljust(wide)}  accuracy       time     energy    pulses"]
        for name, accuracy in self.accuracy_percent.items():
            line = f"{name.ljust(wide)}  {accuracy:6.2f} %"
            if name in self.pulses:
                line += f"  {self.simulated_time_s[name]:.3e} s  {self.energy_j[name]:.3e} J  {self.pulses[name]}"
            lines.append(line)
        digital = f"{1 - self.on_tiles:.2%} of the multiplications stay digital"
        return "\n".join([*lines, f"{self.tiles} tiles; {digital}"])


def evaluate(
    model: torch.nn.Module,
    data: Any,
    chip: ChipSpec | str | os.PathLike[str] | None = None,
    methods: Sequence[str] = ("raw", "calibration"),
    out: str | os.PathLike[str] | None = None,
    seed: int = 1,
    *,
    digital: Sequence[str] = (),
    calibration: str | Sequence[str] = JOINED,
    epochs: int = 1,
    batch: int = 50,
    optimiser: MakeOptimiser | None = None,
    weight_range: float = 1.5,
    progress: Progress = lambda *_: None,
) -> Run:
    """Put a trained classifier on a chip and test it; each method begins on the same chip, as it was fabricated.

    Parameters
    ----------
    model : torch.nn.Module
        The network, trained; it is left as it is.
    data : Dataset, torch Dataset, (inputs, labels), or (train inputs, train labels, test inputs, test labels)
        Examples with classes; without a part to test with, a fifth of each class is drawn for that.
    chip : ChipSpec or path of a TOML file, optional
        The chip; the default one when left out.
    methods : sequence of str
        ``"raw"``: programmed with a write-verify loop. ``"calibration"``: and calibrated, batch norms measured.
        ``"in_situ"`` and ``"calibration_in_situ"``: and trained on the chip, each step of the optimiser by pulses.
    out : path, optional
        A new or empty folder, which gets ``results.json``.
    seed : int
        Seed of chip, order and dropout.
    digital : sequence of str
        As in :func:`convert`.
    calibration : str or sequence of str
        As in :func:`calibrate`.
    epochs, batch : int
        Passes over the training examples in situ, >= 1, and examples a step, >= 1.
    optimiser : callable, optional
        Makes one for parameters; ``torch.optim.SGD(..., lr=0.01, momentum=0.9)`` when left out.
    weight_range : float
        As in :func:`convert`: room that training in situ has.
    progress : callable
        Called with (what, steps done, steps).

    Raises
    ------
    ValidationError
        If something cannot go on tiles, the data do not fit, or an argument breaks its rule.
    DataFileError
        If a file cannot be read or written.
    """
    chosen = _methods(methods)
    checked_methods(calibration)
    integer("seed", seed, 0)
    for name, value in (("epochs", epochs), ("batch", batch)):
        integer(name, value, 1)
    if isinstance(chip, Chip):
        raise ValidationError(
            "chip", "must be a specification or a file, for each method has a chip of its own", "Chip"
        )
    folder = None if out is None else _folder(out)
    parameters = list(model.parameters()) if isinstance(model, torch.nn.Module) else []
    examples = _fitting(examples_of(data, seed), parameters)
    sample = examples.train_inputs[:SAMPLE]

    def fresh() -> torch.nn.Module:
        return convert(model, chip, seed, sample=sample, digital=digital, weight_range=weight_range).eval()

    analog, run = fresh(), Run(seed)
    _check_outputs(analog, examples)
    with digitally(analog):
        run.accuracy_percent["digital"] = _accuracy(analog, examples)
    needs = summary(analog, sample[:1])
    run.on_tiles, run.tiles = cast(float, needs.on_tiles), needs.tiles
    for number, method in enumerate(chosen):
        progress(method, number, len(chosen))
        net = analog if number == 0 else fresh()
        hardware = chip_of(net)
        program(net, verify=True)
        if method.startswith("calibration"):
            run.calibration[method] = calibrate(net, sample, calibration).as_dict()
        if method.endswith("in_situ"):
            made = _default_optimiser if optimiser is None else optimiser
            run.losses[method] = _train(net, examples, made(net.parameters()), epochs, batch, seed, progress)
        run.accuracy_percent[method] = _accuracy(net, examples)
        run.simulated_time_s[method], run.energy_j[method] = hardware.now, hardware.ledger.energy
        run.pulses[method] = hardware.ledger.pulses
    if folder is not None:
        write_text(folder / "results.json", json.dumps(asdict(run), indent=2) + "\n")
    return run


def _methods(methods: Sequence[str]) -> list[str]:
    given = [methods] if isinstance(methods, str) else list(methods)
    for name in given:
        if name not in METHODS:
            raise ValidationError("methods", f"must be of {', '.join(METHODS)}{did_you_mean(name, METHODS)}", name)
    if not given or len(set(given)) < len(given):
        raise ValidationError("methods", "must name one or more, each once", str(given))
    return given


def _folder(out: str | os.PathLike[str]) -> Path:
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValidationError("out", "must be a new or empty folder", str(path))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(path, f"cannot be made: {error.strerror}") from None
    return path


def _fitting(examples: Examples, parameters: Sequence[torch.Tensor]) -> Examples:
    """Return examples with inputs of the type that the network computes in."""
    kind = next((each.dtype for each in parameters if each.is_floating_point()), torch.get_default_dtype())
    return Examples(
        examples.train_inputs.to(kind), examples.train_labels, examples.test_inputs.to(kind), examples.test_labels
    )


def _default_optimiser(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def _check_outputs(net: torch.nn.Module, examples: Examples) -> None:
    with digitally(net), evaluating(net):
        shape = tuple(net(examples.test_inputs[:2]).shape)
    if len(shape) != 2 or shape[1] < examples.classes:
        rule = f"must give (batch, classes): the data have {examples.classes} classes"
        raise ValidationError("model", rule, shape)


def _accuracy(net: torch.nn.Module, examples: Examples) -> float:
    right = 0
    with evaluating(net):
        for inputs, labels in zip(
            examples.test_inputs.split(AT_ONCE), examples.test_labels.split(AT_ONCE), strict=True
        ):
            right += int((net(inputs).argmax(1) == labels).sum())
    return 100.0 * right / len(examples.test_labels)


def _train(
    net: torch.nn.Module,
    examples: Examples,
    optimiser: torch.optim.Optimizer,
    epochs: int,
    batch: int,
    seed: int,
    progress: Progress,
) -> list[float]:
    """Train on the chip: hardware forward, digital backward, pulses for what the optimiser changes."""
    deadband = chip_of(net).spec.programming.deadband
    losses: list[float] = []
    count = len(examples.train_labels)
    steps = epochs * -(-count // batch)
    net.train()
    with torch.random.fork_rng(devices=[]):
        for epoch in range(epochs):
            order = torch.from_numpy(stream(seed, Purpose.BATCHES, epoch).permutation(count))
            for step, chosen in enumerate(order.split(batch)):
                progress("in situ", len(losses), steps)
                # What dropout draws is addressed, as every random number is.
                torch.manual_seed(stream_key(seed, Purpose.BATCHES, epoch, step)[0] % 2**63)
                optimiser.zero_grad()
                loss = torch.nn.functional.cross_entropy(
                    net(examples.train_inputs[chosen]), examples.train_labels[chosen]
                )
                if not bool(torch.isfinite(loss)):
                    rule = (
                        f"must not make the loss {float(loss.detach())} (step {len(losses)}): lower its learning rate"
                    )
                    raise ValidationError("optimiser", rule)
                loss.backward()
                optimiser.step()
                program(net, deadband)
                losses.append(float(loss.detach()))
    net.eval()
    return losses
