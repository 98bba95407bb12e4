"""Commands that use a finished chip: infer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json, Setting


@app.command()
def infer(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    method: Annotated[str, typer.Option(help="Whose chip to use.")] = "calibration_in_situ",
    rate: Annotated[float, typer.Option(help="Requests per second of simulated time.")] = 1e5,
    duration: Annotated[float, typer.Option(help="Simulated seconds for which requests come.")] = 1e-3,
    queue: Annotated[int, typer.Option(help="Requests on the chip at once; one more is refused.")] = 64,
    check_every: Annotated[float | None, typer.Option(help="Simulated seconds between drift checks.")] = None,
    limit: Annotated[float, typer.Option(help="Relative change of products that calls for calibration.")] = 0.02,
    vectors: Annotated[int, typer.Option(help="Known inputs of a drift check.")] = 8,
    refresh_every: Annotated[float | None, typer.Option(help="Simulated seconds between refreshes.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of arrivals and noise, >= 0.")] = 1,
    setting: Setting = None,
    trace: Annotated[Path | None, typer.Option(help="Write every operation here, for ui.perfetto.dev.")] = None,
    as_json: Json = False,
) -> None:
    """Put a finished run's chip to use: requests at random times, drift checks and refreshes in the background."""
    from circuitmem.config import InferenceSpec
    from circuitmem.console import Progress, print_inference
    from circuitmem.training.serve import serve_run

    spec = InferenceSpec(
        rate=rate,
        duration=duration,
        queue=queue,
        check_every=check_every,
        limit=limit,
        vectors=vectors,
        refresh_every=refresh_every,
        seed=seed,
    )
    with Progress("inference"):
        found = serve_run(run, method, spec, setting, trace)
    if as_json:
        print(json.dumps(found))
    else:
        print_inference(found)
