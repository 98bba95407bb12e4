"""What is known of the tiles of a chip by their places (``circuitmem.engine.places``)."""

import numpy as np

from circuitmem.config import TileSpec
from circuitmem.engine.places import KnownVersions, Places
from circuitmem.tile import Tile

SPEC = TileSpec(rows=3, columns=4)


def make_tiles(count):
    return [Tile(SPEC, np.full(SPEC.shape, 1e-4)) for _ in range(count)]


def versions(tiles):
    return np.array([tile.version for tile in tiles], dtype=np.int64)


def test_what_is_known_of_a_tile_ends_with_its_version():
    tiles, known = make_tiles(3), KnownVersions()
    known.follow(tiles)
    assert known.changed(slice(0, 3), versions(tiles)).tolist() == [0, 1, 2]
    known.note(np.array([0, 2]), versions(tiles))
    assert known.fresh() == {0, 2}
    assert known.has(2, tiles[2])
    assert not known.has(1, tiles[1])
    assert not known.has(2, tiles[0])
    assert not known.has(3, tiles[0])
    tiles[2].change()
    assert known.fresh() == {0}
    assert known.changed(slice(1, 3), versions(tiles)).tolist() == [1, 2]
    assert known.count(tiles, np.array([0, 2]), versions(tiles)) == 1
    assert known.count(make_tiles(3), np.array([0, 2]), versions(tiles)) == 0


def test_a_chip_that_grows_or_loses_a_tile_keeps_what_is_known_of_the_others():
    tiles, known = make_tiles(3), KnownVersions()
    known.follow(tiles)
    known.note(np.arange(3), versions(tiles))
    grown = [*tiles[:1], *make_tiles(1), *tiles[2:], *make_tiles(1)]
    known.follow(grown)
    assert known.fresh() == {0, 2}
    known.follow(tiles[:2])
    assert known.fresh() == {0}


def test_matrices_stay_in_their_places_when_a_chip_grows():
    tiles, places = make_tiles(2), Places()
    places.make_room(tiles, SPEC.shape, np.float32)
    assert places.matrices.shape == (2, 4, 3)
    assert places.admittances.shape == (2, 3, 3)
    assert places.matrices.dtype == np.float32
    assert places.fresh() == set()
    places.put(1, np.full((4, 3), 2.0), np.full((3, 3), 3.0))
    before = places.matrices
    places.make_room(tiles, SPEC.shape, np.float32)
    assert places.matrices is before
    places.make_room([*tiles, *make_tiles(1)], SPEC.shape, np.float32)
    assert places.fresh() == {1}
    assert (places.matrices[1] == 2.0).all()
    assert (places.admittances[1] == 3.0).all()
