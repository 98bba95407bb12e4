"""Scaling of inputs, learnt from training samples alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError

__all__ = ["Scaling"]

Floats = NDArray[np.float64]

ROUNDING = 1e-12
"""Rounding gives equal numbers a standard deviation: one below this, relative to the largest number, counts as 0."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """``(inputs - shift) / spread`` of every feature, or of every channel of maps and sequences.

    Attributes
    ----------
    kind : {"none", "range", "standard"}
        ``range`` maps the training samples to [0, 1], ``standard`` to mean 0 and standard deviation 1. Features that do
        not vary in training are only shifted.
    shift, spread : ndarray, optional
        They broadcast against a sample.
    """

    kind: Literal["none", "range", "standard"] = "none"
    shift: Floats | None = None
    spread: Floats | None = None

    @classmethod
    def learnt(cls, kind: Literal["range", "standard"], inputs: Floats) -> Scaling:
        """Return the scaling learnt from training inputs, (samples, features) or (samples, channels, ...)."""
        axes = (0, *range(2, inputs.ndim))
        with np.errstate(over="ignore", invalid="ignore"):  # numbers too large are refused when they are scaled
            if kind == "range":
                shift = inputs.min(axis=axes, keepdims=True)[0]
                spread = inputs.max(axis=axes, keepdims=True)[0] - shift
            else:
                shift, spread = inputs.mean(axis=axes, keepdims=True)[0], inputs.std(axis=axes, keepdims=True)[0]
        nothing = spread <= ROUNDING * np.abs(inputs).max(axis=axes, keepdims=True)[0]
        return cls(kind, shift, np.where(nothing, 1.0, spread))

    def __call__(self, inputs: Floats) -> Floats:
        """Return scaled inputs.

        Raises
        ------
        ValidationError
            If they overflow.
        """
        if self.shift is None or self.spread is None:
            return inputs
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.asarray((inputs - self.shift) / self.spread)
        wrong = ~(np.isfinite(found) & np.isfinite(self.spread))
        if wrong.any():
            index = tuple(int(place) for place in np.argwhere(wrong)[0])
            raise ValidationError(
                "data inputs", f"must stay finite when scaled, at index {index}", float(inputs[index])
            )
        return found

    def record(self) -> dict[str, Any]:
        """Return plain values, exact to the last bit."""
        if self.shift is None or self.spread is None:
            return {"kind": self.kind}
        return {"kind": self.kind, "shift": self.shift.ravel().tolist(), "spread": self.spread.ravel().tolist()}
