"""Hysteresis loops of four device models.

Four published device models under two periods of a sine: current against voltage, at amplitudes and frequencies
at which they switch. The third has 2 kohm in series, which limits its current.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem.config import IonDriftCellSpec, StanfordCellSpec, VteamCellSpec, YakopcicCellSpec
from circuitmem.device import simulate

figure = Figure(figsize=(4.6, 4.2), layout="constrained")
for axes, (name, declared, amplitude, period, ohms) in zip(
    figure.subplots(2, 2).ravel(),
    (
        ("VTEAM", VteamCellSpec(), 2.2, 4e-9, 0.0),
        ("Yakopcic", YakopcicCellSpec(), 0.45, 0.02, 0.0),
        ("Stanford-PKU", StanfordCellSpec(), 1.8, 1e-4, 2e3),
        ("linear ion drift", IonDriftCellSpec(), 1.0, 2.0, 0.0),
    ),
    strict=True,
):
    time = np.linspace(0.0, 2.0 * period, 4001)
    voltage = amplitude * np.sin(2.0 * np.pi * time / period)
    response = simulate(declared.model, time, voltage, series_resistance=ohms)
    axes.plot(voltage, response.current * 1e6, linewidth=1)
    axes.set(xlabel="voltage (V)", ylabel="current (µA)", title=name)
    axes.locator_params(axis="x", nbins=4)
figure.savefig("08_hysteresis.png", dpi=150)
