"""The protocol of devices: what a class of one's own gets from the base, and that the kernels do the same."""

import numpy as np
import pytest

from circuitmem._kernels.noise import Address
from circuitmem.config import DeviceSpec, PulseUpdateSpec, TwoPulseSpec, load_run, to_toml
from circuitmem.control import Chip
from circuitmem.device import CellState, Device, PulseGroup, PulseUpdate, TwoPulse
from circuitmem.errors import ValidationError

HERE = f"{__name__}:Stairs"
RNG = np.random.default_rng(0)


class StairsSpec(DeviceSpec):
    """Devices with equal steps."""

    minimum_conductance: float = 1e-6
    maximum_conductance: float = 101e-6
    set_voltage: float = 2.0
    reset_voltage: float = 1.5
    set_time: float = 1e-7
    reset_time: float = 2e-7
    step: float = 1e-6
    noise: float = 0.0


class Stairs(Device):
    """Steps of one size, up and down."""

    Spec = StairsSpec
    most = 100

    def counts(self, wanted, present):
        steps = np.rint((wanted - present) / self.spec.step).astype(np.int64)
        return np.maximum(-steps, 0), np.maximum(steps, 0)

    def after(self, pulse, conductance, noise):
        step = self.spec.step if pulse.is_set else -self.spec.step
        left = conductance + step + (0.0 if noise is None else self.spec.noise * noise)
        return np.clip(left, self.spec.minimum_conductance, self.spec.maximum_conductance)


@pytest.mark.parametrize(
    "device",
    [
        TwoPulse(TwoPulseSpec(set_noise=0.0, slope_spread=0.1), (5, 6), seed=1),
        PulseUpdate(PulseUpdateSpec(cycle_noise=0.04, nonlinearity_spread=0.5, potentiation=2.0), (5, 6), seed=1),
    ],
)
@pytest.mark.parametrize("is_set", [False, True])
def test_the_kernels_do_what_the_readable_law_says(device, is_set):
    low, high = device.spec.minimum_conductance, device.spec.maximum_conductance
    cells, stuck, start = RNG.random((5, 6)) < 0.7, RNG.random((5, 6)) < 0.2, RNG.uniform(low, high, (5, 6))
    pulse = PulseGroup(is_set, 3, cells, RNG.uniform(low, high, (5, 6)))
    found = []
    for give in (Device.give, type(device).give):
        state = CellState(start.copy(), start.copy(), stuck, start.copy())
        give(device, pulse, state, Address((1, 2), 7))
        found.append(np.array([state.conductance, state.effective, state.asked]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=0.0)
    assert np.array_equal(found[0][:, ~cells], np.broadcast_to(start[~cells], (3, (~cells).sum())))
    assert (found[0][0] != start).any()
    assert np.array_equal(found[0][1, stuck], start[stuck])


def chip_of(noise, together=1):
    settings = ["chip.tile.rows=4", "chip.tile.columns=6", "chip.programming.deadband=0.0"]
    settings += ["chip.defects.device_yield=1.0", "chip.programming.verify_tolerance=2e-6"]
    settings += [f"chip.device.kind={HERE}", f"chip.device.noise={noise}", f"chip.programming.rows_at_once={together}"]
    return Chip(load_run(None, settings).chip, 1, seed=1, noise_seed=2)


def test_a_device_of_ones_own_is_programmed_refreshed_and_believed():
    chip = chip_of(0.0)
    unit = chip.units[0]
    assert type(unit.devices) is Stairs
    wanted = unit.asked.copy()
    wanted[0, 1], wanted[2, 3] = 11e-6, 31.3e-6
    assert chip.run(chip.program(unit, wanted, 0.0)) == 10 + 30
    assert unit.tile.conductance[[0, 2], [1, 3]] == pytest.approx([11e-6, 31e-6])
    assert unit.asked[2, 3] == pytest.approx(31e-6)  # what is less than a step is not believed
    assert chip.clock == 40 * 100_000
    wanted[2, 3] = 21e-6
    assert chip.run(chip.program(unit, wanted, 0.0)) == 10
    cells = wanted > 2e-6
    unit.tile.program(np.where(cells, 50e-6, unit.tile.conductance))  # as if they had drifted
    assert chip.run(chip.rewrite(unit, cells, cells)) == 100 + 10 + 100 + 20
    assert unit.tile.conductance[cells] == pytest.approx(wanted[cells])
    assert unit.asked[cells] == pytest.approx(wanted[cells])
    copy = np.array(unit.tile.conductance)
    again = chip_of(0.0)
    again.restore(chip.state())
    assert np.array_equal(again.units[0].tile.conductance, copy)


def test_noise_of_a_device_of_ones_own_has_its_place():
    found = []
    for together in (1, 1, 4):
        chip = chip_of(2e-7, together)
        wanted = np.full((4, 6), 1e-6) + np.arange(24).reshape(4, 6) * 1e-6
        chip.run(chip.program(chip.units[0], wanted, 0.0))
        found.append(chip.units[0].tile.conductance.copy())
        # margin: the largest of 24 draws of one seed, which is the same everywhere.
        assert 0.0 < np.abs(found[-1] - wanted).max() < 3e-6
        assert chip.units[0].asked == pytest.approx(wanted)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])  # rows that are driven together draw the same


def test_a_declaration_of_ones_own_is_checked_and_written_out(tmp_path):
    small = ["chip.programming.deadband=0.0", f"chip.device.kind={HERE}"]
    run = load_run(None, [*small, "chip.device.step=2e-6"])
    assert (run.chip.device.kind, run.in_situ.rule) == (HERE, "pulse-count")
    (tmp_path / "run.toml").write_text(to_toml(run))
    assert load_run(tmp_path / "run.toml") == run
    for setting, words in (
        ("chip.device.stp=1", "chip.device.stp is not a known key; did you mean 'step'"),
        ("chip.device.minimum_conductance=1.0", "chip.device.maximum_conductance must be > minimum_conductance"),
        ("in_situ.rule=two-pulse", "in_situ.rule must be another for devices of kind .*, such as pulse-count"),
        ("chip.device.kind=circuitmem.device:Devise", "chip.device.kind names what is not there: .* 'Device'"),
        (
            "chip.device.kind=circuitmem.config:Spec",
            "chip.device.kind must name a subclass of circuitmem.device.D",
        ),
        ("chip.device.kind=3", "chip.device.kind must be a name"),
    ):
        with pytest.raises(ValidationError, match=words):
            load_run(None, [*small, setting])


class Wrong(Stairs):
    """Answers as the test says."""

    down, beyond = staticmethod(lambda steps: steps), 0.0

    def counts(self, wanted, present):
        down, up = super().counts(wanted, present)
        return self.down(down), up

    def after(self, pulse, conductance, noise):
        return super().after(pulse, conductance, noise) + (self.beyond if noise is None else 0.0)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("down", lambda steps: steps + 0.5, r"whole numbers from 0 to 100 \(its most\) from counts \(got 0.5\)"),
        ("down", lambda steps: steps - 1, r"whole numbers from 0 to 100 \(its most\) from counts \(got -1\)"),
        ("down", lambda steps: steps * np.nan, r"finite numbers from counts \(got nan\)"),
        ("down", lambda steps: steps[0], r"numbers of shape \(4, 6\) from counts \(got shape \(6,\)\)"),
        ("most", 9, r"whole numbers from 0 to 9 \(its most\) from counts \(got 10\)"),
        ("counts", lambda *_: None, r"pulses down and pulses up from counts \(got None\)"),
        ("beyond", np.nan, r"finite conductances from after \(got nan\)"),
        ("beyond", 1e-4, r"conductances from 1e-06 to 0.000101 S from after where there is no noise \(got 0.000102\)"),
        ("after", lambda *_: 1e-6, r"numbers of shape \(4, 6\) from after \(got 1e-06\)"),
    ],
)
def test_a_device_that_does_not_keep_its_word_is_named(monkeypatch, name, value, said):
    monkeypatch.setattr(Wrong, name, staticmethod(value) if name == "down" else value)
    settings = ["chip.tile.rows=4", "chip.tile.columns=6", f"chip.device.kind={__name__}:Wrong"]
    chip = Chip(load_run(None, settings).chip, 1)
    with pytest.raises(ValidationError, match=rf"^device {__name__}:Wrong must return {said}$"):
        chip.run(chip.program(chip.units[0], np.full((4, 6), 11e-6), 0.0))


def test_cells_beyond_the_range_count_as_its_ends_and_rounding_is_no_offence(monkeypatch):
    monkeypatch.setattr(Wrong, "beyond", 1e-14)
    device = Wrong(StairsSpec(kind=f"{__name__}:Wrong"), (1, 2))
    wanted, read = np.array([[1e-6, 101e-6]]), np.array([[150e-6, -3e-6]])
    down, up = device.plan(wanted, read, 0.0)
    assert (down.tolist(), up.tolist()) == ([[100, 0]], [[0, 100]])
    ones = np.ones((1, 2), dtype=bool)
    state = CellState(wanted.copy(), wanted.copy(), ~ones, read.copy())
    device.give(PulseGroup(True, 0, ones, wanted), state, Address((1, 2), 7))
    np.testing.assert_allclose(state.asked, [[101e-6, 2e-6]], rtol=1e-7)
