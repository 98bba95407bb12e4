"""How much memory a transfer matrix needs, ours or a rival's factors: how much a process of its own grows at its peak.

``python benchmarks/peaks.py WAY SIZE`` prints MiB; ``benchmarks/kernels.py`` asks for it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import networks
import numpy as np

from circuitmem import Tile, TileSpec
from circuitmem.engine import BehavioralEngine

RIVALS = {"SuperLU": networks.superlu, "CHOLMOD": networks.cholmod, "KLU": networks.klu}


def peak() -> float:
    """Return the largest memory of this process so far [MiB]."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the process was before it began, a copy of the one that started it
        line = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grown(way: str, size: int) -> float:
    """Work out a transfer matrix, or factor once and solve a vector, and say by how much the peak grew [MiB]."""
    geometry = {"word_line_resistance": 1.0, "bit_line_resistance": 1.0}
    conductance = np.random.default_rng(size).uniform(1e-6, 1e-4, (size, size))
    engine, small = BehavioralEngine(), Tile(TileSpec(rows=8, columns=8, **geometry), conductance[:8, :8])
    if way == "ours":
        tile = Tile(TileSpec(rows=size, columns=size, **geometry), conductance)
        engine.transfer_matrix(small)  # what the first call loads is not the matrix's
        before = peak()
        engine.transfer_matrix(tile)
        return peak() - before
    RIVALS[way](networks.assemble(conductance[:8, :8]))
    before = peak()
    nodal = networks.assemble(conductance)
    RIVALS[way](nodal)(nodal.inputs @ np.ones(size))
    return peak() - before


def peaks(size: int) -> dict[str, float | None]:
    """Return the growth of a process for each way [MiB]; None for a rival that is not installed."""
    found: dict[str, float | None] = {}
    for way in ("ours", *RIVALS):
        done = subprocess.run([sys.executable, __file__, way, str(size)], capture_output=True, text=True, check=False)
        found[way] = float(done.stdout) if done.returncode == 0 else None
    return found


if __name__ == "__main__":
    try:
        print(grown(sys.argv[1], int(sys.argv[2])))
    except (ImportError, OSError) as reason:
        sys.exit(str(reason))
