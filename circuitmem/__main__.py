"""``python -m circuitmem``."""

from circuitmem.cli import main

main()
