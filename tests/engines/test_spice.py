"""What is particular to the SPICE engine; what every engine must do is in the common suite."""

import threading
from functools import partial

import numpy as np
import pytest
from builders import random_tile

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.config import ConverterSpec
from circuitmem.converter import Readout
from circuitmem.engine import Engine, SpiceEngine
from circuitmem.errors import ValidationError
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.tile import TileNetlist

pytestmark = pytest.mark.spice

ROUNDING = 1e-12
"""Two direct solves of a small tile with wires of ohms differ by far less."""


make_tile = partial(random_tile, rows=3, columns=4, ohms=(1.0, 2.0))


def test_it_is_an_engine(spice):
    assert isinstance(spice, Engine)
    assert spice.name == "spice"


def test_ideal_wires_give_the_product(spice):
    tile = make_tile(word_line_resistance=0.0, bit_line_resistance=0.0)
    voltages = np.array([[0.1, -0.2, 0.3], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(spice.read(tile, voltages), voltages @ tile.conductance, rtol=1e-13, atol=1e-20)


def test_one_cell_by_hand(spice):
    spec = TileSpec(
        rows=1,
        columns=1,
        word_line_resistance=1.0,
        bit_line_resistance=2.0,
        driver_resistance=3.0,
        sense_resistance=4.0,
    )
    solution = spice.solve(Tile(spec, [[0.1]]), [1.0])
    current = 1.0 / (3 + 1 + 10 + 2 + 4)
    assert solution.column_current[0] == pytest.approx(current, rel=ROUNDING)
    assert solution.driver_current[0] == pytest.approx(current, rel=ROUNDING)
    assert solution.word_line_voltage[0, 0] == pytest.approx(1.0 - 4 * current, rel=ROUNDING)
    assert solution.bit_line_voltage[0, 0] == pytest.approx(6 * current, rel=ROUNDING)
    assert solution.power == pytest.approx(current, rel=ROUNDING)


def test_one_sinh_cell_by_hand(spice):
    tile = make_tile(rows=1, columns=1, word_line_resistance=0.0, bit_line_resistance=0.0, cell=SinhCell(a=5.0))
    expected = tile.conductance[0, 0] * np.sinh(5.0 * 0.3) / 5.0
    assert spice.read(tile, [0.3])[0] == pytest.approx(expected, rel=1e-10)


def test_shapes_with_and_without_a_batch(spice):
    tile = make_tile()
    batch = spice.solve(tile, np.full((2, 3), 0.1))
    single = spice.solve(tile, np.full(3, 0.1))
    assert spice.read(tile, np.full((2, 3), 0.1)).shape == (2, 4)
    assert spice.read(tile, np.full(3, 0.1)).shape == (4,)
    assert spice.read(tile, np.zeros((0, 3))).shape == (0, 4)
    assert spice.solve(tile, np.zeros((0, 3))).bit_line_voltage.shape == (0, 3, 4)
    for name in ("column_current", "driver_current", "word_line_voltage", "bit_line_voltage", "power"):
        assert np.shape(getattr(batch, name))[1:] == np.shape(getattr(single, name))
        np.testing.assert_array_equal(getattr(batch, name)[1], getattr(single, name))


def test_floating_parts_are_at_zero_volts(spice):
    cut = np.zeros((3, 4), bool)
    cut[0, 3] = True
    tile = make_tile(defects=DefectMap(stuck=cut, stuck_conductance=0.0, open_word_segments=cut))
    solution = spice.solve(tile, [0.1, 0.1, 0.1])
    assert solution.word_line_voltage[0, 3] == 0.0
    assert (np.delete(solution.word_line_voltage.ravel(), 3) > 0.0).all()


def test_all_drivers_dead_gives_zero(spice):
    tile = make_tile(defects=DefectMap(dead_drivers=[True] * 3))
    assert (spice.read(tile, np.full((2, 3), 0.1)) == 0.0).all()


def test_the_transfer_matrix_reproduces_reads(spice):
    tile = make_tile()
    voltages = np.random.default_rng(1).uniform(-0.3, 0.3, (5, 3))
    currents = spice.read(tile, voltages)
    difference = np.abs(currents - voltages @ spice.transfer_matrix(tile).T).max()
    assert difference <= ROUNDING * np.abs(currents).max()


def test_no_transfer_matrix_of_non_linear_cells(spice):
    with pytest.raises(ValidationError, match="cell must be linear"):
        spice.transfer_matrix(make_tile(cell=SinhCell(a=1.0)))


@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=3.0)}])
def test_an_answer_does_not_depend_on_the_calls_before(cell):
    tile, other = make_tile(**cell), make_tile(rows=5, columns=2, seed=1)
    voltages = np.random.default_rng(2).uniform(-0.3, 0.3, (4, 3))
    with SpiceEngine() as fresh:
        first = fresh.read(tile, voltages)
    with SpiceEngine() as used:
        used.read(other, np.ones((7, 5)))
        used.solve(tile, voltages[::-1])
        np.testing.assert_array_equal(used.read(tile, voltages), first)


def test_many_calls_share_one_process_that_does_not_grow():
    tile = make_tile(rows=16, columns=16)
    runner = Runner()
    circuit = TileNetlist(tile, all_nodes=True)
    table = np.full((3, 16), 0.1)
    for _ in range(5):
        runner.run(circuit.netlist, table)
    process, start = runner.process_id(), resident(runner.process_id())
    for _ in range(150):
        runner.run(circuit.netlist, table)
    assert runner.process_id() == process
    # Without remcirc 150 such jobs add about 170 MB.
    assert resident(process) - start < 20e6
    runner.close()


def resident(process):
    """Return the resident memory of a process [bytes]."""
    with open(f"/proc/{process}/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmRSS"))


@pytest.mark.parametrize("limit", [{"jobs_per_worker": 2}, {"memory_limit": 1}])
def test_a_worker_is_replaced_when_it_has_served_enough_or_grown(limit):
    circuit, runner = TileNetlist(make_tile()), Runner(**limit)
    table = np.full((1, 3), 0.1)
    first = runner.run(circuit.netlist, table)
    workers = []
    for _ in range(4):
        workers.append(runner.library() and runner.process_id())
        np.testing.assert_array_equal(runner.run(circuit.netlist, table), first)
    assert len(set(workers)) >= 2
    runner.close()


def test_threads_take_turns():
    tile = make_tile()
    voltages = np.random.default_rng(3).uniform(0, 0.3, (8, 3))
    results = [None] * 8
    with SpiceEngine() as engine:

        def work(index):
            results[index] = engine.read(tile, voltages[index])

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_array_equal(np.array(results), engine.read(tile, voltages))


def test_probe_names_version_and_file():
    library = SpiceEngine.probe()
    assert library.version.startswith("ngspice-")
    assert "libngspice" in library.path
    assert SpiceEngine.available()


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf"), "soon"])
def test_bad_time_limits_are_refused(limit):
    with pytest.raises(ValidationError, match="time_limit must"):
        SpiceEngine(time_limit=limit)


def test_bad_arguments_of_convert_are_refused(spice):
    spec = ConverterSpec()
    tile = make_tile(sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile.spec)
    codes = np.zeros((2, 3), int)
    with pytest.raises(ValidationError, match="codes must"):
        spice.codes(tile, readout, codes[:, :2])
    with pytest.raises(ValidationError, match="noise must have shape"):
        spice.codes(tile, readout, codes, np.zeros(4))
    with pytest.raises(ValidationError, match="readout must be of 3 rows and 5 columns"):
        spice.codes(make_tile(rows=3, columns=5), readout, codes)
    with pytest.raises(ValidationError, match="readout must have the tile's sense resistance"):
        spice.codes(make_tile(), readout, codes)
    assert spice.codes(tile, readout, codes[:0]).shape == (0, 4)
