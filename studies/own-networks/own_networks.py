"""Networks of the study: ResNet-20 for colour patches, an LSTM and a block of a transformer for sequences.

``python studies/own-networks/own_networks.py`` trains ResNet-20 and writes ``resnet20.npz``; each point trains
the others.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from circuitmem.data import load_dataset

BATCH = 64
CHANNELS, STEPS, SPEAKERS, PHOTOGRAPHS = 12, 16, 9, 8


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norms, beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        shortcut = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.shortcut = nn.Sequential(*(shortcut if stride > 1 or before != after else []))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps (batch, channels, height, width), halved in size where the stride is 2."""
        found = torch.relu(self.first_norm(self.first(maps)))
        return torch.relu(self.second_norm(self.second(found)) + self.shortcut(maps))


def resnet20() -> nn.Sequential:
    """Return ResNet-20 for 3 x 32 x 32: 271,000 weights in 22 layers, shortcuts of 1x1 convolutions among them."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for after, stride in ((16, 1), (32, 2), (64, 2)):
        for place in range(3):
            blocks.append(Residual(before, after, stride if place == 0 else 1))
            before = after
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, PHOTOGRAPHS))


def resnet20_last() -> nn.Module:
    """Return ResNet-20 of which training moves the last block and the layer behind it: 74,000 of 271,000 weights."""
    model = resnet20()
    model.requires_grad_(False)
    for part in (model[11], model[-1]):
        part.requires_grad_(True)
    return model


class Lstm(nn.Module):
    """An LSTM of 32 units over the instants of a sequence, and a layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(CHANNELS, 32, batch_first=True)
        self.head = nn.Linear(32, SPEAKERS)

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, speakers) for (batch, channels, instants)."""
        states, _ = self.lstm(sequences.transpose(1, 2))
        return self.head(states[:, -1])


class Transformer(nn.Module):
    """A block of a transformer with four heads over the instants of a sequence, and a layer on its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(CHANNELS, 32)
        place, wave = torch.arange(STEPS)[:, None], torch.arange(16)[None, :]
        angle = place / 100.0 ** (wave / 16.0)
        self.register_buffer("place", torch.cat([angle.sin(), angle.cos()], 1))
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.head = nn.Linear(32, SPEAKERS)

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, speakers) for (batch, channels, instants)."""
        found = self.block(self.embedding(sequences.transpose(1, 2)) + self.place)
        return self.head(found.mean(dim=1))


def lstm() -> nn.Module:
    """Return the LSTM."""
    return Lstm()


def transformer() -> nn.Module:
    """Return the block of a transformer."""
    return Transformer()


def train(epochs: int = 16, rate: float = 3e-3, seed: int = 1) -> nn.Module:
    """Return ResNet-20 with the weights of the epoch that was best on the validation patches.

    AdamW, cross-entropy, batches of 64, a step size that falls to 0 as half a cosine; half of the patches of a batch
    are mirrored. The test patches are not looked at.
    """
    data = load_dataset("patches")
    assert data.validation is not None
    inputs, targets = torch.tensor(data.train_inputs, dtype=torch.float32), torch.tensor(data.train_targets)
    held, answers = torch.tensor(data.validation[0], dtype=torch.float32), torch.tensor(data.validation[1])
    torch.manual_seed(seed)
    model = resnet20()
    batches = -(-len(targets) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * batches)
    best, kept = -1.0, deepcopy(model.state_dict())
    for epoch in range(epochs):
        model.train()
        for chosen in torch.randperm(len(targets)).split(BATCH):
            given = inputs[chosen]
            given = torch.where(torch.rand(len(given), 1, 1, 1) < 0.5, given.flip(3), given)
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(given), targets[chosen]).backward()
            optimiser.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            reached = float((model(held).argmax(1) == answers).double().mean())
        print(f"epoch {epoch + 1} of {epochs}, validation {reached:.1%}", flush=True)
        if reached > best:
            best, kept = reached, deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval()


def main() -> None:
    """Train ResNet-20 and write its weights beside this file."""
    torch.set_num_threads(1)
    weights = train().state_dict()
    arrays = {key: value.numpy() for key, value in weights.items() if value.ndim}
    np.savez_compressed(Path(__file__).parent / "resnet20.npz", **arrays)


if __name__ == "__main__":
    main()
