"""A run whose network is a user's own: ``[network] model`` and ``weights``, trained on a computer if it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.lib.npyio import NpzFile

from circuitmem.config import ExSituSpec, InSituSpec, RunSpec
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.network import NetworkSummary
from circuitmem.records import Results, read_record
from circuitmem.registry import load
from circuitmem.rng import Purpose, stream, stream_key
from circuitmem.torch.bring_up import JOINED
from circuitmem.torch.evaluate import METHODS, carry_out
from circuitmem.torch.examples import Examples
from circuitmem.torch.method import InSitu, MakeOptimiser, outputs_of, train_step
from circuitmem.torch.product import checked_methods
from circuitmem.torch.summary import summary
from circuitmem.training import load_source
from circuitmem.training.data import located
from circuitmem.training.ex_situ import goes_on, has_converged
from circuitmem.training.run import check_new

__all__ = ["build_model", "load_weights", "start_model_run", "summarize_model"]

Progress = Callable[[str, int, int], None]


def start_model_run(spec: RunSpec, folder: str | Path, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Make a new run folder and run all methods on a user's network; returns what ``results.json`` holds.

    Parameters
    ----------
    spec : RunSpec
        What to run; it has a ``network.model``.
    folder : path
        A folder that does not exist or is empty.
    progress : callable
        Called with (what, steps done, steps).

    Raises
    ------
    ValidationError
        If the configuration asks for what such runs cannot do, or the network does not fit its weights or its data.
    DataFileError
        If a file cannot be had.
    """
    path, spec = Path(folder), _checked(located(spec))
    check_new(path)
    progress("data", 0, 1)
    examples, model = _examples(spec), build_model(spec)
    examples = examples.fitting(model)
    examples = examples.for_outputs(tuple(outputs_of(model, examples.test_inputs[:2]).shape))
    if spec.network.weights is None:
        _train(model, examples, spec.ex_situ, spec.seed, progress)
    how: dict[str, InSitu] = {
        name: InSitu(
            spec.in_situ.epochs,
            spec.in_situ.batch,
            _optimiser(spec.in_situ, name),
            spec.calibration.method,
            spec.calibration.vectors,
            falls=True,
        )
        for name in spec.methods
    }
    carry_out(model, examples, spec, how, path, progress=progress, draws=False)
    return read_record(path / "results.json", Results)


def summarize_model(spec: RunSpec) -> NetworkSummary:
    """Return what the network of a run needs of its chip."""
    examples = _examples(spec)
    return summary(build_model(spec), examples.data, spec.chip, spec.seed, digital=spec.network.digital)


def _checked(spec: RunSpec) -> RunSpec:
    """Return a run with the calibration that it will have; refuse what a run of a torch network cannot do."""
    for name in spec.methods:
        if name not in METHODS:
            raise ValidationError("methods", f"must be of {', '.join(METHODS)} with network.model", name)
    for key, value in (("trace", spec.trace), ("vcd", spec.vcd), ("reuse_error", spec.reuse_error)):
        if value:
            raise ValidationError(key, "must be left out with network.model", value)
    for key, unused in (
        ("data.held_back", spec.data.held_back),
        ("ex_situ.patience", spec.ex_situ.patience),
        ("in_situ.patience", spec.in_situ.patience),
        ("in_situ.evaluate_every", spec.in_situ.evaluate_every),
        ("ex_situ.schedule", spec.ex_situ.schedule),
        ("in_situ.schedule", spec.in_situ.schedule),
    ):
        if unused not in (0, "linear"):
            raise ValidationError(key, "must be left out with network.model", unused)
    if spec.in_situ.epochs == 0 and any(name.endswith("in_situ") for name in spec.methods):
        raise ValidationError("in_situ.epochs", "must be >= 1 with network.model", 0)
    method = spec.calibration.method if "method" in spec.calibration.model_fields_set else JOINED
    checked_methods(method)
    calibration = spec.calibration.model_copy(update={"method": method})
    return spec.model_copy(update={"calibration": calibration})


def _examples(spec: RunSpec) -> Examples:
    """Return the data of a run, scaled for a network of torch."""
    data = load_source(spec.data, spec.seed)
    if spec.data.scale == "auto":
        scale = "none" if data.bounded or spec.network.weights is not None else "standard"
    else:
        scale = spec.data.scale
    return Examples.of(data.scaled(cast(Any, scale)))


def build_model(spec: RunSpec) -> torch.nn.Module:
    """Return the network that ``network.model`` names, with the weights that ``network.weights`` has.

    Raises
    ------
    ValidationError
        If it names nothing that returns a ``torch.nn.Module``, or weights do not fit.
    DataFileError
        If the file of the weights cannot be read.
    """
    assert spec.network.model is not None
    made = load(spec.network.model, "network.model")
    rule = "must be package.module:function that returns a torch.nn.Module"
    if not callable(made):
        raise ValidationError("network.model", rule, type(made).__name__)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_key(spec.seed, Purpose.WEIGHTS)[0] % 2**63)
        try:
            model = made()
        except CircuitmemError:
            raise
        except Exception as error:  # whatever the function of a user does
            words = f"{rule}; {spec.network.model} raises {type(error).__name__}: {error}"
            raise ValidationError("network.model", words) from error
    if not isinstance(model, torch.nn.Module):
        raise ValidationError("network.model", rule, type(model).__name__)
    if spec.network.weights is not None:
        load_weights(model, spec.network.weights)
    return model


def load_weights(model: torch.nn.Module, path: str | Path) -> None:
    """Put the weights of a file into a network: a ``state_dict`` that runs no code when it is read, or a npz file.

    Raises
    ------
    ValidationError
        If names or shapes are not those of the network, or a number is not finite.
    DataFileError
        If the file cannot be read, or holds something else.
    """
    found = _npz(path) if Path(path).suffix == ".npz" else _state_dict(path)
    wanted = model.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # frozen networks may lack them
    wrong = [f"missing {name}" for name in wanted if name not in found and name not in counters]
    wrong += [f"unexpected {name}" for name in found if name not in wanted]
    wrong += [
        f"{name} is {tuple(found[name].shape)}, the module's {tuple(own.shape)}"
        for name, own in wanted.items()
        if name in found and found[name].shape != own.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValidationError("network.weights", f"must fit the module: {'; '.join(wrong[:5])}{more}")
    for name, values in found.items():
        bad = ~torch.isfinite(values) if values.is_floating_point() else torch.zeros((), dtype=torch.bool)
        if bool(bad.any()):
            raise ValidationError("network.weights", f"must be finite: {name} is not at {int(bad.sum())} places")
    model.load_state_dict(wanted | found)


def _state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror or error}") from None
    except Exception:  # a file that is none makes pickle, zipfile and torch raise errors of several kinds
        raise DataFileError(path, "cannot be read without running its code: save model.state_dict()") from None
    if not isinstance(found, Mapping) or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise DataFileError(path, "must hold a state_dict, tensors by name: save model.state_dict()")
    return dict(found)


def _npz(path: str | Path) -> dict[str, torch.Tensor]:
    try:
        with open(path, "rb") as opened, NpzFile(opened, allow_pickle=False) as file:
            return {name: torch.from_numpy(np.array(file[name])) for name in file.files if name != "sha256"}
    except FileNotFoundError:
        raise DataFileError(path, "no such file") from None
    except Exception as error:  # a damaged file makes zipfile, zlib and numpy raise errors of a dozen kinds
        raise DataFileError(path, f"is not a npz file of numbers ({' '.join(str(error).split())})") from None


def _train(model: torch.nn.Module, examples: Examples, spec: ExSituSpec, seed: int, progress: Progress) -> None:
    """Train with Adam on a computer, until the loss falls no more, as networks of layers are."""
    count = len(examples.train_targets)
    batches = -(-count // spec.batch)
    done, total = 0, spec.epochs
    optimiser = torch.optim.Adam(model.parameters(), lr=spec.learning_rate)
    with torch.random.fork_rng(devices=[]):
        model.train()
        while done < total:
            losses: list[float] = []
            steps = (total - done) * batches
            for epoch in range(done, total):
                order = torch.from_numpy(stream(seed, Purpose.BATCHES, 0, epoch).permutation(count))
                for step, chosen in enumerate(order.split(spec.batch)):
                    torch.manual_seed(stream_key(seed, Purpose.BATCHES, 0, epoch, step)[0] % 2**63)
                    for group in optimiser.param_groups:
                        group["lr"] = spec.learning_rate * (1.0 - len(losses) / steps)
                    losses.append(train_step(model, examples, chosen, optimiser, len(losses)))
                progress("digital", epoch + 1, total)
            done = total
            guessing, last = math.log(examples.data.outputs), float(np.mean(losses[7 * len(losses) // 8 :]))
            if goes_on(has_converged(losses, guessing), last, guessing, done * batches):
                total = min(2 * total, spec.max_epochs)
        model.eval()


def _optimiser(spec: InSituSpec, method: str) -> MakeOptimiser:
    """Return what makes the optimiser that a run declares for a method."""
    own = spec.after_calibration() if method.startswith("calibration") else spec
    kinds: dict[str, MakeOptimiser] = {
        "sgd": lambda parameters: torch.optim.SGD(parameters, lr=own.learning_rate),
        "momentum": lambda parameters: torch.optim.SGD(parameters, lr=own.learning_rate, momentum=own.momentum),
        "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=own.learning_rate),
        "adam": lambda parameters: torch.optim.Adam(parameters, lr=own.learning_rate),
    }
    if own.optimiser not in kinds:
        raise ValidationError(
            "in_situ.optimiser", f"must be one of {', '.join(kinds)} with network.model", own.optimiser
        )
    return kinds[own.optimiser]
