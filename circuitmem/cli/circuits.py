"""Commands that look at circuits: netlist, validate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Config, Json, Seed, Setting, overrides


@app.command()
def netlist(
    out: Annotated[Path, typer.Option("--output", "-o", help="File to write, e.g. tile.cir.")],
    config: Config = None,
    seed: Seed = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Write a defective tile of the chip, with random conductances and inputs, as a netlist for plain ngspice -b."""
    from circuitmem.config import load_run
    from circuitmem.engine import tile_netlist
    from circuitmem.files import write_text
    from circuitmem.study.random_tile import random_tile

    spec = load_run(config, overrides(setting, seed))
    tile, voltages = random_tile(spec.chip, spec.seed)
    write_text(out, tile_netlist(tile, voltages))
    rows, columns = tile.spec.shape
    if as_json:
        print(json.dumps({"file": str(out), "rows": rows, "columns": columns, "seed": spec.seed}))
    else:
        print(f"{out}: a {rows}x{columns} tile; run it with: ngspice -b {out}")


@app.command()
def validate(
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for report.html, validation.json and figures.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the cases, >= 0.")] = 1,
    baseline: Annotated[
        Path | None, typer.Option(help="An older validation.json: say what became better or worse.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the behavioral engine with ngspice, stage by stage; exit code 1 if a stage fails."""
    from circuitmem.console import Progress, print_stages
    from circuitmem.report import draw_validation
    from circuitmem.study.validate import validate_engines

    with Progress() as progress:
        record = validate_engines(out, seed, quick, progress.update, baseline)
    page = draw_validation(record, out)[0]
    if as_json:
        # What is plotted stays in validation.json: it is long, and nobody greps for it.
        stages = [{key: value for key, value in stage.items() if key != "plots"} for stage in record["stages"]]
        print(json.dumps({k: v for k, v in record.items() if k != "speed_plot"} | {"stages": stages}))
    else:
        print_stages(record, page)
    if not all(stage["pass"] for stage in record["stages"]):
        raise typer.Exit(1)
