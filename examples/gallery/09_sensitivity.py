"""Which cells matter.

The gradient of the mean square error of all products with respect to every conductance, wires included, in one
call: cells near the drivers and amplifiers weigh more than those at the far corner.
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
axes.set(xlabel="column (bit line)", ylabel="row (word line)", title="what a change of a cell brings")
figure.colorbar(image, label="of what ideal wires bring (%)")
figure.savefig("09_sensitivity.png", dpi=150)
