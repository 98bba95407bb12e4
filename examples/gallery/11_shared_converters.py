"""Read time against the number of converters.

If an ADC serves more columns, the chip is smaller but slower. Eight tiles of 64x64 are read 100 times;
with shared banks the tiles also wait for each other.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem.config import load_run
from circuitmem.control import Chip

shares = (1, 2, 4, 8, 16, 32, 64)
figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
for banks, label, marker in (([], "each tile has its own", "o"), (["chip.adc_banks=2"], "two banks for all", "s")):
    times = []
    for share in shares:
        chip = Chip(load_run(None, [f"chip.converters.adc.share={share}", *banks]).chip, tiles=8, seed=1)
        codes = np.random.default_rng(0).integers(0, 256, (100, 64))
        chip.run(chip.together(chip.read(unit, codes, "mac_read") for unit in chip.units))
        times.append(chip.now * 1e6)
    axes.loglog(shares, times, marker=marker, label=label)
axes.set_xticks(shares, [str(share) for share in shares])
axes.minorticks_off()
axes.set(xlabel="columns that an ADC serves", ylabel="100 reads of 8 tiles (µs)")
axes.legend()
figure.savefig("11_shared_converters.png", dpi=150)
