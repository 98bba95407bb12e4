"""The command line: thin commands over the public face, one file a group of commands."""

from circuitmem.cli import (
    arrays,
    audits,
    calibrations,
    circuits,
    conformance,
    fits,
    inference,
    installation,
    looks,
    names,
    runs,
    studies,
    verilog,
)
from circuitmem.cli.app import app, main

__all__ = [
    "app",
    "arrays",
    "audits",
    "calibrations",
    "circuits",
    "conformance",
    "fits",
    "inference",
    "installation",
    "looks",
    "main",
    "names",
    "runs",
    "studies",
    "verilog",
]
