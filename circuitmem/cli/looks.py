"""Commands about a configuration before it runs: summary, data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Config, Json, Seed, Setting, overrides


@app.command(short_help="Show tiles, time and energy that a network needs.")
def summary(config: Config = None, seed: Seed = None, setting: Setting = None, as_json: Json = False) -> None:
    """Show what a network needs of its chip: tiles, cells, and reads, time and energy of an inference, by layer."""
    from circuitmem.config import load_run
    from circuitmem.console import Progress
    from circuitmem.registry import torch_room
    from circuitmem.training import load_data, summarize
    from circuitmem.training.own import is_of_torch

    spec = load_run(config, overrides(setting, seed))
    with Progress("summary"):
        if is_of_torch(spec.network):
            found = torch_room().summarize_model(spec)
        else:
            found = summarize(spec, load_data(spec.data, spec.network, spec.seed, values=True))
    print(json.dumps(found.as_dict()) if as_json else found)


@app.command(short_help="Show what data a configuration loads.")
def data(
    config: Annotated[
        str | None, typer.Argument(help="TOML file, preset, or data set that `circuitmem list datasets` shows.")
    ] = None,
    seed: Seed = None,
    setting: Setting = None,
    as_json: Json = False,
) -> None:
    """Show what is loaded: shapes, classes and their samples, range, constant features, hash, licence, authors."""
    from circuitmem.config import load_run, presets
    from circuitmem.console import Progress, print_data
    from circuitmem.errors import DataFileError
    from circuitmem.registry import names
    from circuitmem.training import load_source
    from circuitmem.validation import did_you_mean

    known = names("datasets")
    named = config is not None and config in known
    others = [name.lower() for name in presets()]
    if config is not None and not named and not Path(config).exists() and config.lower() not in others:
        rule = f"is neither a file, nor a preset ({', '.join(presets())}), nor a data set ({', '.join(known)})"
        raise DataFileError(config, rule + did_you_mean(config, known))
    settings = [*([f"data.source={json.dumps(config)}"] if named else []), *overrides(setting, seed)]
    spec = load_run(None if named else config, settings)
    with Progress("data"):
        found = load_source(spec.data, spec.seed).record()
    if as_json:
        print(json.dumps(found))
    else:
        print_data(found)
