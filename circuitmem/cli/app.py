"""The application: what is common to all commands, and how errors end."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from circuitmem.allocation import keep_freed_memory
from circuitmem.errors import CircuitmemError

__all__ = ["INTERRUPTED", "app", "main"]

ORDER = [
    "train", "resume", "report", "watch", "infer", "summary", "data", "calibrate", "tile", "fit", "verilog-a",
    "validate", "replay", "netlist", "conformance", "study", "list", "doctor",
]  # fmt: skip
"""Commands in the order in which ``--help`` lists them: runs, arrays and devices, circuits, studies, and the rest."""


class _InOrder(TyperGroup):
    """The commands in :data:`ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="circuitmem",
    cls=_InOrder,
    add_completion=True,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Circuit-level co-simulation of memristive neuromorphic computing.",
)

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

START = """circuitmem: what will my network do on this memristor array, and can I trust the answer?

  circuitmem train --out runs/first    train on the default defective chip (about a minute)
  circuitmem data mine.toml            show what data a configuration loads
  circuitmem summary mine.toml         show tiles, time and energy that its network needs
  circuitmem validate -o report        compare the behavioral engine with ngspice
  circuitmem fit DATA.csv -m pulse     fit a device model to a measured curve
  circuitmem verilog-a mine.toml       compile and tabulate a Verilog-A device of one's own
  circuitmem tile --conductance G.csv --out array   ask what a measured array does
  circuitmem netlist -o tile.cir       write a tile as a netlist for plain ngspice -b
  circuitmem watch runs/first          look at a run while it goes on, in a browser
  circuitmem list                      show the devices, calibrations, methods, ... that have names
  circuitmem doctor                    show what is installed and what is missing
  circuitmem --help                    list all commands
  circuitmem COMMAND --help            explain a command"""


def main() -> None:
    """Run the command line; errors made by the user are one line and exit code 2."""
    keep_freed_memory()
    try:
        code = app(prog_name="circuitmem", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer makes a silent exit code of it
            raise KeyboardInterrupt
    except CircuitmemError as error:
        _fail(type(error).__name__, str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "circuitmem").partition(".")[0]
        if package == "circuitmem":
            raise
        hint = "circuitmem doctor --json shows what else is missing and how to install it"
        _fail("ModuleNotFoundError", f"{package} is not installed; {hint}")
    except BrokenPipeError:  # the reader of our output has seen enough
        _drop_output()
        sys.exit(1)
    except typer.TyperException as error:
        _fail("UsageError", error.format_message().replace("Value error, ", ""))  # typer checks by pydantic
    except OSError as error:  # a full disk under stdout, and what no reader or writer of files has named
        _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        _fail(type(error).__name__, f"{where}{error.strerror or error}")
    except MemoryError as error:
        _fail("MemoryError", f"not enough memory: {error}")
    except (KeyboardInterrupt, typer.Abort):
        print("circuitmem: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(kind: str, message: str) -> None:
    """End with one line on stderr and, where JSON was asked for, with an object on stdout."""
    line = " ".join(message.split())
    if "--json" in sys.argv[1:]:
        try:
            print(json.dumps({"error": {"kind": kind, "message": line}}), flush=True)
        except OSError:
            _drop_output()
    print(f"circuitmem: error: {line}", file=sys.stderr)
    sys.exit(2)


def _drop_output() -> None:
    """Let nobody flush what stdout does not take, not Python at its end either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
