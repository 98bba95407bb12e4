"""Networks that a configuration names, and the files of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.lib.npyio import NpzFile

from circuitmem.config import RunSpec
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.registry import load
from circuitmem.rng import Purpose, stream_key

__all__ = ["build_model", "check_shapes", "load_weights"]


def build_model(spec: RunSpec) -> torch.nn.Module:
    """Return the network that ``network.model`` names, with starting weights drawn from the run's seed.

    Raises
    ------
    ValidationError
        If it names nothing that returns a ``torch.nn.Module``.
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
        except Exception as error:  # a user's function may raise anything
            words = f"{rule}; {spec.network.model} raises {type(error).__name__}: {error}"
            raise ValidationError("network.model", words) from error
    if not isinstance(model, torch.nn.Module):
        raise ValidationError("network.model", rule, type(model).__name__)
    check_shapes(model)
    return model


def check_shapes(model: torch.nn.Module) -> None:
    """Raise :class:`ValidationError` if a layer, as LazyLinear, has no shape before it has seen inputs."""
    for name, module in model.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(map(torch.nn.parameter.is_lazy, own)):
            rule = f"must know the shapes of its layers: call it with inputs once, or give {name or 'it'} its sizes"
            raise ValidationError("model", rule, type(module).__name__)


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
    except Exception:  # a file of another format makes pickle, zipfile and torch raise errors of several kinds
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
