"""Evaluation of a network on a chip: as programmed, calibrated, and trained in situ, on one defect map."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from circuitmem.config import AuditSpec, CalibrationSpec, ChipSpec, DataSpec, NetworkSpec, RunSpec, load_run
from circuitmem.control import Chip
from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.network import Network
from circuitmem.records import Begun, Results, read_record, write_record
from circuitmem.registry import check, is_reference
from circuitmem.report import draw_run, draw_run_page
from circuitmem.torch.asking import AskingPlan, check_asking
from circuitmem.torch.bring_up import JOINED
from circuitmem.torch.examples import examples_of
from circuitmem.torch.network import MakeOptimiser, default_optimiser
from circuitmem.torch.plan import RunPlan, one_thread
from circuitmem.torch.product import checked_methods
from circuitmem.torch.source import check_begun, sha256_of_weights, sources_of
from circuitmem.training import Hooks
from circuitmem.training.beside import OnProgress
from circuitmem.training.carry_out import carry_out, summary_of
from circuitmem.training.run_folder import check_data, check_new, check_same, go_on_in, make_folder
from circuitmem.validation import integer

__all__ = ["Run", "evaluate"]


@dataclass
class Run:
    """Results of the methods; each dictionary has an entry per method. ``print`` shows a table.

    Attributes
    ----------
    seed : int
        Seed of the chip, the order of the examples, and what dropout draws.
    accuracy_percent : dict of str to float
        Accuracy on the test part, also of the ``"digital"`` network; empty if values are predicted.
    rmse, r2 : dict of str to float
        If values are predicted: root mean square error in their units, and R2.
    simulated_time_s, energy_j : dict of str to float
        Simulated time and energy of programming, calibration and training; tests are not counted.
    pulses : dict of str to int
        Programming pulses of cells.
    calibration : dict of str to dict
        Cost of the calibration.
    losses : dict of str to list of float
        Mean loss of each epoch of training in situ.
    history : dict of str to list of dict
        Results after each epoch, with epoch 0 before training: ``epoch``, ``accuracy_percent``, ``pulses``,
        ``simulated_time_s``, ``energy_j``.
    on_tiles : float
        Fraction of the multiplications of an inference that tiles do; the rest is digital.
    tiles : int
        Tiles of the chip.
    audit : dict
        Operations that were repeated in ngspice, and how far they were off; empty if nothing was written.
    warnings : list of dict
        Reasons why these numbers may mean little: ``kind``, ``message``, ``setting``, ``value``.
    """

    seed: int
    accuracy_percent: dict[str, float] = field(default_factory=dict)
    rmse: dict[str, float] = field(default_factory=dict)
    r2: dict[str, float] = field(default_factory=dict)
    simulated_time_s: dict[str, float] = field(default_factory=dict)
    energy_j: dict[str, float] = field(default_factory=dict)
    pulses: dict[str, int] = field(default_factory=dict)
    calibration: dict[str, dict[str, float]] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    history: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    on_tiles: float = 0.0
    tiles: int = 0
    audit: dict[str, Any] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Run:
        """Return the contents of ``results.json`` as a :class:`Run`."""
        run = cls(**{each.name: found[each.name] for each in fields(cls) if each.name in found})
        run.calibration = {name: own for name, own in run.calibration.items() if name.startswith("calibration")}
        return run

    def __str__(self) -> str:
        """Return a line for each method, the number of tiles, and the share of multiplications that stay digital."""
        scores = {name: f"{accuracy:6.2f} %" for name, accuracy in self.accuracy_percent.items()}
        scores |= {name: f"{rmse:.4g}, {self.r2[name]:.3f}" for name, rmse in self.rmse.items()}
        wide, high = max(map(len, scores)), "RMSE, R2" if self.rmse else "accuracy"
        lines = [f"{'method'.ljust(wide)}  {high}       time     energy    pulses"]
        for name, score in scores.items():
            line = f"{name.ljust(wide)}  {score}"
            if name in self.pulses:
                line += f"  {self.simulated_time_s[name]:.3e} s  {self.energy_j[name]:.3e} J  {self.pulses[name]}"
            lines.append(line)
        digital = f"{1 - self.on_tiles:.2%} of the multiplications stay digital"
        return "\n".join([*lines, f"{self.tiles} tiles; {digital}"])


def evaluate(
    model: torch.nn.Module | Network,
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
    weight_range: float | None = None,
    audit: int = 1,
    resume: bool = False,
    progress: OnProgress = lambda *_: None,
) -> Run:
    """Put a trained network on a chip and test it; each method begins on the same newly fabricated chip.

    Parameters
    ----------
    model : torch.nn.Module or Network
        A trained network, or one that asks for products (:class:`circuitmem.network.Network`), which gets its inputs as
        rows; it is left as it is.
    data : Dataset, torch Dataset, path, (inputs, labels), or (train inputs, train labels, test inputs, test labels)
        What :func:`circuitmem.data.load_dataset` takes, or what it returns (for values); without a test part, a fifth
        of each class is drawn for it.
    chip : ChipSpec or path of a TOML file, optional
        The chip; the default one when left out.
    methods : sequence of str
        ``"raw"``: programmed with a write-verify loop. ``"calibration"``: also calibrated, with batch norms measured.
        ``"in_situ"`` and ``"calibration_in_situ"``: also trained on the chip, each step of the optimiser by pulses.
        ``circuitmem list methods`` names all others.
    out : path, optional
        A new or empty folder for the files of a run: configuration, weights, checkpoints, results, provenance,
        audit, and a page.
    seed : int
        Seed of chip, order and dropout.
    digital : sequence of str
        As in :func:`convert`; only for a network of torch.
    calibration : str or sequence of str
        As in :func:`calibrate`.
    epochs, batch : int
        Passes over the training examples in situ, >= 1, and examples per step, >= 1.
    optimiser : callable, optional
        Called with parameters of torch, returns an optimiser; momentum with a step size of 0.01 when left out.
    weight_range : float, optional
        As in :func:`convert`, to leave room for training in situ; 1.5 when left out.
    audit : int
        With ``out``: least number of reads, and of pulse trains, per method to repeat in ngspice; 0 for none.
    resume : bool
        With ``out``: whether to continue the run in that folder, which was begun with the same arguments; the results
        are the same, bit for bit.
    progress : callable
        Called with (what, steps done, steps).

    Returns
    -------
    Run
        Accuracy, or errors of values, of the digital network and of each method, with time, energy and pulses.

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
    if not isinstance(model, torch.nn.Module | Network):
        raise ValidationError("model", "must be a torch.nn.Module, or a Network that asks", type(model).__name__)
    if resume and out is None:
        raise ValidationError("out", "must be the folder of the run to go on with")
    if out is not None and not resume:
        check_new(Path(out))
    examples = examples_of(data, seed)
    if isinstance(model, Network):
        check_asking(model, digital, optimiser)
    made_by = f"{type(model).__module__}:{type(model).__qualname__}"
    in_situ = {"epochs": epochs, "batch": batch, "gradient": "adjoint", "schedule": "constant"}
    if isinstance(model, Network):  # no optimiser of torch: declare the same one as in a run
        in_situ |= {"optimiser": "momentum", "learning_rate": 0.01}
    spec = RunSpec(
        seed=seed,
        methods=cast(Any, tuple(chosen)),
        chip=chip if isinstance(chip, ChipSpec) else load_run(chip).chip,
        network=NetworkSpec(
            model=made_by if is_reference(made_by) else "model:given",
            digital=tuple(digital),
            weight_range=weight_range,
        ),
        data=DataSpec(source=examples.data.name or "arrays", scale="none", task=examples.data.task),
        calibration=CalibrationSpec(method=cast(Any, names)),
        in_situ=cast(Any, in_situ),
        audit=AuditSpec(tiles=integer("audit", audit, 0), fraction=AuditSpec().fraction if audit else 0.0),
    )
    with one_thread():
        asks = isinstance(model, Network)
        plan = AskingPlan(spec, model, examples.data) if asks else RunPlan(spec, model, examples, optimiser)
        arguments = {"weight_range": spec.network.room, "optimiser": _description(optimiser)}
        return _carry_out(plan, None if out is None else Path(out), resume, arguments, progress)


def _description(optimiser: MakeOptimiser) -> str:
    """Return the name and the settings of an optimiser."""
    made = optimiser([torch.nn.Parameter(torch.zeros(1))])
    return f"{type(made).__name__} {made.defaults}"


def _carry_out(
    plan: RunPlan | AskingPlan, out: Path | None, resume: bool, arguments: dict[str, Any], progress: OnProgress
) -> Run:
    """Carry out a run that :func:`evaluate` has declared."""
    if out is None:
        start = plan.start()
        results = {name: start.make(name, Hooks(partial(progress, name))).finish() for name in plan.spec.methods}
        return Run.of(summary_of(plan.spec, plan.loaded, start, results, {}))
    now = {
        "model": None,
        "sources": sources_of(plan.model, None),
        "torch": torch.__version__,
        "weights": sha256_of_weights(plan.model),
        "arguments": arguments,
    }
    data = plan.loaded
    with _continued(out, plan.spec, data, now) if resume else make_folder(out, plan.spec, data):
        if not resume:
            write_record(out / "model.json", now)
            plan.save(out)
        elif (out / "results.json").exists():
            return Run.of(read_record(out / "results.json", Results))
        found = carry_out(plan.spec, out, data, plan.start, progress)
        progress("page", 0, 1)
        draw_run(out)
        draw_run_page(out, figures=False)
        return Run.of(found)


@contextmanager
def _continued(out: Path, spec: RunSpec, data: Dataset, now: dict[str, Any]) -> Iterator[None]:
    """Hold the lock of an interrupted run's folder, if the run was begun with the same network, data and arguments."""
    with go_on_in(out) as begun:
        check_same(begun, spec, "as when the run was begun")
        check_data(out, data)
        check_begun(read_record(out / "model.json", Begun), now)
        yield


def _methods(methods: Sequence[str]) -> list[str]:
    given = [methods] if isinstance(methods, str) else list(methods)
    for name in given:
        check("methods", name, "methods")
    if not given or len(set(given)) < len(given):
        raise ValidationError("methods", "must name one or more, each once", str(given))
    return given
