"""Pulses of devices that count them: the kernel, its twin, and the law by hand."""

import numpy as np
import pytest

from circuitmem._kernels import counts
from circuitmem._kernels.counts import DirectionCurve, count_pulses
from circuitmem._kernels.noise import Address, normal_table, standard_normal

NOISE = Address((17, 4), 9)
LIMITS = (1e-6, 51e-6)


def drawn(shape, seed=0):
    rng = np.random.default_rng(seed)
    programmed = rng.uniform(1e-6, 51e-6, shape)
    stuck = rng.random(shape) < 0.2
    steep = rng.uniform(1e-8, 8.0, shape)
    curve = DirectionCurve(steep / 40.0, -1.0 / np.expm1(-steep))
    return programmed, np.where(stuck, 7e-4, programmed), stuck, rng.integers(0, 6, shape), curve


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 1), (8, 8), (31, 27)])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_the_law_by_hand(shape, up, sigma):
    programmed, effective, stuck, pulses, curve = drawn(shape)
    conductance, found = programmed.copy(), effective.copy()
    count_pulses(conductance, found, stuck, pulses, up, curve, LIMITS, sigma, NOISE)
    normal = standard_normal(NOISE, conductance.size).reshape(shape)
    for place in np.ndindex(shape):
        if pulses[place] == 0:
            assert (conductance[place], found[place]) == (programmed[place], effective[place])
            continue
        y = (programmed[place] - 1e-6) / 50e-6
        y = y if up else 1.0 - y
        x = -np.log(1.0 - y / curve.ceiling[place]) / curve.fade[place] + pulses[place]
        y = curve.ceiling[place] * (1.0 - np.exp(-x * curve.fade[place]))
        y = min(max(y + sigma * np.sqrt(pulses[place]) * normal[place], 0.0), 1.0)
        left = 1e-6 + 50e-6 * (y if up else 1.0 - y)
        assert conductance[place] == pytest.approx(left, rel=1e-6, abs=1e-14)
        assert found[place] == (effective[place] if stuck[place] else conductance[place])


@pytest.mark.parametrize("up", [True, False])
def test_every_variant_agrees_with_the_twin(kernel_variant, up):
    module = kernel_variant("pulses")
    programmed, effective, stuck, pulses, curve = drawn((19, 23), 1)
    ends = []
    for give in (module.count_pulses, counts._reference_count):
        changed = programmed.copy(), effective.copy()
        give(*changed, stuck.view(np.uint8), pulses, up, *curve, *LIMITS, 0.03, normal_table(), *NOISE.key, 9)
        ends.append(changed)
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-24)


def test_noise_of_many_pulses_has_their_spread():
    shape = (60, 60)
    middle = np.full(shape, 26e-6)
    curve = DirectionCurve(np.full(shape, 1e-9), np.full(shape, 1e9 / 40.0))
    none = np.zeros(shape, dtype=bool)
    count_pulses(middle, middle, none, np.full(shape, 4), True, curve, LIMITS, 0.02, NOISE)
    # The curve is straight: each pulse is 1/40 of the range.
    moved = (middle - 26e-6) / 50e-6
    assert moved.mean() == pytest.approx(4 / 40, abs=4 * 0.04 / 60)
    assert moved.std() == pytest.approx(0.04, rel=0.05)
