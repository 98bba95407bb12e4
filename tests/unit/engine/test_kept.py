"""Matrices of unchanged tiles are kept between reads: never stale, within a bound, and no longer than their tile."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from builders import random_tile

from circuitmem import DefectMap, SinhCell
from circuitmem.engine import BehavioralEngine
from circuitmem.engine.kept import KeptMatrices
from circuitmem.errors import ValidationError

SHAPE = (24, 18)
BYTES = 8 * 24 * 18


make_tile = partial(random_tile, *SHAPE, ohms=2.0, between=(2e-5, 3e-4))


def inputs(count, seed=1):
    return np.random.default_rng(seed).uniform(0.0, 0.2, (count, 24))


@pytest.fixture
def trees(monkeypatch):
    """Count the matrices that are worked out."""
    counted = []
    transfer = BehavioralEngine.transfer

    def counting(self, tiles, *rest):
        counted.append(len(tiles))
        return transfer(self, tiles, *rest)

    monkeypatch.setattr(BehavioralEngine, "transfer", counting)
    return counted


def test_many_vectors_work_the_matrix_out_once(trees):
    engine, tile = BehavioralEngine(), make_tile()
    first, second = engine.read(tile, inputs(100)), engine.read(tile, inputs(100))
    assert trees == [1]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, BehavioralEngine(kept_bytes=0).read(tile, inputs(100)))


def test_vectors_read_one_by_one_reach_the_break_even(trees):
    """The first reads take conjugate gradients, as they always did; the matrix comes when it pays."""
    engine, tile = BehavioralEngine(), make_tile()
    border = engine.plan(tile).break_even
    assert border > 2
    alone = BehavioralEngine(method="conjugate gradients")
    for k, vector in enumerate(inputs(3 * border), 1):
        assert engine.plan(tile).method == ("conjugate gradients" if k < border else "transfer matrix")
        found = engine.read(tile, vector)
        assert trees == ([] if k < border else [1])
        if k < border:
            np.testing.assert_array_equal(found, alone.read(tile, vector))
        np.testing.assert_allclose(found, alone.read(tile, vector), rtol=1e-11)
    assert str(engine.plan(tile)) == "transfer matrix: the transfer matrix is known"


def programmed(tile):
    tile.program(tile.conductance * 1.01)


def pulsed(tile):
    for array in tile.change():
        array[3, 4] = 5e-4


def stuck(tile):
    at = np.zeros(SHAPE, dtype=bool)
    at[2, 3] = True
    tile.damage(DefectMap(stuck=at, stuck_conductance=np.where(at, 1e-3, 0.0)))


def cut(tile):
    tile.damage(DefectMap(open_word_segments=np.arange(24 * 18).reshape(SHAPE) == 40))


def bridged(tile):
    tile.damage(DefectMap(bridges=[(("word", 2, 3), ("bit", 5, 6), 100.0)]))


def dead(tile):
    tile.damage(DefectMap(dead_drivers=np.arange(24) == 3))


@pytest.mark.parametrize("ohms", [0.0, 2.0])
@pytest.mark.parametrize("mutate", [programmed, pulsed, stuck, cut, bridged, dead])
@pytest.mark.parametrize("vectors", [1, 100])
def test_what_changes_a_tile_is_seen(mutate, vectors, ohms):
    engine, tile = BehavioralEngine(), make_tile(ohms=ohms)
    before = engine.read(tile, inputs(100))
    mutate(tile)
    after = engine.read(tile, inputs(vectors))
    assert np.abs(after - before[:vectors]).max() > 1e-6 * np.abs(before).max()
    np.testing.assert_array_equal(after, BehavioralEngine(kept_bytes=0).read(tile, inputs(vectors)))


@pytest.mark.parametrize("mutate", [programmed, stuck])
def test_a_change_starts_the_count_anew(mutate, trees):
    engine, tile = BehavioralEngine(), make_tile()
    border = engine.plan(tile).break_even
    engine.read(tile, inputs(border - 1))
    mutate(tile)
    engine.read(tile, inputs(1))
    assert trees == []


def test_tiles_at_one_address(monkeypatch):
    """Addresses come again when tiles are gone; here all tiles have one, so that each finds the entry of another."""
    monkeypatch.setattr("circuitmem.engine.kept.id", lambda _: 7, raising=False)
    engine, tiles = BehavioralEngine(), [make_tile(seed=seed) for seed in range(3)]
    for tile in tiles + tiles:
        assert engine.plan(tile).method == "conjugate gradients"
        found = engine.read(tile, inputs(100))
        np.testing.assert_array_equal(found, BehavioralEngine(kept_bytes=0).read(tile, inputs(100)))
    del tile, tiles[0]  # what the first left behind must not take the entry of the last with it
    gc.collect()
    assert engine.plan(tiles[-1]).method == "transfer matrix"


def test_an_entry_without_its_tile_is_never_used():
    """Even where the tile's end was not noticed, the address alone opens nothing."""
    kept, old, new = KeptMatrices(), make_tile(), make_tile(1)
    kept.keep(old, np.zeros((18, 24)), old.version)
    kept._states[id(new)] = kept._states.pop(id(old))
    assert new.version == old.version
    assert kept.matrix(new) is None
    assert kept.vectors(new) == 0


def test_a_matrix_of_an_earlier_state_is_not_used():
    """Another thread may program the tile while its matrix is worked out: it is kept under the state that it is of."""
    kept, tile = KeptMatrices(), make_tile()
    version = tile.version
    programmed(tile)
    kept.keep(tile, np.zeros((18, 24)), version)
    assert kept.matrix(tile) is None


def test_entries_go_with_their_tiles():
    engine, tiles = BehavioralEngine(), [make_tile(seed=seed) for seed in range(3)]
    # No name here holds a tile: where pytest explains asserts that hold, it keeps a copy of all names.
    assert [len(engine.read(each, inputs(100))) for each in tiles] == [100] * 3
    engine.read(make_tile(9), inputs(1))  # counted, and gone at once
    gc.collect()
    assert len(engine._kept) == 3
    assert engine._kept.size == 3 * BYTES
    del tiles[1:]
    gc.collect()
    assert len(engine._kept) == 1
    assert engine._kept.size == BYTES


def test_memory_is_bounded_and_the_one_used_longest_ago_goes(trees):
    engine, tiles = BehavioralEngine(kept_bytes=2 * BYTES), [make_tile(seed=seed) for seed in range(3)]
    for k in (0, 1, 0, 2):  # 1 has to go
        engine.read(tiles[k], inputs(100))
    assert engine._kept.size == 2 * BYTES
    assert len(trees) == 3
    engine.read(tiles[0], inputs(1))
    engine.read(tiles[2], inputs(1))
    assert len(trees) == 3
    engine.read(tiles[1], inputs(1))  # one vector alone does not bring it back
    assert len(trees) == 3
    engine.read(tiles[1], inputs(100))
    assert len(trees) == 4


@pytest.mark.parametrize("kept_bytes", [0, BYTES - 1])
def test_without_room_nothing_is_kept(kept_bytes, trees):
    engine, tile = BehavioralEngine(kept_bytes=kept_bytes), make_tile()
    for _ in range(3):
        engine.read(tile, inputs(100))
    assert trees == [1, 1, 1]
    assert engine._kept.size == 0


def test_the_bits_of_a_method_do_not_depend_on_earlier_reads():
    tile = make_tile()
    for method in ("conjugate gradients", "transfer matrix", "direct"):
        engine = BehavioralEngine(method=method)
        first = engine.read(tile, inputs(1))
        engine.read(tile, inputs(100))
        np.testing.assert_array_equal(engine.read(tile, inputs(1)), first)


def test_a_caller_cannot_change_what_is_kept():
    engine, tile = BehavioralEngine(), make_tile(ohms=0.0)
    first = engine.read(tile, inputs(100))
    engine.transfer_matrix(tile)[:] = 0.0
    np.testing.assert_array_equal(engine.read(tile, inputs(100)), first)


def test_cells_that_are_not_linear_have_none(trees):
    engine, tile = BehavioralEngine(), make_tile(cell=SinhCell(a=2.0))
    engine.read(tile, inputs(30))
    assert len(engine._kept) == 0
    assert trees == []


def test_the_same_bits_whatever_the_threads():
    found = []
    for threads in (1, 2):
        engine, tile = BehavioralEngine(threads=threads), make_tile()
        found.append(np.concatenate([engine.read(tile, vector[None]) for vector in inputs(60)]))
    np.testing.assert_array_equal(*found)


def test_engines_are_copied_without_their_matrices():
    engine, tile = BehavioralEngine(), make_tile()
    expected = engine.read(tile, inputs(100))
    for again in (copy.deepcopy(engine), pickle.loads(pickle.dumps(engine))):
        assert len(again._kept) == 0
        np.testing.assert_array_equal(again.read(tile, inputs(100)), expected)


def test_several_threads_may_read_at_once():
    engine, tiles = BehavioralEngine(threads=1, kept_bytes=3 * BYTES), [make_tile(seed=seed) for seed in range(5)]
    expected = [BehavioralEngine().read(tile, inputs(100)) for tile in tiles]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: engine.read(tiles[k % 5], inputs(100)), range(200)))
    for k, currents in enumerate(found):
        np.testing.assert_array_equal(currents, expected[k % 5])
    assert engine._kept.size <= 3 * BYTES


@pytest.mark.parametrize("value", [-1, 1.5, "1"])
def test_a_bad_bound_is_refused(value):
    with pytest.raises(ValidationError, match=r"^kept_bytes must"):
        BehavioralEngine(kept_bytes=value)
