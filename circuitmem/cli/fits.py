"""Commands that make models of measured devices: fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json


@app.command(short_help="Fit a device model to a measured curve.")
def fit(
    data: Annotated[
        Path,
        typer.Argument(
            help="Table of voltage, current and time; for pulse and steps: pulse, conductance and "
            "polarity; for statistical: cell, time, target and read."
        ),
    ],
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="yakopcic, vteam, stanford-pku, ion-drift, pulse, steps or statistical."),
    ],
    out: Annotated[
        Path,
        typer.Option("--output", "--out", "-o", help="Folder for the figure and the TOML fragment, made if it is new."),
    ] = Path(),
    fix: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME=VALUE", help="A known parameter, which is not fitted; repeatable."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals, 0.5 to 0.999.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the starts, >= 0.")] = 1,
    columns: Annotated[
        str | None, typer.Option(help="Columns of the quantities: voltage=AV,current=2 (headings, or numbers from 1).")
    ] = None,
    units: Annotated[str | None, typer.Option(help="Units of columns: current=uA,time=ms.")] = None,
    step: Annotated[float | None, typer.Option(help="Time between points [s], for an I-V table without time.")] = None,
    polarity: Annotated[
        int | None,
        typer.Option(help="Sign of the voltage that raises the conductance, 1 or -1; from the data when left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a device model to a measured curve: parameters with intervals, a figure, and TOML to paste."""
    from circuitmem.console import Progress, print_fit
    from circuitmem.errors import ValidationError
    from circuitmem.files import write_text
    from circuitmem.report import draw_fit
    from circuitmem.report.page import make_output_folder
    from circuitmem.study.fit import Reading, fit_device
    from circuitmem.validation import in_range

    held: dict[str, float] = {}
    for item in fix or []:
        name, _, text = item.partition("=")
        try:
            held[name.strip()] = float(text)
        except ValueError:
            raise ValidationError("--fix", "must look like name=number", item) from None
    if out.exists() and not out.is_dir():
        raise ValidationError("--output", "must be a folder, or new", str(out))
    if polarity not in (None, 1, -1):
        raise ValidationError("--polarity", "must be 1 or -1", polarity)
    if model in ("pulse", "steps", "statistical") and (step is not None or polarity is not None):
        raise ValidationError("--step and --polarity", f"are for I-V curves, not for {model}")
    reading = Reading(
        _pairs("--columns", columns),
        _pairs("--units", units),
        None if step is None else in_range("--step", step, 1e-18, 1e9),
        polarity,
    )
    with Progress("fit") as progress:
        found = fit_device(data, model, held=held, seed=seed, confidence=confidence, reading=reading)
        make_output_folder(out)
        stem = out / f"{data.stem}_{model}"
        record = found.as_dict() | {"toml": f"{stem}.toml", "figure": f"{stem}.png"}
        progress.update("figure", 0, 1)
        draw_fit(record["figure"], found)
        progress.update("figure", 1, 1)
    write_text(record["toml"], found.toml())
    if as_json:
        print(json.dumps(record))
    else:
        print_fit(record, confidence)


def _pairs(option: str, text: str | None) -> dict[str, str]:
    """Return what ``name=text,name=text`` says; a comma in a text that is no new pair belongs to it."""
    from circuitmem.errors import ValidationError

    found: dict[str, str] = {}
    last = ""
    for item in (text or "").split(",") if text is not None else []:
        name, mark, value = item.partition("=")
        if mark and name.strip():
            last = name.strip().lower()
            found[last] = value.strip()
        elif last:
            found[last] += f",{item}"
        else:
            raise ValidationError(option, "must look like name=text,name=text", text)
    return found
