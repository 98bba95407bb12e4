"""Commands of studies: study run, study report, study figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import INTERRUPTED, app
from circuitmem.cli.options import Json

study = typer.Typer(name="study", rich_markup_mode=None, help="Run a study, and show its results.")
app.add_typer(study)

Folder = Annotated[Path, typer.Argument(help="Folder that has study.toml, e.g. studies/yield.")]
Quick = Annotated[bool, typer.Option("--quick", help="The study's quick form: fewer and smaller points.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "--output", "-o", help="Folder of the results; the study's own, or quick/ in it, if left out."
    ),
]
Repeats = Annotated[int | None, typer.Option(help="Defect maps at every point, instead of those declared, >= 1.")]


@study.command("run", short_help="Compute what is missing, then the report.")
def run(
    folder: Folder,
    quick: Quick = False,
    out: Out = None,
    workers: Annotated[int, typer.Option(help="Worker processes on this machine, >= 1.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler: compute on its workers.")] = None,
    repeats: Repeats = None,
    retry: Annotated[bool, typer.Option("--retry", help="Compute points and trials that failed again.")] = False,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Compute points again that are of other code, data, weights or modules."),
    ] = False,
    collect: Annotated[
        bool,
        typer.Option("--collect", help="Compute nothing: table, figures and report of the points that are finished."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the points and estimate the time; do nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute what is missing of a study, then its table, figures and report; exit code 1 if something failed."""
    from circuitmem.console import Progress, print_study
    from circuitmem.study.runner import run_study
    from circuitmem.study.spec import load_study

    declared = load_study(folder, quick, repeats)
    if dry_run:
        _list_points(declared, out, workers, as_json)
        return
    try:
        with Progress() as progress:
            summary = run_study(
                declared,
                out,
                workers=workers,
                scheduler=scheduler,
                retry=retry,
                recompute=recompute,
                collect=collect,
                progress=progress.update,
            )
            from circuitmem.report import report_study

            progress.update("report", 0, 1)
            summary |= report_study(declared, Path(summary["folder"]))
            progress.update("report", 1, 1)
    except KeyboardInterrupt:
        none = " (there are none before all trials of the tuning are finished)" if declared.spec.protocol.tune else ""
        hint = f"with --collect it reports the points that are finished{none}"
        print(f"circuitmem: interrupted; the same command goes on, {hint}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if as_json:
        print(json.dumps(summary))
    else:
        print_study(summary)
    if summary["failed"] or summary["failed_trials"]:
        raise typer.Exit(1)


def _list_points(declared: object, out: Path | None, workers: int, as_json: bool) -> None:
    from circuitmem.console import print_points
    from circuitmem.study.runner import plan_study

    plan = plan_study(declared, out, workers)  # type: ignore[arg-type]
    print(json.dumps(plan)) if as_json else print_points(plan)


@study.command("report", short_help="Draw the figures and write the texts from the table.")
def report(folder: Folder, quick: Quick = False, out: Out = None, as_json: Json = False) -> None:
    """Draw the figures and write results.md, and README.md between its markers, from the table; nothing is computed."""
    from circuitmem.console import Progress
    from circuitmem.report import report_study
    from circuitmem.study.runner import results_folder
    from circuitmem.study.spec import load_study

    declared = load_study(folder, quick)
    with Progress("report"):
        written = report_study(declared, results_folder(declared, out))
    paths = [written["report"], *written["figures"], *([written["readme"]] if written["readme"] else [])]
    print(json.dumps(written) if as_json else "\n".join(paths))


@study.command("figures", short_help="Draw the figures again from the table.")
def figures(folder: Folder, quick: Quick = False, out: Out = None, as_json: Json = False) -> None:
    """Draw the figures again from the table; nothing is computed."""
    from circuitmem.console import Progress
    from circuitmem.report import draw_study
    from circuitmem.study.runner import results_folder
    from circuitmem.study.spec import load_study

    declared = load_study(folder, quick)
    with Progress("figures"):
        paths = [str(path) for path in draw_study(declared, results_folder(declared, out))]
    print(json.dumps({"figures": paths}) if as_json else "\n".join(paths))
