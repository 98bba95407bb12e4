"""Devices without a law: a table of measured steps, what is found in ramps, and what a chip makes of it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from circuitmem import TileSpec
from circuitmem.cli import app
from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec, StepTableSpec, load_run
from circuitmem.control import Chip
from circuitmem.device import PulseGroup, StepTable
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.study.fit import fit_device

LOW, HIGH = 1e-6, 21e-6


def mean_step(conductance, is_up):
    """Return a step that no exponential curve has: largest in the middle of the range."""
    place = (conductance - LOW) / (HIGH - LOW)
    return 0.5e-6 * (0.4 + 2.4 * place * (1.0 - place)) * (1.0 if is_up else 0.8)


def make_ramps(path, seed=1, devices=6, ramps=4, cycle=0.2, device=0.15, reading=0.0, cells=True):
    """Write ramps up and down; spreads are relative to the mean step, reading's error is in S."""
    rng = np.random.default_rng(seed)
    rows = ["cell,pulse,conductance_s,polarity" if cells else "pulse,conductance_s,polarity"]
    for one in range(devices):
        size = 1.0 + device * rng.standard_normal(2)
        g = LOW
        for _ in range(ramps):
            for is_up in (True, False):
                for pulse in range(61):
                    if pulse:
                        step = mean_step(g, is_up) * (size[int(is_up)] + cycle * rng.standard_normal())
                        g = float(np.clip(g + (step if is_up else -step), LOW, HIGH))
                    word, read = "up" if is_up else "down", g + reading * rng.standard_normal()
                    rows.append((f"d{one}," if cells else "") + f"{pulse},{read:.9g},{word}")
    path.write_text("\n".join(rows) + "\n")
    return path


def table_of(fit, name):
    return np.array(getattr(fit.spec, name)).T


@pytest.mark.parametrize("reading", [0.0, 0.05e-6])
def test_mean_and_spread_of_steps_are_found(tmp_path, reading):
    fit = fit_device(make_ramps(tmp_path / "r.csv", device=0.0, reading=reading), "steps", seed=1)
    for name, is_up in (("steps_up", True), ("steps_down", False)):
        place, mean, spread = table_of(fit, name)
        inner = (place > 3e-6) & (place < 19e-6)
        expected = mean_step(place[inner], is_up)
        np.testing.assert_allclose(mean[inner], expected, rtol=0.15)
        assert abs((mean[inner] / expected).mean() - 1.0) < 0.03
        # Without what is taken away for reading the spread would be larger by a fifth.
        assert (spread[inner] / (0.2 * expected)).mean() == pytest.approx(1.0, abs=0.12)
    assert fit.spec.device_spread < 0.05


def test_the_spread_from_device_to_device_is_found(tmp_path):
    found = [
        fit_device(make_ramps(tmp_path / "r.csv", seed, devices=20, ramps=1), "steps").spec.device_spread
        for seed in (1, 2)
    ]
    assert np.mean(found) == pytest.approx(0.15, rel=0.3)
    fit = fit_device(make_ramps(tmp_path / "r.csv", devices=1, cells=False), "steps")
    assert fit.spec.device_spread == 0.0
    assert any("from device to device is unknown" in note for note in fit.notes)


def test_the_range_ends_where_the_data_end_and_the_fragment_is_a_chip(tmp_path):
    path = make_ramps(tmp_path / "r.csv")
    done = CliRunner().invoke(app, ["fit", str(path), "-m", "steps", "-o", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    device = load_run(record["toml"]).chip.device
    measured = np.array([float(line.split(",")[2]) for line in path.read_text().splitlines()[1:]])
    assert isinstance(device, StepTableSpec)
    assert measured.min() * (1.0 - 1e-5) <= device.minimum_conductance < 2e-6
    assert 17e-6 < device.maximum_conductance <= measured.max() * (1.0 + 1e-5)
    for table in (device.steps_up, device.steps_down):
        assert table[0][0] <= device.minimum_conductance < device.maximum_conductance <= table[-1][0]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("pulse,g_s,polarity\n0,1e-6,up\n1,2e-6,up\n2,3e-6,up\n", "at least 6 steps up"),
        ("pulse,g_s,polarity\n" + "".join(f"{k},{5e-6 - 1e-7 * k:.4g},up\n" for k in range(20)), "no step in their"),
        (
            "pulse,g_s,polarity\n" + "".join(f"{k},{1e-6 + 1e-7 * k:.4g},up\n" for k in range(20)),
            "at least 6 steps down",
        ),
    ],
)
def test_ramps_that_make_no_table_are_one_line(tmp_path, text, rule):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataFileError, match=rule):
        fit_device(tmp_path / "r.csv", "steps")


UP = ((1e-6, 0.5e-6, 0.0), (6e-6, 1e-6, 0.0), (11e-6, 0.5e-6, 0.0))
DOWN = ((1e-6, 0.5e-6, 0.1e-6), (11e-6, 1e-6, 0.2e-6))


def test_pulses_follow_the_table_and_stay_within_the_range():
    device = StepTable(StepTableSpec(steps_up=UP, steps_down=DOWN), (3, 3))
    now = np.array([[1e-6, 3.5e-6, 6e-6], [8.5e-6, 10.9e-6, 11e-6], [1e-6, 2e-6, 5e-6]])
    all_of_them = np.ones((3, 3), dtype=bool)
    up, down = (PulseGroup(is_set, 0, all_of_them, now) for is_set in (True, False))
    np.testing.assert_allclose(device.after(up, now, None)[0], [1.5e-6, 4.25e-6, 7e-6], rtol=1e-12)
    assert device.after(up, now, None).max() == 11e-6
    left = device.after(down, now, np.ones((3, 3)))
    np.testing.assert_allclose(left[1, 2], 11e-6 - (1e-6 + 0.2e-6), rtol=1e-12)
    assert left.min() == 1e-6


def test_as_many_mean_steps_as_lead_nearest():
    device = StepTable(StepTableSpec(steps_up=UP, steps_down=DOWN), (1, 4))
    path = device.paths[1]
    down, up = device.counts(np.array([[path[7], path[7] + 0.1e-6, 1e-6, 11e-6]]), np.array([[path[2]] * 4]))
    np.testing.assert_array_equal(up, [[5, 5, 0, len(path) - 3]])
    assert down[0, 2] > 0
    assert down[0, 0] == 0


def test_a_chip_of_such_devices_is_programmed():
    spec = ChipSpec(
        tile=TileSpec(rows=8, columns=8),
        device=StepTableSpec(steps_up=UP, steps_down=DOWN, device_spread=0.1),
        defects=DefectSpec(device_yield=1.0),
        programming=ProgrammingSpec(deadband=0.0, verify_tolerance=1e-6),
    )
    chips = [Chip(spec, 1, seed=1, granularity=granularity) for granularity in ("burst", "pulse")]
    wanted = np.random.default_rng(1).uniform(2e-6, 10e-6, (8, 8))
    for chip in chips:
        for goal in (wanted, 0.5 * wanted + 1e-6):
            chip.run(chip.program(chip.units[0], goal, 0.0))
        assert np.abs(chip.units[0].tile.conductance - goal).mean() < 0.9e-6
    np.testing.assert_array_equal(chips[0].units[0].tile.conductance, chips[1].units[0].tile.conductance)


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("steps_up=[[2e-6, 1e-7, 0.0], [11e-6, 1e-7, 0.0]]", "must reach from minimum_conductance"),
        ("steps_down=[[1e-6, 1e-7, 0.0], [9e-6, 1e-7, 0.0]]", "must reach from minimum_conductance"),
        ("steps_up=[[1e-6, -1e-7, 0.0], [11e-6, 1e-7, 0.0]]", "must have mean steps > 0"),
        ("steps_up=[[1e-6, 1e-7], [11e-6, 1e-7]]", "rows of three numbers"),
        ("steps_up=[[1e-6, 1e-7, 0.0]]", "must be 2 to 1000 rows"),
        ("steps_up=[[1e-6, 1e-10, 0.0], [11e-6, 1e-10, 0.0]]", "within 10,000 mean steps"),
        ("steps_up=3.0", "must be 2 to 1000 rows"),
    ],
)
def test_a_table_that_breaks_a_rule_is_one_line(setting, rule):
    settings = ["chip.device.kind=step-table", f"chip.device.{setting}", "chip.programming.verify_tolerance=1e-6"]
    with pytest.raises(ValidationError, match=rule) as caught:
        load_run("epiram", [*settings, "chip.programming.deadband=0.0"])
    assert str(caught.value).startswith("chip.device.steps_")
