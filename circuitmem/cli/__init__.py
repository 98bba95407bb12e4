"""The command line: thin commands over the public face, one file a group of commands."""

from circuitmem.cli import circuits, fits, inference, installation, runs, studies  # each file adds its own commands
from circuitmem.cli.app import app, main

__all__ = ["app", "circuits", "fits", "inference", "installation", "main", "runs", "studies"]
