"""Normal numbers by address: NumPy's own Philox, SciPy's own quantiles, and the same number however it is drawn."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest

from circuitmem._kernels import noise
from circuitmem._kernels.noise import Address, normal_table, standard_normal
from circuitmem.rng import Purpose, stream_key

ADDRESS = Address((2**63 + 12345, 987654321), 7)


def test_they_are_quantiles_of_the_bits_that_numpy_draws():
    key, counter = np.array(ADDRESS.key, dtype=np.uint64), np.array([0, 7, 0, 0], dtype=np.uint64)
    raw = [int(number) for number in np.random.Philox(key=key, counter=counter).random_raw(5_000)]
    words = np.array([half for number in raw for half in (number & 0xFFFFFFFF, number >> 32)])
    size = -ndtri((2 * (words & 0x7FFFFFFF) + 1) * 2.0**-33)
    np.testing.assert_allclose(standard_normal(ADDRESS, 10_000), np.where(words >> 31, -size, size), atol=4e-9)


@pytest.mark.parametrize("bits", [0, 1, 2, 1000, 2**31 - 2, 2**31 - 1])
def test_the_polynomials_reach_into_the_tails(bits):
    octave = (2 * bits + 1).bit_length() - 1
    place = (2 * bits + 1) / 2**octave * 8 - 8
    u = place % 1 - 0.5
    value = np.polynomial.polynomial.polyval(u, normal_table()[8 * octave + int(place)])
    # margin: the largest error of the polynomials; values and polynomials are fixed.
    assert value == pytest.approx(-ndtri((2 * bits + 1) * 2.0**-33), abs=4e-9)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 1000])
def test_every_variant_agrees_with_the_twin(kernel_variant, count):
    given = (*ADDRESS.key, ADDRESS.operation, count, normal_table())
    np.testing.assert_allclose(kernel_variant("reads").standard_normal(*given), noise._reference(*given), atol=2e-15)


def test_a_number_depends_on_its_place_only():
    many = standard_normal(ADDRESS, 1000)
    np.testing.assert_array_equal(standard_normal(ADDRESS, 77), many[:77])


def test_they_are_normal_and_streams_are_independent():
    first = standard_normal(Address(stream_key(1, Purpose.READ_NOISE, 0), 1), 200_000)
    others = [
        standard_normal(Address(stream_key(*key), operation), 200_000)
        for *key, operation in (
            (1, Purpose.READ_NOISE, 0, 2),
            (1, Purpose.READ_NOISE, 1, 1),
            (1, Purpose.PULSE_NOISE, 0, 1),
            (2, Purpose.READ_NOISE, 0, 1),
        )
    ]
    assert kstest(first, "norm").pvalue > 1e-3
    for other in others:
        assert abs(np.corrcoef(first, other)[0, 1]) < 5 / np.sqrt(200_000)
    neighbours = np.corrcoef(first[:-1], first[1:])[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(200_000)
