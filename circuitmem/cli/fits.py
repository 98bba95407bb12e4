"""Commands that make models of measured devices: fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json


@app.command()
def fit(
    data: Annotated[
        Path, typer.Argument(help="CSV: time_s,voltage_v,current_a or, for pulse, pulse,conductance_s,polarity.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="yakopcic, vteam or pulse.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figure and the TOML fragment.")] = Path(),
    fix: Annotated[
        list[str] | None, typer.Option("--fix", help="NAME=VALUE: a parameter that is known; repeatable.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals, 0.5 to 0.999.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the starts, >= 0.")] = 1,
    as_json: Json = False,
) -> None:
    """Fit a device model to a measured curve: parameters with intervals, a figure, and TOML to paste."""
    from circuitmem.console import print_fit
    from circuitmem.errors import ValidationError
    from circuitmem.files import write_text
    from circuitmem.report import draw_fit
    from circuitmem.study.fit import fit_device

    held: dict[str, float] = {}
    for item in fix or []:
        name, _, text = item.partition("=")
        try:
            held[name.strip()] = float(text)
        except ValueError:
            raise ValidationError("--fix", "must look like name=number", item) from None
    if not out.is_dir():
        raise ValidationError("--output", "must be a folder", str(out))
    found = fit_device(data, model, held=held, seed=seed, confidence=confidence)
    stem = out / f"{data.stem}_{model}"
    record = found.as_dict() | {"toml": f"{stem}.toml", "figure": f"{stem}.png"}
    draw_fit(record["figure"], found)
    write_text(record["toml"], found.toml())
    if as_json:
        print(json.dumps(record))
    else:
        print_fit(record, confidence)
