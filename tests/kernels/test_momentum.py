"""A step of momentum: the kernel has the bits of its twin, whatever the number of threads."""

import numpy as np
import pytest

from circuitmem._kernels import momentum
from circuitmem.errors import ValidationError

SIZES = [(0,), (1,), (7,), (33, 70), (400, 700)]
STEP = {"rate": 0.3, "momentum": 0.9}


def arrays(shape, seed=0):
    rng = np.random.default_rng(seed)
    parameters, velocity, gradient = rng.normal(size=(3, *shape))
    return parameters, 0.1 * velocity, gradient * (rng.random(shape) < 0.7), -rng.random(shape), rng.random(shape)


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("limited", [True, False])
def test_the_kernel_on_threads_has_the_bits_of_numpy(shape, threads, limited, kernel_variant, monkeypatch):
    found = {}
    for name, step in (("twin", momentum._reference_step), ("kernel", kernel_variant("backward").momentum_step)):
        monkeypatch.setattr(momentum, "_momentum_step", step)
        *state, gradient, lowest, highest = arrays(shape)
        for _ in range(3):
            within = (lowest, highest) if limited else None
            momentum.momentum_step(*state, gradient, within, threads=threads, **STEP)
        found[name] = state
    for ours, theirs in zip(found["kernel"], found["twin"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not limited or ((lowest <= found["kernel"][0]) & (found["kernel"][0] <= highest)).all()


def test_one_step_by_hand():
    p, v = np.array([1.0, 1.0, np.nan]), np.array([0.5, 0.5, 0.5])
    limits = np.full(3, -1.0), np.array([2.0, 1.5, 2.0])
    momentum.momentum_step(p, v, np.array([-2.0, -2.0, 1.0]), limits, rate=0.25, momentum=0.5)
    assert v.tolist() == [0.75, 0.75, 0.0]  # not limited
    assert p[:2].tolist() == [1.75, 1.5]
    assert np.isnan(p[2])  # what is not a number stays so


def test_what_is_moved_must_be_of_one_shape_and_rows_behind_each_other():
    p, v, gradient, *limits = arrays((3, 4))
    before = p.copy()
    for bad in ((p, v, gradient[:2]), (p.T, v.T, gradient.T), (p, v, gradient, (limits[0], limits[1][:2]))):
        with pytest.raises(ValidationError, match=r"^parameters must have shape \(\d, \d, \d\), rows behind"):
            momentum.momentum_step(*bad, **STEP)
    np.testing.assert_array_equal(p, before)
