"""A model of a user's device, from what was measured on it."""

from circuitmem.study.fit.fit import MODELS, fit_device
from circuitmem.study.fit.model import Curve, Fit

__all__ = ["MODELS", "Curve", "Fit", "fit_device"]
