"""Commands about the installation: doctor."""

from __future__ import annotations

import json

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Json


@app.command(short_help="Show what is installed and what is missing.")
def doctor(as_json: Json = False) -> None:
    """Show what is installed, which kernels and ngspice run, and what is missing; exit code 1 if that is essential."""
    from circuitmem.console import Progress, print_findings
    from circuitmem.doctor import examine

    with Progress("examination"):
        findings = examine()
    if as_json:
        print(json.dumps(findings))
    else:
        print_findings(findings)
    if findings["essential"]:
        raise typer.Exit(1)
