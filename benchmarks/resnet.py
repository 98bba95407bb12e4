"""A batch of 32 images through a ResNet-20 on 128 x 128 tiles with 1 ohm wires: time, where it goes, memory.

    python benchmarks/resnet.py [--images N] [--profile]

Torch alone is timed in the same run: the ratio is what counts. Memory is what the process holds beyond what it held
with torch imported and the network made.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import time

import circuitmem  # isort: skip - before torch, so that threads that wait do not spin (docs/torch.md)
import torch
from torch import nn

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, DefectSpec
from circuitmem.torch import convert, summary


class Block(nn.Module):
    """Two convolutions beside a shortcut that drops pixels and pads channels (He et al., CVPR 2016)."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.stride, self.more = stride, outputs - channels

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return (batch, outputs, height, width)."""
        found = torch.relu(self.norms[0](self.first(maps)))
        beside = nn.functional.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return torch.relu(self.norms[1](self.second(found)) + beside)


def resnet20() -> nn.Module:
    """Return a ResNet-20 for 10 classes."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    sizes = [(16, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    layers += [Block(*size) for size in [*sizes, (64, 64, 1)]]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def megabytes() -> float:
    """Return how much memory the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the times of single batches, wall and CPU, and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net, images = resnet20().eval(), torch.rand(given.images, 3, 32, 32)
    processors = len(os.sched_getaffinity(0))
    load = f"load {os.getloadavg()[0]:.1f} when it began"
    print(f"circuitmem {circuitmem.__version__}, {processors} processors, {load}; one thread of torch")
    with torch.no_grad():
        alone = timed(lambda: net(images), given.repeats)
    before = megabytes()
    tile = TileSpec(rows=128, columns=128, word_line_resistance=1.0, bit_line_resistance=1.0)
    chip = ChipSpec(tile=tile, defects=DefectSpec(device_yield=0.98))
    analog = convert(net, chip, seed=1, sample=images)
    print(f"{summary(analog).tiles} tiles")
    with torch.no_grad():
        analog(images)  # puts cells in place and chooses gains
        found = timed(lambda: analog(images), given.repeats)
        if given.profile:
            profile = cProfile.Profile()
            profile.runcall(analog, images)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    for name, (wall, cpu) in (("torch alone", alone), ("on tiles", found)):
        print(f"{name}: {wall:.2f} s, {cpu:.2f} s of CPU for {given.images} images")
    with torch.no_grad():
        profile = cProfile.Profile()
        profile.runcall(analog, images)
    print_parts(pstats.Stats(profile))
    print(f"{megabytes() - before:.0f} MB beyond torch with the network")


PARTS = {
    "reads of tiles, kernel": ("read_stack",),
    "vectors of maps": ("gather",),
    "codes of inputs": ("codes_within", "_within_range", "_spread", "numbers"),
    "sums": ("_outputs", "_less_excess"),
}
"""What a pass is made of, by functions whose own time counts, NumPy's within them included."""


def print_parts(stats: pstats.Stats) -> None:
    """Print which part of a pass is spent in what."""
    times: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    total: float = stats.total_tt  # type: ignore[attr-defined]
    for (_, _, function), (_, _, own, whole, _) in stats.stats.items():  # type: ignore[attr-defined]
        for part, names in PARTS.items():
            if function in names:
                times[part] += own if function == "read_stack" else whole
    for part, spent in {**times, "the rest, torch's among it": total - sum(times.values())}.items():
        print(f"  {spent / total:5.1%} {part}")


def timed(call: object, repeats: int) -> tuple[float, float]:
    """Return the least wall time and CPU time of some calls [s]."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        call()  # type: ignore[operator]
        times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


if __name__ == "__main__":
    main()
