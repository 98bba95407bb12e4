"""How many bits a converter needs.

A tile with wires of 1 ohm is read through converters of 4 to 12 bits, on tiles without and with defects; the error
is relative to the currents of the tile without defects. Above a certain number of bits the tile limits the
accuracy, and not the converter.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.config import load_run
from circuitmem.converter import Readout
from circuitmem.engine import BehavioralEngine

bits = range(4, 13)
figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
for device_yield in (1.0, 0.95, 0.8):
    errors = []
    for width in bits:
        chip = load_run(None, [f"chip.converters.adc.bits={width}", "chip.converters.adc.noise=0.0"]).chip
        spec = TileSpec(
            rows=64,
            columns=64,
            word_line_resistance=1.0,
            bit_line_resistance=1.0,
            sense_resistance=chip.converters.tia.input_resistance,
        )
        rng = np.random.default_rng(6)
        conductance = rng.uniform(1e-6, 300e-6, spec.shape)
        codes = rng.integers(0, 256, (50, 64))
        readout = Readout(chip.converters, spec, seed=6)
        voltages = readout.dac.voltages(codes)
        defects = DefectMap.random(spec, yield_=device_yield, seed=6)
        currents = BehavioralEngine().read(Tile(spec, conductance, defects=defects), voltages)
        seen = readout.adc.nominal_current(readout.adc.codes(currents))
        wanted = BehavioralEngine().read(Tile(spec, conductance), voltages)
        errors.append(100.0 * np.sqrt(np.mean((seen - wanted) ** 2)) / wanted.max())
    axes.plot(bits, errors, "o-", label=f"{100 * device_yield:g} % of the cells work")
axes.set(xlabel="bits of the converter", ylabel="error of products (%)", ylim=(0, None))
axes.legend()
figure.savefig("06_converters.png", dpi=150)
