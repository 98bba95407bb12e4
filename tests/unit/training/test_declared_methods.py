"""Methods that a run declares as lists of steps: the built-in ones are just that, and what cannot be is one line."""

import sys
import types

import numpy as np
import pytest

from circuitmem.config import RunSpec, load_run, to_toml
from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.network import Perceptron
from circuitmem.rng import name_number
from circuitmem.training import METHODS, Recipe, build_network, recipe_of, run_method
from circuitmem.training.recipes import method_number

SMALL = ["data.side=4", "network.layers=[16, 10]", "chip.tile.rows=18", "chip.tile.columns=24", "in_situ.epochs=1"]
SMALL += ["in_situ.batch=20", "calibration.vectors=20", "retraining.epochs=1", "chip.tile.word_line_resistance=0.0"]
RNG = np.random.default_rng(0)
DIGITS = Dataset(RNG.random((60, 16)), RNG.integers(0, 10, 60), RNG.random((40, 16)), RNG.integers(0, 10, 40))
MODEL = Perceptron([RNG.normal(size=(16, 10))], [np.zeros(10)])


def reached(name, spec):
    network = build_network(spec, MODEL.copy(), DIGITS)
    return run_method(name, spec, network, DIGITS, lambda *_: None).as_dict()


@pytest.mark.parametrize("name", METHODS)
def test_a_built_in_method_is_a_list_of_steps_that_anybody_can_declare(name):
    declared = load_run(None, [*SMALL, f"methods.mine.steps={list(METHODS[name].steps)}"])
    assert recipe_of(declared, "mine").steps == METHODS[name].steps
    assert reached("mine", declared) == reached(name, load_run(None, SMALL))


def test_declared_methods_stand_in_the_file_as_they_were_written(tmp_path):
    spec = load_run(None, ["methods.raw={}", 'methods.mine.steps=["program", "calibrate=affine+batch-norm", "train"]'])
    assert spec.methods == ("raw", "mine")
    (tmp_path / "run.toml").write_text(to_toml(spec))
    assert '[methods.raw]\n\n[methods.mine]\nsteps = [\n    "program",' in (tmp_path / "run.toml").read_text()
    assert load_run(tmp_path / "run.toml") == spec == RunSpec(**spec.model_dump())
    recipe = recipe_of(spec, "mine")
    assert (recipe.train, recipe.best, recipe.calibrate) == (True, False, True)
    assert recipe.calibrations(spec.calibration) == ("affine", "batch-norm")
    assert "recipes" not in RunSpec().model_dump()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ['methods.mine.steps=["program", "calibrte"]'],
            "methods.mine.steps must be one of .*did you mean 'calibrate'",
        ),
        (['methods.mine.steps=["program", "calibrate=afine"]'], "methods.mine.steps must be one of none, .*'affine'"),
        (
            ['methods.mine.steps=["program", "train=fast"]'],
            "steps must have train by itself: it may have =best after it",
        ),
        (['methods.mine.steps=["program=twice"]'], "must have program by itself: it has nothing after it"),
        (["methods.mine.steps=[]"], "methods.mine.steps must have program once"),
        (['methods.mine.steps=["program", "program"]'], "must have program once"),
        (['methods.mine.steps=["calibrate", "program"]'], "must have calibrate after program"),
        (['methods.mine.steps=["program", "train", "calibrate"]'], "must have train as the last"),
        (['methods.mine.steps=["use-partners", "program"]'], "must have find-defects before use-partners"),
        (['methods.mine.steps=["find-defects", "program", "use-partners"]'], "must have use-partners before program"),
        (['methods.mine.steps=["find-defects", "retrain", "program"]'], "freeze-pairs or use-partners before retrain"),
        (['methods.mine.stps=["program"]'], "methods.mine.stps is not a known key; did you mean 'steps'"),
        (["methods.mine=3"], "methods.mine must be a table, with steps or empty .got 3"),
        (["methods.mine={}"], "methods.0 must be one of raw, calibration, .*circuitmem list methods"),
        (['methods.raw.steps=["program"]'], "methods.raw.name must not be that of a method which is there already"),
        (['methods={"a/b"={steps=["program"]}}'], "methods.a/b.name must be made of letters, digits, _ and -"),
        (["methods=[in_sito]"], r"methods"),
    ],
)
def test_steps_that_cannot_be_are_one_line(settings, words):
    with pytest.raises(ValidationError, match=words) as error:
        load_run(None, settings)
    assert "\n" not in str(error.value)


def test_methods_and_steps_of_others_are_found_by_where_they_are(monkeypatch):
    seen = []

    def shrink(work, word):
        """Halve the weights."""
        for weights in work.network.model.weights:
            weights *= 0.5
        seen.append(word)
        yield from work.network.chip.compute(100)

    module = types.ModuleType("somebody")
    module.shrink = shrink
    monkeypatch.setitem(sys.modules, "somebody", module)
    module.HALVED = Recipe("halved", ("somebody:shrink=well", "program"))
    module.SPEC = RunSpec()
    spec = load_run(None, [*SMALL, 'methods=["somebody:HALVED"]'])
    found = reached("somebody:HALVED", spec)
    assert seen == ["well"]
    assert found["accounts"]["digital_step"]["operations"] >= 100
    with pytest.raises(ValidationError, match=r"methods.0 must name a circuitmem.training.Recipe .got 'somebody:SPEC'"):
        load_run(None, ['methods=["somebody:SPEC"]'])


def test_random_numbers_of_methods_are_addressed_by_name():
    # Those of built-in methods stand in audits of runs that there are; others come from the name alone.
    assert [method_number(name) for name in METHODS][:12] == list(range(12))
    assert method_number("chip_in_the_loop") == name_number("chip_in_the_loop")
    assert method_number("mine") == name_number("mine") == 2144535874
    assert method_number("mine") != method_number("other")
