"""Transfer matrices kept up to date: never stale, exact where they are said to be, within the error elsewhere."""

import numpy as np
import pytest
from builders import random_tile

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem._kernels.noise import Address
from circuitmem._kernels.reads import Channels, IdealAdmittance, read_codes
from circuitmem._kernels.stack_reads import IdealWires, Matrices
from circuitmem.engine import BehavioralEngine, TransferCache, transfers
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream

EXACT = 1e-12
"""Rounding errors of up to 64 updates of low rank, relative to the largest element."""


def make_tile(rng, **kinds):
    return random_tile(24, 18, rng, ohms=2.0, between=(20e-6, 300e-6), defects=DefectMap(**kinds))


def close(actual, expected, tolerance=EXACT):
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * np.abs(expected).max())


def same_as_new(cache, number, tile, tolerance=EXACT):
    transfer = BehavioralEngine().transfer([tile])
    matrix, admittance = cache.get(number, tile)
    close(matrix, transfer.matrix[0], tolerance)
    close(admittance, transfer.input_admittance[0], tolerance)


@pytest.mark.parametrize("dead", [None, [3, 7]])
def test_single_cells_are_updated_exactly(dead):
    rng = np.random.default_rng(0)
    kinds = {} if dead is None else {"dead_drivers": np.isin(np.arange(24), dead)}
    tile, cache = make_tile(rng, **kinds), TransferCache(BehavioralEngine(), 1e-6)
    cache.get(0, tile)
    for _ in range(80):
        conductance = tile.conductance.copy()
        conductance[rng.integers(24), rng.integers(18)] *= rng.uniform(0.5, 2.0)
        tile.program(conductance)
        same_as_new(cache, 0, tile)
    assert cache.record.cells >= 75
    assert cache.record.exact <= 5  # the rounding errors of 64 updates are enough


@pytest.mark.parametrize("case", ["opened", "grown from nothing", "stuck", "cut", "bridge", "another tile"])
def test_what_an_update_cannot_do_is_worked_out_anew(case):
    rng = np.random.default_rng(1)
    tile, cache = make_tile(rng), TransferCache(BehavioralEngine(), 1e-6)
    if case == "grown from nothing":
        conductance = tile.conductance.copy()
        conductance[2, 3] = 0.0
        tile.program(conductance)
    cache.get(0, tile)
    spec = tile.spec
    if case in ("opened", "grown from nothing"):
        conductance = tile.conductance.copy()
        conductance[2, 3] = 0.0 if case == "opened" else 1e-4
        tile.program(conductance)
    elif case == "stuck":
        at = np.zeros(spec.shape, dtype=bool)
        at[2, 3] = True
        tile.damage(DefectMap(stuck=at, stuck_conductance=np.where(at, 1e-3, 0.0)))
    elif case == "cut":
        at = np.zeros(spec.shape, dtype=bool)
        at[2, 3] = True
        tile.damage(DefectMap(open_word_segments=at))
    elif case == "bridge":
        tile.damage(DefectMap(bridges=[(("word", 2, 3), ("bit", 5, 6), 100.0)]))
    else:
        tile = make_tile(rng)
    same_as_new(cache, 0, tile)


def test_without_an_error_the_answer_depends_on_no_earlier_state():
    rng = np.random.default_rng(2)
    tile, cache = make_tile(rng), TransferCache(BehavioralEngine())
    for _ in range(5):
        conductance = tile.conductance.copy()
        conductance[rng.integers(24), rng.integers(18)] *= 1.1
        tile.program(conductance)
        matrix, _ = cache.get(0, tile)
        np.testing.assert_array_equal(matrix, BehavioralEngine().transfer([tile]).matrix[0])
    assert cache.record.as_dict() == {
        "exact": 5, "cells": 0, "scaled": 0, "checks": 0, "refused": 0, "largest_error": 0.0
    }  # fmt: skip


def largest_error(cache, tiles, rng):
    """Return the largest error over random inputs, which the cache has not seen."""
    worst = 0.0
    for number, tile in tiles.items():
        voltages = rng.random((10, tile.spec.rows))
        exact = BehavioralEngine().read(tile, voltages)
        found = voltages @ cache.get(number, tile)[0].T
        worst = max(worst, float((np.abs(found - exact).max(axis=1) / np.abs(exact).max(axis=1)).max()))
    return worst


@pytest.mark.parametrize("error", [2e-4, 4e-4])
def test_scaled_matrices_keep_the_error(error):
    rng = np.random.default_rng(3)
    tiles = {number: make_tile(rng) for number in range(8)}
    cache = TransferCache(BehavioralEngine(), error, seed=4)
    cache.refresh(tiles)
    worst = 0.0
    for _ in range(40):
        for tile in tiles.values():
            tile.program(tile.conductance * rng.uniform(0.998, 1.002, tile.spec.shape))
        cache.refresh(tiles)
        worst = max(worst, largest_error(cache, tiles, rng))
    record = cache.record
    assert record.scaled > 20, record
    assert record.exact > 8, record  # errors add up, and then all is worked out anew
    assert record.checks > 1
    assert 0.0 < record.largest_error <= error
    # margin: errors add up until this is reached, and then the matrix is worked out anew: that much may be used.
    assert worst <= error


def test_a_change_larger_than_all_before_is_not_trusted():
    """Small changes teach the estimate; then one that is far beyond them comes."""
    rng = np.random.default_rng(5)
    tile, cache = make_tile(rng), TransferCache(BehavioralEngine(), 1e-3)
    cache.get(0, tile)
    for _ in range(3):
        tile.program(tile.conductance * rng.uniform(0.999, 1.001, tile.spec.shape))
        cache.get(0, tile)
    tile.program(rng.permutation(tile.conductance.ravel()).reshape(tile.spec.shape))
    same_as_new(cache, 0, tile)


def test_samples_find_what_the_estimate_misses(monkeypatch):
    """With an estimate that is blind, samples alone keep wrong matrices out, and say so."""
    rng = np.random.default_rng(6)
    tile, cache = make_tile(rng), TransferCache(BehavioralEngine(), 1e-5)
    monkeypatch.setattr("circuitmem.engine.transfers.SAMPLED", 1)
    monkeypatch.setattr("circuitmem.engine.transfers.SAFETY", 0.0)
    cache.get(0, tile)
    tile.program(tile.conductance * rng.uniform(0.5, 1.5, tile.spec.shape))
    same_as_new(cache, 0, tile)
    assert cache.record.refused == 1


def test_the_same_bits_whatever_the_threads():
    found = []
    for threads in (1, 2):
        rng = np.random.default_rng(7)
        tiles = {number: make_tile(rng) for number in range(4)}
        cache = TransferCache(BehavioralEngine(threads=threads), 1e-3)
        for _ in range(6):
            cache.refresh(tiles)
            for tile in tiles.values():
                tile.program(tile.conductance * rng.uniform(0.998, 1.002, tile.spec.shape))
        found.append([cache.get(number, tile)[0] for number, tile in tiles.items()])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("error", [-1e-9, 0.2, np.nan])
def test_an_error_out_of_range_is_refused(error):
    with pytest.raises(ValidationError, match=r"^reuse_error must"):
        TransferCache(BehavioralEngine(), error)


@pytest.mark.parametrize("sense_resistance", [0.0, 2.0])
@pytest.mark.parametrize("sense", ["bottom", "both"])
def test_ideal_wires_need_no_product_for_the_power(sense_resistance, sense):
    rng = np.random.default_rng(5)
    spec = TileSpec(rows=21, columns=19, sense_resistance=sense_resistance, bit_line_sense=sense)
    defects = DefectMap(stuck=rng.random(spec.shape) < 0.2, stuck_conductance=rng.uniform(3e-4, 12e-4, spec.shape))
    tile = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), defects)
    matrix, admittance = TransferCache(BehavioralEngine()).get(0, tile)
    assert isinstance(admittance, IdealAdmittance)
    codes = rng.integers(0, 16, (70, 21)) * (rng.random((70, 21)) < 0.5)
    table = 0.01 * rng.standard_normal((21, 1)) + np.linspace(0.0, 0.2, 16)
    voltages = table[np.arange(21), codes]
    solution = BehavioralEngine().solve(tile, voltages)
    close(voltages @ matrix.T, solution.column_current)
    np.testing.assert_allclose(admittance.power(voltages, solution.column_current), solution.power, rtol=1e-12)
    channels = Channels(table, np.full(19, 50.0), np.zeros(19), np.full(19, 255.0), 0.0, 1 / 255, 0.0)
    answer, power = read_codes(codes, matrix, admittance, channels, Address((1, 2), 3))
    np.testing.assert_allclose(power, solution.power, rtol=1e-12)
    np.testing.assert_array_equal(answer, read_codes(codes, matrix, None, channels, Address((1, 2), 3))[0])
    for vector in (0, 9, 69):  # the same bits whatever else is in the batch
        assert (
            read_codes(codes[vector : vector + 1], matrix, admittance, channels, Address((1, 2), 3))[1] == power[vector]
        )


@pytest.mark.parametrize("case", ["wires", "dead driver", "cut", "may be reused"])
def test_other_tiles_keep_their_admittance_whole(case):
    rng = np.random.default_rng(6)
    kinds = {
        "dead driver": {"dead_drivers": np.arange(24) == 3},
        "cut": {"open_word_segments": np.arange(24 * 18).reshape(24, 18) == 40},
    }.get(case, {})
    ohms = 2.0 if case == "wires" else 0.0
    spec = TileSpec(rows=24, columns=18, word_line_resistance=ohms, bit_line_resistance=ohms, sense_resistance=1.0)
    tile = Tile(spec, rng.uniform(20e-6, 300e-6, (24, 18)), DefectMap(**kinds))
    cache = TransferCache(BehavioralEngine(), 1e-6 if case == "may be reused" else 0.0)
    assert isinstance(cache.get(0, tile)[1], np.ndarray)
    same_as_new(cache, 0, tile)


def stack(cache, tiles, some):
    """Return what the cache gives to read consecutive tiles of a chip at once."""
    cells = np.stack([tiles[number].mesh.conductance for number in some])
    versions = np.array([tile.version for tile in tiles])
    return cache.stack(tiles, slice(some[0], some[-1] + 1), cells, versions, is_plain=False)


@pytest.mark.parametrize("is_plain", [False, True])
def test_tiles_with_ideal_wires_are_counted_when_they_have_changed(is_plain):
    rng = np.random.default_rng(6)
    spec = TileSpec(rows=6, columns=5)
    tiles = [Tile(spec, rng.uniform(20e-6, 300e-6, spec.shape)) for _ in range(4)]
    cache = TransferCache(BehavioralEngine())

    def look(some, own=tiles):
        cells = np.stack([own[number].mesh.conductance for number in some])
        versions = np.array([tile.version for tile in own])
        found = cache.stack(own, slice(some[0], some[-1] + 1), cells, versions, is_plain=is_plain)
        assert isinstance(found, IdealWires)
        return cache.record.exact

    assert look(range(3)) == 3
    assert look(range(3)) == 3
    tiles[1].change()
    assert look(range(1, 4)) == 5  # tile 1 again, and tile 3
    cache.get(0, tiles[0])  # known already
    assert cache.record.exact == 5
    tiles[0].change()
    cache.get(0, tiles[0])
    assert look(range(3)) == 6  # counted when its matrix was written
    grown = [*tiles, Tile(spec, tiles[0].conductance)]
    assert look(range(5), grown) == 7
    assert cache.state()["fresh"] == [0, 1, 2, 3, 4]


def test_a_stack_of_tiles_is_kept_in_its_places_and_never_stale():
    """Bits are those of each tile alone, whatever came before: pulses, broken drivers, single reads, more tiles."""
    rng = np.random.default_rng(5)
    spec = make_tile(rng).spec
    tiles = {number: Tile(spec, rng.uniform(20e-6, 300e-6, spec.shape)) for number in range(5)}
    cache = TransferCache(BehavioralEngine())

    def check(some, total):
        chosen = {number: tiles[number] for number in some}
        found = stack(cache, [tiles[number] for number in range(total)], some)
        assert isinstance(found, Matrices)
        for place, (number, tile) in enumerate(chosen.items()):
            alone = BehavioralEngine().transfer([tile])
            np.testing.assert_array_equal(found.matrix[place], alone.matrix[0])
            np.testing.assert_array_equal(found.admittance[place], alone.input_admittance[0])
            assert np.shares_memory(cache.get(number, tile)[0], found.matrix[place])
            np.testing.assert_array_equal(cache.get(number, tile)[0], alone.matrix[0])

    check(range(3), 4)
    assert cache.record.exact == 3
    tiles[1].change()[0][2, 3] = 1e-4
    tiles[2].damage(DefectMap(dead_drivers=np.arange(spec.rows) == 4))
    cache.get(3, tiles[3])
    check(range(4), 4)
    assert cache.record.exact == 6
    check(range(4), 4)
    check(range(1, 5), 5)  # the chip has grown
    assert cache.record.exact == 7
    cache.clear()
    check(range(5), 5)


def test_after_an_interruption_no_matrix_in_its_place_is_stale(monkeypatch):
    rng = np.random.default_rng(6)
    spec = make_tile(rng).spec
    tiles = [Tile(spec, rng.uniform(20e-6, 300e-6, spec.shape)) for _ in range(3)]
    cache, work = TransferCache(BehavioralEngine()), transfers.transfer_stack
    stack(cache, tiles, range(3))

    def interrupted(cells, *wires, out, **options):
        work(cells, *wires, out=out, **options)
        out[0][1] = 0.0
        raise KeyboardInterrupt

    before = tiles[1].conductance.copy()
    tiles[1].program(2.0 * before)
    monkeypatch.setattr(transfers, "transfer_stack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stack(cache, tiles, range(3))
    monkeypatch.setattr(transfers, "transfer_stack", work)
    found = stack(cache, tiles, range(3))
    for tile, matrix in zip(tiles, found.matrix, strict=True):
        np.testing.assert_array_equal(matrix, BehavioralEngine().transfer_matrix(tile))
    assert cache.state()["fresh"] == [0, 1, 2]


def test_matrices_in_single_precision_are_compared_with_double(monkeypatch):
    """The bits are those of the kernel in single precision, the error is that of random inputs, whatever the path."""
    monkeypatch.setattr("circuitmem.engine.transfers.SAMPLED_SINGLE", 16)
    rng = np.random.default_rng(11)
    spec = make_tile(rng).spec
    tiles = {number: Tile(spec, rng.uniform(20e-6, 300e-6, spec.shape)) for number in range(18)}
    engine = BehavioralEngine(precision="single")
    one_by_one, together = TransferCache(engine, seed=3), TransferCache(engine, seed=3)
    one_by_one.refresh(tiles)
    found = stack(together, list(tiles.values()), range(18))
    exact = BehavioralEngine().transfer(list(tiles.values()))
    for number, tile in tiles.items():
        single = engine.transfer_matrix(tile)
        assert single.dtype == np.float32
        np.testing.assert_array_equal(one_by_one.get(number, tile)[0], single)
        np.testing.assert_array_equal(found.matrix[number], single)
        assert found.matrix[number].dtype == np.float32
        assert not np.array_equal(found.matrix[number], exact.matrix[number])
    assert one_by_one.record == together.record
    assert together.record.checks == 2  # tiles 0 and 16
    assert 1e-9 < together.record.largest_error < 2e-6
    voltages = stream(3, Purpose.REUSE, 0).random(spec.rows)
    off, known = (found.matrix[0] - exact.matrix[0]) @ voltages, np.abs(exact.matrix[0] @ voltages).max()
    assert together.record.largest_error >= 0.9 * np.abs(off).max() / known

    again = TransferCache(engine, seed=3)
    again.restore(together.state(), tiles)
    assert again.record == together.record
    for cache in (again, together):
        tiles[5].program(tiles[5].conductance * 1.1)
        cache.get(5, tiles[5])
    assert again.record == together.record
    assert again.state()["single"] == together.state()["single"] == 19


def test_a_precision_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match=r"^precision must be one of double, single; did you mean 'single'"):
        BehavioralEngine(precision="singel")


def test_tiles_of_single_precision_are_read_together_when_the_wires_of_one_are_damaged():
    """Then some matrices lie in the stack of the chip, in single precision, and that of the damaged tile does not."""
    rng = np.random.default_rng(12)
    spec = make_tile(rng).spec
    tiles = [Tile(spec, rng.uniform(20e-6, 300e-6, spec.shape)) for _ in range(3)]
    engine = BehavioralEngine(precision="single")
    cache = TransferCache(engine)
    stack(cache, tiles, range(3))
    before = engine.transfer_matrix(tiles[1])
    tiles[1].damage(DefectMap(open_word_segments=np.arange(spec.rows * spec.columns).reshape(spec.shape) == 40))
    found = stack(cache, tiles, range(3))
    assert {each.dtype for each in (*found.matrix, *found.admittance)} == {np.dtype(np.float64)}
    for tile, matrix in zip(tiles, found.matrix, strict=True):
        np.testing.assert_array_equal(matrix, engine.transfer_matrix(tile))
    assert not np.array_equal(found.matrix[1], before)
