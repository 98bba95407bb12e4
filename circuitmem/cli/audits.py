"""Commands about audits: replay."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json, SimulatorName


class Engines(Enum):
    """Which engines work the operation out anew; the other's answer is that of the file."""

    both = "both"
    behavioral = "behavioral"
    spice = "spice"


@app.command(short_help="Repeat an operation that an audit saved.")
def replay(
    file: Annotated[Path, typer.Argument(help="Operation that an audit saved, audit_....npz.")],
    engine: Annotated[
        Engines, typer.Option(help="Engine that repeats it; the other's answer is taken from the file.")
    ] = Engines.both,
    referee: Annotated[
        SimulatorName | None, typer.Option(help="The circuit simulator; the one that was saved when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Repeat an operation that an audit found beyond its limit; exit code 1 if it still is."""
    from circuitmem.console import Progress, print_replay
    from circuitmem.engine import replay_case

    with Progress("replay"):
        found = replay_case(
            file,
            behavioral=engine is not Engines.spice,
            spice=engine is not Engines.behavioral,
            referee=None if referee is None else referee.value,
        )
    if as_json:
        print(json.dumps(found))
    else:
        print_replay(found)
    if not found["agrees"]:
        raise typer.Exit(1)
