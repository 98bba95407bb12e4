"""Parameters of training with fast arrays: Tiki-Taka v2, with choppers, and AGAD."""

from __future__ import annotations

import pydantic

from circuitmem.config.base import Spec

__all__ = ["AgadSpec", "ChoppedSpec", "FastArraySpec", "TikiTakaSpec"]


class FastArraySpec(Spec):
    """Parameters of rules that accumulate changes on separate arrays first.

    Parameters
    ----------
    pulses : float
        Pulses that the largest change of a layer gets on its fast array after a batch, > 0; smaller changes get
        proportionally fewer, rounded up or down at random.
    transfer_every : int
        Number of batches after which the fast arrays are read, >= 1.
    lines : int
        Word lines of each of their tiles that are read each time, one after another, >= 1; the next time continues with
        the next ones.
    gain : float
        Fraction of what a read finds that is added to the digital memory, > 0.
    step : float
        Step in which changes are programmed, relative to the largest weight of the layer, > 0; smaller ones add up in
        the memory until they reach it.
    """

    pulses: float = pydantic.Field(default=3.0, gt=0.0, le=1000.0)
    transfer_every: int = pydantic.Field(default=1, ge=1)
    lines: int = pydantic.Field(default=16, ge=1)
    gain: float = pydantic.Field(default=1.0, gt=0.0)
    step: float = pydantic.Field(default=0.01, gt=0.0)


class TikiTakaSpec(FastArraySpec):
    """Numbers of the rule ``tiki-taka``.

    Parameters
    ----------
    pulses, transfer_every, lines, gain, step
        As in :class:`FastArraySpec`.
    settling : int
        Pairs of one pulse down and one up that each cell of a fast array gets at the beginning, >= 0: they bring it to
        the conductance at which both pulses move it equally far.
    """

    settling: int = pydantic.Field(default=20, ge=0, le=100_000)


class ChoppedSpec(TikiTakaSpec):
    """Numbers of the rule ``chopped-tiki-taka``.

    Parameters
    ----------
    pulses, transfer_every, lines, gain, step, settling
        As in :class:`TikiTakaSpec`.
    flip : float
        Probability with which the sign of a word line changes after it was read, in [0, 1].
    """

    flip: float = pydantic.Field(default=0.1, ge=0.0, le=1.0)


class AgadSpec(FastArraySpec):
    """Numbers of the rule ``agad``.

    Parameters
    ----------
    pulses, transfer_every, lines, gain, step
        As in :class:`FastArraySpec`.
    period : int
        Number of reads of a word line after which its sign changes, >= 1.
    leak : float
        Weight of the latest read in the running mean of what was found, in (0, 1]: at 1 only the latest counts.
    """

    period: int = pydantic.Field(default=3, ge=1)
    leak: float = pydantic.Field(default=0.5, gt=0.0, le=1.0)
