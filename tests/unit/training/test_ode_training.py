"""Chips of ODE devices are trained, interrupted and resumed as others are, and say what reads would do to them."""

import json

import pytest

from circuitmem.config import load_run
from circuitmem.training import InSituTrainer
from circuitmem.training.run import resume_run, start_run

SMALL = ["data.side=4", "data.train=120", "data.test=60", "network.layers=[16,10]", "audit.tiles=0"]
SMALL += ["chip.tile.rows=16", "chip.tile.columns=20", "chip.defects.device_yield=0.9", "chip.tile.cell.kind=linear"]
SMALL += [
    "in_situ.batch=20",
    "in_situ.learning_rate=0.3",
    "chip.programming.deadband=1e-6",
    "chip.defects.stuck_on_range=[5e-5,1e-4]",
]
COARSE = {
    "vteam": ["chip.device.set_time=4e-10", "chip.device.reset_time=4e-10"],
    "yakopcic": ["chip.converters.dac.full_scale=0.15"],
    "stanford-pku": ["chip.device.set_time=1e-7", "chip.device.reset_time=1e-7"],
}


def declared(kind, *settings):
    """Return a small run of in-situ training alone."""
    return load_run(None, [f"chip.device.kind={kind}", *COARSE[kind], *SMALL, 'methods=["in_situ"]', *settings])


@pytest.mark.parametrize("kind", COARSE)
def test_training_in_situ_lowers_the_loss(kind, tmp_path):
    """By pulses alone, on stuck cells and wires that nobody told the trainer of; reads leave the states alone."""
    results = start_run(declared(kind, "in_situ.epochs=3"), tmp_path / "run")
    method = json.loads((tmp_path / "run" / "method_in_situ.json").read_text())
    assert method["losses"][2] < method["losses"][1] < method["losses"][0]
    assert results["pulses"]["in_situ"] > 100
    assert results["energy_j"]["in_situ"] > 0.0
    assert "reads-move-states" not in {warning["kind"] for warning in results["warnings"]}


def test_a_run_that_was_interrupted_ends_with_the_same_bits(tmp_path, monkeypatch):
    """Checkpoints hold the cells whole, half-selected ones too."""
    spec = declared("stanford-pku", "in_situ.epochs=1", "checkpoint_interval=0.0")
    whole = start_run(spec, tmp_path / "whole")
    real, calls = InSituTrainer.step, []

    def interrupted(self, *words, **options):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *words, **options)

    monkeypatch.setattr(InSituTrainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_run(spec, tmp_path / "cut")
    resumed = resume_run(tmp_path / "cut")
    assert len(calls) == 7  # six batches, and the one that was cut off again
    for key in ("accuracy_percent", "pulses", "energy_j", "simulated_time_s"):
        assert resumed[key] == whole[key]


def test_reads_that_would_move_states_are_warned_of(tmp_path):
    """At 0.2 V a published Yakopcic device is beyond its threshold of 0.16 V."""
    results = start_run(declared("yakopcic", "chip.converters.dac.full_scale=0.2"), tmp_path / "run")
    (warning,) = [each for each in results["warnings"] if each["kind"] == "reads-move-states"]
    assert warning["setting"] == "chip.converters.dac.full_scale"
    assert "of their working range, which is not modelled" in warning["message"]
