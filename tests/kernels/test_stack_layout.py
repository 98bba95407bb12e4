"""Arrays of the tiles of a stack may lie anywhere in memory: in one array, in every second part of it, or in a list."""

import numpy as np

from circuitmem._kernels.stack_pulses import plan_stack


def test_tiles_that_lie_apart_are_planned_as_those_that_follow_each_other(kernel_variant, monkeypatch):
    monkeypatch.setattr("circuitmem._kernels.stack_pulses._plan_stack", kernel_variant("programming").plan_stack)
    rng = np.random.default_rng(1)
    apart, wanted = rng.uniform(1e-6, 3e-4, (6, 5, 7)), rng.uniform(1e-6, 3e-4, (3, 5, 7))
    for asked in (apart[::2], list(apart[::2]), apart[::2].copy()):
        plan = plan_stack(wanted, asked, 5e-5, threads=2)
        np.testing.assert_array_equal(plan.lowered, wanted - apart[::2] < -5e-5)
        np.testing.assert_array_equal(plan.selected, np.abs(wanted - apart[::2]) > 5e-5)
