"""Fits: known parameters come back, within intervals that cover as often as they say; bad tables are one line."""

import json
import math
import sys
import tomllib

import numpy as np
import pytest
from scipy.stats import t as student

from circuitmem.cli import main
from circuitmem.config import PulseUpdateSpec, StanfordSpec, load_run
from circuitmem.console import print_fit
from circuitmem.device import pulse_curves, simulate
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.report import draw_fit
from circuitmem.study.fit import fit_device
from circuitmem.study.fit.estimate import Estimate, estimate
from circuitmem.study.fit.intervals import is_weak
from circuitmem.study.fit.made import SWEEPS, VTEAM, YAKOPCIC, write_pulses, write_sweep
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.ode_models import ODE_MODELS
from circuitmem.study.fit.problem import Parameter


@pytest.mark.parametrize("name", PulseUpdateSpec.PRESETS)
def test_a_published_device_is_found_from_its_curve(name, tmp_path):
    spec = PulseUpdateSpec.preset(name)
    fit = fit_device(write_pulses(tmp_path / "curve.csv", spec, noise=0.0, seed=0), "pulse")
    assert fit.spec.states == spec.states
    for parameter in ("potentiation", "depression"):
        assert getattr(fit.spec, parameter) == pytest.approx(getattr(spec, parameter), abs=1e-4)
    for parameter in ("minimum_conductance", "maximum_conductance"):
        assert getattr(fit.spec, parameter) == pytest.approx(getattr(spec, parameter), rel=1e-4)
    assert fit.residual < 1e-6


def test_intervals_cover_as_often_as_they_say(tmp_path):
    """Of 40 intervals 38 are due; 32 or fewer would be a coincidence of 1 in 300."""
    spec, hits = PulseUpdateSpec.preset("AlOx/HfO2"), 0
    for seed in range(10):
        fit = fit_device(write_pulses(tmp_path / "curve.csv", spec, noise=0.01, seed=seed), "pulse")
        for name, (low, high) in fit.estimate.intervals.items():
            hits += low <= getattr(spec, name) <= high
    assert hits >= 33


def test_noise_of_cycles_is_found(tmp_path):
    spec, rng = PulseUpdateSpec.preset("EpiRAM"), np.random.default_rng(3)
    g, lines = spec.minimum_conductance, ["pulse,conductance_s,polarity"]
    dense = np.linspace(0.0, spec.states, 4000)
    span = spec.maximum_conductance - g
    for way, law in zip(("up", "down"), pulse_curves(spec, dense), strict=True):
        for k in range(spec.states + 1):
            lines.append(f"{k},{g:.8g},{way}")
            place = np.interp(g, law, dense) + (1.0 if way == "up" else -1.0)
            g = np.interp(np.clip(place, 0.0, spec.states), dense, law) + 0.02 * span * rng.standard_normal()
            g = float(np.clip(g, spec.minimum_conductance, spec.maximum_conductance))
    (tmp_path / "curve.csv").write_text("\n".join(lines))
    assert fit_device(tmp_path / "curve.csv", "pulse").spec.cycle_noise == pytest.approx(0.02, rel=0.3)


def assert_covers(fit, spec, reach=1.6):
    """Intervals of 95 % widened to about 99.8 %: of a dozen parameters each must be in its own."""
    for parameter in fit.parameters:
        low, high = (float(parameter.into(end)) for end in fit.estimate.intervals[parameter.name])
        low, high = min(low, high), max(low, high)
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        off = abs(float(parameter.into(getattr(spec, parameter.name))) - middle)
        assert off <= reach * half, (parameter.name, fit.estimate.values[parameter.name])


@pytest.mark.slow
def test_a_yakopcic_device_is_found_within_the_intervals(tmp_path):
    path = write_sweep(tmp_path / "iv.csv", YAKOPCIC, 1.5, 0.2, noise=0.01, seed=1)
    fit = fit_device(path, "yakopcic", held={"positive_limit": 0.3})
    assert_covers(fit, YAKOPCIC)
    assert fit.residual == pytest.approx(0.01, rel=0.2)
    for name in ("a1", "a2", "b", "negative_rate"):
        assert fit.estimate.values[name] == pytest.approx(getattr(YAKOPCIC, name), rel=0.1)


@pytest.mark.slow
def test_a_vteam_device_is_found_within_the_intervals(tmp_path):
    path = write_sweep(tmp_path / "iv.csv", VTEAM, 1.5, 1e-5, noise=0.005, seed=2)
    fit = fit_device(path, "vteam", held={"on_power": 2.0, "off_power": 3.0})
    assert_covers(fit, VTEAM)
    assert fit.estimate.values["off_resistance"] == pytest.approx(1e5, rel=0.02)
    assert fit.estimate.values["on_voltage"] == pytest.approx(-0.6, rel=0.15)


OTHERS = {
    "stanford-pku": {"velocity": 10.0, "gamma0": 16.0},
    "ion-drift": {"on_resistance": 100.0, "window_power": 2.0},
}
"""What is held."""


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("name", OTHERS)
def test_stanford_pku_and_ion_drift_are_found_whichever_way_round(name, way, tmp_path):
    """Either polarity, the window that the curve has, and a fragment that a chip takes."""
    (spec, _, amplitude, period, _), held = SWEEPS[name], OTHERS[name]
    path = write_sweep(tmp_path / "iv.csv", spec, amplitude, period, noise=0.01, seed=3, way=way)
    fit = fit_device(path, name, held=held)
    assert_covers(fit, spec)
    assert fit.polarity == way
    assert any("electrodes exchanged" in note for note in fit.notes) is (way < 0)
    (tmp_path / "run.toml").write_text(fit.toml())
    device = load_run(tmp_path / "run.toml").chip.device
    assert device.kind == name
    assert device.model == fit.spec
    if name == "ion-drift":
        assert fit.spec.window == "biolek"
        assert "window: biolek, which fits better than the other" in fit.notes
    else:
        (held_note,) = [note for note in fit.notes if note.startswith("no such curve determines these")]
        assert "current_gap = 2.5e-10" in held_note
        assert "velocity" not in held_note  # which the user said


def test_a_profile_leaves_a_side_valley(tmp_path):
    """A resistance that hardly shows makes valleys: beyond the end of each, what other profiles came by goes on.

    With each of the true values the rest fits this curve nearly as well (the sum of squares rises by 1.5 to 3.2
    variances, and 3.9 end an interval).
    """
    spec, model, amplitude, period, _ = SWEEPS["ion-drift"]
    path = write_sweep(tmp_path / "iv.csv", spec, amplitude, period, noise=0.02, seed=20_007)
    fit = fit_device(path, model)
    for name in ("off_resistance", "window_power", "initial_state"):
        low, high = fit.estimate.intervals[name]
        assert low <= getattr(spec, name) <= high, name


def test_intervals_hold_for_a_window_that_the_data_do_not_exclude(tmp_path, monkeypatch):
    spec = SWEEPS["ion-drift"].spec.model_copy(update={"initial_state": 0.5})
    held = {"on_resistance": 100.0, "initial_state": 0.5}
    said = "window: biolek, which fits better than the other"
    for amplitude, rest in (
        (0.1, "; the other is not excluded by these data, and the intervals hold for both"),
        (0.4, ""),
    ):
        path = write_sweep(tmp_path / "iv.csv", spec, amplitude, 1.0, noise=0.02, seed=3)
        both = fit_device(path, "ion-drift", held=held)
        assert said + rest in both.notes
        with monkeypatch.context() as patch:
            own = ODE_MODELS["ion-drift"]
            patch.setitem(ODE_MODELS, "ion-drift", own._replace(builds=own.builds[1:]))
            alone = fit_device(path, "ion-drift", held=held)
        assert both.estimate.values == alone.estimate.values
        low, high = both.estimate.intervals["mobility"]
        assert high == alone.estimate.intervals["mobility"][1]
        assert (low < 0.999 * alone.estimate.intervals["mobility"][0]) is bool(rest)


def test_an_iv_curve_determines_five_of_eleven_numbers_of_stanford_pku():
    """What the page on fits says: the others, and combinations of them, leave a curve as it is to 1e-4."""
    spec, names = StanfordSpec.preset("1.0"), [
        "current", "current_gap", "current_voltage", "velocity", "activation", "gamma0", "beta", "hop",
        "thermal_resistance", "minimum_gap", "maximum_gap",
    ]  # fmt: skip
    time = np.linspace(0.0, 2e-4, 401)
    voltage = 1.8 * np.sin(2.0 * np.pi * time / 1e-4) * (1.0 - 1.5e3 * time)

    def current(**other):
        device = spec.model_copy(update=other)
        return simulate(device, time, voltage, series_resistance=2e3, tolerance=1e-11).current

    columns = [(current(**{n: getattr(spec, n) * 1.0001}) - current(**{n: getattr(spec, n) * 0.9999})) for n in names]
    strength = np.linalg.svd(np.array(columns).T, compute_uv=False)
    assert strength[4] > 5e-3 * strength[0]
    assert strength[5] < 5e-4 * strength[0]


def test_the_same_seed_gives_the_same_fit(tmp_path):
    path = write_pulses(tmp_path / "curve.csv", PulseUpdateSpec.preset("PCMO"), noise=0.01, seed=0)
    assert fit_device(path, "pulse", seed=3).as_dict() == fit_device(path, "pulse", seed=3).as_dict()


def test_what_the_data_do_not_tell_has_no_interval():
    x = np.linspace(0.0, 1.0, 30)
    parameters = [Parameter("a", 0.1, 10.0), Parameter("b", 0.1, 10.0), Parameter("c", 0.1, 10.0)]
    wave = 1e-3 * np.sin(50.0 * x)

    def residual(values, _):
        return values["a"] * values["b"] * x - 2.0 * x + values["c"] - 0.5 + wave

    found = estimate(parameters, residual, 30)
    assert found.intervals["a"] is None
    assert found.intervals["b"] is None
    low, high = found.intervals["c"]
    assert low < 0.5 < high < 0.51
    assert found.values["a"] * found.values["b"] == pytest.approx(2.0, rel=1e-2)


def test_intervals_of_a_straight_line_are_those_of_the_textbook():
    from scipy.stats import linregress

    rng = np.random.default_rng(0)
    x = np.linspace(0.0, 1.0, 25)
    y = 1.0 + 2.0 * x + 0.05 * rng.standard_normal(25)
    parameters = [Parameter("offset", 0.0, 5.0, "linear"), Parameter("slope", 0.0, 5.0, "linear")]
    found = estimate(parameters, lambda p, _: p["offset"] + p["slope"] * x - y, 25, confidence=0.9)
    line = linregress(x, y)
    assert found.values["slope"] == pytest.approx(line.slope, rel=1e-6)
    low, high = found.intervals["slope"]
    assert (high - low) / 2.0 == pytest.approx(student.ppf(0.95, 23) * line.stderr, rel=1e-4)


@pytest.mark.parametrize(("slope", "sign"), [(0.15, 1), (0.15, -1), (0.02, 1), (0.02, -1)])
def test_an_interval_is_where_the_curve_can_be_fitted_as_well_however_the_parameter_is_scaled(slope, sign):
    """A slope that is searched by its logarithm has the interval of a straight line, or an open end below zero."""
    rng, x = np.random.default_rng(1), np.linspace(0.1, 1.0, 40)
    y = slope * x + 0.1 * rng.standard_normal(40)
    found = estimate([Parameter("k", 1e-4, 10.0, sign=sign)], lambda p, _: sign * p["k"] * x - y, 40)
    best = float(x @ y / (x @ x))
    half = student.ppf(0.975, 39) * math.sqrt(float(((best * x - y) ** 2).sum()) / 39 / float(x @ x))
    low, high = found.intervals["k"] if sign > 0 else [-end for end in found.intervals["k"][::-1]]
    assert high == pytest.approx(best + half, rel=0.01)
    if slope < 0.1:
        assert low == 0.0
        assert is_weak(Parameter("k", 1e-4, 10.0, sign=sign), found.intervals["k"])
    else:
        assert low == pytest.approx(best - half, rel=0.02)


def test_an_end_that_the_data_do_not_tell_is_said_so(capsys):
    row = {"name": "k", "value": 1.0, "unit": "V", "at_bound": False}
    ends = [(None, None), (0.5, None), (None, -0.5), (0.0, 2.0)]
    record = {
        "parameters": [row | {"low": low, "high": high} for low, high in ends], "derived": {}, "points": 9,
        "agreeing_starts": 0, "relative_residual": 0.1, "starts": 0, "weak": [], "assumed": [], "notes": [],
        "toml": "a", "figure": "b",
    }  # fmt: skip
    print_fit(record, 0.95)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("not determined", "at least 0.5", "at most -0.5", "0 to 2"))
    assert "inf" not in shown


@pytest.mark.parametrize(
    ("scale", "least", "sign", "interval", "told"),
    [
        ("log", None, 1, (0.0, 2.0), (None, 2.0)),
        ("log", None, 1, (0.5, math.inf), (0.5, None)),
        ("log", None, -1, (-2.0, 0.0), (-2.0, None)),
        ("log", 1.0, 1, (1.0, 3.0), (None, 3.0)),
        ("log", None, 1, (1.0, 3.0), (1.0, 3.0)),
        ("logit", None, 1, (0.2, 1.0), (0.2, None)),
        ("linear", None, 1, (0.0, 1.0), (0.0, 1.0)),
        ("linear", None, 1, None, (None, None)),
    ],
)
def test_an_end_that_every_such_parameter_has_is_none_of_the_datas(scale, least, sign, interval, told):
    parameter = Parameter("k", 1e-3, 9.0, scale, sign=sign, least=least)
    curve = Curve("x", np.zeros(1), "y", np.zeros(1), np.zeros(1))
    found = Estimate({"k": sign * 1.5}, {"k": interval}, [], np.zeros(1), 1, 1)
    fit = Fit("pulse", PulseUpdateSpec.preset("PCMO"), "chip.device", [parameter], found, curve, 1.0)
    assert fit.ends(parameter) == told
    (row,) = fit.as_dict()["parameters"]
    assert (row["low"], row["high"]) == told


@pytest.mark.parametrize(
    ("agreeing", "starts", "said"),
    [(3, 5, "; 3 of 5 starts found"), (0, 5, "; none of 5 starts, but the search for an interval"), (0, 0, "points\n")],
)
def test_who_found_a_fit_is_said(agreeing, starts, said, capsys):
    record = {
        "parameters": [], "derived": {}, "points": 9, "relative_residual": 0.1, "agreeing_starts": agreeing,
        "starts": starts, "weak": [], "assumed": [], "notes": [], "toml": "a", "figure": "b",
    }  # fmt: skip
    print_fit(record, 0.95)
    assert said in capsys.readouterr().out


def test_the_figure_shows_data_and_model(tmp_path):
    path = write_pulses(tmp_path / "curve.csv", PulseUpdateSpec.preset("EpiRAM"), noise=0.01, seed=0)
    fit = fit_device(path, "pulse")
    figure = draw_fit(tmp_path / "fit.png", fit)
    drawn = 1e-6 * np.concatenate([line.get_ydata() for line in figure.axes[0].lines])  # in microsiemens
    for values in (fit.curve.measured, fit.curve.fitted):
        nearest = np.abs(drawn[:, None] - values).min(axis=0)
        np.testing.assert_array_less(nearest, 1e-8 * np.abs(values))  # plots have nine digits
    with pytest.raises(DataFileError, match="cannot be written"):
        draw_fit(tmp_path / "nowhere" / "fit.png", fit)


PULSES = "pulse,conductance_s,polarity\n" + "".join(
    f"{k},{1e-6 * (k + 1)},{way}\n" for way in ("up", "down") for k in range(4)
)
IV = "time_s,voltage_v,current_a\n" + "".join(f"{k},{k % 5 - 2},{k % 5 - 2}e-6\n" for k in range(30))


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        ("pulse", "", "line 1: must be a table of numbers (got an empty file)"),
        (
            "pulse",
            PULSES.replace("conductance_s", "conductivity"),
            "line 1: has columns pulse, conductivity, polarity; wanted pulse, conductance, of which conductance",
        ),
        (
            "pulse",
            PULSES.replace("3e-06,up", "x,up"),
            "line 4, column conductance_s: must be a finite number (got 'x')",
        ),
        ("pulse", PULSES.replace("3e-06,up", "-1,up"), "line 4, column of conductance: must be > 0 (got -1)"),
        ("pulse", PULSES.replace("2,3", "2.5,3"), "column of pulse: must be a whole number from 0 to 20000 (got 2.5)"),
        ("pulse", PULSES.replace("up", "left", 1), "line 2, column of polarity: must be up or down (or +1 or -1)"),
        ("pulse", "pulse,conductance_s,polarity\n0,1e-6,up\n1,2e-6,up\n1,2e-6,up\n", "different pulses up (got 2)"),
        ("pulse", "# all\n" + PULSES + "1,2\n", "line 11: must have 3 columns (got 2)"),
        (
            "pulse",
            PULSES + "1," + "9" * 200_000 + ",up\n",
            "line 10, column conductance_s: must be a finite number (got '999",
        ),
        ("vteam", IV.replace("7,0", "7,nan"), "line 9, column voltage_v: must be a finite number (got 'nan')"),
        ("vteam", "time_s,voltage_v,current_a\n0,0,0\n", "must have at least 20 points (got 1)"),
        ("yakopcic", IV.replace("\n9,", "\n4,"), "column of time: must be > the one before (got 4)"),
        ("yakopcic", "time_s,voltage_v,current_a\n" + "".join(f"{k},0,1\n" for k in range(20)), "column of voltage"),
    ],
)
def test_a_bad_table_is_one_line(model, text, message, tmp_path):
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(DataFileError) as error:
        fit_device(tmp_path / "data.csv", model)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def fit_command(monkeypatch, capsys):
    """The command, in this process: exit code, what it printed, and its errors."""

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["circuitmem", "fit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return command


def test_the_command_leaves_a_figure_and_toml_that_a_chip_takes(tmp_path, fit_command):
    path = write_pulses(tmp_path / "mine.csv", PulseUpdateSpec.preset("EpiRAM"), noise=0.005, seed=0)
    code, printed, errors = fit_command(path, "--model", "pulse", "--json", "-o", tmp_path)
    assert code == 0, errors
    record = json.loads(printed)
    assert (tmp_path / "mine_pulse.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "mine_pulse.toml").read_text()
    device = tomllib.loads(text)["chip"]["device"]
    for row in record["parameters"]:
        assert device[row["name"]] == row["value"]
        assert row["low"] < row["value"] < row["high"]
    assert "set_voltage" not in device  # the data say nothing of it
    run = tmp_path / "run.toml"
    run.write_text(text)
    assert load_run(run).chip.device.potentiation == device["potentiation"]
    shown = fit_command(path, "--model", "pulse", "-o", tmp_path / "new" / "folder")[1]
    assert (tmp_path / "new" / "folder" / "mine_pulse.png").stat().st_size > 1000
    assert "potentiation" in shown
    assert "mine_pulse.toml" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv", "-m", "pulse"], "none.csv: cannot be read: No such file or directory"),
        (
            ["none.csv", "-m", "puls"],
            "vteam, stanford-pku, ion-drift, pulse, steps, statistical; did you mean 'pulse'? (got 'puls')",
        ),
        (["none.csv", "-m", "pulse", "-o", __file__], f"--output must be a folder, or new (got {__file__!r})"),
        (["none.csv", "-m", "vteam", "--fix", "x"], "--fix must look like name=number (got 'x')"),
        (
            ["none.csv", "-m", "pulse", "--fix", "x=1"],
            "vteam, stanford-pku, ion-drift and statistical (got 'x')",
        ),
        (["none.csv", "-m", "pulse", "--confidence", "1.5"], "--confidence must be between 0.5 and 0.999 (got 1.5)"),
    ],
)
def test_a_bad_command_is_one_line(words, message, fit_command):
    code, _, errors = fit_command(*words)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1


def test_a_parameter_that_is_held_must_be_one_of_the_model(tmp_path):
    path = write_sweep(tmp_path / "iv.csv", VTEAM, 1.5, 1e-5)
    with pytest.raises(ValidationError, match=r"--fix on_pover is no parameter of vteam.*did you mean 'on_power'"):
        fit_device(path, "vteam", held={"on_pover": 1.0})
    with pytest.raises(ValidationError, match="on_power must be greater than or equal to 1"):
        fit_device(path, "vteam", held={"on_power": 0.5})
