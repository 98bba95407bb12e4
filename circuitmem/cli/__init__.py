"""The command line: thin commands over the public face, one file a group of commands."""

from circuitmem.cli import audits, calibrations, circuits, fits, inference, installation, runs, studies
from circuitmem.cli.app import app, main

__all__ = ["app", "audits", "calibrations", "circuits", "fits", "inference", "installation", "main", "runs", "studies"]
