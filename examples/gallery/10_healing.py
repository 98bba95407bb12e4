"""Calibration and training in situ, step by step.

A small network on a chip in which one device of five is stuck: test accuracy against the energy spent, for
training alone and for training of a calibrated chip. The dashed line is the digital network.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

small = [
    "data.side=14", "data.train=1000", "data.test=300", "network.layers=[196,24,10]", "in_situ.epochs=2",
    "in_situ.batch=50", "in_situ.evaluate_every=5", "ex_situ.epochs=60", "audit.tiles=0", "audit.fraction=0.0",
]  # fmt: skip
with TemporaryDirectory() as folder:
    run = Path(folder, "run")
    settings = [word for setting in small for word in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "circuitmem", "train", "--out", str(run), *settings], check=True)
    results = json.loads((run / "results.json").read_text())

figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
for method, label, marker in (("in_situ", "in-situ only", "o"), ("calibration_in_situ", "calibration + in-situ", "s")):
    history = sorted(results["history"][method] + results["between"][method], key=lambda entry: entry["epoch"])
    energy = [entry["energy_j"] * 1e3 for entry in history]
    axes.plot(energy, [entry["accuracy_percent"] for entry in history], marker=marker, markersize=4, label=label)
axes.axhline(results["accuracy_percent"]["digital"], color="black", linestyle="--", label="digital network")
axes.set(xlabel="energy (mJ)", ylabel="test accuracy (%)")
axes.legend()
figure.savefig("10_healing.png", dpi=150)
