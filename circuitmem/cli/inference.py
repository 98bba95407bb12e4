"""Commands that use a finished chip: infer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json, Setting


@app.command(short_help="Use the chip of a finished run.")
def infer(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    method: Annotated[
        str | None, typer.Option(help="Method whose chip is used; the run's last finished one when left out.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests per second of simulated time.")] = 1e5,
    duration: Annotated[float, typer.Option(help="Simulated seconds for which requests come.")] = 1e-3,
    queue: Annotated[int, typer.Option(help="Most requests on the chip at once; others are refused.")] = 64,
    check_every: Annotated[
        str | None, typer.Option(help="Simulated time between drift checks: 1e-4, 1ms, 30d.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Relative change of products that calls for calibration.")] = 0.02,
    correction: Annotated[
        str, typer.Option(help="What a calibration fits: affine (each column) or global-scale (one factor a layer).")
    ] = "affine",
    vectors: Annotated[int, typer.Option(help="Known inputs of a drift check.")] = 8,
    refresh_every: Annotated[str | None, typer.Option(help="Simulated time between refreshes.")] = None,
    after: Annotated[
        str | None,
        typer.Option(help="Instead of requests: test at these ages, such as 1s,1h,1d,1y (also ms, us, min), rising."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of arrivals and noise, >= 0.")] = 1,
    setting: Setting = None,
    trace: Annotated[Path | None, typer.Option(help="Write every operation here, for ui.perfetto.dev.")] = None,
    as_json: Json = False,
) -> None:
    """Use the chip of a finished run: requests at random times, drift checks and refreshes in the background.

    With --after the chip rests, is checked and refreshed as declared, and is tested with all test samples at each age.
    """
    from circuitmem.config import InferenceSpec, UseSpec
    from circuitmem.console import Progress, print_ages, print_inference
    from circuitmem.errors import ValidationError
    from circuitmem.training.serve import age_run, last_method, serve_run
    from circuitmem.validation import seconds_of

    method = last_method(run) if method is None else method
    checks = None if check_every is None else seconds_of("--check-every", check_every)
    refreshes = None if refresh_every is None else seconds_of("--refresh-every", refresh_every)
    upkeep: dict[str, Any] = {"check_every": checks, "limit": limit, "correction": correction, "vectors": vectors}
    upkeep |= {"refresh_every": refreshes}
    if after is not None:
        if trace is not None:
            raise ValidationError("--trace", "must be left out with --after", str(trace))
        ages = [seconds_of("--after", word) for word in after.split(",")]
        use = UseSpec(**upkeep)
        with Progress("inference"):
            aged = age_run(run, method, use, ages, setting, seed)
        if as_json:
            print(json.dumps(aged))
        else:
            print_ages(aged)
        return
    spec = InferenceSpec(
        rate=rate,
        duration=duration,
        queue=queue,
        seed=seed,
        **upkeep,
    )
    with Progress("inference"):
        found = serve_run(run, method, spec, setting, trace)
    if as_json:
        print(json.dumps(found))
    else:
        print_inference(found)
