"""How large a tile may be.

The error of products (rms, of the largest ideal product) grows with the size of the tile and with the resistance
of its wires. Conductances and inputs are random; there are no defects.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import Tile, TileSpec
from circuitmem.engine import BehavioralEngine

sizes = (16, 32, 64, 128, 256)
rng = np.random.default_rng(1)
figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
for ohms, marker in ((0.5, "o"), (1.0, "s"), (2.0, "^")):
    errors = []
    for size in sizes:
        spec = TileSpec(rows=size, columns=size, word_line_resistance=ohms, bit_line_resistance=ohms)
        conductance = rng.uniform(1e-6, 300e-6, spec.shape)
        voltages = rng.uniform(0.0, 0.2, (50, size))
        ideal = voltages @ conductance
        error = BehavioralEngine().read(Tile(spec, conductance), voltages) - ideal
        errors.append(100.0 * np.sqrt(np.mean(error**2)) / ideal.max())
    axes.loglog(sizes, errors, marker=marker, label=f"{ohms:g} Ω a segment")
axes.set_xticks(sizes, [str(size) for size in sizes])
axes.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
axes.minorticks_off()
axes.set(xlabel="rows and columns of the tile", ylabel="error of products (%)")
axes.legend()
figure.savefig("02_tile_size.png", dpi=150)
