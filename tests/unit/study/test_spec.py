"""From study.toml to points, and what is refused."""

import pytest

from circuitmem.errors import DataFileError, ValidationError
from circuitmem.study.spec import config_values, load_study
from circuitmem.study.store import Store


def test_points_are_all_combinations_for_every_seed_each_resolved(write_study):
    more = """
[axes.wires.levels]
ideal = { "chip.tile.word_line_resistance" = 0.0 }
"2 ohm" = { "chip.tile.word_line_resistance" = 2.0, "chip.tile.bit_line_resistance" = 2.0 }
[variants.strong]
method = "calibration"
set = { "calibration.groups" = 8 }
"""
    folder = write_study(more)
    text = (folder / "study.toml").read_text().replace('"in_situ", "cal', '"strong", "in_situ", "cal')
    (folder / "study.toml").write_text(text)
    points = load_study(folder).points()
    assert [(p.levels["device_yield"], p.levels["wires"], p.seed) for p in points] == [
        (value, wires, seed) for seed in (1, 2) for value in (1.0, 0.8) for wires in ("ideal", "2 ohm")
    ]
    by_name = {job.name: job.run for job in points[3].jobs}
    assert list(by_name) == ["raw", "calibration", "strong", "in_situ", "calibration_in_situ"]
    raw, strong = by_name["raw"], by_name["strong"]
    assert (raw.seed, raw.chip.defects.device_yield, raw.chip.tile.bit_line_resistance) == (1, 0.8, 2.0)
    assert (raw.network.layers, raw.chip.tile.rows) == ((64, 12, 10), 32)
    assert (raw.calibration.groups, strong.calibration.groups) == (4, 8)
    assert len({point.id for point in points}) == len(points)


def test_a_point_is_named_by_its_content(write_study):
    points = load_study(write_study()).points()
    same = load_study(write_study(name="same"), repeats=5).points()
    assert [point.id for point in points] == [point.id for point in same[:4]]
    other = load_study(write_study("\n[run.chip.device]\nset_noise = 5e-6\n", name="other")).points()
    assert not {point.id for point in points} & {point.id for point in other}


def test_quick_is_merged_and_points_choose_combinations(write_study):
    quick = load_study(write_study(), quick=True)
    assert [(point.levels, point.seed) for point in quick.points()] == [({"device_yield": 0.8}, 1)]


def test_a_record_counts_only_for_the_configuration_that_it_was_made_with(write_study, tmp_path):
    point = load_study(write_study()).points()[0]
    store = Store(tmp_path / "results")
    record = {"id": point.id, "levels": point.levels, "seed": 1, "status": "finished", "config": config_values(point)}
    record |= {"wall_time_s": 1.0, "digital_percent": 90.0, "histories": {}}
    assert store.load(point) is None
    store.save(record)
    assert store.load(point) is not None
    del record["config"]["raw"]["reuse_error"]  # a key that came later, and is at its default
    store.save(record)
    assert store.load(point) is not None
    record["config"]["raw"]["chip"]["device"]["set_noise"] = 1e-9  # a default that changed since
    store.save(record)
    assert store.load(point) is None


GAPS = """
[[gaps]]
source = "Somebody"
mark = "P"
method = "calibration_in_situ"
over = "raw"
gap = 40.0
candidates = ["offset"]
candidate_gap = 30.0

"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values = [1.0, 0.8]", "values = [1.5]", "axes.device_yield.chip.defects.device_yield must be less than"),
        ("device_yield\"\nvalues", "device_yeild\"\nvalues", "axes.device_yield.chip.defects.device_yeild is not"),
        ("values = [1.0, 0.8]", "", "axes.device_yield.axis must have key and values (one at least), or levels"),
        ("repeats = 2", "repeats = 0", "repeats must be greater than or equal to 1 (got 0)"),
        ('"raw", ', '"rawe", ', "methods must be one of"),
        ('"raw", ', '"calibration", ', "methods must not have one twice"),
        ('methods = ["raw"', 'mehtods = ["raw"', "mehtods is not a known key; did you mean 'methods'?"),
        ('title = "Tiny"', "", "title is required"),
        ('x = "device_yield"', 'x = "yield"', "figures.accuracy.x must be one of device_yield"),
        ('against = "raw"', 'against = "row"', "did you mean 'raw'? (got 'row')"),
        ("[quick]", GAPS + "[quick]", "gaps.0 must be one of raw,"),
        ('x = "device_yield"', 'x = "device_yield"\nwhere = { wires = 1 }', "accuracy.where must be one of device"),
        ("[axes.device_yield]", "[axes.seed]", "axes.seed must not be one of point, seed,"),
        ("values = [1.0, 0.8]", 'values = [1.0, "best"]', "axes.device_yield must have levels of one kind"),
        ("values = [1.0, 0.8]", "values = [0.8, 0.8]", "axes.device_yield must not have a level twice"),
        ("repeats = 2", "repeats = 2\npoints = [{ device_yield = 0.7 }]", "device_yield must be one of 1.0, 0.8"),
        ("repeats = 2", "repeats = 2\npoints = [{ wires = 1 }]", "points must give a level of every axis"),
        ("side = 8", "side = 9", "run.network.layers must begin with data.side squared (=81)"),
        ("title =", "title", "is not TOML"),
    ],
)  # fmt: skip
def test_bad_declarations_are_one_line(write_study, old, new, message):
    folder = write_study()
    text = (folder / "study.toml").read_text()
    assert old in text
    (folder / "study.toml").write_text(text.replace(old, new, 1))
    with pytest.raises((ValidationError, DataFileError)) as caught:
        load_study(folder).points()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
