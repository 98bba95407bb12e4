"""Which cells matter.

One call returns the gradient of the sum of all column currents with respect to every conductance, wires included.
Cells near the drivers and amplifiers have a larger effect than those in the far corner.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import Tile, TileSpec
from circuitmem.engine import BehavioralEngine

spec = TileSpec(rows=64, columns=64, word_line_resistance=4.0, bit_line_resistance=4.0)
rng = np.random.default_rng(9)
tile = Tile(spec, np.full(spec.shape, 100e-6))
voltages = rng.uniform(0.0, 0.2, (200, 64))
gradient = BehavioralEngine().gradient(tile, voltages, np.ones((200, 64)))
share = gradient.conductance / voltages.sum(axis=0)[:, None]

figure = Figure(figsize=(4.2, 3.4), layout="constrained")
axes = figure.subplots()
image = axes.imshow(100.0 * share, cmap="viridis")
axes.set(xlabel="column (bit line)", ylabel="row (word line)", title="effect of a change of a cell")
figure.colorbar(image, label="relative to ideal wires (%)")
figure.savefig("09_sensitivity.png", dpi=150)
