"""The command line: thin commands over the public face, one file a group of commands."""

from circuitmem.cli import circuits, installation, runs, studies  # each file adds its commands to the application
from circuitmem.cli.app import app, main

__all__ = ["app", "circuits", "installation", "main", "runs", "studies"]
