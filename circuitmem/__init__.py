"""Circuit-level co-simulation of memristive neuromorphic computing.

What will my network do on *this* memristor array, and can I trust the answer?

The layers, each importing only those to its left::

    errors, validation, files, rng -> config -> device -> tile -> converter -> engine -> control
        -> network -> calibration -> training -> study -> report -> cli
"""

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

__version__ = "0.1.0"
