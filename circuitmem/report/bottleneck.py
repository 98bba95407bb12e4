"""Where the time and the energy of a run go: by phase, by part and by resource, in one table."""

from __future__ import annotations

from typing import Any

from circuitmem.control import ATTOJOULE, PICOSECOND
from circuitmem.report.costs import part_title
from circuitmem.training import method_title

__all__ = ["bottleneck_table"]


def bottleneck_table(methods: dict[str, dict[str, Any]]) -> str:
    """Return the accounts of a run's methods as text, the bottleneck of each first.

    Parameters
    ----------
    methods : dict of dict
        Content of ``method_NAME.json``, by name. The energies of phases, of kinds of operation and of parts have the
        same sum.
    """
    lines = ["Where time and energy go; times of operations are added up, those side by side too."]
    for name, method in methods.items():
        phases = method.get("phases")
        if not phases:  # from a version that kept no accounts
            continue
        total = sum(phase["energy"] for phase in phases.values())
        lines += ["", method_title(name), f"  {'phase':<24}{'busy (ms)':>14}{'energy (mJ)':>14}{'share':>8}"]
        for phase, account in phases.items():
            lines.append(
                f"  {phase:<24}{_ms(account['busy'])}{_mj(account['energy'])}{_share(account['energy'], total)}"
            )
        lines.append(f"  {'operation':<24}{'busy (ms)':>14}{'energy (mJ)':>14}{'share':>8}")
        kinds = sorted(method.get("accounts", {}).items(), key=lambda item: -item[1]["energy"])
        for kind, account in kinds:
            lines.append(
                f"  {kind:<24}{_ms(account['busy'])}{_mj(account['energy'])}{_share(account['energy'], total)}"
            )
        lines.append(f"  {'energy of':<24}{'':>14}{'energy (mJ)':>14}{'share':>8}")
        for part, energy in sorted(method.get("energy_by_part", {}).items(), key=lambda item: -item[1]):
            lines.append(f"  {part_title(part):<24}{'':>14}{_mj(energy)}{_share(energy, total)}")
        lines.append(f"  {'resource':<24}{'busy (ms)':>14}{'waited for':>14}{'in use':>8}")
        for resource, used in method.get("utilisation", {}).items():
            lines.append(f"  {resource:<24}{_ms(used['busy'])}{_ms(used['waited'])}{used['fraction']:>8.1%}")
    return "\n".join(lines) + "\n"


def _ms(picoseconds: int) -> str:
    return f"{picoseconds * PICOSECOND * 1e3:>14.4f}"


def _mj(attojoules: int) -> str:
    return f"{attojoules * ATTOJOULE * 1e3:>14.6f}"


def _share(part: int, total: int) -> str:
    return f"{part / total if total else 0.0:>8.1%}"
