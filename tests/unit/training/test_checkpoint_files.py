"""States in files: what comes back, and that many small arrays do not make many entries."""

import json

import numpy as np
import pytest

from circuitmem.errors import DataFileError
from circuitmem.files import load_npz, save_npz
from circuitmem.training.checkpoint import Keeper, load_state, save_state

UNITS = [{"g": np.full((2, 3), float(k)), "alive": np.array([k > 1, True]), "reads": k} for k in range(50)]
STATE = {"units": UNITS, "name": np.array("text"), "other": np.arange(6).reshape(2, 3), "none": None, "x": [1.5, True]}
STATE |= {"empty": [np.zeros((0, 2)), np.zeros((0, 2))]}


@pytest.mark.parametrize("compress", [True, False])
def test_a_state_comes_back_as_it_was(tmp_path, compress):
    save_state(tmp_path / "s.npz", STATE, "chip", compress)
    found = load_state(tmp_path / "s.npz", "chip")
    assert len(load_npz(tmp_path / "s.npz")) < 12  # of 105 arrays
    np.testing.assert_equal(found, STATE)
    assert found["units"][3]["alive"].dtype == bool
    assert found["other"].dtype == np.int64
    found["units"][3]["g"][:] = 7.0
    assert found["units"][4]["g"][0, 0] == 4.0
    assert found["units"][3]["g"].flags.owndata


def test_a_state_of_the_format_before_is_read_and_one_of_another_is_not(tmp_path):
    plan = json.dumps({"dict": {"units": [{"dict": {"g": {"array": "state.units.0.g"}}}], "reads": 3}})
    arrays = {"state.units.0.g": np.ones((2, 3)), "plan": np.array(plan), "kind": np.array("chip")}
    save_npz(tmp_path / "old.npz", arrays | {"format": np.array(3)})
    np.testing.assert_equal(load_state(tmp_path / "old.npz", "chip"), {"units": [{"g": np.ones((2, 3))}], "reads": 3})
    save_npz(tmp_path / "odd.npz", arrays | {"format": np.array(5)})
    with pytest.raises(DataFileError, match="is not a state of format 3 or 4"):
        load_state(tmp_path / "odd.npz", "chip")


def test_epochs_shorter_than_saving_leave_fewer_checkpoints(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("circuitmem.training.checkpoint.time.monotonic", lambda: now[0])

    def save(path, *_, **__):
        now[0] += 0.2
        path.touch()

    monkeypatch.setattr("circuitmem.training.checkpoint.save_state", save)
    keeper = Keeper(tmp_path, "raw", 20.0)
    assert keeper.is_worth_it  # nothing is known of how long it takes
    keeper.save({})
    now[0] += 9.9
    assert not keeper.is_worth_it
    now[0] += 0.2  # fifty times as long
    assert keeper.is_worth_it
    keeper = Keeper(tmp_path, "raw", 0.0)
    keeper.save({})
    assert keeper.is_worth_it
