"""Circuit-level co-simulation of memristive neuromorphic computing.

What will my network do on *this* memristor array, and can I trust the answer?

The layers, each importing only those to its left::

    errors, validation, files, rng -> config -> device -> tile -> converter -> engine -> control
        -> network -> calibration -> training -> study -> report -> cli
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitmem.config import LinearCell, SelectorCell, SinhCell, TileSpec, TransistorCell
    from circuitmem.tile import DefectMap, Tile

__all__ = [
    "DefectMap",
    "LinearCell",
    "SelectorCell",
    "SinhCell",
    "Tile",
    "TileSpec",
    "TransistorCell",
    "__version__",
]

__version__ = "0.2.0"

# OpenMP reads this when a library (torch or a kernel) first loads it. On a machine that other processes use too, a
# thread that spins while it waits takes the processor from the thread that it waits for. To wake one that sleeps takes
# longer than many reads, so GCC's library spins for some 0.2 ms first.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

_ROOMS = (
    dict.fromkeys(("LinearCell", "SelectorCell", "SinhCell", "TileSpec", "TransistorCell"), "circuitmem.config")
    | dict.fromkeys(("DefectMap", "Tile"), "circuitmem.tile")
    | dict.fromkeys(("evaluate", "summary"), "circuitmem.torch")
)
"""Module of each public name, imported on first access: worker processes of simulators need none of them, and the last
two need the extra circuitmem[torch]."""


def __getattr__(name: str) -> Any:
    """Return a public name, imported from its module on first access."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(_ROOMS[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"circuitmem.{name} needs PyTorch: pip install 'circuitmem[torch]'", name="torch") from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
