"""Sneak paths of a memory array, with and without selectors.

One cell is read at half-voltage bias while all others conduct. The figure shows the current of all other cells
divided by that of the selected cell, for linear cells and for cells with a threshold selector in series.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import LinearCell, SelectorCell, Tile, TileSpec
from circuitmem.engine import BehavioralEngine

read_voltage = 1.0
sizes = (4, 8, 16, 32, 64)
figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
for cell, label in ((LinearCell(), "linear cells"), (SelectorCell(threshold=0.6, swing=0.08), "with selectors")):
    shares = []
    for size in sizes:
        spec = TileSpec(rows=size, columns=size, word_line_resistance=1.0, bit_line_resistance=1.0, cell=cell)
        tile = Tile(spec, np.full(spec.shape, 100e-6))
        voltages = np.full((1, size), read_voltage / 2)
        voltages[0, 0] = read_voltage
        solution = BehavioralEngine().solve(tile, voltages)
        selected = solution.cell_current[0, 0, 0]
        shares.append((solution.column_current[0, 0] - selected) / selected)
    axes.loglog(sizes, shares, "o-", label=label)
axes.set_xticks(sizes, [str(size) for size in sizes])
axes.minorticks_off()
axes.set(xlabel="rows and columns", ylabel="current of other cells / selected cell")
axes.legend()
figure.savefig("05_sneak_paths.png", dpi=150)
