"""Two engines, one tile.

A tile with wires, stuck cells and sinh cells is computed by the kernels and by ngspice. The upper panel compares
the currents, the lower one shows their difference.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.engine import BehavioralEngine, SpiceEngine

spec = TileSpec(rows=16, columns=16, word_line_resistance=2.0, bit_line_resistance=2.0, cell=SinhCell(a=2.0))
rng = np.random.default_rng(3)
tile = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), defects=DefectMap.random(spec, yield_=0.8, seed=3))
voltages = rng.uniform(0.0, 0.3, (10, 16))
fast = BehavioralEngine().read(tile, voltages)
with SpiceEngine() as spice:
    exact = spice.read(tile, voltages)

figure = Figure(figsize=(4.2, 4.2), layout="constrained")
above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
above.plot(exact.ravel() * 1e6, fast.ravel() * 1e6, ".", markersize=4)
above.axline((0, 0), slope=1, color="black", linewidth=0.8)
above.set(ylabel="kernels (µA)")
below.semilogy(
    exact.ravel() * 1e6, np.maximum(np.abs(fast - exact).ravel() / np.abs(exact).max(), 1e-17), ".", markersize=4
)
below.set(xlabel="ngspice (µA)", ylabel="difference\n(of the largest)")
figure.savefig("03_two_engines.png", dpi=150)
