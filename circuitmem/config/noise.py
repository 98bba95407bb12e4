"""The noise of cells when they are read."""

from __future__ import annotations

from circuitmem.config.base import Spec
from circuitmem.config.law import Fraction
from circuitmem.config.quantity import Duration

__all__ = ["NoiseSpec"]


class NoiseSpec(Spec):
    """Fluctuations of a cell's conductance about its programmed and drifted value; none by default.

    Both are relative to the conductance, normally distributed, and independent from cell to cell. White noise is drawn
    anew for every read. 1/f noise has grown to a standard deviation of

        ``flicker·sqrt(ln((t + t_r)/(2·t_r)))``

    a time t after the last pulse (Nandakumar et al., ICECS 2019; t > t_r); reads close together see nearly the same.

    Parameters
    ----------
    white : float, table or function
        Standard deviation of one read, relative, in [0, 1]: a number, pairs of a conductance [S] and a number, or
        ``"package.module:function"``.
    flicker : float, table or function
        Amplitude of the 1/f noise, relative, in [0, 1].
    flicker_time : float
        t_r [s], > 0: faster fluctuations belong to the white noise.
    """

    white: Fraction = 0.0
    flicker: Fraction = 0.0
    flicker_time: Duration = 250e-9
