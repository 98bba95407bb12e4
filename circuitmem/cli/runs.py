"""Commands of a run: train, resume, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from circuitmem.cli.app import INTERRUPTED, app
from circuitmem.cli.options import Config, Json, Seed, Setting, overrides


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the run.")],
    config: Config = None,
    seed: Seed = None,
    setting: Setting = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write every operation to trace_METHOD.json.gz, for ui.perfetto.dev.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train one network on one defective chip: raw, calibrated, trained in situ, and both; audit it in ngspice."""
    from circuitmem.config import load_run
    from circuitmem.training.run import start_run

    spec = load_run(config, [*overrides(setting, seed), *(["trace=true"] if trace else [])])
    _carry_out(out, as_json, lambda progress: start_run(spec, out, progress))


@app.command()
def resume(run: Annotated[Path, typer.Argument(help="Folder of the run.")], as_json: Json = False) -> None:
    """Go on where an interrupted run stopped; the end is the same, bit for bit."""
    from circuitmem.training.run import resume_run

    _carry_out(run, as_json, lambda progress: resume_run(run, progress))


def _carry_out(folder: Path, as_json: bool, job: Any) -> None:
    """Run a training job with progress, draw its figures and print its table."""
    from circuitmem.console import Progress, print_results
    from circuitmem.report import draw_run

    try:
        with Progress() as progress:
            results = job(progress.update)
    except KeyboardInterrupt:
        print(f"circuitmem: interrupted; go on with: circuitmem resume {folder}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    figures = draw_run(folder)
    if as_json:
        print(json.dumps(results))
    else:
        print_results(results, folder, figures)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Folder of a finished run.")], as_json: Json = False) -> None:
    """Draw the figures of a finished run again."""
    from circuitmem.report import draw_run

    figures = [str(path) for path in draw_run(run)]
    print(json.dumps({"figures": figures}) if as_json else "\n".join(figures))
