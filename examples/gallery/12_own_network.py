"""A network of your own on a chip.

A small convolutional torch network is trained off-line, put onto the tiles of chips in which 80 to 100 % of the
devices work, and tested raw and calibrated. It needs the extra ``circuitmem[torch]``.
"""

import torch
from matplotlib.figure import Figure

from circuitmem import evaluate
from circuitmem.config import load_run
from circuitmem.data import load_mnist

torch.manual_seed(12)
data = load_mnist().resized(8).first(1000, 300)
model = torch.nn.Sequential(
    torch.nn.Unflatten(1, (1, 8, 8)),
    torch.nn.Conv2d(1, 8, 3, stride=2, padding=1),
    torch.nn.ReLU(),
    torch.nn.Flatten(),
    torch.nn.Linear(128, 10),
)
optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
inputs, labels = torch.as_tensor(data.train_inputs, dtype=torch.float32), torch.as_tensor(data.train_targets)
for _ in range(150):
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    optimiser.step()

figure = Figure(figsize=(4.2, 3.2), layout="constrained")
axes = figure.subplots()
yields = (0.8, 0.9, 1.0)
runs = []
for device_yield in yields:
    chip = load_run(None, [f"chip.defects.device_yield={device_yield}"]).chip
    runs.append(evaluate(model, data, chip, methods=["raw", "calibration"], audit=0))
for method, label in (("raw", "raw chip"), ("calibration", "calibrated")):
    accuracy = [run.accuracy_percent[method] for run in runs]
    axes.plot([100 * y for y in yields], accuracy, "o-", label=label)
axes.axhline(runs[0].accuracy_percent["digital"], color="black", linestyle="--", label="digital network")
axes.set(xlabel="devices that work (%)", ylabel="test accuracy (%)")
axes.legend()
figure.savefig("12_own_network.png", dpi=150)
