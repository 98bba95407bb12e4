"""What defects cost.

The same weights on tiles of decreasing yield, with wires of 1 ohm: half of the cells that do not work are stuck on,
half are stuck off. The error is relative to the same tile without defects; each point is a defect map.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.engine import BehavioralEngine

spec = TileSpec(rows=64, columns=64, word_line_resistance=1.0, bit_line_resistance=1.0)
rng = np.random.default_rng(4)
conductance = rng.uniform(1e-6, 300e-6, spec.shape)
voltages = rng.uniform(0.0, 0.2, (50, 64))
sound = BehavioralEngine().read(Tile(spec, conductance), voltages)

figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
yields = (1.0, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)
for place, device_yield in enumerate(yields):
    for seed in range(10):
        defects = DefectMap.random(spec, yield_=device_yield, seed=seed)
        error = BehavioralEngine().read(Tile(spec, conductance, defects=defects), voltages) - sound
        axes.plot(place, 100.0 * np.sqrt(np.mean(error**2)) / sound.max(), "o", color="tab:blue", alpha=0.5)
axes.set_xticks(range(len(yields)), [f"{100 * device_yield:g}" for device_yield in yields])
axes.set(xlabel="cells that work (%)", ylabel="error of products (%)", ylim=(0, None))
figure.savefig("04_defects.png", dpi=150)
