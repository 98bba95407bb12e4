"""Laws of cells that the kernels do not know: solved, trained on and audited like the others."""

import numpy as np
import pytest

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.config import CellLaw, load_run, to_toml
from circuitmem.engine import BehavioralEngine, SpiceEngine, VacaskEngine
from circuitmem.errors import ValidationError

HERE = __name__
RNG = np.random.default_rng(0)
WIRES = {"rows": 5, "columns": 4, "word_line_resistance": 30.0, "bit_line_resistance": 20.0}


class Cubic(CellLaw):
    """I = G·(V + k·V³)."""

    k: float = 2.0

    def current(self, conductance, voltage):
        return conductance * (voltage + self.k * voltage**3)

    def slope(self, conductance, voltage):
        return conductance * (1.0 + 3.0 * self.k * voltage**2)

    def spice(self, conductance, voltage):
        return f"{conductance}*({voltage}+{self.k!r}*{voltage}*{voltage}*{voltage})"


class Halved(SinhCell):
    """A law that a subclass of a built-in one changes: it is not the kernels' any more."""

    kind: str

    def current(self, conductance, voltage):
        return 0.5 * super().current(conductance, voltage)

    def slope(self, conductance, voltage):
        return 0.5 * super().slope(conductance, voltage)


def tile_of(cell, conductance, defects=None):
    return Tile(TileSpec(**WIRES, cell=cell), conductance, defects=defects)


def test_a_law_of_ones_own_is_solved():
    conductance, volts = RNG.uniform(1e-5, 3e-4, (5, 4)), RNG.uniform(0.0, 0.5, (3, 5))
    cell = Cubic(kind=f"{HERE}:Cubic")
    tile = tile_of(cell, conductance)
    solution = BehavioralEngine().solve(tile, volts)
    # Kirchhoff's laws: what the cells of a column conduct flows out of it.
    np.testing.assert_allclose(solution.cell_current.sum(axis=1), solution.column_current, rtol=1e-9)
    across = solution.word_line_voltage - solution.bit_line_voltage
    np.testing.assert_allclose(solution.cell_current, cell.current(conductance, across), rtol=1e-12)
    weak = BehavioralEngine().read(tile_of(Cubic(kind=f"{HERE}:Cubic", k=1e-12), conductance), volts)
    linear = BehavioralEngine().read(Tile(TileSpec(**WIRES), conductance), volts)
    np.testing.assert_allclose(weak, linear, rtol=1e-9)


def test_a_subclass_of_a_built_in_law_is_not_taken_for_it():
    conductance, volts = RNG.uniform(1e-5, 3e-4, (5, 4)), RNG.uniform(0.0, 0.5, (3, 5))
    halved = tile_of(Halved(kind=f"{HERE}:Halved", a=2.0), conductance)
    same = tile_of(SinhCell(a=2.0), 0.5 * conductance)
    found, expected = (BehavioralEngine().read(tile, volts) for tile in (halved, same))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.spice
def test_ngspice_agrees():
    conductance, volts = RNG.uniform(1e-5, 3e-4, (5, 4)), RNG.uniform(0.0, 0.5, (2, 5))
    defects = DefectMap.random(TileSpec(**WIRES), yield_=0.8, seed=1)
    tile = tile_of(Cubic(kind=f"{HERE}:Cubic"), conductance, defects)
    with SpiceEngine() as spice:
        np.testing.assert_allclose(BehavioralEngine().read(tile, volts), spice.read(tile, volts), rtol=1e-7)
        with pytest.raises(ValidationError, match="cell must say its law for SPICE: its class has no method spice"):
            spice.read(tile_of(Halved(kind=f"{HERE}:Halved", a=2.0), conductance), volts)


@pytest.mark.vacask
def test_vacask_says_that_it_has_no_such_law():
    with VacaskEngine() as engine, pytest.raises(ValidationError, match="cell must be a law that VACASK has"):
        engine.read(tile_of(Cubic(kind=f"{HERE}:Cubic"), np.full((5, 4), 1e-4)), np.ones(5))


def test_a_law_of_ones_own_is_declared_by_its_name(tmp_path):
    setting = f'chip.tile.cell={{kind="{HERE}:Cubic", k=3.0}}'
    run = load_run(None, [setting])
    assert run.chip.tile.cell == Cubic(kind=f"{HERE}:Cubic", k=3.0)
    (tmp_path / "run.toml").write_text(to_toml(run))
    assert load_run(tmp_path / "run.toml") == run
    for bad, words in (
        ("{kind=cubik}", "chip.tile.cell"),
        ('{kind="sinhh", a=2.0}', "chip.tile.cell.kind must be one of linear, sinh, .*; did you mean 'sinh'"),
        (f'{{kind="{HERE}:Cubic", kk=3.0}}', "chip.tile.cell.kk is not a known key; did you mean 'k'"),
        (
            '{kind="circuitmem.device:TwoPulse"}',
            "chip.tile.cell.kind must name a subclass of circuitmem.config.CellLaw",
        ),
        ("{a=2.0}", "chip.tile.cell must be a table that says its kind"),
        ("3", "chip.tile.cell must be a table that says its kind"),
    ):
        with pytest.raises(ValidationError, match=words):
            load_run(None, [f"chip.tile.cell={bad}"])
