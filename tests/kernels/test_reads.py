"""Fused reads: against the banks of converters and a matrix product, in every shape, variant and number of threads."""

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem._kernels import reads
from circuitmem._kernels.noise import Address, normal_table, standard_normal
from circuitmem._kernels.reads import Channels, read_codes, read_currents
from circuitmem.config import ChipSpec
from circuitmem.converter import Readout
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.tile import DefectMap

NOISE = Address((3, 5), 11)
SHAPES = [(1, 1, 1), (1, 9, 3), (9, 1, 2), (8, 8, 8), (17, 25, 65), (3, 200, 70), (64, 64, 64), (40, 31, 200)]
"""Rows, columns, batch."""


def drawn(rows, columns, batch, sigma=0.01, table=False):
    """Return DAC codes, matrix, admittance and channels, a few of them dead, that use and exceed the range.

    With ``table`` the thresholds are off by several LSB, and some codes are missing.
    """
    rng = np.random.default_rng(rows * 1000 + columns)
    channels = Channels(
        rng.uniform(0.0, 0.4, (rows, 256)),
        rng.uniform(0.5, 1.5, columns) * 2e4 / rows,
        rng.normal(0.0, 0.01, columns),
        np.where(rng.random(columns) < 0.1, 0.0, 255.0),
        -0.01,
        1.0 / 255.0,
        sigma,
        np.sort(np.arange(255) + 0.5 + 3.0 * rng.standard_normal((columns, 255)), axis=1) if table else None,
    )
    matrix = rng.uniform(1e-6, 3e-4, (columns, rows))
    admittance = rng.uniform(-1e-5, 1e-4, (rows, rows))
    return rng.integers(0, 256, (batch, rows)), matrix, admittance + admittance.T, channels


def expected(codes, matrix, admittance, channels):
    """Say in NumPy what a read is, step by step."""
    voltages = channels.table[np.arange(codes.shape[1]), codes]
    noise = channels.noise * standard_normal(NOISE, len(codes) * len(matrix)).reshape(len(codes), -1)
    steps = ((voltages @ matrix.T) * channels.factor + channels.offset + noise - channels.minimum) / channels.lsb
    power = np.einsum("bi,ij,bj->b", voltages, admittance, voltages)
    return steps, np.clip(np.rint(steps), 0, channels.highest), power


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.0, 0.01])
def test_codes_and_power_are_those_of_the_steps_one_by_one(shape, sigma):
    codes, matrix, admittance, channels = drawn(*shape, sigma)
    answer, power = read_codes(codes, matrix, admittance, channels, NOISE)
    steps, wanted, watts = expected(codes, matrix, admittance, channels)
    between = np.abs(steps - np.floor(steps) - 0.5) < 1e-9  # rounding may go either way there
    np.testing.assert_array_equal(np.where(between, wanted, answer), wanted)
    np.testing.assert_allclose(power, watts, rtol=1e-12, atol=1e-12 * np.abs(watts).max())
    assert answer.max() == 255 or shape[2] < 8


@pytest.mark.parametrize("shape", SHAPES)
def test_lines_at_rest_are_read_like_the_others(shape):
    codes, matrix, admittance, channels = drawn(*shape)
    rng = np.random.default_rng(5)
    codes *= rng.random(shape[2:] + shape[:1]) < 0.2
    codes[:, rng.random(shape[0]) < 0.3] = 0  # lines that no vector moves
    answer, power = read_codes(codes, matrix, admittance, channels, NOISE)
    steps, wanted, watts = expected(codes, matrix, admittance, channels)
    between = np.abs(steps - np.floor(steps) - 0.5) < 1e-9
    np.testing.assert_array_equal(np.where(between, wanted, answer), wanted)
    np.testing.assert_allclose(power, watts, rtol=1e-12, atol=1e-12 * np.abs(watts).max())
    # Each vector alone, where other lines are left out than in a block: the same bits.
    for vector in range(0, len(codes), 7):
        alone = read_codes(codes[vector : vector + 1], matrix, admittance, channels, NOISE, first=vector)
        np.testing.assert_array_equal(alone[0][0], answer[vector])
        assert alone[1][0] == power[vector]


@pytest.mark.parametrize("shape", SHAPES)
def test_codes_count_the_thresholds_that_are_reached(shape):
    codes, matrix, admittance, channels = drawn(*shape, table=True)
    answer, power = read_codes(codes, matrix, admittance, channels, NOISE)
    steps, _, watts = expected(codes, matrix, admittance, channels)
    reached = (steps[:, :, None] >= channels.thresholds[None]).sum(axis=2)
    near = np.abs(steps[:, :, None] - channels.thresholds[None]).min(axis=2) < 1e-9
    wanted = np.minimum(reached, channels.highest)
    np.testing.assert_array_equal(np.where(near, wanted, answer), wanted)
    np.testing.assert_allclose(power, watts, rtol=1e-12, atol=1e-12 * np.abs(watts).max())
    plain, _ = read_codes(codes, matrix, admittance, channels._replace(thresholds=None), NOISE)
    assert (plain != answer).any() or plain.size < 8


def test_even_thresholds_give_the_codes_of_no_thresholds():
    codes, matrix, admittance, channels = drawn(40, 31, 200)
    even = np.tile(np.arange(255) + 0.5, (31, 1))
    plain = read_codes(codes, matrix, admittance, channels, NOISE)
    table = read_codes(codes, matrix, admittance, channels._replace(thresholds=even), NOISE)
    np.testing.assert_array_equal(table[0], plain[0])
    np.testing.assert_array_equal(table[1], plain[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("table", [False, True])
def test_every_variant_agrees_with_the_twin(kernel_variant, shape, table):
    codes, matrix, admittance, channels = drawn(*shape, table=table)
    rest = (*channels, normal_table(), *NOISE.key, NOISE.operation, 0, 1)
    own, losses = matrix.sum(axis=0), np.linspace(0.0, 5.0, shape[1])
    for power in ((admittance, None, None), (None, own, losses)):
        found = kernel_variant("reads").read_codes(codes, matrix, *power, *rest)
        wanted = reads._reference_codes(codes, matrix, *power, *rest)
        assert found[0] is wanted[0] is True
        assert (found[1] != wanted[1]).mean() <= 1e-3  # sums in another order; ties are rare
        np.testing.assert_allclose(found[2], wanted[2], rtol=1e-12, atol=1e-12 * np.abs(wanted[2]).max())
    voltages = channels.table[np.arange(shape[0]), codes]
    currents = kernel_variant("reads").read_currents(voltages, matrix, 1)
    np.testing.assert_allclose(currents, voltages @ matrix.T, rtol=1e-12)


@pytest.mark.parametrize("shape", [(130, 90, 300), (256, 256, 129)])
def test_bits_do_not_depend_on_threads_nor_currents_on_the_batch(shape):
    codes, matrix, admittance, channels = drawn(*shape)
    one = read_codes(codes, matrix, admittance, channels, NOISE, threads=1)
    for threads in (2, 3):
        other = read_codes(codes, matrix, admittance, channels, NOISE, threads=threads)
        np.testing.assert_array_equal(other[0], one[0])
        np.testing.assert_array_equal(other[1], one[1])
    voltages = channels.table[np.arange(shape[0]), codes]
    currents = read_currents(voltages, matrix, threads=2)
    np.testing.assert_array_equal(currents[100:117], read_currents(voltages[100:117], matrix))


def test_without_an_admittance_there_is_no_power_and_the_same_codes():
    codes, matrix, admittance, channels = drawn(20, 30, 40)
    answer, power = read_codes(codes, matrix, None, channels, NOISE)
    np.testing.assert_array_equal(answer, read_codes(codes, matrix, admittance, channels, NOISE)[0])
    assert not power.any()


@pytest.mark.parametrize("code", [-1, 256, 2**40])
def test_a_code_out_of_range_is_refused(code):
    codes, matrix, admittance, channels = drawn(5, 4, 3)
    codes[2, 4] = code
    with pytest.raises(ValidationError, match=r"codes must lie in \[0, 255\]"):
        read_codes(codes, matrix, admittance, channels, NOISE)


def test_a_readout_reads_as_its_banks_do():
    chip = ChipSpec(tile=TileSpec(rows=12, columns=10, word_line_resistance=3.0, bit_line_resistance=3.0))
    rng = np.random.default_rng(0)
    defects = DefectMap(dead_senses=np.arange(10) == 4)
    tile = Tile(chip.tile_spec, rng.uniform(1e-6, 3e-4, (12, 10)), defects)
    readout = Readout(chip.converters, chip.tile_spec, seed=3, defects=defects)
    readout.adc.set_pga_gain(rng.uniform(1.0, 3.0, 10))
    codes = rng.integers(0, 256, (50, 12))
    engine = BehavioralEngine()
    transfer = engine.transfer([tile])
    found, power = readout.read(codes, transfer.matrix[0], transfer.input_admittance[0], NOISE)
    solution = engine.solve(tile, readout.dac.voltages(codes))
    noise = chip.converters.adc.noise * standard_normal(NOISE, 500).reshape(50, 10)
    np.testing.assert_array_equal(found, readout.adc.codes(solution.column_current, noise))
    np.testing.assert_allclose(power, solution.power, rtol=1e-10)
    assert not found[:, 4].any()
    with pytest.raises(ValidationError, match="codes must be integers"):
        readout.read(codes / 2, transfer.matrix[0], None, NOISE)
    with pytest.raises(ValidationError, match=r"codes must have shape \(batch, 12\)"):
        readout.read(codes[:, 1:], transfer.matrix[0], None, NOISE)


@pytest.mark.parametrize("first", [1, 3, 8, 64, 65])
def test_a_read_that_goes_on_has_the_noise_that_it_would_have_had(first):
    codes, matrix, admittance, channels = drawn(20, 13, 90)
    whole, power = read_codes(codes, matrix, admittance, channels, NOISE)
    rest, watts = read_codes(codes[first:], matrix, admittance, channels, NOISE, first=first)
    np.testing.assert_array_equal(rest, whole[first:])
    np.testing.assert_array_equal(watts, power[first:])
