"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["Config", "Json", "Seed", "Setting", "SimulatorName", "Workers", "overrides"]

Config = Annotated[str | None, typer.Argument(help="TOML file or preset; the default chip when left out.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. chip.tile.rows=128; repeatable."),
]
Seed = Annotated[int | None, typer.Option(help="Seed, >= 0; overrides the configuration's.")]
Workers = Annotated[
    int | None,
    typer.Option(help="Methods side by side, each in a process, >= 1; as many as processors if left out, if it pays."),
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON, and nothing else, to stdout.")]


def overrides(setting: list[str] | None, seed: int | None) -> list[str]:
    """Return the settings that a command was given, the seed among them."""
    return [*(setting or []), *([f"seed={seed}"] if seed is not None else [])]


class SimulatorName(StrEnum):
    """Circuit simulators that can be asked."""

    NGSPICE = "ngspice"
    VACASK = "vacask"
