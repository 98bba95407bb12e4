"""Commands for authors of other simulators: conformance export, conformance check."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json

conformance = typer.Typer(
    name="conformance",
    rich_markup_mode=None,
    help="Write tiles with their exact answers, and check another simulator with them.",
    short_help="Check another simulator with exact answers.",
)
app.add_typer(conformance)


class Checked(StrEnum):
    """Who checks the answers before they are written."""

    ALL = "all"
    NGSPICE = "ngspice"
    VACASK = "vacask"
    NONE = "none"


@conformance.command("export", short_help="Write 200 tiles with their exact answers.")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for cases.json and the schemas; made if it does not exist.")],
    referee: Annotated[
        Checked, typer.Option(help="Circuit simulators that check every answer; all: both; none: nobody.")
    ] = Checked.ALL,
    force: Annotated[bool, typer.Option("--force", help="Overwrite cases.json.")] = False,
    as_json: Json = False,
) -> None:
    """Write 200 tiles, of every kind of cell and defect, with all currents and node voltages, as plain JSON.

    Each answer is checked by the circuit simulators first: what they differ by is in the file.
    """
    from circuitmem.console import Progress
    from circuitmem.engine import referee_names
    from circuitmem.errors import DataFileError, ValidationError
    from circuitmem.files import write_text
    from circuitmem.study.conformance import suite_record
    from circuitmem.study.conformance.schema import answers_schema, suite_schema

    target = folder / "cases.json"
    if target.exists() and not force:
        raise ValidationError("DIR", "must have no cases.json; --force overwrites", str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(folder, f"cannot be made: {error.strerror}") from None
    names = () if referee is Checked.NONE else referee_names(referee.value)
    with Progress() as progress:
        record = suite_record(names, lambda done, count: progress.update("tiles", done, count))
    write_text(target, _lines(record))
    schemas = {"cases.schema.json": suite_schema(), "answers.schema.json": answers_schema()}
    for name, schema in schemas.items():
        write_text(folder / name, json.dumps(schema, indent=1) + "\n")
    worst = {name: max(max(case["checked"][name].values()) for case in record["cases"]) for name in names}
    if as_json:
        found = {"file": str(target), "cases": len(record["cases"]), "bytes": target.stat().st_size, "largest": worst}
        print(json.dumps(found))
        return
    print(f"{target}: {len(record['cases'])} tiles, {target.stat().st_size / 1e6:.1f} MB; schemas beside it")
    for name, value in worst.items():
        print(f"checked by {record['referees'][name]}: within {value:.1e} of the largest current or voltage")
    if not names:
        print("checked by nobody: --referee all asks both circuit simulators")


@conformance.command("check", short_help="Judge the answers of another program.")
def check(
    file: Annotated[Path, typer.Argument(help="Answers of another program, as answers.schema.json says.")],
    group: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Judge this group only; repeatable.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest difference that passes; 1e-9, of non-linear cells 1e-7.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge another program's answers: one line for each case that fails; exit code 1 if one does."""
    from circuitmem.study.conformance import judge

    verdicts = judge(file, group or (), tolerance)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if as_json:
        cases = {v.case: {"pass": v.passed, "reason": v.reason, "difference": _finite(v.difference)} for v in verdicts}
        print(json.dumps({"cases": cases, "failed": len(failed)}))
    else:
        for verdict in failed:
            print(f"{verdict.case}: {verdict.reason}")
        right = [verdict.difference for verdict in verdicts if verdict.passed]
        largest = f", within {max(right):.1e} of the largest current or voltage" if right else ""
        print(f"{len(right)} of {len(verdicts)} tiles are right{largest}")
    if failed:
        raise typer.Exit(1)


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None


def _lines(record: dict[str, object]) -> str:
    """Return JSON with a line for each case."""
    cases = record["cases"]
    assert isinstance(cases, list)
    head = json.dumps({key: value for key, value in record.items() if key != "cases"}, indent=1)[:-2]
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases)
    return f'{head},\n "cases": [\n{lines}\n ]\n}}\n'
