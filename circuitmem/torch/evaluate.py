"""What a network does on a chip: as programmed, calibrated, and trained in situ, on one defect map."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from circuitmem.config import CalibrationSpec, ChipSpec, DataSpec, InSituSpec, NetworkSpec, RunSpec, load_run
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.registry import is_reference
from circuitmem.torch.bring_up import JOINED, chip_of
from circuitmem.torch.convert import convert
from circuitmem.torch.examples import Examples, examples_of
from circuitmem.torch.folder import RunFolder, conductances
from circuitmem.torch.method import (
    SAMPLE,
    InSitu,
    MakeOptimiser,
    accuracy_of,
    default_optimiser,
    outputs_of,
    run_method,
)
from circuitmem.torch.observe import digitally
from circuitmem.torch.product import checked_methods
from circuitmem.torch.summary import summary
from circuitmem.training.run import check_new
from circuitmem.validation import did_you_mean, integer

__all__ = ["METHODS", "Run", "carry_out", "evaluate"]

METHODS = ("raw", "calibration", "in_situ", "calibration_in_situ")

Progress = Callable[[str, int, int], None]


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
        Of programming, calibration and training; tests are not counted.
    pulses : dict of str to int
        Programming pulses of cells.
    calibration : dict of str to dict
        What calibrating cost.
    losses : dict of str to list of float
        Mean loss of each epoch of training in situ.
    history : dict of str to list of dict
        What was reached after each epoch, 0 before training: ``epoch``, ``accuracy_percent``, ``pulses``,
        ``simulated_time_s``, ``energy_j``.
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
    history: dict[str, list[dict[str, float]]] = field(default_factory=dict)
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
    optimiser: MakeOptimiser = default_optimiser,
    weight_range: float = 1.5,
    progress: Progress = lambda *_: None,
) -> Run:
    """Put a trained classifier on a chip and test it; each method begins on the same chip, as it was fabricated.

    Parameters
    ----------
    model : torch.nn.Module
        The network, trained; it is left as it is.
    data : Dataset, torch Dataset, path, (inputs, labels), or (train inputs, train labels, test inputs, test labels)
        What :func:`circuitmem.data.load_dataset` takes, with classes; without a part to test with, a fifth of each
        class is drawn for that.
    chip : ChipSpec or path of a TOML file, optional
        The chip; the default one when left out.
    methods : sequence of str
        ``"raw"``: programmed with a write-verify loop. ``"calibration"``: and calibrated, batch norms measured.
        ``"in_situ"`` and ``"calibration_in_situ"``: and trained on the chip, each step of the optimiser by pulses.
    out : path, optional
        A new or empty folder, which gets the files of a run: configuration, weights, results, provenance, and a page.
    seed : int
        Seed of chip, order and dropout.
    digital : sequence of str
        As in :func:`convert`.
    calibration : str or sequence of str
        As in :func:`calibrate`.
    epochs, batch : int
        Passes over the training examples in situ, >= 1, and examples a step, >= 1.
    optimiser : callable, optional
        Makes one for parameters; momentum with a step size of 0.01 when left out.
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
    names = checked_methods(calibration)
    integer("seed", seed, 0)
    for name, value in (("epochs", epochs), ("batch", batch)):
        integer(name, value, 1)
    if isinstance(chip, Chip):
        raise ValidationError(
            "chip", "must be a specification or a file, for each method has a chip of its own", "Chip"
        )
    if not isinstance(model, torch.nn.Module):
        raise ValidationError("model", "must be a torch.nn.Module", type(model).__name__)
    examples = examples_of(data, seed)
    made_by = f"{type(model).__module__}:{type(model).__qualname__}"
    spec = RunSpec(
        seed=seed,
        methods=cast(Any, tuple(chosen)),
        chip=chip if isinstance(chip, ChipSpec) else load_run(chip).chip,
        network=NetworkSpec(model=made_by if is_reference(made_by) else "model:given", digital=tuple(digital)),
        data=DataSpec(source=examples.data.name or "arrays", scale="none"),
        calibration=CalibrationSpec(method=cast(Any, names)),
        in_situ=InSituSpec(epochs=epochs, batch=batch),
    )
    how = dict.fromkeys(chosen, InSitu(epochs, batch, optimiser, names))
    return carry_out(model, examples, spec, how, None if out is None else Path(out), weight_range, progress)


def carry_out(
    model: torch.nn.Module,
    examples: Examples,
    spec: RunSpec,
    how: Mapping[str, InSitu],
    out: Path | None,
    weight_range: float = 1.5,
    progress: Progress = lambda *_: None,
    draws: bool = True,
) -> Run:
    """Do what :func:`evaluate` does, for a run that is declared.

    Parameters
    ----------
    model : torch.nn.Module
        The network, trained.
    examples : Examples
        What to train and test it with.
    spec : RunSpec
        Seed, chip and methods.
    how : mapping of str to InSitu
        Calibration and training of each method.
    out : path, optional
        Folder to write.
    weight_range : float
        As in :func:`convert`.
    progress : callable
        Called with (what, steps done, steps).
    draws : bool
        Whether to write figures and page too.
    """
    examples = examples.fitting(model)
    sample = examples.train_inputs[:SAMPLE]
    if out is not None:
        check_new(out)

    def fresh() -> torch.nn.Module:
        options = {"sample": sample, "digital": spec.network.digital, "weight_range": weight_range}
        return convert(model, spec.chip, spec.seed, **options).eval()

    analog, run = fresh(), Run(spec.seed)
    with digitally(analog):
        examples = examples.for_outputs(tuple(outputs_of(analog, examples.test_inputs[:2]).shape))
        outputs = outputs_of(analog, examples.test_inputs)
    if not bool(torch.isfinite(outputs).all()):
        raise ValidationError("model", "must give finite outputs for the test inputs")
    run.accuracy_percent["digital"] = accuracy_of(outputs, examples.test_targets)
    needs = summary(analog, sample[:1])
    run.on_tiles, run.tiles = cast(float, needs.on_tiles), needs.tiles
    with nullcontext() if out is None else RunFolder(out, spec, examples.data, model) as folder:
        if folder is not None:
            folder.digital(run.accuracy_percent["digital"])
        for number, method in enumerate(spec.methods):
            progress(method, number, len(spec.methods))
            net = analog if number == 0 else fresh()
            before: list[np.ndarray[Any, Any]] = []
            steps = partial(progress, "in situ")

            def keep(net: torch.nn.Module = net, before: list[Any] = before) -> None:
                before.append(conductances(chip_of(net)))

            result = run_method(
                method,
                net,
                examples,
                how[method],
                spec.seed,
                steps,
                keep,
            )
            run.accuracy_percent[method], run.history[method] = result.accuracy_percent, result.history
            run.simulated_time_s[method], run.energy_j[method] = result.simulated_time_s, result.energy_j
            run.pulses[method] = result.pulses
            if method.startswith("calibration"):
                run.calibration[method] = result.calibration
            if result.losses:
                run.losses[method] = result.losses
            if folder is not None:
                folder.method(method, result, chip_of(net), before[0])
        if folder is not None:
            folder.finish({"on_tiles": run.on_tiles, "tiles": run.tiles, "losses": run.losses})
            if draws:
                progress("page", 0, 1)
                folder.draw()
    return run


def _methods(methods: Sequence[str]) -> list[str]:
    given = [methods] if isinstance(methods, str) else list(methods)
    for name in given:
        if name not in METHODS:
            raise ValidationError("methods", f"must be of {', '.join(METHODS)}{did_you_mean(name, METHODS)}", name)
    if not given or len(set(given)) < len(given):
        raise ValidationError("methods", "must name one or more, each once", str(given))
    return given
