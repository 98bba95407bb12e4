"""What a network needs of a chip: tiles, cells, and the reads, time and energy of one inference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from circuitmem.network.layer import HardwareLayer

__all__ = ["LayerSummary", "NetworkSummary", "cells_used", "tiles_of", "used_columns"]


@dataclass(frozen=True)
class LayerSummary:
    """One layer on tiles.

    Attributes
    ----------
    name, kind : str
        Name and type of the module.
    inputs, outputs, groups : int
        Size of the matrix of each group, and how many groups there are.
    tiles : int
        Tiles of the layer; it may share them.
    columns : int
        Bit lines of these tiles that represent outputs, reference columns included.
    cells_used : float
        Fraction of their cells that represent weights.
    vectors, reads : float, optional
        Vectors per input of the network, and the reads of single tiles that they need.
    signed : bool, optional
        Whether the vectors have both signs; then each is read twice.
    time_s, energy_j : float, optional
        Simulated time and energy of the layer for an input of the network.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    groups: int
    tiles: int
    columns: int
    cells_used: float
    vectors: float | None = None
    signed: bool | None = None
    reads: float | None = None
    time_s: float | None = None
    energy_j: float | None = None


@dataclass(frozen=True)
class NetworkSummary:
    """A network on a chip; ``print`` shows a table.

    Attributes
    ----------
    layers : tuple of LayerSummary
        Its layers on tiles, in the order of the modules.
    digital : tuple of str
        The other modules with parameters, which the digital core computes.
    multiplications : int, optional
        Multiplications by weights on tiles, and between matrices elsewhere, per input of the network.
    on_tiles : float, optional
        Fraction of the multiplications that tiles do.
    shared : int
        How often the layers' tile counts count a tile again, because several layers share it.
    """

    layers: tuple[LayerSummary, ...]
    digital: tuple[str, ...]
    multiplications: int | None = None
    on_tiles: float | None = None
    shared: int = 0

    @property
    def tiles(self) -> int:
        """Tiles of all layers."""
        return sum(layer.tiles for layer in self.layers) - self.shared

    @property
    def columns(self) -> int:
        """Bit lines of all layers that represent outputs."""
        return sum(layer.columns for layer in self.layers)

    @property
    def reads(self) -> float | None:
        """Reads of tiles for an input of the network."""
        return _total([layer.reads for layer in self.layers])

    @property
    def time_s(self) -> float | None:
        """Simulated time of an input, layer after layer."""
        return _total([layer.time_s for layer in self.layers])

    @property
    def energy_j(self) -> float | None:
        """Energy of an input."""
        return _total([layer.energy_j for layer in self.layers])

    def __str__(self) -> str:
        """Return a table of the layers, their sum, and what stays digital."""
        head = ["layer", "kind", "matrix", "tiles", "columns", "cells used"]
        rows = [
            [
                layer.name or "-",
                layer.kind,
                f"{layer.inputs}x{layer.outputs}" + (f" x{layer.groups}" if layer.groups > 1 else ""),
                f"{layer.tiles}",
                f"{layer.columns}",
                f"{layer.cells_used:.1%}",
            ]
            for layer in self.layers
        ]
        rows.append(["total", "", "", f"{self.tiles}", f"{self.columns}", ""])
        if self.reads is not None:
            head += ["vectors", "sign", "reads", "time", "energy"]
            for row, layer in zip(rows, self.layers, strict=False):
                row += [f"{layer.vectors:g}", "+-" if layer.signed else "+", *_costs(layer)]
            rows[-1] += ["", "", *_costs(self)]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        texts = {0, 1, 2}
        lines = [
            "  ".join(
                cell.ljust(width) if place in texts else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [head, *rows]
        ]
        if self.multiplications is not None:
            share = f"{self.on_tiles:.2%}"
            lines.append(f"on tiles: {share} of {self.multiplications} multiplications an input")
        lines.append(f"digital: {', '.join(self.digital) or 'no module with parameters'}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, including the sums over the layers."""
        sums = {"tiles": self.tiles, "columns": self.columns, "reads": self.reads}
        return asdict(self) | sums | {"time_s": self.time_s, "energy_j": self.energy_j}


def used_columns(layers: Iterable[HardwareLayer]) -> int:
    """Return the number of bit lines with weights or references on the tiles of layers."""
    return sum(len(place.columns) for layer in layers for place in layer.placements)


def cells_used(layers: Sequence[HardwareLayer]) -> float:
    """Return the share of the cells of the layers' tiles that represent weights or references."""
    used = sum(len(place.rows) * len(place.columns) for layer in layers for place in layer.placements)
    rows, columns = layers[0].chip.spec.tile.shape
    return used / (tiles_of(layers) * rows * columns)


def tiles_of(layers: Iterable[HardwareLayer]) -> int:
    """Return the number of tiles of layers; shared tiles count once."""
    return len({unit.index for layer in layers for unit in layer.units})


def _total(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(value for value in values if value is not None)


def _costs(of: LayerSummary | NetworkSummary) -> list[str]:
    assert of.reads is not None
    assert of.time_s is not None
    assert of.energy_j is not None
    return [f"{of.reads:g}", f"{of.time_s * 1e6:.4g} us", f"{of.energy_j * 1e9:.4g} nJ"]
