"""Circuit-level co-simulation of memristive neuromorphic computing.

What will my network do on *this* memristor array, and can I trust the answer?

The layers, each importing only those to its left::

    errors, validation, files, rng -> config -> device -> tile -> converter -> engine -> control
        -> network -> calibration -> training -> study -> report -> cli
"""

import importlib
from typing import Any

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

_WITH_TORCH = dict.fromkeys(("evaluate", "summary"), "circuitmem.torch")
"""Names that come with the extra circuitmem[torch], which is imported when they are asked for."""


def __getattr__(name: str) -> Any:
    """Return :func:`circuitmem.torch.evaluate` or :func:`circuitmem.torch.summary`."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_WITH_TORCH[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"circuitmem.{name} needs PyTorch: pip install 'circuitmem[torch]'", name="torch") from None
