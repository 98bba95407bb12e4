"""Defect maps and tiles: what is drawn, saved, refused."""

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.errors import DataFileError, ValidationError

SPEC = TileSpec(rows=64, columns=48)


def test_random_maps_have_the_yield_kinds_and_ranges_asked_for():
    maps = [DefectMap.random(SPEC, yield_=0.8, stuck_on_fraction=0.25, seed=1, key=(k,)) for k in range(20)]
    stuck = np.array([m.stuck for m in maps])
    values = np.array([m.stuck_conductance for m in maps])[stuck]
    # 61,440 devices: four standard deviations of a fraction of 0.2 are 0.0065.
    assert abs(stuck.mean() - 0.2) < 0.0065
    assert abs((values >= 300e-6).mean() - 0.25) < 0.016
    assert values.max() <= 1200e-6
    assert values.min() >= 0.01e-6
    assert not ((values > 1e-6) & (values < 300e-6)).any()


def test_the_same_seed_draws_the_same_map():
    assert DefectMap.random(SPEC, yield_=0.8, seed=7) == DefectMap.random(SPEC, yield_=0.8, seed=7)
    assert DefectMap.random(SPEC, yield_=0.8, seed=7) != DefectMap.random(SPEC, yield_=0.8, seed=8)


def test_clustering_spreads_the_counts_of_neighbourhoods():
    def spread(**options):
        stuck = DefectMap.random(TileSpec(rows=256, columns=256), yield_=0.9, seed=3, **options).stuck
        return stuck.reshape(32, 8, 32, 8).sum(axis=(1, 3)).var()

    assert spread(clustering=0.5) > 3 * spread()


def test_lines_make_whole_rows_and_columns_stuck():
    defects = DefectMap.lines(SPEC, rows=[2], columns=[5], conductance=1e-3)
    assert defects.stuck.sum() == 64 + 48 - 1
    assert (defects.stuck_conductance[defects.stuck] == 1e-3).all()


def test_a_map_is_saved_and_loaded_whole(tmp_path):
    defects = DefectMap(
        stuck=np.eye(3, dtype=bool),
        stuck_conductance=1e-4,
        open_word_segments=np.zeros((3, 3), dtype=bool),
        bridges=[(("word", 0, 1), ("bit", 2, 2), 12.5)],
        dead_senses=[True, False, False],
    )
    defects.save(tmp_path / "map.npz")
    assert DefectMap.load(tmp_path / "map.npz") == defects
    content = (tmp_path / "map.npz").read_bytes()
    (tmp_path / "map.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFileError, match="is not a readable npz file"):
        DefectMap.load(tmp_path / "map.npz")
    with pytest.raises(DataFileError, match="no such file"):
        DefectMap.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DefectMap.random(SPEC, yield_=1.2, seed=1), "yield_ must be between 0 and 1"),
        (lambda: DefectMap.random(SPEC, yield_=float("nan"), seed=1), "yield_ must be finite"),
        (lambda: DefectMap(stuck=np.ones((2, 2), bool)), "stuck and stuck_conductance must be given together"),
        (lambda: DefectMap(bridges=[(("word", 0, 0), ("word", 0, 1), 0.0)]), "resistance must be > 0"),
        (lambda: DefectMap(bridges=[(("word", 0, 0), ("wrd", 0, 1), 1.0)]), 'must name lines "word" or "bit"'),
        (lambda: Tile(SPEC, np.ones((3, 4))), r"conductance must have shape \(64, 48\)"),
        (lambda: Tile(SPEC, np.full((64, 48), -1.0)), "conductance must be >= 0"),
        (lambda: Tile(SPEC, np.full((64, 48), np.nan)), "conductance must be finite"),
        (lambda: Tile(SPEC, np.ones((64, 48)), DefectMap(dead_drivers=[True])), "dead_drivers must have shape"),
        (
            lambda: Tile(SPEC, np.ones((64, 48)), DefectMap(open_word_segments=np.ones((64, 48), bool))),
            "must leave a driver connected",
        ),
        (
            lambda: Tile(SPEC, np.ones((64, 48)), DefectMap(open_bit_segments=np.ones((64, 48), bool))),
            "must leave a sense connected",
        ),
        (lambda: Tile(SPEC, np.ones((64, 48))).input_voltages(np.ones(3)), "voltages must have shape"),
    ],
)
def test_bad_input_names_parameter_and_rule(make, message):
    with pytest.raises(ValidationError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_refused_program_leaves_the_tile_as_it_was():
    tile = Tile(SPEC, np.ones(SPEC.shape))
    with pytest.raises(ValidationError, match="conductance"):
        tile.program(np.full(SPEC.shape, -1.0))
    assert tile.version == 1
    assert (tile.conductance == 1.0).all()


def test_stuck_cells_keep_their_value_and_shorts_and_opens_are_stuck_values():
    stuck = np.zeros(SPEC.shape, dtype=bool)
    stuck[0, :3] = True
    values = np.zeros(SPEC.shape)
    values[0, :3] = [0.0, 0.1, 5e-4]
    tile = Tile(SPEC, np.full(SPEC.shape, 1e-5), DefectMap(stuck=stuck, stuck_conductance=values))
    assert tile.effective_conductance[0, :4].tolist() == [0.0, 0.1, 5e-4, 1e-5]
