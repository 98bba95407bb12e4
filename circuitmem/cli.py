"""The command line: thin commands over the public face."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from circuitmem.errors import CircuitmemError

__all__ = ["app", "main"]

app = typer.Typer(
    name="circuitmem",
    add_completion=True,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Circuit-level co-simulation of memristive neuromorphic computing.",
)

Config = Annotated[str | None, typer.Argument(help="TOML file or preset; the default chip when left out.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="key=value, e.g. chip.tile.rows=128; repeatable.")]
Seed = Annotated[int | None, typer.Option(help="Seed, >= 0; overrides the configuration's.")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON, and nothing else, to stdout.")]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

START = """circuitmem: what will my network do on this memristor array, and can I trust the answer?

  circuitmem train --out runs/first    train on the default defective chip (about a minute)
  circuitmem validate -o report        compare the behavioral engine with ngspice
  circuitmem netlist -o tile.cir       write a tile as a netlist for plain ngspice -b
  circuitmem doctor                    show what is installed and what is missing
  circuitmem COMMAND --help            explain a command"""


def main() -> None:
    """Run the command line; errors made by the user are one line and exit code 2."""
    try:
        code = app(prog_name="circuitmem", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer makes a silent exit code of it
            raise KeyboardInterrupt
    except CircuitmemError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "circuitmem").partition(".")[0]
        if package == "circuitmem":
            raise
        _fail(f"{package} is not installed; circuitmem doctor --json shows what else is missing and how to install it")
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except typer.TyperException as error:
        _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        print("circuitmem: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f"circuitmem: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        import circuitmem

        print(f"circuitmem {circuitmem.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  (typer calls the callback)
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Circuit-level co-simulation of memristive neuromorphic computing."""
    if context.invoked_subcommand is None:
        print(START)


def _overrides(setting: list[str] | None, seed: int | None) -> list[str]:
    return [*(setting or []), *([f"seed={seed}"] if seed is not None else [])]


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

    spec = load_run(config, [*_overrides(setting, seed), *(["trace=true"] if trace else [])])
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

    spec = load_run(config, _overrides(setting, seed))
    tile, voltages = random_tile(spec.chip, spec.seed)
    write_text(out, tile_netlist(tile, voltages))
    rows, columns = tile.spec.shape
    if as_json:
        print(json.dumps({"file": str(out), "rows": rows, "columns": columns, "seed": spec.seed}))
    else:
        print(f"{out}: a {rows}x{columns} tile; run it with: ngspice -b {out}")


@app.command()
def validate(
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for validation.json.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the cases, >= 0.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare the behavioral engine with ngspice, stage by stage; exit code 1 if a stage fails."""
    from circuitmem.console import Progress, print_stages
    from circuitmem.study.validate import validate_engines

    with Progress() as progress:
        record = validate_engines(out, seed, quick, progress.update)
    if as_json:
        print(json.dumps(record))
    else:
        print_stages(record, out)
    if not all(stage["pass"] for stage in record["stages"]):
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show what is installed, which kernels and ngspice run, what is missing; exit code 1 if it cannot do without."""
    from circuitmem.console import print_findings
    from circuitmem.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps(findings))
    else:
        print_findings(findings)
    if findings["essential"]:
        raise typer.Exit(1)
