"""Devices that count pulses.

Conductance against the number of identical pulses, up and down again, for published devices. Few are as linear as
training by back-propagation assumes.
"""

import numpy as np
from matplotlib.figure import Figure

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import pulse_curves

figure = Figure(figsize=(4.6, 3.4), layout="constrained")
axes = figure.subplots()
for name in ("Ag:a-Si", "TaOx/HfOx", "PCMO", "EpiRAM"):
    spec = PulseUpdateSpec(published=name)
    share = np.linspace(0.0, 1.0, 101)
    up, down = pulse_curves(spec, share * spec.states, share * (spec.states_down or spec.states))
    low, high = up.min(), up.max()
    curve = np.concatenate([up, down[::-1]])
    axes.plot(np.concatenate([share, 1.0 + share]), (curve - low) / (high - low), label=name)
axes.set(xlabel="pulses / number of states", ylabel="share of the conductance range")
axes.legend()
figure.savefig("07_pulse_curves.png", dpi=150)
