"""Pulses on tiles of ODE devices in one call: every variant of the kernel against the twin in NumPy."""

from functools import cache

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, Tile, TileSpec, TransistorCell
from circuitmem._kernels import switching
from circuitmem.config import IonDriftSpec, Pulse, PulseTrain, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.device import conductance
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ConvergenceError

VTEAM, YAKOPCIC, STANFORD = VteamSpec.preset("A"), YakopcicSpec.preset("Oblea"), StanfordSpec.preset("1.0")
EXPONENTIAL = VteamSpec(
    **VteamSpec.PRESETS["A"] | {"on_power": 3.3, "off_power": 2.7}, resistance="exponential", window_power=2.2
)
ASYMMETRIC = YakopcicSpec(**YakopcicSpec.PRESETS["Miao"] | {"a2": 0.2, "direction": -1})
CASES = {
    "VTEAM, reset": (VTEAM, {}, {"amplitude": 1.2, "width": 1e-9, "rise": 1e-10, "rows": (3,)}),
    "VTEAM, set in thirds": (
        VTEAM, {},
        {"amplitude": -2.0, "width": 1e-9, "rise": 1e-10, "rows": (2, 9), "columns": (0, 5), "scheme": "v/3"},
    ),
    "exponential VTEAM": (
        EXPONENTIAL, {"cell": LinearCell()}, {"amplitude": 1.2, "width": 1e-9, "rise": 1e-10, "rows": (3,)},
    ),
    "Yakopcic": (YAKOPCIC, {}, {"amplitude": 0.8, "width": 2e-4, "rise": 2e-5, "rows": (3,)}),
    "asymmetric Yakopcic, both ends": (
        ASYMMETRIC, {"word_line_drive": "both", "bit_line_sense": "both"},
        {"amplitude": -1.1, "width": 2e-2, "rise": 2e-3, "rows": (3,), "columns": (1, 2)},
    ),
    "Stanford-PKU": (STANFORD, {}, {"amplitude": 1.8, "width": 2e-8, "rise": 2e-9, "rows": (3,)}),
    "Stanford-PKU, ideal wires, all cells": (
        STANFORD,
        {"word_line_resistance": 0.0, "bit_line_resistance": 0.0, "driver_resistance": 0.0, "sense_resistance": 0.0},
        {"amplitude": -1.6, "width": 2e-8, "rise": 2e-9},
    ),
    "Stanford-PKU behind transistors": (
        STANFORD, {"cell": TransistorCell(on_resistance=1e3)},
        {"amplitude": 1.8, "width": 2e-8, "rise": 2e-9, "rows": (3,), "columns": (0, 5), "scheme": "1t1r"},
    ),
    "ion drift, Biolek's window": (
        IonDriftSpec.preset("Biolek"), {}, {"amplitude": -1.0, "width": 5e-3, "rise": 5e-4, "rows": (3,)},
    ),
    "ion drift, Joglekar's window": (
        IonDriftSpec.preset("HP"), {}, {"amplitude": 1.0, "width": 0.1, "rise": 1e-2, "rows": (3,)},
    ),
    "VTEAM behind transistors": (
        VTEAM, {"cell": TransistorCell(on_resistance=2e3)},
        {"amplitude": 1.2, "width": 1e-9, "rise": 1e-10, "rows": (3,), "scheme": "1t1r"},
    ),
}  # fmt: skip
"""Device, what is special about the tile, pulse."""


def case(name):
    """A tile of 11 x 7 with stuck, open and shorted cells, cut lines and a dead driver, and a pulse."""
    device, special, pulse = CASES[name]
    rng = np.random.default_rng(1)
    wires = {
        "word_line_resistance": 2.0,
        "bit_line_resistance": 3.0,
        "driver_resistance": 20.0,
        "sense_resistance": 9.0,
    }
    spec = TileSpec(rows=11, columns=7, **{"cell": device.cell, **wires, **special})
    word_cut, bit_cut = np.zeros((2, *spec.shape), dtype=bool)
    word_cut[3, 5] = bit_cut[1, 2] = True
    stuck = rng.random(spec.shape) < 0.1
    stuck[1, :3] = True
    values = rng.choice([1e-7, 1e-3], spec.shape)
    values[1, :3] = 0.0, 1.0 / 50.0, 1e-5
    defects = DefectMap(
        stuck=stuck, stuck_conductance=values, open_word_segments=word_cut, open_bit_segments=bit_cut,
        dead_drivers=np.arange(11) == 5,
    )  # fmt: skip
    tile = Tile(spec, conductance(device, rng.uniform(0.2, 0.8, spec.shape)), defects)
    return tile, PulseTrain(device=device, pulses=(Pulse(**pulse),))


def run(module, name, tolerance=1e-8):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switching, "_compiled", module)
        return BehavioralEngine().program(*case(name), samples=3, tolerance=tolerance)


@cache
def twin_of(name, tolerance=1e-8):
    return run(None, name, tolerance)


@pytest.mark.parametrize("name", CASES)
def test_every_variant_agrees_with_the_twin(name, kernel_variant):
    tile, _ = case(name)
    ours, twin = run(kernel_variant("switching"), name), twin_of(name)
    moved = np.abs(twin.state - twin.trajectory[0])
    assert moved.max() > 0.01
    # Where steps fall is left to the last bit: within ten times the tolerance of a step.
    np.testing.assert_allclose(ours.trajectory, twin.trajectory, rtol=0.0, atol=1e-7)
    assert ours.energy == pytest.approx(twin.energy, rel=1e-6)
    np.testing.assert_array_equal(ours.conductance[tile.stuck], tile.conductance[tile.stuck])
    np.testing.assert_array_equal(ours.time, twin.time)


@pytest.mark.parametrize("name", CASES)
def test_every_variant_takes_as_many_steps_as_the_twin(name, kernel_variant):
    # At 1e-5; at 1e-8 estimates of Yakopcic's error are so close to rounding errors that these decide on steps.
    steps = run(kernel_variant("switching"), name, 1e-5).steps
    assert steps == pytest.approx(twin_of(name, 1e-5).steps, abs=1)


@pytest.mark.parametrize("name", ["VTEAM, reset", "Yakopcic", "Stanford-PKU"])
def test_the_default_tolerance_is_kept_by_a_handful_of_steps(name):
    tile, train = case(name)
    exact = BehavioralEngine().program(tile, train, tolerance=1e-7)
    found = BehavioralEngine().program(tile, train)
    print(
        f"{name}: {found.steps} steps, {np.abs(found.state - exact.state).max():.1e}, {found.energy / exact.energy - 1}"
    )
    assert np.abs(found.state - exact.state).max() <= 3e-5
    assert found.energy == pytest.approx(exact.energy, rel=1e-3)
    assert found.steps < 100


def test_energy_of_still_devices_is_that_of_a_trapezoid():
    # 0.25 V is below VTEAM's thresholds: the tile is a resistor, and the slopes give a third of their length each.
    spec = TileSpec(rows=1, columns=1, driver_resistance=100.0, cell=LinearCell())
    tile = Tile(spec, [[1e-4]])
    pulse = Pulse(amplitude=0.25, width=1e-6, rise=3e-7)
    found = BehavioralEngine().program(tile, PulseTrain(device=VTEAM, pulses=(pulse,)))
    assert found.energy == pytest.approx(0.25**2 / (1e4 + 100.0) * (1e-6 + 2e-7), rel=1e-6)
    assert found.steps <= 20


def test_too_many_steps_are_an_error(monkeypatch):
    monkeypatch.setattr(switching, "MAX_STEPS", 3)
    with pytest.raises(ConvergenceError, match="a pulse on a tile"):
        BehavioralEngine().program(*case("VTEAM, reset"))


LAWS = (
    (VTEAM, 1.2, 1e-9), (VTEAM, -2.0, 1e-9), (VteamSpec.preset("B"), -0.5, 1e-6), (YAKOPCIC, 0.8, 2e-4),
    (YakopcicSpec.preset("Miao"), 1.5, 1e-2), (ASYMMETRIC, -1.5, 1e-2), (STANFORD, 1.8, 2e-8), (STANFORD, -1.8, 1e-7),
)  # fmt: skip
"""Device, amplitude [V], width [s]."""


@pytest.mark.parametrize("seed", range(24))
def test_random_tiles_agree_with_the_twin(seed):
    """Wires of 0 to 1000 ohm, states to their limits, cells and lines broken at will: whatever a tile can be."""
    if switching._compiled is None:
        pytest.skip("there is no compiled kernel")
    rng = np.random.default_rng(seed)
    device, amplitude, width = LAWS[seed % len(LAWS)]
    shape = tuple(int(side) for side in rng.integers(2, 12, 2))
    word, bit, driver, sense = (10.0 ** rng.uniform(-2.0, 3.0, 4) * (rng.random(4) < 0.8)).tolist()
    cell = TransistorCell(on_resistance=10.0 ** rng.uniform(0.0, 4.0)) if seed % 3 == 0 else device.cell
    spec = TileSpec(
        rows=shape[0], columns=shape[1], word_line_resistance=word, bit_line_resistance=bit, driver_resistance=driver,
        sense_resistance=sense, cell=cell, bit_line_sense=str(rng.choice(["bottom", "both"])),
    )  # fmt: skip
    cuts = rng.random((2, *shape)) < 0.05
    cuts[0][:, 0] = cuts[1][-1] = False  # the tile stays connected
    defects = DefectMap(
        stuck=rng.random(shape) < 0.15, stuck_conductance=rng.choice([0.0, 1e-9, 1e-3, 0.1], shape),
        open_word_segments=cuts[0], open_bit_segments=cuts[1], dead_drivers=np.arange(shape[0]) == 5,
    )  # fmt: skip
    tile = Tile(spec, conductance(device, rng.uniform(0.0, 1.0, shape)), defects)
    pulse = Pulse(
        amplitude=amplitude * rng.uniform(0.6, 1.2), width=width, rise=width * rng.choice([0.01, 0.1, 1.0]),
        rows=(0, 1), scheme=str(rng.choice(["v/2", "v/3"])),
    )  # fmt: skip
    train = PulseTrain(device=device, pulses=(pulse,))
    ours = BehavioralEngine(threads=1).program(tile, train, tolerance=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switching, "_compiled", None)
        twin = BehavioralEngine(threads=1).program(tile, train, tolerance=1e-6)
    # Where steps fall is left to the last bit: within ten times the tolerance of a step.
    np.testing.assert_allclose(ours.state, twin.state, rtol=0.0, atol=1e-5)
    assert ours.energy == pytest.approx(twin.energy, rel=1e-4)
