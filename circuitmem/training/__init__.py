"""Training: ex situ on a computer, in situ on the chip."""

from circuitmem.training.ex_situ import train_ex_situ
from circuitmem.training.in_situ import InSituTrainer, train_epoch
from circuitmem.training.methods import Digits, bring_up, build_network, run_method
from circuitmem.training.optimisers import OPTIMISERS, Optimiser
from circuitmem.training.recipes import METHODS, Recipe
from circuitmem.training.rules import RULES, UpdateRule

__all__ = [
    "METHODS",
    "OPTIMISERS",
    "RULES",
    "Digits",
    "InSituTrainer",
    "Optimiser",
    "Recipe",
    "UpdateRule",
    "bring_up",
    "build_network",
    "run_method",
    "train_epoch",
    "train_ex_situ",
]
