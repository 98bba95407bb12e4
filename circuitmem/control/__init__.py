"""The chip in time: SimPy lives here and nowhere else."""

from circuitmem.control.chip import Chip, Process
from circuitmem.control.ledger import Account, Ledger
from circuitmem.control.unit import Unit

__all__ = ["Account", "Chip", "Ledger", "Process", "Unit"]
