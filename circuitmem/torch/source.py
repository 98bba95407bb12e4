"""Hashes of source and weights of a torch run, so that it is not continued with another network."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from circuitmem.errors import ValidationError
from circuitmem.files import sha256_of_file
from circuitmem.network import Network
from circuitmem.torch.state import as_array
from circuitmem.training.run import arrays_of

__all__ = ["check_begun", "sha256_of_weights", "sources_of"]


def sources_of(model: torch.nn.Module | Network, reference: str | None) -> dict[str, str]:
    """Return the SHA-256 of the source of each Python module that defines the network, by its name.

    These are the modules of its parts' classes and of the function that makes it, without torch and circuitmem.

    Parameters
    ----------
    model : torch.nn.Module or Network
        The network.
    reference : str, optional
        ``"package.module:function"``, the function that made it.
    """
    parts = model.modules() if isinstance(model, torch.nn.Module) else [model]
    names = {type(part).__module__ for part in parts}
    names |= {reference.partition(":")[0]} if reference else set()
    found = {}
    for name in sorted(names):
        if name.partition(".")[0] in ("torch", "circuitmem", "__main__"):  # a script does more than make a network
            continue
        try:
            file = inspect.getsourcefile(sys.modules[name])
        except (KeyError, TypeError):  # typed in by hand: there is no file
            continue
        if file is not None and Path(file).is_file():
            found[name] = sha256_of_file(file)
    return found


def sha256_of_weights(model: torch.nn.Module | Network) -> str:
    """Return one SHA-256 of names, types, shapes and values in the ``state_dict`` of a network, or in its arrays."""
    digest = hashlib.sha256()
    every: Mapping[str, Any] = model.state_dict() if isinstance(model, torch.nn.Module) else arrays_of(model)
    for name, values in every.items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update((as_array(values) if isinstance(values, torch.Tensor) else values).tobytes())
    return digest.hexdigest()


def check_begun(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with a network, or with arguments, that are not what a run was begun with.

    Parameters
    ----------
    before, now : mapping
        Contents of ``model.json``, then and now; ``weights_file`` is missing now if that file is gone.

    Raises
    ------
    ValidationError
        If they differ.
    """
    for name in sorted({*before["sources"], *now["sources"]}):
        _check("network.model", f"the source of {name}", before["sources"].get(name), now["sources"].get(name))
    for key, setting, what in (
        ("weights_file", "network.weights", "the file of the weights"),
        ("weights", "model", "the weights of the network"),
    ):
        if now.get(key) is not None:
            _check(setting, what, before.get(key), now[key])
    for key, value in now.get("arguments", {}).items():
        if before.get("arguments", {}).get(key) != value:
            raise ValidationError(
                key, f"must be {before.get('arguments', {}).get(key)}, as when the run was begun", value
            )


def _check(setting: str, what: str, before: str | None, now: str | None) -> None:
    if before != now:
        begun, found = (f"{each[:12]}..." if each else "none" for each in (before, now))
        raise ValidationError(setting, f"must be what the run was begun with: {what} had sha256 {begun}", found)
