"""Commands about calibration: calibrate."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Config, Json, Seed, Setting, overrides


@app.command(short_help="Compare calibrations on one chip.")
def calibrate(
    config: Config = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", metavar="NAME", help="Calibration to try; repeatable; all when left out."),
    ] = None,
    held_out: Annotated[int, typer.Option(help="Test samples to measure errors with, >= 1.")] = 200,
    seed: Seed = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Compare calibrations on one chip: errors of products before and after, reads, time, energy and stored words."""
    from circuitmem.config import load_run
    from circuitmem.console import Progress, print_calibrations
    from circuitmem.training import calibrate_run

    spec = load_run(config, overrides(setting, seed))
    with Progress() as progress:
        found = calibrate_run(spec, method or None, held_out, progress.update)
    if as_json:
        print(json.dumps(found))
    else:
        print_calibrations(found)
