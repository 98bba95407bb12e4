"""Commands that analyse one array: tile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Config, Json, Seed, Setting, overrides


@app.command(short_help="Analyse a measured or planned array.")
def tile(
    conductance: Annotated[
        Path, typer.Option(help="CSV of conductances, a line a word line; its header has the unit.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="Folder for the page, figures, JSON, CSV and netlist.")
    ],
    config: Config = None,
    stuck: Annotated[
        Path | None, typer.Option(help="CSV: conductances of stuck cells, empty for the others; or 0 and 1.")
    ] = None,
    stuck_conductance: Annotated[
        float | None, typer.Option(help="Conductance of the cells marked 1 [S], if --stuck has 0 and 1.")
    ] = None,
    voltages: Annotated[
        Path | None,
        typer.Option(
            help="CSV: driver voltages, a line a vector, V or as its header says (mV, uV); random when left out."
        ),
    ] = None,
    vectors: Annotated[int | None, typer.Option(help="How many random vectors, >= 1; 100 when left out.")] = None,
    unit: Annotated[str | None, typer.Option(help="Of the conductances: S, mS, uS, nS or pS.")] = None,
    cell: Annotated[
        str | None, typer.Option(help="ROW,COLUMN of the cell that is read by itself; the farthest one when left out.")
    ] = None,
    seed: Seed = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Analyse a measured or planned array: errors of its products, maps, one cell's read margin, a netlist.

    Wires, cell law and input range are those of the configuration's chip (--set chip.tile.word_line_resistance=2).
    """
    from circuitmem.config import load_run
    from circuitmem.console import Progress, print_array
    from circuitmem.errors import ValidationError
    from circuitmem.report import draw_array
    from circuitmem.study.array import load_conductances, load_stuck, load_voltages, random_inputs, study_array
    from circuitmem.validation import in_range, integer

    volts = "V"
    given, said = load_conductances(conductance, unit)
    size = [f"chip.tile.{name}={count}" for name, count in zip(("rows", "columns"), given.shape, strict=True)]
    run = load_run(config, [*overrides(setting, seed), *size])
    if stuck_conductance is not None:
        if stuck is None:
            raise ValidationError("--stuck-conductance", "is for --stuck", stuck_conductance)
        in_range("--stuck-conductance", stuck_conductance, 0.0)
    defects = None if stuck is None else load_stuck(stuck, given.shape, unit, stuck_conductance)
    if voltages is None:
        count = integer("--vectors", 100 if vectors is None else vectors, minimum=1)
        batch = random_inputs(run.chip, len(given), count, run.seed)
    elif vectors is not None:
        raise ValidationError("--vectors", "is for random voltages", vectors)
    else:
        batch, volts = load_voltages(voltages)
        if batch.shape[1] != len(given):
            raise ValidationError("--voltages", f"must have {len(given)} columns, one a word line", batch.shape[1])
    place = _place(cell)
    with Progress("array") as progress:
        found = study_array(run.chip, given, batch, defects, place)
        progress.update("figures", 0, 1)
        about = [
            ("conductances", f"{conductance} [{said}]"),
            ("stuck cells", "none given" if stuck is None else str(stuck)),
            ("voltages", f"random, seed {run.seed}" if voltages is None else f"{voltages} [{volts}]"),
            ("wires", _wires(found.tile.spec)),
        ]
        files = [str(path) for path in draw_array(found, out, about)]
        progress.update("figures", 1, 1)
    if as_json:
        units = {"unit": said, **({} if voltages is None else {"voltage_unit": volts})}
        print(json.dumps(found.as_dict() | units | {"files": files}))
    else:
        print_array(found.as_dict(), said, files)


def _wires(spec: object) -> str:
    values = [getattr(spec, f"{line}_line_resistance") for line in ("word", "bit")]
    texts = [f"{value:g}" if isinstance(value, float) else "declared one by one" for value in values]
    return f"{texts[0]} ohm a word-line segment, {texts[1]} ohm a bit-line segment"


def _place(text: str | None) -> tuple[int, int] | None:
    from circuitmem.errors import ValidationError

    if text is None:
        return None
    try:
        row, column = (int(part) for part in text.split(","))
    except ValueError:
        raise ValidationError("--cell", "must be ROW,COLUMN", text) from None
    return row, column
