"""Commands about what can be named: list."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json


@app.command("list", short_help="Show devices, calibrations, methods, ... that have names.")
def list_names(
    kind: Annotated[str | None, typer.Argument(help="One kind, such as calibrations; all when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Show the devices, cells, calibrations, rules, optimisers, data sets, engines and methods that can be named."""
    from circuitmem.console import print_names
    from circuitmem.registry import KINDS, describe, entries

    found = {
        each: [asdict(entry) | {"description": describe(entry)} for same in entries(each).values() for entry in same]
        for each in (KINDS if kind is None else (kind,))
    }
    print(json.dumps(found)) if as_json else print_names(found)
