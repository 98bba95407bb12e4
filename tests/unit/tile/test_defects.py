"""Defect maps and tiles: what is drawn, saved, refused."""

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.config import ChipSpec, DefectSpec
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import save_npz

SPEC = TileSpec(rows=64, columns=48)


def test_random_maps_have_the_yield_kinds_and_ranges_asked_for():
    maps = [DefectMap.random(SPEC, yield_=0.8, stuck_on_fraction=0.25, seed=1, key=(k,)) for k in range(20)]
    stuck = np.array([m.stuck for m in maps])
    values = np.array([m.stuck_conductance for m in maps])[stuck]
    # 61,440 devices: four standard deviations of a fraction of 0.2 are 0.0065.
    assert abs(stuck.mean() - 0.2) < 0.0065
    assert abs((values >= 300e-6).mean() - 0.25) < 0.016
    # margin: the end of the range that was asked for, and values reach up to it.
    assert values.max() <= 1200e-6
    assert values.min() >= 0.01e-6
    assert not ((values > 1e-6) & (values < 300e-6)).any()


def test_the_same_seed_draws_the_same_map():
    assert DefectMap.random(SPEC, yield_=0.8, seed=7) == DefectMap.random(SPEC, yield_=0.8, seed=7)
    assert DefectMap.random(SPEC, yield_=0.8, seed=7) != DefectMap.random(SPEC, yield_=0.8, seed=8)


def test_tiles_of_one_chip_have_different_maps():
    assert DefectMap.random(SPEC, yield_=0.8, seed=7, key=(0, 1)) != DefectMap.random(
        SPEC, yield_=0.8, seed=7, key=(1,)
    )


def test_the_kind_and_value_of_a_stuck_device_do_not_depend_on_the_yield():
    # So that maps of two yields differ only in which devices are stuck: a fair pair to compare.
    many, few = (DefectMap.random(SPEC, yield_=y, seed=7) for y in (0.5, 0.9))
    assert (many.stuck | ~few.stuck).all()
    assert np.array_equal(many.stuck_conductance[few.stuck], few.stuck_conductance[few.stuck])


@pytest.mark.parametrize("clustering", [None, 0.5])
def test_all_and_nothing(clustering):
    nothing, everything = (DefectMap.random(SPEC, yield_=y, seed=1, clustering=clustering) for y in (1.0, 0.0))
    assert nothing.is_empty
    assert everything.stuck.all()


LARGE = TileSpec(rows=1024, columns=1024)
NEIGHBOURHOODS = 128 * 128


@pytest.mark.parametrize("clustering", [None, 5.0, 0.5, 0.1])
@pytest.mark.parametrize("yield_", [0.95, 0.8, 0.5])
def test_the_yield_is_the_one_asked_for_however_clustered(yield_, clustering):
    works = ~DefectMap.random(LARGE, yield_=yield_, seed=3, clustering=clustering).stuck
    # The fraction that works in one neighbourhood lies in [0, 1] and has mean y: its variance is at most y (1 - y).
    deviation = (yield_ * (1.0 - yield_) / NEIGHBOURHOODS) ** 0.5
    assert abs(works.mean() - yield_) < 4.0 * deviation


@pytest.mark.parametrize("alpha", [5.0, 0.5])
def test_neighbourhoods_without_a_defect_are_as_many_as_stapper_says(alpha):
    stuck = DefectMap.random(LARGE, yield_=0.98, seed=3, clustering=alpha).stuck
    free = ~stuck.reshape(128, 8, 128, 8).any(axis=(1, 3))
    # 64 devices have 64 times the mean of one, under the same gamma variate: a negative binomial count of 0.
    mean = alpha * (0.98 ** (-1.0 / alpha) - 1.0)
    expected = (1.0 + 64 * mean / alpha) ** -alpha
    assert abs(free.mean() - expected) < 4.0 * (expected * (1.0 - expected) / NEIGHBOURHOODS) ** 0.5
    assert expected > 0.98**64 + 0.02  # more than without clustering, by more than the tolerance: the test can tell


def test_neighbourhoods_at_the_edge_of_a_tile_may_be_cut():
    spec = TileSpec(rows=13, columns=3)
    assert DefectMap.random(spec, yield_=0.5, seed=3, clustering=0.5).stuck.shape == (13, 3)


def test_lines_make_whole_rows_and_columns_stuck():
    defects = DefectMap.lines(SPEC, rows=[2], columns=[5], conductance=1e-3)
    assert defects.stuck.sum() == 64 + 48 - 1
    assert (defects.stuck_conductance[defects.stuck] == 1e-3).all()


def test_a_map_is_saved_and_loaded_whole(tmp_path):
    defects = DefectMap(
        stuck=np.eye(3, dtype=bool),
        stuck_conductance=1e-4,
        open_word_segments=np.eye(3, dtype=bool),
        open_bit_segments=np.eye(3, dtype=bool)[::-1],
        bridges=[(("word", 0, 1), ("bit", 2, 2), 0.1), (("bit", 0, 0), ("bit", 0, 1), 1e9)],
        dead_drivers=[False, True, False],
        dead_senses=[True, False, False],
    )
    defects.save(tmp_path / "map.npz")
    loaded = DefectMap.load(tmp_path / "map.npz")
    assert loaded == defects
    assert loaded.bridges == defects.bridges
    assert loaded.bridges[0].first.line == "word"
    for name in ("stuck", "open_word_segments", "open_bit_segments", "dead_drivers", "dead_senses"):
        assert getattr(loaded, name).tolist() == getattr(defects, name).tolist()
    DefectMap().save(tmp_path / "empty.npz")
    assert DefectMap.load(tmp_path / "empty.npz").is_empty
    content = (tmp_path / "map.npz").read_bytes()
    (tmp_path / "map.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFileError, match="is not a readable npz file"):
        DefectMap.load(tmp_path / "map.npz")
    with pytest.raises(DataFileError, match="no such file"):
        DefectMap.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros(3)},
        {"bridges": np.array("not json")},
        {"bridges": np.array("[]"), "stuk": np.zeros((2, 2), bool)},
        {"bridges": np.array("[]"), "stuck": np.zeros((2, 2), bool)},
        {"bridges": np.array('[[["wrd", 0, 0], ["bit", 0, 0], 1.0]]')},
        {"bridges": np.array("[]"), "dead_drivers": np.zeros((2, 2), bool)},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, arrays):
    save_npz(tmp_path / "map.npz", arrays)
    with pytest.raises(DataFileError, match=r"map\.npz: is not a defect map"):
        DefectMap.load(tmp_path / "map.npz")


def test_maps_differ_in_whatever_is_broken():
    cells = np.eye(2, dtype=bool)
    maps = [
        DefectMap(),
        DefectMap(stuck=cells, stuck_conductance=1e-4),
        DefectMap(stuck=cells, stuck_conductance=2e-4),
        DefectMap(open_word_segments=cells),
        DefectMap(open_bit_segments=cells),
        DefectMap(dead_drivers=[True, False]),
        DefectMap(dead_senses=[True, False]),
        DefectMap(bridges=[(("word", 0, 0), ("word", 1, 0), 5.0)]),
        DefectMap(bridges=[(("word", 0, 0), ("word", 1, 0), 6.0)]),
    ]
    for i, first in enumerate(maps):
        assert first.is_empty == (i == 0)
        for j, second in enumerate(maps):
            assert (first == second) == (i == j)
    assert maps[0] != 0


def test_a_map_does_not_follow_the_arrays_it_was_made_from_and_cannot_be_changed():
    stuck = np.zeros((2, 2), bool)
    defects = DefectMap(stuck=stuck, stuck_conductance=1e-4)
    stuck[:] = True
    assert defects.is_empty
    with pytest.raises(ValueError, match="read-only"):
        defects.stuck[0, 0] = True


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DefectMap.random((64, 48), yield_=0.8, seed=1), r"spec must be a TileSpec \(got \(64, 48\)\)"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=-1), r"seed must be >= 0 \(got -1\)"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1.5), "seed must be an integer"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, key=(-1,)), "key must be >= 0"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, stuck_on_fraction=2), "stuck_on_fraction must be between"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, clustering=0.0), "clustering must be >= 0.01"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, stuck_on_range=(2, 1)), "stuck_on_range must be"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, stuck_off_range=(1, 2, 3)), "stuck_off_range must be"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, stuck_off_range=3), "stuck_off_range must be a sequence"),
        (lambda: DefectMap.random(SPEC, yield_=0.8, seed=1, stuck_on_range=(-1, 1)), "stuck_on_range must be >= 0"),
        (lambda: DefectMap.lines(SPEC, rows=[64], conductance=1e-3), r"rows must be < 64 \(got 64\)"),
        (lambda: DefectMap.lines(SPEC, columns=[-1], conductance=1e-3), "columns must be >= 0"),
        (lambda: DefectMap.lines(SPEC, rows=2, conductance=1e-3), "rows must be a sequence"),
        (lambda: DefectMap.lines(SPEC, rows=[2], conductance=-1e-3), "conductance must be >= 0"),
        (lambda: DefectMap(stuck=[True], stuck_conductance=[1e-3]), "stuck must have 2 dimensions"),
        (lambda: DefectMap(stuck=[[True]], stuck_conductance=[[-1e-3]]), "stuck_conductance must be >= 0 at index"),
        (lambda: DefectMap(stuck=[[True]], stuck_conductance=[[np.nan]]), "stuck_conductance must be finite"),
        (lambda: DefectMap(stuck=[[True]], stuck_conductance="x"), "stuck_conductance must be an array of real"),
        (lambda: DefectMap(stuck=[[True]], stuck_conductance=[[1, 2]]), r"stuck_conductance must have shape \(1, 1\)"),
        (lambda: DefectMap(stuck=[[2]], stuck_conductance=[[1]]), "stuck must be an array of true/false"),
        (lambda: DefectMap(dead_drivers=[[True]]), "dead_drivers must have 1 dimension "),
        (lambda: DefectMap(open_word_segments=[[True]], open_bit_segments=[[True, False]]), "arrays of one shape"),
        (lambda: DefectMap(open_word_segments=[[True]], dead_senses=[True, False]), "dead_senses must have length 1"),
        (lambda: DefectMap(bridges=3), "bridges must be a sequence"),
        (lambda: DefectMap(bridges=[("word", 0, 0)]), r"bridges\[0\] must be \(\(\"word\"\|\"bit\", row, column\)"),
        (lambda: DefectMap(bridges=[(("word", 0, 0), ("word", 0, 0), 1.0)]), "must join two different nodes"),
        (lambda: DefectMap(bridges=[(("word", 0, -1), ("bit", 0, 0), 1.0)]), r"bridges\[0\] must be >= 0"),
        (lambda: DefectMap(bridges=[(("word", 0, 0), ("bit", 0, 0), np.inf)]), "resistance must be finite"),
        (
            lambda: Tile(SPEC, np.ones((64, 48)), DefectMap(bridges=[(("word", 64, 0), ("bit", 0, 0), 1.0)])),
            r"defects.bridges\[0\] must lie on the tile of 64x48",
        ),
        (
            lambda: Tile(SPEC, np.ones((64, 48)), DefectMap(stuck=[[True]], stuck_conductance=1.0)),
            r"defects.stuck must have shape \(64, 48\)",
        ),
        (lambda: Tile(SPEC, np.ones((64, 48)), {"stuck": None}), "defects must be a DefectMap"),
        (lambda: Tile((64, 48), np.ones((64, 48))), "spec must be a TileSpec"),
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


def test_a_chip_has_the_cut_lines_and_dead_channels_that_it_declares():
    def draw(**fractions):
        chip = ChipSpec(tile=SPEC, defects=DefectSpec(**fractions))
        return [DefectMap.fabricated(chip, 3, (tile,)) for tile in range(40)]

    plain, broken = draw(), draw(cut_word_lines=0.1, cut_bit_lines=0.2, dead_channels=0.3)
    more = draw(cut_word_lines=0.2, cut_bit_lines=0.4, dead_channels=0.6)
    assert all(each.open_word_segments is None and each.dead_senses is None for each in plain)
    words = np.array([each.open_word_segments for each in broken])
    bits = np.array([each.open_bit_segments for each in broken])
    dead = np.array([each.dead_senses for each in broken])
    assert words.sum(axis=2).max() == bits.sum(axis=1).max() == 1  # one cut a line
    # 2,560 word lines, 1,920 bit lines: four standard deviations of the fractions, and of the mean place (0.29 of 1).
    assert abs(words.any(axis=2).mean() - 0.1) < 0.024
    assert abs(bits.any(axis=1).mean() - 0.2) < 0.037
    assert abs(dead.mean() - 0.3) < 0.042
    places = np.nonzero(bits)[1] / (SPEC.rows - 1)
    assert abs(places.mean() - 0.5) < 4.0 * 0.29 / np.sqrt(len(places))
    for few, many, none in zip(broken, more, plain, strict=True):
        assert (few.stuck == none.stuck).all()
        assert (many.open_word_segments | ~few.open_word_segments).all()
        assert (many.dead_senses | ~few.dead_senses).all()


def test_defects_of_lines_alone_keep_wires_and_drivers():
    cut, stuck = np.zeros((2, 3), dtype=bool), np.ones((2, 3), dtype=bool)
    cut[1, 2] = True
    bridge = (("word", 0, 0), ("bit", 0, 0), 5.0)
    every = DefectMap(
        stuck=stuck, stuck_conductance=np.full((2, 3), 1e-3), open_word_segments=cut, open_bit_segments=cut,
        bridges=[bridge], dead_drivers=[True, False], dead_senses=[True, False, False],
    )  # fmt: skip
    lines = DefectMap(open_word_segments=cut, open_bit_segments=cut, bridges=[bridge], dead_drivers=[True, False])
    assert every.lines_only() == lines
    assert every.lines_only() != every
