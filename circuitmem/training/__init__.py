"""Training: ex situ on a computer, in situ on the chip."""

from typing import TYPE_CHECKING

from circuitmem.deprecation import renamed
from circuitmem.training.agad import Agad
from circuitmem.training.bring_up import bring_up, calibrate_network
from circuitmem.training.chopped_tiki_taka import ChoppedTikiTaka
from circuitmem.training.compare_calibrations import calibrate_run, compare_calibrations
from circuitmem.training.data import load_data, load_source
from circuitmem.training.ex_situ import accuracy_percent, train_ex_situ
from circuitmem.training.in_situ import InSituTrainer, train_epoch
from circuitmem.training.methods import Hooks, MethodResult, MethodRun, build_network, run_method, tile_count
from circuitmem.training.optimisers import Adam, Momentum, Optimiser, RmsProp, Sgd
from circuitmem.training.recipes import METHODS, Recipe, method_title, recipe_of
from circuitmem.training.rules import (
    Manhattan,
    MixedPrecision,
    PulseCount,
    Threshold,
    TwoPulseRule,
    UpdateRule,
    WriteVerify,
)
from circuitmem.training.serve import load_chip, serve, serve_run
from circuitmem.training.summary import summarize
from circuitmem.training.tiki_taka import FastArrayRule, TikiTaka

__all__ = [
    "METHODS",
    "Adam",
    "Agad",
    "ChoppedTikiTaka",
    "FastArrayRule",
    "Hooks",
    "InSituTrainer",
    "Manhattan",
    "MethodResult",
    "MethodRun",
    "MixedPrecision",
    "Momentum",
    "Optimiser",
    "PulseCount",
    "Recipe",
    "RmsProp",
    "Sgd",
    "Threshold",
    "TikiTaka",
    "TwoPulseRule",
    "UpdateRule",
    "WriteVerify",
    "accuracy_percent",
    "bring_up",
    "build_network",
    "calibrate_network",
    "calibrate_run",
    "compare_calibrations",
    "load_chip",
    "load_data",
    "load_source",
    "method_title",
    "recipe_of",
    "run_method",
    "serve",
    "serve_run",
    "summarize",
    "tile_count",
    "train_epoch",
    "train_ex_situ",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"TwoPulse": "TwoPulseRule"}, "0.4.0")
