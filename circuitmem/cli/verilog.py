"""Commands about devices that a Verilog-A model describes: verilog-a."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json, Seed, Setting, overrides


@app.command("verilog-a", short_help="Compile and tabulate a Verilog-A device of your own.")
def verilog_a(
    config: Annotated[str, typer.Argument(help="TOML file whose chip.device is of kind verilog-a.")],
    seed: Seed = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Compile the Verilog-A of a chip's devices, tabulate its law, and compare the tables with VACASK.

    The file becomes one that runs of yours may use. It is code: read one of somebody else before.
    """
    from circuitmem.config import load_run
    from circuitmem.console import Progress, print_verilog
    from circuitmem.study.verilog import check_verilog

    run = load_run(config, overrides(setting, seed))
    with Progress("tables"):
        found = check_verilog(run)
    print(json.dumps(found)) if as_json else print_verilog(found)
