"""Where a tile loses its voltage.

All inputs of a 64x64 tile are at 0.2 V and all cells have 100 µS; each segment of wire has 2 ohm. The map shows
the remaining voltage across each cell. It is lowest in the corner that is far from the drivers and the amplifiers.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import Tile, TileSpec
from circuitmem.engine import BehavioralEngine

spec = TileSpec(rows=64, columns=64, word_line_resistance=2.0, bit_line_resistance=2.0)
tile = Tile(spec, np.full(spec.shape, 100e-6))
solution = BehavioralEngine().solve(tile, np.full((1, 64), 0.2))
across = (solution.word_line_voltage - solution.bit_line_voltage)[0]

figure = Figure(figsize=(4.2, 3.4), layout="constrained")
axes = figure.subplots()
image = axes.imshow(across * 1e3, origin="upper", cmap="viridis")
axes.set(xlabel="column (bit line)", ylabel="row (word line)", title="voltage across the cells")
figure.colorbar(image, label="voltage (mV)")
figure.savefig("01_wire_drop.png", dpi=150)
print(f"best cell {across.max() * 1e3:.1f} mV, worst {across.min() * 1e3:.1f} mV of 200 mV")
