"""The main kernels through the public face, so that the same file times commits old and new."""

from __future__ import annotations

import numpy as np

from circuitmem import SinhCell, Tile, TileSpec
from circuitmem.engine import BehavioralEngine


def make_tile(size: int, ohms: float = 1.0, **spec: object) -> Tile:
    """Return a square tile, cells of 1 to 100 uS."""
    declared = {"rows": size, "columns": size, "word_line_resistance": ohms, "bit_line_resistance": ohms, **spec}
    return Tile(TileSpec.model_validate(declared), np.random.default_rng(size).uniform(1e-6, 1e-4, (size, size)))


class Vector:
    """One vector on a tile that was never seen before."""

    params = ([64, 128, 256, 512], [1.0, 10.0])
    param_names = ("size", "ohms")

    def setup(self, size: int, ohms: float) -> None:
        """Draw a tile and an input."""
        self.tile, self.engine = make_tile(size, ohms), BehavioralEngine(method="conjugate gradients")
        self.voltages = np.random.default_rng(0).uniform(0.0, 0.2, size)

    def time_read(self, _size: int, _ohms: float) -> None:
        """Column currents only."""
        self.engine.read(self.tile, self.voltages)

    def time_solve(self, _size: int, _ohms: float) -> None:
        """Every node voltage."""
        self.engine.solve(self.tile, self.voltages)

    def peakmem_read(self, _size: int, _ohms: float) -> None:
        """Memory of the process."""
        self.engine.read(self.tile, self.voltages)


class Newton:
    """One vector on a tile of sinh cells."""

    params = (64, 256)
    param_names = ("size",)

    def setup(self, size: int) -> None:
        """Draw a tile and an input."""
        self.tile, self.engine = make_tile(size, cell=SinhCell(a=2.0)), BehavioralEngine()
        self.voltages = np.random.default_rng(0).uniform(0.0, 0.2, size)

    def time_read(self, _size: int) -> None:
        """Column currents only."""
        self.engine.read(self.tile, self.voltages)


class TransferMatrix:
    """The transfer matrix of a tile, and of a layer's tiles in one call."""

    params = ([64, 128, 256, 512], ["float64", "float32"])
    param_names = ("size", "precision")

    def setup(self, size: int, _precision: str) -> None:
        """Draw tiles."""
        self.tiles, self.engine = [make_tile(size)] * 4, BehavioralEngine()

    def time_one(self, _size: int, precision: str) -> None:
        """One tile, all threads."""
        self.engine.transfer_matrix(self.tiles[0], np.dtype(precision))

    def time_four(self, _size: int, precision: str) -> None:
        """Four tiles, side by side."""
        self.engine.transfer(self.tiles, np.dtype(precision))


class Reads:
    """A thousand vectors through a transfer matrix at hand."""

    params = (64, 128, 256)
    param_names = ("size",)

    def setup(self, size: int) -> None:
        """Work out the matrix."""
        self.tile, self.engine = make_tile(size), BehavioralEngine()
        self.voltages = np.random.default_rng(0).uniform(0.0, 0.2, (1000, size))
        self.matrix = self.engine.transfer_matrix(self.tile)

    def time_read(self, _size: int) -> None:
        """Multiply, checks included."""
        self.engine.read(self.tile, self.voltages, matrix=self.matrix)


class Adjoint:
    """The gradient of a scalar of the column currents, 8 vectors."""

    params = (64, 128)
    param_names = ("size",)

    def setup(self, size: int) -> None:
        """Draw a tile and inputs."""
        self.tile, self.engine = make_tile(size), BehavioralEngine()
        self.voltages = np.random.default_rng(0).uniform(0.0, 0.2, (8, size))

    def time_gradient(self, size: int) -> None:
        """With respect to every cell and every input."""
        self.engine.gradient(self.tile, self.voltages, np.ones((8, size)))
