"""Points and trials of a study share one split of data without parts: test samples are not trained with or tuned on."""

import numpy as np
import pytest

from circuitmem.config import DataSpec, NetworkSpec
from circuitmem.study.spec import load_study
from circuitmem.study.tuning import trials_of
from circuitmem.training.data import load_data, load_source

DECLARED = """
title = "Birds"
methods = ["raw", "in_situ"]
repeats = 2
first_seed = {first_seed}

[run.data]
source = "{source}"
{declared}

[run.network]
layers = [{inputs}, {outputs}]

[protocol]
validation = 30
trials = 2
tuning_maps = 2
first_tuning_seed = 101

[protocol.tune.in_situ]
"in_situ.learning_rate" = [0.1, 0.2]
"""


def declared_study(tmp_path, source="penguins", declared="", first_seed=7, inputs=4, outputs=3):
    text = DECLARED.format(source=source, declared=declared, first_seed=first_seed, inputs=inputs, outputs=outputs)
    (tmp_path / "study.toml").write_text(text, "utf-8")
    study = load_study(tmp_path)
    return study, [*study.points(), *(trial.point for trial in trials_of(study))]


def rows(inputs):
    return {row.tobytes() for row in inputs.reshape(len(inputs), -1)}


def test_no_sample_of_the_test_part_is_trained_with_or_tuned_on(tmp_path):
    study, points = declared_study(tmp_path)
    runs = [job.run for point in points for job in point.jobs]
    assert {run.seed for run in runs} == {7, 8, 101, 102}
    assert {run.data.split_seed for run in runs} == {7}
    reported = load_source(study.points()[0].jobs[0].run.data, 7)
    tested = rows(reported.test_inputs)
    for run in runs:
        data = load_source(run.data, run.seed)
        if run.data.validation:  # a trial: tested with validation samples
            assert not rows(data.test_inputs) & tested
        else:
            np.testing.assert_array_equal(data.test_inputs, reported.test_inputs)
        assert not rows(data.train_inputs) & tested
        assert data.validation is None or not rows(data.validation[0]) & tested


def test_a_split_that_is_declared_stays(tmp_path):
    _, points = declared_study(tmp_path, declared="split_seed = 3")
    assert {job.run.data.split_seed for point in points for job in point.jobs} == {3}


@pytest.mark.parametrize("source", ["bundled", "digits", "download", "patches"])
def test_sources_with_a_test_part_keep_the_names_of_their_points(source, tmp_path):
    _, points = declared_study(tmp_path, source, inputs=784, outputs=10)
    assert {job.run.data.split_seed for point in points for job in point.jobs} == {None}


def test_the_split_of_a_run_is_that_of_its_seed_unless_another_is_declared():
    network = NetworkSpec(layers=(4, 3))
    own, other, same = (
        load_data(DataSpec(source="penguins", split_seed=split), network, seed)
        for seed, split in ((1, None), (2, None), (2, 1))
    )
    assert rows(own.test_inputs) != rows(other.test_inputs)
    np.testing.assert_array_equal(own.test_inputs, same.test_inputs)
    np.testing.assert_array_equal(own.train_inputs, same.train_inputs)
