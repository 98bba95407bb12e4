"""Where the time and the energy of a run go: by phase, by part and by resource, in one table and one figure."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from circuitmem.control import ATTOJOULE, PICOSECOND
from circuitmem.training import method_title

__all__ = ["bottleneck_table", "draw_bottleneck"]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#7f7f7f")


def bottleneck_table(results: dict[str, Any]) -> str:
    """Return the accounts of a run's methods as text, the bottleneck of each first.

    Parameters
    ----------
    results : dict
        The content of ``results.json``. The energies of phases, of kinds of operation and of parts add up to the same.
    """
    lines = ["Where time and energy go; times of operations are added up, those side by side too."]
    for name, phases in results["phases"].items():
        total = sum(phase["energy"] for phase in phases.values())
        lines += ["", method_title(name), f"  {'phase':<24}{'busy (ms)':>14}{'energy (mJ)':>14}{'share':>8}"]
        for phase, account in phases.items():
            lines.append(
                f"  {phase:<24}{_ms(account['busy'])}{_mj(account['energy'])}{_share(account['energy'], total)}"
            )
        lines.append(f"  {'operation':<24}{'busy (ms)':>14}{'energy (mJ)':>14}{'share':>8}")
        kinds = sorted(results["accounts"][name].items(), key=lambda item: -item[1]["energy"])
        for kind, account in kinds:
            lines.append(
                f"  {kind:<24}{_ms(account['busy'])}{_mj(account['energy'])}{_share(account['energy'], total)}"
            )
        lines.append(f"  {'energy of':<24}{'':>14}{'energy (mJ)':>14}{'share':>8}")
        for part, energy in sorted(results["energy_by_part_aj"][name].items(), key=lambda item: -item[1]):
            lines.append(f"  {part:<24}{'':>14}{_mj(energy)}{_share(energy, total)}")
        lines.append(f"  {'resource':<24}{'busy (ms)':>14}{'waited for':>14}{'in use':>8}")
        for resource, used in results["utilisation"][name].items():
            lines.append(f"  {resource:<24}{_ms(used['busy'])}{_ms(used['waited'])}{used['fraction']:>8.1%}")
    return "\n".join(lines) + "\n"


def _ms(picoseconds: int) -> str:
    return f"{picoseconds * PICOSECOND * 1e3:>14.4f}"


def _mj(attojoules: int) -> str:
    return f"{attojoules * ATTOJOULE * 1e3:>14.6f}"


def _share(part: int, total: int) -> str:
    return f"{part / total if total else 0.0:>8.1%}"


def draw_bottleneck(results: dict[str, Any]) -> Figure:
    """Draw energy by phase and by part, and how busy each resource was, for each method."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    by_phase, by_part, by_resource = figure.subplots(1, 3)
    names = list(results["phases"])
    phases = {name: {phase: account["energy"] for phase, account in results["phases"][name].items()} for name in names}
    for axes, energies, title in (
        (by_phase, phases, "energy by phase"),
        (by_part, results["energy_by_part_aj"], "energy by part"),
    ):
        parts = list(dict.fromkeys(part for energy in energies.values() for part in energy))
        below = np.zeros(len(names))
        for part, colour in zip(parts, cycle(COLOURS), strict=False):
            height = np.array([energies[name].get(part, 0) for name in names], dtype=np.float64) * ATTOJOULE * 1e3
            axes.bar(names, height, bottom=below, color=colour, label=part)
            below += height
        axes.set(title=title, ylabel="energy (mJ)")
        axes.legend(fontsize="small")
    resources = list(dict.fromkeys(kind for name in names for kind in results["utilisation"][name]))
    width = 0.8 / len(names)
    for number, (name, colour) in enumerate(zip(names, cycle(COLOURS), strict=False)):
        used = [100.0 * results["utilisation"][name].get(kind, {"fraction": 0.0})["fraction"] for kind in resources]
        by_resource.barh(np.arange(len(resources)) + number * width, used, width, color=colour, label=name)
    by_resource.set_yticks(np.arange(len(resources)) + 0.4 - width / 2, resources)
    by_resource.invert_yaxis()
    by_resource.set(title="resources in use", xlabel="part of the time (%)")
    by_resource.legend(fontsize="small")
    for axes in (by_phase, by_part):
        axes.tick_params(axis="x", labelrotation=20)
    return figure
