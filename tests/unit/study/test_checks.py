"""What a study must not declare: what would be overridden, counted twice, looked up in vain, or fail at the end."""

import datetime

import pytest

from circuitmem.config import AxisSpec, FigureSpec, StudySpec
from circuitmem.errors import ValidationError
from circuitmem.report.study_tuning import tuning_text
from circuitmem.study.checks import RESERVED
from circuitmem.study.spec import load_study
from circuitmem.study.store import INFERENCE, MEASURES, PART, TESTED
from circuitmem.study.tuning import trial_rows, trials_of

AXIS = "[axes.device_yield]"
VALUES = "values = [1.0, 0.8]"
METHODS = 'methods = ["raw",'
SIDE = "side = 8"
TUNED = """
[protocol]
validation = 40
trials = 2
tuning_maps = 1
[protocol.tune.in_situ]
"in_situ.learning_rate" = [0.1, 0.2]
"""
YIELD = 'key = "chip.defects.device_yield"'
PUBLISHED = '[[published]]\nsource = "x"\nmark = "P"\nvalue = 90.0\nmethod = "raw"\nwhere = { device_yield = 0.7 }\n'
GAP = """[[gaps]]
source = "x"
mark = "P"
method = "in_situ"
over = "raw"
gap = 1.0
candidates = ["raw"]
candidate_gap = 1.0
where = { device_yield = 0.7 }
"""
GOAL = '[[goals]]\nclaim = "x"\nmethod = "raw"\nminimum = 1.0\nwhere = { device_yield = 0.85 }\n'
TUNING = 'tunings = [{ method = "raw", default = { device_yield = 1.0 }, within = 1.0 }]'
LARGE = "first_seed = 9223372036854775807"


def before_run(more):
    """Return what puts tables before ``[run.data]``."""
    return ("[run.data]", f"{more}[run.data]")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # What would count twice.
        ("repeats = 2", "repeats = 2\npoints = [{ device_yield = 0.8 }, { device_yield = 0.8 }]",
         "points must not have a combination twice (got {'device_yield': 0.8})"),
        ("repeats = 2", "repeats = 2\npoints = [{ device_yield = true }]",
         "points.device_yield must be one of 1.0, 0.8 (got True)"),
        # What would be overridden.
        (*before_run('[axes.s]\nkey = "seed"\nvalues = [5, 6]\n'), "axes.s must not set seed: first_seed and repeats"),
        (*before_run('[axes.s]\nkey = "trace"\nvalues = [true, false]\n'), "axes.s must not set trace: a study writes"),
        (*before_run('[axes.s]\nkey = "methods"\nvalues = [["raw"]]\n'), "axes.s must not set methods: a study has"),
        (*before_run('[axes.s.levels]\na = { "data.held_back" = 5 }\n'), "axes.s must not set data.held_back: the pro"),
        (*before_run('[axes.s.levels]\na = { data = { side = 8 } }\n'), "axes.s must not set data: the protocol says"),
        (*before_run('[variants.v]\nmethod = "raw"\nset = { seed = 7 }\n'), "variants.v must not set seed: first_seed"),
        (*before_run('[variants.v]\nmethod = "raw"\nset = { "data.validation" = 20 }\n'),
         "variants.v must not set data.validation: the protocol says what is held back"),
        (*before_run(TUNED.replace("in_situ.learning_rate", "trace").replace("[0.1, 0.2]", "[true, false]")),
         "protocol.tune.in_situ must not set trace: a study writes no traces"),
        (*before_run("[run]\nseed = 5\n"), "run.seed must be left out: first_seed and repeats give the seeds (got 5)"),
        (*before_run('[run]\nmethods = ["raw"]\n'), "run.methods must be left out: a study has its own methods"),
        (*before_run(f"[axes.z]\n{YIELD}\nvalues = [0.9]\n"),
         "axes.z must not set chip.defects.device_yield: axes.device_yield sets chip.defects.device_yield"),
        (*before_run('[axes.z.levels]\na = { "chip.defects" = { device_yield = 0.3 } }\n'),
         "axes.z must not set chip.defects: axes.device_yield sets chip.defects.device_yield"),
        (*before_run('[axes.z.levels]\na = { "chip.kind" = "x" }\n'),
         "axes.z must not set chip.kind: axes.device_yield sets chip.defects.device_yield"),
        (*before_run(f'{TUNED}[axes.z.levels]\na = {{ "in_situ" = {{ epochs = 1 }} }}\n'),
         "protocol.tune.in_situ.in_situ.learning_rate must not be tuned: axes.z sets in_situ"),
        (*before_run(f"{TUNED}[axes.z]\nkey = \"in_situ.learning_rate\"\nvalues = [0.3]\n"),
         "protocol.tune.in_situ.in_situ.learning_rate must not be tuned: axes.z sets in_situ.learning_rate"),
        # Names.
        (AXIS, "[axes.tiles]", "axes.tiles must not be one of point, seed,"),
        (AXIS, "[axes.validation_percent]", "axes.validation_percent must not be one of point, seed,"),
        (*before_run('[variants.digital]\nmethod = "raw"\n'), "variants.digital must not have the name of a method"),
        ("[figures.accuracy]", '[figures."../../evil"]', "figures.../../evil must have a name of letters, digits"),
        ("[figures.accuracy]", '[figures."a/b"]', "figures.a/b must have a name of letters, digits, _, - and ."),
        ("[figures.accuracy]", "[figures.'a\\b']", "figures.a\\b must have a name of letters, digits, _, - and ."),
        ("[figures.accuracy]", '[figures.".."]', "figures... must have a name of letters, digits, _, - and ."),
        ("[figures.accuracy]", f'[figures.{"a" * 101}]', "up to 100 bytes"),
        # Figures, comparisons and maps that could not be made.
        ('kind = "lines"\nx = "device_yield"', 'kind = "training"',
         "figures.accuracy.x must be one of epoch, pulses, simulated_time_s, energy_j with training (got '')"),
        ('kind = "lines"\nx = "device_yield"', 'kind = "training"\nx = "pulse"', "with training (got 'pulse')"),
        ('kind = "lines"\nx = "device_yield"', 'kind = "training"\nx = "epoch"\ny = "energy_j"',
         "figures.accuracy.y must be accuracy_percent with training (got 'energy_j')"),
        ('x = "device_yield"', 'x = "device_yield"\ny = "energy_j"\nmethods = ["digital"]',
         "figures.accuracy.methods must not have digital where a cost is shown"),
        ('x = "device_yield"', 'x = "device_yield"\nminimum = 90.0\nmaximum = 10.0',
         "figures.accuracy.minimum must be < maximum (=10) (got 90.0)"),
        ('x = "device_yield"', 'x = "device_yield"\npanels = "yield"', "figures.accuracy.panels must be one of"),
        ('kind = "lines"\nx = "device_yield"', 'kind = "maps"',
         "figures.accuracy.kind must be another without maps.tiles (got 'maps')"),
        (*before_run("[maps]\ntiles = [-1]\n"), "maps.tiles.0 must be greater than or equal to 0 (got -1)"),
        (*before_run("[maps]\ntiles = [1, 1]\n"), "maps.tiles must not have one twice (got (1, 1))"),
        (*before_run("[maps]\ntiles = [99]\n"), "maps.tiles must be < 6, the number of tiles, each (got (99,))"),
        ('against = "raw"', 'against = "digital"\nat = "pulses"',
         "comparisons.0.at must be end with digital, which spends no pulses and no time (got 'pulses')"),
        ('against = "raw"', 'against = "calibration_in_situ"',
         "comparisons.0.against must be another method than method (got 'calibration_in_situ')"),
        # Values and seeds.
        (VALUES, "values = [2020-01-01]", "axes.device_yield.values must be numbers, words, true or false, or lists"),
        (VALUES, "values = [{ a = 1 }, { a = 2 }]", "lists of them; name what is a table in levels (got {'a': 1})"),
        ("repeats = 2", f"repeats = 2\n{LARGE}", "first_seed must leave all 2 seeds below 2^63 (got 92"),
        # Levels that no axis has.
        (*before_run(GOAL), "goals.0.where.device_yield must be one of 1.0, 0.8 (got 0.85)"),
        (*before_run(GOAL.replace("0.85", "true")), "goals.0.where.device_yield must be one of 1.0, 0.8 (got True)"),
        (*before_run(f"{GOAL.replace('0.85', '0.8')}against_where = {{ device_yield = 0.7 }}\n"),
         "goals.0.against_where.device_yield must be one of 1.0, 0.8 (got 0.7)"),
        (*before_run(PUBLISHED), "published.0.where.device_yield must be one of 1.0, 0.8 (got 0.7)"),
        (*before_run(GAP), "gaps.0.where.device_yield must be one of 1.0, 0.8 (got 0.7)"),
        ('x = "device_yield"', 'x = "device_yield"\nwhere = { device_yield = 0.7 }',
         "figures.accuracy.where.device_yield must be one of 1.0, 0.8 (got 0.7)"),
        ("repeats = 2", f"repeats = 2\npoints = [{{ device_yield = 0.8 }}]\n{TUNING}",
         "tunings.0.default must be one of the study's points (got {'device_yield': 1.0})"),
        # Where a key stands that the run does not know, or that leads nowhere.
        (SIDE, "sied = 8", "run.data.sied is not a known key; did you mean 'side'?"),
        (METHODS, 'variants.v = { method = "raw", set = { "in_situ.epoch" = 1 } }\nmethods = ["v", "raw",',
         "variants.v.in_situ.epoch is not a known key"),
        (VALUES, 'values = [1.0]\n[axes.z]\nkey = "data.side.x"\nvalues = [1]', "axes.z.data.side.x is not a key"),
    ],
)  # fmt: skip
def test_what_a_study_must_not_declare_is_said_in_one_line(write_study, tmp_path, old, new, message):
    folder = write_study()
    text = (folder / "study.toml").read_text()
    assert old in text
    (folder / "study.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ValidationError) as caught:
        load_study(folder).points()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variant_must_not_set_what_is_tuned(write_study):
    text = TUNED.replace("tune.in_situ", "tune.fast") + '[variants.fast]\nmethod = "in_situ"\n{}\n'
    kept = text.format('set = { "in_situ.epochs" = 1 }')
    folder = write_study(kept)
    declared = (folder / "study.toml").read_text().replace(METHODS, 'methods = ["fast", "raw",')
    (folder / "study.toml").write_text(declared)
    assert len(trials_of(load_study(folder))) == 4
    (folder / "study.toml").write_text(declared.replace('"in_situ.epochs" = 1', '"in_situ.learning_rate" = 0.3'))
    with pytest.raises(ValidationError, match=r"tune.fast.in_situ.learning_rate must not be .* variants.fast sets in"):
        load_study(folder)


def test_levels_are_those_of_the_axis_however_points_write_them(write_study):
    folder = write_study()
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("repeats = 2", "repeats = 1\npoints = [{ device_yield = 1 }]", 1))
    (point,) = load_study(folder).points()
    assert repr(point.levels) == "{'device_yield': 1.0}"


def test_a_base_run_may_have_methods_and_a_seed_and_run_may_declare_steps(write_study):
    folder = write_study('[run.methods.mine]\nsteps = ["program"]\n')
    text = (folder / "study.toml").read_text().replace(METHODS, 'base = "base.toml"\nmethods = ["mine", "raw",', 1)
    (folder / "study.toml").write_text(text)
    (folder / "base.toml").write_text("seed = 9\ntrace = true\n[methods.raw]\n")
    point = load_study(folder).points()[0]
    assert (point.jobs[0].name, point.seed, point.jobs[0].run.seed, point.jobs[0].run.trace) == ("mine", 1, 1, False)


def test_an_unknown_key_of_the_base_is_said_to_be_there(write_study):
    folder = write_study()
    declared = (folder / "study.toml").read_text().replace(METHODS, f'base = "base.toml"\n{METHODS}', 1)
    (folder / "study.toml").write_text(declared)
    (folder / "base.toml").write_text("[in_situ]\nepoch = 1\n")
    with pytest.raises(ValidationError, match=r"^base.in_situ.epoch is not a known key; did you mean 'epochs'"):
        load_study(folder).points()


def test_the_last_seed_is_the_largest_that_a_table_can_hold():
    assert StudySpec(title="x", first_seed=2**63 - 2, repeats=2).repeats == 2
    assert list(FigureSpec(kind="lines", x="y", minimum=89.0, maximum=90.0).where) == []


def test_tiles_that_the_network_has_can_be_kept(write_study):
    assert load_study(write_study("[maps]\ntiles = [0, 5]\n")).points()[0].map_tiles == (0, 5)


def test_no_axis_may_have_the_name_of_a_column(write_study):
    trial = trials_of(load_study(write_study(TUNED)))[0]
    record = {"id": trial.point.id, "status": "failed"}
    columns = {*MEASURES, *INFERENCE, *TESTED, PART, *trial_rows([trial], [record])[0]} - {"device_yield"}
    assert columns | {"seed", "method", "epoch", "end", "point"} == set(RESERVED)


def test_values_of_an_axis_are_what_a_table_can_show():
    assert AxisSpec(key="k", values=[[64, 10], [64, 8, 10]]).values == ((64, 10), (64, 8, 10))
    with pytest.raises(ValidationError, match=r"^values must be numbers, words"):
        AxisSpec(key="k", values=[[datetime.date(2020, 1, 1)]])


def test_a_setting_that_is_a_list_can_be_tuned(write_study):
    layers = TUNED.replace('"in_situ.learning_rate" = [0.1, 0.2]', '"network.layers" = [[64, 10], [64, 6, 10]]')
    study = load_study(write_study(layers))
    assert [trial.point.jobs[0].run.network.layers for trial in trials_of(study)[:2]] == [(64, 10), (64, 6, 10)]
    tuned = {"method": "in_situ", "levels": {"device_yield": 1.0}, "settings": {"network.layers": [64, 6, 10]}}
    tuned |= {"percent": 80.0, "half_width": None, "maps": 1, "trials": 2, "failed": 0, "lowest_percent": 70.0}
    tuned |= {"simulated_time_s": 1.0, "energy_j": 1.0, "pulses": 1, "computing_time_s": 1.0}
    assert "| network.layers = [64, 6, 10] |" in tuning_text(study, [tuned], [])
