"""The stages of the devices: what they record, that they can fail, and the figure of what they found."""

import dataclasses
import json

import numpy as np
import pytest

from circuitmem import LinearCell, Tile, TileSpec
from circuitmem.config import ChipSpec, Pulse, PulseTrain, VteamSpec
from circuitmem.device import conductance, state_of
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.report import draw_trajectories
from circuitmem.study.stages import STAGES, StageContext, chip_cells, own_stages
from circuitmem.study.stages.chip_cells import compare_chips
from circuitmem.study.trajectories import moving_cells, trajectory_lines

TABLE = {stage.name: stage for stage in STAGES}


@pytest.mark.spice
@pytest.mark.parametrize("name", ["program VTEAM", "program Yakopcic", "program Stanford-PKU"])
def test_a_stage_has_set_and_reset_and_keeps_the_worst_trajectories(name, spice):
    context = StageContext(name, spice, seed=3, quick=True)
    stage = TABLE[name].run(context)
    print(f"{name}: {stage.worst:.1e}")
    assert stage.passed
    assert len(stage.differences) == 2
    record = json.loads(json.dumps(stage.details["trajectories"]))
    assert len(record["time"]) == 26
    assert len(record["cells"]) >= 2
    spread = 0.0
    for cell in record["cells"]:
        assert len(cell["behavioral"]) == len(cell["referee"]) == 26
        np.testing.assert_allclose(cell["behavioral"], cell["referee"], atol=1e-3)
        spread = max(spread, abs(cell["behavioral"][-1] - cell["behavioral"][0]))
    assert spread > 0.05
    assert stage.details["largest_on_the_way"] >= stage.worst
    assert len(stage.plots[0].series) == 2 * len(record["cells"])
    assert set(context.seconds) == {"behavioral", "referee"}


@pytest.mark.spice
def test_a_stage_fails_where_one_cell_is_off_by_more_than_the_bound(spice, monkeypatch):
    right = BehavioralEngine.program

    def wrong(*words, **options):
        result = right(*words, **options)
        state = result.state.copy()
        state[-1, -1] += 1.5e-3
        return dataclasses.replace(result, state=state)

    monkeypatch.setattr(BehavioralEngine, "program", wrong)
    stage = TABLE["program VTEAM"].run(StageContext("program VTEAM", spice, seed=3, quick=True))
    assert not stage.passed


@pytest.mark.spice
def test_a_chip_of_devices_writes_and_verifies_as_the_circuit_does(spice):
    stage = TABLE["chip VTEAM"].run(StageContext("chip VTEAM", spice, seed=3, quick=True))
    print(f"chip VTEAM: {stage.worst:.1e}")
    assert stage.passed
    assert stage.worst > 0.0
    assert stage.details["pulses"] > 20
    (off,) = stage.details["off"]
    assert off[-1] <= off[0] < 1.0
    assert len(stage.plots[0].series[0].x) == stage.details["pulses"]


def test_a_chip_whose_pulses_do_a_little_more_in_one_engine_is_found():
    class Stronger(BehavioralEngine):
        """Moves states by a hundredth more."""

        simulator = "none"

        def program(self, tile, train, **options):
            result = super().program(tile, train, **options)
            first = result.trajectory[0]
            state = np.clip(first + 1.01 * (result.state - first), 0.0, 1.0)
            left = np.where(tile.stuck, tile.conductance, conductance(train.device, state))
            return dataclasses.replace(result, state=state, conductance=left)

    stage = TABLE["chip VTEAM"].run(StageContext("chip VTEAM", Stronger(), seed=3, quick=True))
    assert not stage.passed
    assert 1e-3 < stage.worst < 0.1


def programmed():
    device = VteamSpec.preset("A")
    spec = TileSpec(rows=3, columns=5, word_line_resistance=50.0, bit_line_resistance=5.0, cell=LinearCell())
    tile = Tile(spec, conductance(device, np.full(spec.shape, 0.5)))
    train = PulseTrain(device=device, pulses=(Pulse(amplitude=1.1, width=2e-10, rise=2e-11, rows=(1,)),))
    return BehavioralEngine().program(tile, train, samples=5)


def test_the_figure_shows_cells_that_moved(tmp_path):
    result = programmed()
    cells = moving_cells(result)
    assert cells[0] == (1, 0)
    path = tmp_path / "states.png"
    figure = draw_trajectories(path, {"behavioral": result, "again": result}, cells[:2])
    assert path.stat().st_size > 5000
    lines = figure.axes[0].get_lines()
    assert len(lines) == 4
    np.testing.assert_allclose(lines[0].get_ydata(), result.trajectory[:, 1, 0], rtol=1e-8)
    assert figure.axes[0].get_xlabel() == "time (ps)"


def test_cells_beyond_the_tile_and_no_results_are_refused():
    with pytest.raises(ValidationError, match="cells must be within"):
        trajectory_lines({"behavioral": programmed()}, [(3, 0)])
    with pytest.raises(ValidationError, match="results must have at least one"):
        trajectory_lines({})


class Apart(BehavioralEngine):
    """Ends each pulse with states that are off by the error of a solver, or that moved a hundredth further."""

    simulator = "none"

    def __init__(self, more, off):
        super().__init__()
        self.more, self.off = more, off

    def program(self, tile, train, **options):
        result = super().program(tile, train, **options)
        first = result.trajectory[0]
        state = np.clip(first + (1.0 + self.more) * (result.state - first) + self.off * (first - 0.5), 0.0, 1.0)
        left = np.where(tile.stuck, tile.conductance, conductance(train.device, state))
        return dataclasses.replace(result, state=state, conductance=left)


STICKY = ChipSpec(
    device={
        "kind": "ion-drift", "on_resistance": 100.0, "off_resistance": 16e3, "mobility": 5e-14, "length": 1e-8,
        "window": "joglekar", "window_power": 3.0, "minimum_conductance": 9e-5, "maximum_conductance": 1.5e-3,
        "set_voltage": 1.15, "reset_voltage": 1.06, "set_time": 1.66e-3, "reset_time": 1.8e-3, "rise_time": 1.6e-4,
    },
    programming={"deadband": 0.0, "verify_tolerance": 3e-5},
)  # fmt: skip
"""Numbers that a fit has found of a curve which takes a device of Joglekar's window to both limits."""


def own_chip(engine):
    stage = {each.name: each for each in own_stages(STICKY)}["own chip"]
    assert "begun alike" in stage.about
    return stage.run(StageContext("own chip", engine, seed=1, quick=True))


def test_a_chip_of_joglekars_window_is_compared_pulse_by_pulse():
    """Such a device remembers the last digit at a limit: engines that agree in each pulse part over many of them."""
    engine = Apart(0.0, 1e-5)
    found = own_chip(engine)
    together = compare_chips(StageContext("own chip", engine, seed=1, quick=True), STICKY.device.model_dump())
    print(f"anew {found.worst:.1e}, states carried on {together.worst:.1e}, {found.details['pulses']} pulses")
    assert found.passed
    assert 1e-6 < found.worst < 1e-4
    assert together.worst > 10.0 * found.worst


def test_a_chip_of_joglekars_window_whose_pulses_do_a_little_more_is_found():
    found = own_chip(Apart(0.05, 0.0))
    print(f"{found.worst:.1e}")
    assert not found.passed
    assert found.verdict == "fail"


class Begins(BehavioralEngine):
    """Begins each pulse with states that are off by what digits of a netlist leave."""

    simulator = "none"

    def program(self, tile, train, **options):
        free, moved = ~tile.stuck, tile.conductance.copy()
        moved[free] = conductance(train.device, np.clip(state_of(train.device, moved[free]) - 1e-6, 0.0, 1.0))
        return super().program(Tile(tile.spec, moved, tile.defects), train, **options)


def test_what_a_single_pulse_from_a_limit_makes_of_the_last_digits_is_not_judged(monkeypatch):
    device = {**STICKY.device.model_dump(), "mobility": 1.24e-13, "window_power": 1.224, "off_resistance": 11367.0}
    context = StageContext("own chip", Begins(), seed=1, quick=True)
    found = compare_chips(context, device, anew=True)
    print(f"{found.worst:.1e}, undecided {found.details['undecided']}")
    assert found.passed
    assert 0.0 < found.details["undecided_of_all"] < found.details["undecided"] < 1.0
    assert found.verdict == "pass"
    monkeypatch.setattr(chip_cells, "NEAR", 0.1)
    found = compare_chips(context, device, anew=True)
    print(f"undecided of all {found.details['undecided_of_all']}")
    assert found.passed
    assert found.verdict == "undecided"
    monkeypatch.setattr(chip_cells, "NEAR", 0.0)
    assert compare_chips(context, device, anew=True).worst > 0.1
