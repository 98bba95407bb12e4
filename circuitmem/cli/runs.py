"""Commands of a run: train, resume, report."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuitmem.cli.app import INTERRUPTED, app
from circuitmem.cli.drawing import PageDrawer
from circuitmem.cli.options import Config, Json, Seed, Setting, Workers, overrides

if TYPE_CHECKING:
    from circuitmem.config import RunSpec


@app.command(short_help="Train one network on one defective chip.")
def train(
    out: Annotated[Path, typer.Option("--out", "--output", "-o", help="New folder for the run.")],
    config: Config = None,
    seed: Seed = None,
    setting: Setting = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write every operation to trace_METHOD.json.gz, for ui.perfetto.dev.")
    ] = False,
    vcd: Annotated[
        bool, typer.Option("--vcd", help="Write control signals to signals_METHOD.vcd, for GTKWave; needs pyvcd.")
    ] = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train one network on one defective chip: raw, calibrated, trained in situ, and both; audit it in SPICE."""
    from circuitmem.registry import torch_room
    from circuitmem.training.own import is_of_torch
    from circuitmem.training.run import start_run

    records = [f"{name}=true" for name, wanted in (("trace", trace), ("vcd", vcd)) if wanted]
    spec = refereed(config, [*overrides(setting, seed), *records])
    if is_of_torch(spec.network):
        _check_alone(workers)
        start_alone = torch_room().start_model_run
        _carry_out(out, as_json, lambda progress: start_alone(spec, out, progress))
    else:
        _carry_out(out, as_json, lambda progress: start_run(spec, out, progress, workers))


def refereed(config: str | None, settings: list[str]) -> RunSpec:
    """Return the run that is declared; VACASK audits it where nobody says who does, it is there and does it quickly.

    The run's ``config.toml`` says who it was: from there the run is the same wherever it goes on.
    """
    from circuitmem.config import load_run
    from circuitmem.engine import VacaskEngine

    spec = load_run(config, settings)
    undeclared = spec.audit.tiles > 0 and "referee" not in spec.audit.model_fields_set
    if undeclared and spec.audits_together and VacaskEngine.available():
        return load_run(config, [*settings, "audit.referee=vacask"])
    return spec


@app.command(short_help="Continue an interrupted run.")
def resume(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")], workers: Workers = None, as_json: Json = False
) -> None:
    """Continue an interrupted run; the result is the same, bit for bit."""
    from circuitmem.registry import torch_room
    from circuitmem.training.own import is_of_torch
    from circuitmem.training.run import resume_run
    from circuitmem.training.run_folder import declared

    if is_of_torch(declared(run).network):
        _check_alone(workers)
        go_on_alone = torch_room().resume_model_run
        _carry_out(run, as_json, lambda progress: go_on_alone(run, progress))
    else:
        _carry_out(run, as_json, lambda progress: resume_run(run, progress, workers))


def _check_alone(workers: int | None) -> None:
    """Refuse several workers for a run whose network is one of torch: its methods follow one another."""
    from circuitmem.errors import ValidationError

    if workers is not None and workers != 1:
        raise ValidationError("workers", "must be 1, or left out, with network.model", workers)


def _carry_out(folder: Path, as_json: bool, job: Any) -> None:
    """Run a training job with progress, draw its figures and print its table."""
    from circuitmem.console import Progress, print_results

    try:
        with Progress() as progress, PageDrawer(folder) as drawer:

            def update(what: str, done: int, total: int) -> None:
                progress.update(what, done, total)
                if (what, done) == ("audit", 0):  # all else is there: draw while the simulators are still at work
                    drawer.prepare()

            results = job(update)
            progress.update("page", 0, 1)
            drawer.begin()
            figures = drawer.result()
            progress.update("page", 1, 1)
    except KeyboardInterrupt:
        print(f"circuitmem: interrupted; go on with: circuitmem resume {shlex.quote(str(folder))}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    _warn(results)
    if as_json:
        print(json.dumps(results))
    else:
        print_results(results, folder, figures)


def _warn(results: dict[str, Any]) -> None:
    """Print the warnings of a run to stderr; a run of an older version has none."""
    for warning in results.get("warnings", []):
        print(f"circuitmem: warning: {warning['message']}", file=sys.stderr)


@app.command(short_help="Write the page of a run, and its figures.")
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or under way.")], as_json: Json = False
) -> None:
    """Write the page of a run, report.html, and its figures as SVG, PNG and PDF."""
    from circuitmem.console import Progress
    from circuitmem.records import Results, read_record
    from circuitmem.report import draw_run, draw_run_page

    with Progress() as progress:
        progress.update("page", 0, 2)
        written = draw_run_page(run)
        progress.update("page", 1, 2)
        if (run / "results.json").is_file():
            written += draw_run(run)
        progress.update("page", 2, 2)
    if (run / "results.json").is_file():
        _warn(read_record(run / "results.json", Results))
    if as_json:
        print(json.dumps({"page": str(written[0]), "figures": [str(path) for path in written[1:]]}))
    else:
        print("\n".join(map(str, written)))


@app.command(short_help="Serve the page of a run while it goes on.")
def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or under way.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    as_json: Json = False,
) -> None:
    """Serve the page of a run on this machine and update it during the run; Ctrl-C ends it."""
    from circuitmem.report.watch import RunServer

    with RunServer(run, port) as server:
        line = {"url": server.url} if as_json else f"{server.url} shows {run} and what is new in it; Ctrl-C ends this"
        print(json.dumps(line) if as_json else line, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
