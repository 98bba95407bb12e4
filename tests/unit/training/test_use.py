"""A finished chip as years go by: what time takes from it, what upkeep gives back, and what that costs."""

import json

import numpy as np
import pytest
from builders import trained

from circuitmem.config import UseSpec, load_run
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.training import MethodRun, build_network
from circuitmem.training.bring_up import bring_up
from circuitmem.training.serve import age
from circuitmem.training.use import Upkeep
from circuitmem.validation import seconds_of

SETTINGS = [
    "data.side=8",
    "network.layers=[64,10]",
    "chip.tile.rows=64",
    "chip.tile.columns=20",
    "chip.tile.word_line_resistance=0.0",
    "chip.tile.bit_line_resistance=0.0",
    "chip.retention={drift_exponent=0.06, drift_time=20.0}",
    "chip.noise={}",
    "chip.device.programming_error=0.2e-6",
    "chip.programming.verify_tolerance=1e-6",
    "calibration.vectors=40",
]
DAY, YEAR = 86_400.0, 365.25 * 86_400.0


@pytest.fixture(scope="module")
def started():
    spec = load_run("joshi2020", SETTINGS)
    digits = load_mnist("bundled").resized(8).first(600, 200)
    return spec, digits, trained(spec, digits, spec.seed)


def aged(started, ages, granularity="burst", **use):
    spec, digits, model = started
    spec = spec.model_copy(update={"granularity": granularity})
    network = build_network(spec, model, digits)
    network.chip.run(bring_up(network, spec, digits, calibrate=True))
    fresh = network.chip.run(network.outputs(digits.test_inputs))
    found = age(network, UseSpec(**use), ages, digits)
    return found, fresh, network


def loss_of_size(started, **use):
    """Return by how much the outputs are smaller after ten years than they were."""
    _, fresh, network = aged(started, [10 * YEAR], **use)
    late = network.chip.run(network.outputs(started[1].test_inputs))
    return 1.0 - float((late * fresh).sum() / (fresh**2).sum())


def test_drift_shrinks_products_and_each_correction_brings_them_back(started):
    expected = 1.0 - (1.0 + 10 * YEAR / 20.0) ** -0.06
    assert loss_of_size(started) == pytest.approx(expected, abs=0.03)
    for use in ({"check_every": 90 * DAY, "correction": "global-scale"}, {"check_every": 90 * DAY}):
        assert abs(loss_of_size(started, **use)) < 0.03
    # A refresh lets the cells drift anew: the last of 40 was 52.5 days ago.
    rest = (10 * YEAR - 40 * 90 * DAY) / 20.0
    assert loss_of_size(started, refresh_every=90 * DAY) == pytest.approx(1.0 - (1.0 + rest) ** -0.06, abs=0.03)


def test_upkeep_comes_in_time_and_costs_what_it_takes(started):
    found, _, network = aged(started, [DAY, 30 * DAY, YEAR], check_every=60 * DAY, refresh_every=90 * DAY, vectors=4)
    counts = [(each["upkeep"]["checks"], each["upkeep"]["refreshes"]) for each in found]
    assert counts == [(0, 0), (0, 0), (6, 4)]
    upkeep = found[-1]["upkeep"]
    assert upkeep["calibrations"] == 6
    assert upkeep["refresh_pulses"] > 0
    phases = network.chip.ledger.by("phase")
    names = ("reference", "drift check", "re-calibration", "refresh")
    assert upkeep["energy_j"] == pytest.approx(sum(phases[name].energy for name in names) * 1e-18, rel=1e-12)
    assert 0.0 < found[0]["upkeep"]["time_s"] < upkeep["time_s"] < 0.1
    assert network.chip.clock * 1e-12 == pytest.approx(YEAR, rel=1e-6)
    # A factor for the layer is less work than a line for each column.
    thrifty, _, _ = aged(started, [YEAR], check_every=60 * DAY, vectors=4, correction="global-scale")
    assert thrifty[0]["upkeep"]["energy_j"] < upkeep["energy_j"] / 3.0


def test_both_granularities_age_alike(started):
    use = {"check_every": 60 * DAY, "refresh_every": 90 * DAY, "vectors": 4}
    burst, pulse = (aged(started, [DAY, YEAR], granularity, **use) for granularity in ("burst", "pulse"))
    assert burst[0] == pulse[0]
    np.testing.assert_array_equal(burst[2].chip.units[0].tile.conductance, pulse[2].chip.units[0].tile.conductance)


def test_ages_one_by_one_have_the_upkeep_of_all_at_once(started):
    spec, digits, model = started
    counts = []
    for ages in ([YEAR], [DAY, 61 * DAY, 100 * DAY, YEAR]):
        network = build_network(spec, model, digits)
        network.chip.run(bring_up(network, spec, digits, calibrate=True))
        upkeep = Upkeep(network, UseSpec(check_every=60 * DAY, refresh_every=45 * DAY), digits.train_inputs)
        network.chip.run(upkeep.begin())
        for seconds in ages:
            network.chip.run(upkeep.rest(seconds))
        counts.append((upkeep.summary()["checks"], upkeep.summary()["refreshes"]))
    assert counts[0] == counts[1] == (6, 8)


def test_a_run_is_tested_when_it_is_old_and_does_not_count_its_rest(started):
    spec, digits, model = started
    results = {}
    for years in (0.0, 10.0):
        use = UseSpec(after=years * YEAR, check_every=YEAR if years else None)
        own = spec.model_copy(update={"use": use})
        results[years] = MethodRun("calibration", own, build_network(own, model, digits), digits).finish()
    new, old = results[0.0], results[10.0]
    assert "upkeep" not in new.as_dict()
    assert old.history == new.history
    assert old.as_dict()["upkeep"]["checks"] == 10
    (line,) = old.between
    assert line["accuracy_percent"] == old.accuracy_percent
    assert line["energy_j"] == pytest.approx(new.energy_j + old.upkeep["energy_j"], rel=1e-9)
    assert line["simulated_time_s"] == pytest.approx(new.simulated_time_s + old.upkeep["time_s"], rel=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("1.5 h", 5400.0),
        ("2min", 120.0),
        ("10Y", 10 * YEAR),
        ("1e-4", 1e-4),
        ("3ms", 3e-3),
    ],
)
def test_times_in_words(text, seconds):
    assert seconds_of("--after", text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize("text", ["", "y", "1 year", "-1s", "1,5h", "nan", "inf", "1e"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValidationError, match="--after must be times such as 90s"):
        seconds_of("--after", text)


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("use.after=-1.0", "use.after must be greater than or equal to 0"),
        ("use.after=2e9", "use.after must be less than or equal to"),
        ("use.check_every=0.0", "use.check_every"),
        ("use.correction=split", "use.correction must be 'affine' or 'global-scale'"),
    ],
)
def test_use_that_breaks_a_rule_is_one_line(setting, rule):
    with pytest.raises(ValidationError, match=rule):
        load_run(None, [setting])


def test_infer_tests_at_each_age(command, tmp_path):
    small = ["data.train=60", "data.test=30", "ex_situ.epochs=1", "audit.tiles=0", "audit.fraction=0.0"]
    words = [word for setting in [*SETTINGS, *small, 'methods=["calibration"]'] for word in ("--set", setting)]
    assert command("train", "joshi2020", "--out", str(tmp_path / "run"), *words).returncode == 0
    done = command(
        *("infer", str(tmp_path / "run"), "--method", "calibration", "--after", "1s,1d,10y", "--check-every", "1y"),
        *("--limit", "1e-6", "--correction", "global-scale", "--json"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["age_s"] for each in found["ages"]] == [1.0, DAY, 10 * YEAR]
    assert [each["upkeep"]["checks"] for each in found["ages"]] == [0, 0, 10]
    for words, rule in (
        (["--after", "1d,1s"], "--after must be times that rise"),
        (["--after", "1d,40y"], "after must be less than or equal to"),
        (["--after", "soon"], "--after must be times such as"),
        (["--after", "1s", "--correction", "both"], "correction must be 'affine' or 'global-scale'"),
    ):
        done = command("infer", str(tmp_path / "run"), "--method", "calibration", *words)
        assert done.returncode == 2
        assert rule in done.stderr.strip().splitlines()[-1]
