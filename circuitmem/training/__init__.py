"""Training: ex situ on a computer, in situ on the chip."""

from circuitmem.training.ex_situ import train_ex_situ
from circuitmem.training.in_situ import Momentum, train_epoch
from circuitmem.training.methods import Digits, bring_up, build_network, run_method

__all__ = ["Digits", "Momentum", "bring_up", "build_network", "run_method", "train_epoch", "train_ex_situ"]
