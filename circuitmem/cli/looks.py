"""Commands that look at a configuration before it runs: summary, data."""

from __future__ import annotations

import json

from circuitmem.cli.app import app
from circuitmem.cli.options import Config, Json, Seed, Setting, overrides, torch_room


@app.command()
def summary(config: Config = None, seed: Seed = None, setting: Setting = None, as_json: Json = False) -> None:
    """Show what a network needs of its chip: tiles, cells, and reads, time and energy of an inference, by layer."""
    from circuitmem.config import load_run
    from circuitmem.console import Progress
    from circuitmem.training import load_data, summarize

    spec = load_run(config, overrides(setting, seed))
    with Progress("summary"):
        if spec.network.model:
            found = torch_room().summarize_model(spec)
        else:
            found = summarize(spec, load_data(spec.data, spec.network, spec.seed, values=True))
    print(json.dumps(found.as_dict()) if as_json else found)


@app.command()
def data(config: Config = None, seed: Seed = None, setting: Setting = None, as_json: Json = False) -> None:
    """Show what a configuration loads: shapes, classes and their samples, range, constant features, hash, licence."""
    from circuitmem.config import load_run
    from circuitmem.console import Progress, print_data
    from circuitmem.training import load_source

    spec = load_run(config, overrides(setting, seed))
    with Progress("data"):
        found = load_source(spec.data, spec.seed).record()
    if as_json:
        print(json.dumps(found))
    else:
        print_data(found)
