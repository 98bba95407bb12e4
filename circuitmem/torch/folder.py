"""The folder of a run of a torch network: the files that a run of a network of layers has, and its page."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitmem.config import RunSpec
from circuitmem.control import Chip
from circuitmem.data import Dataset
from circuitmem.files import save_npz
from circuitmem.records import write_record
from circuitmem.training.methods import MethodResult
from circuitmem.training.run import make_folder, results_of, run_provenance

__all__ = ["RunFolder"]

NO_AUDIT: dict[str, Any] = {
    "reads": 0,
    "pulse_trains": 0,
    "largest_relative_error": None,
    "skipped_reason": "operations of torch networks are not done again in ngspice",
    "failures": [],
}


class RunFolder:
    """Writes a run, file by file, each of them whole or not there.

    Parameters
    ----------
    path : path
        A folder that does not exist or is empty.
    spec : RunSpec
        The run.
    data : Dataset
        Its data.
    model : torch.nn.Module
        The network, whose weights are kept.
    """

    def __init__(self, path: Path, spec: RunSpec, data: Dataset, model: torch.nn.Module) -> None:
        self.path, self.spec, self.data = path, spec, data
        self._began, self._stack = time.time(), ExitStack()
        self._results: dict[str, MethodResult] = {}
        self._digital = 0.0
        self._stack.enter_context(make_folder(path, spec, data))
        plain = {torch.bfloat16: torch.float32}  # what NumPy does not know
        weights = {n: w.detach().to(plain.get(w.dtype, w.dtype)).numpy() for n, w in model.state_dict().items()}
        save_npz(path / "weights.npz", weights)

    def __enter__(self) -> RunFolder:
        """Return the folder, locked."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others work on the folder."""
        self._stack.close()

    def digital(self, accuracy_percent: float) -> None:
        """Keep the accuracy of the digital network."""
        self._digital = accuracy_percent
        write_record(self.path / "digital.json", {"accuracy_percent": accuracy_percent})

    def method(self, name: str, result: MethodResult, chip: Chip, before: np.ndarray[Any, Any]) -> None:
        """Keep what a method came to, and what its cells conducted before training, (tiles, rows, columns) S."""
        stuck = np.array([unit.tile.stuck for unit in chip.units])
        states = {"stuck": stuck, "before": before, "after": conductances(chip)}
        save_npz(self.path / f"state_{name}.npz", states)
        write_record(self.path / f"method_{name}.json", result.as_dict())
        self._results[name] = result

    def finish(self, more: dict[str, Any]) -> dict[str, Any]:
        """Write results and provenance; returns what ``results.json`` holds, ``more`` too."""
        found = results_of(self.spec, self._digital, self._results, NO_AUDIT) | {"warnings": []} | more
        provenance = run_provenance(self.spec, self.data, self._began) | {"torch": torch.__version__}
        write_record(self.path / "provenance.json", provenance)
        write_record(self.path / "results.json", found)
        return found

    def draw(self) -> None:
        """Write the figures and the page of the finished run."""
        from circuitmem.report import draw_run, draw_run_page

        draw_run(self.path)
        draw_run_page(self.path, figures=False)


def conductances(chip: Chip) -> np.ndarray[Any, Any]:
    """Return what all cells conduct, (tiles, rows, columns) S."""
    return np.array([unit.tile.effective_conductance for unit in chip.units], dtype=np.float32)
