"""``circuitmem tile``: a measured array, from its files to a page."""

import json

import numpy as np
import pytest
from builders import options

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.config import load_run
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import DataFileError
from circuitmem.report import plot_cell_currents, plot_error, plot_voltages
from circuitmem.study.array import load_conductances, load_stuck, load_voltages

ROWS, COLUMNS = 6, 9
WIRES = ["--set", "chip.tile.word_line_resistance=2.5", "--set", "chip.tile.bit_line_resistance=1.5"]


@pytest.fixture
def array(tmp_path):
    rng = np.random.default_rng(4)
    conductance = rng.uniform(1e-6, 300e-6, (ROWS, COLUMNS))
    np.savetxt(
        tmp_path / "g.csv", conductance * 1e6, delimiter=",", header="conductance (\N{MICRO SIGN}S)", fmt="%.17g"
    )
    voltages = rng.uniform(0.0, 0.2, (4, ROWS))
    np.savetxt(tmp_path / "v.csv", voltages, delimiter=",", fmt="%.17g")
    return tmp_path, conductance, voltages


@pytest.fixture
def run(command):
    return lambda folder, *words: command("tile", *words, cwd=folder)


def tile_of(conductance, defects=None):
    chip = load_run(None, WIRES[1::2]).chip.tile_spec
    fields = {name: getattr(chip, name) for name in TileSpec.model_fields}
    return Tile(TileSpec(**(fields | {"rows": ROWS, "columns": COLUMNS})), conductance, defects)


def test_the_currents_are_the_engines_and_the_errors_those_of_the_products(run, array):
    folder, conductance, voltages = array
    done = run(folder, "--conductance", "g.csv", "--voltages", "v.csv", "--out", "found", "--json", *WIRES)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    currents, ideal = BehavioralEngine().read(tile_of(conductance), voltages), voltages @ conductance
    np.testing.assert_allclose(found["currents_a"], currents, rtol=1e-12)
    np.testing.assert_allclose(found["ideal_currents_a"], ideal, rtol=1e-12)
    error = np.abs(currents - ideal) / ideal.max()
    assert found["mac_error"]["largest"] == pytest.approx(error.max())
    assert found["mac_error"]["rms"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["worst_vector"] == error.max(axis=1).argmax()
    np.testing.assert_allclose(found["column_error"]["largest"], error.max(axis=0))
    assert found["unit"] == "uS, from its header"
    for name in found["files"]:
        assert (folder / name).stat().st_size > 0
    assert {"report.html", "tile.json", "currents.csv", "tile.cir"} <= {
        path.name for path in (folder / "found").iterdir()
    }
    np.testing.assert_array_equal(np.loadtxt(folder / "found" / "currents.csv", delimiter=","), found["currents_a"])


def test_stuck_cells_are_marked_or_given_by_what_they_conduct(run, array):
    folder, conductance, voltages = array
    stuck = np.zeros((ROWS, COLUMNS), dtype=bool)
    stuck[2, 3] = stuck[5, 8] = True
    np.savetxt(folder / "marks.csv", stuck, fmt="%d", delimiter=";")
    rows = [",".join("800" if cell else "" for cell in row) for row in stuck]
    (folder / "values.csv").write_text("# uS\n" + "\n".join(rows) + "\n")
    defects = DefectMap(stuck=stuck, stuck_conductance=np.full(stuck.shape, 800e-6))
    wanted = BehavioralEngine().read(tile_of(conductance, defects), voltages)
    for words in (["marks.csv", "--stuck-conductance", 8e-4], ["values.csv"]):
        given = ["--conductance", "g.csv", "--voltages", "v.csv", "--out", "found", "--json", *WIRES]
        found = json.loads(run(folder, *given, "--stuck", *words).stdout)
        np.testing.assert_allclose(found["currents_a"], wanted, rtol=1e-12)


@pytest.mark.parametrize("cell", [None, (3, 2)])
def test_a_cell_is_read_at_both_ends_of_its_range_and_around_it(run, array, cell):
    folder, conductance, _ = array
    words = [] if cell is None else ["--cell", f"{cell[0]},{cell[1]}"]
    done = run(folder, "--conductance", "g.csv", "--vectors", 1, "--out", "found", "--json", *WIRES, *words)
    found = json.loads(done.stdout)["cell_read"]
    row, column = cell or (0, COLUMNS - 1)
    assert (found["row"], found["column"]) == (row, column)
    chip = load_run(None, []).chip
    volts = np.where(np.arange(ROWS) == row, chip.converters.dac.full_scale, 0.0)
    for name, value in (("high_a", chip.device.maximum_conductance), ("low_a", chip.device.minimum_conductance)):
        other = conductance.copy()
        other[row, column] = value
        assert found[name] == pytest.approx(BehavioralEngine().read(tile_of(other), volts)[column])
    assert found["margin"] == pytest.approx(1.0 - found["low_a"] / found["high_a"])
    # Two by two with ideal wires has one way round: three cells in series.
    assert found["sneak_a"] > 0.0


def test_the_sneak_path_of_four_cells_is_three_in_series(run, tmp_path):
    (tmp_path / "g.csv").write_text("# uS\n100 200\n400 50\n")
    ideal = [f"chip.tile.{name}=0.0" for name in ("word_line_resistance", "bit_line_resistance", "driver_resistance")]
    words = options(ideal)
    done = run(tmp_path, "--conductance", "g.csv", "--cell", "0,0", "--out", "found", "--json", *words)
    chip = load_run(None, ideal).chip
    around = 1 / 200e-6 + 1 / 50e-6 + 1 / 400e-6 + chip.tile_spec.sense_resistance
    sneak = json.loads(done.stdout)["cell_read"]["sneak_a"]
    assert sneak == pytest.approx(chip.converters.dac.full_scale / around, rel=1e-9)
    found = json.loads(done.stdout)["cell_read"]
    assert found["sneak_path"] == [[0, 1], [1, 1], [1, 0]]
    assert found["sneak_path_a"] == pytest.approx(sneak, rel=1e-9)


@pytest.mark.parametrize("kind", ["linear", "selector"])
def test_the_worst_sneak_path_is_the_one_of_the_best_conductors(run, tmp_path, kind):
    conductance = np.full((4, 5), 2.0)
    conductance[1, 3] = conductance[2, 3] = conductance[2, 0] = 250.0  # round the cell 1,0
    np.savetxt(tmp_path / "g.csv", conductance, delimiter=",", header="uS")
    selector = 'cell = { kind = "selector", threshold = 0.02, swing = 0.02 }\n' if kind == "selector" else ""
    # No size: that is the table's.
    (tmp_path / "wires.toml").write_text(f"[chip.tile]\nword_line_resistance = 2.0\n{selector}")
    done = run(tmp_path, "wires.toml", "--conductance", "g.csv", "--cell", "1,0", "--out", "found", "--json")
    assert done.returncode == 0, done.stderr
    cell = json.loads(done.stdout)["cell_read"]
    assert cell["sneak_path"] == [[1, 3], [2, 3], [2, 0]]
    assert 0.5 * cell["sneak_a"] < cell["sneak_path_a"] < cell["sneak_a"]
    assert "1,3, 2,3, 2,0 (word line,bit line)" in (tmp_path / "found" / "report.html").read_text("utf-8")
    again = run(tmp_path, "wires.toml", "--conductance", "g.csv", "--cell", "1,0", "--out", "again")
    assert "worst sneak path: " in again.stdout


def test_numbers_without_a_unit_are_siemens_or_asked_about(run, array):
    folder, conductance, _ = array
    np.savetxt(folder / "si.csv", conductance, delimiter="\t")
    done = run(folder, "--conductance", "si.csv", "--out", "found", "--json")
    assert json.loads(done.stdout)["unit"] == "S, none stated: SI"
    np.savetxt(folder / "micro.csv", conductance * 1e6, delimiter=",")
    done = run(folder, "--conductance", "micro.csv", "--out", "other")
    assert done.returncode == 2
    assert "say the unit with --unit (uS?)" in done.stderr
    assert not (folder / "other").exists()
    done = run(folder, "--conductance", "micro.csv", "--unit", "\N{GREEK SMALL LETTER MU}S", "--out", "other", "--json")
    assert json.loads(done.stdout)["unit"] == "uS, as given"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--conductance", "none.csv"], "none.csv: cannot be read: No such file or directory"),
        (["--conductance", "ragged.csv"], "ragged.csv: line 2: must have 3 numbers like the first (got 2)"),
        (["--conductance", "words.csv"], "words.csv: line 2: must have numbers only (got 'high')"),
        (["--conductance", "empty.csv"], "empty.csv: must have at least one line of numbers"),
        (["--conductance", "below.csv"], "below.csv: conductance must be >= 0 at index (0, 1) (got -2)"),
        (["--conductance", "g.csv", "--unit", "kS"], "unit must be one of S, mS, uS, nS, pS (got 'kS')"),
        (["--conductance", "g.csv", "--cell", "1"], "--cell must be ROW,COLUMN (got '1')"),
        (["--conductance", "g.csv", "--cell", "6,0"], "cell row must be from 0 to 5 (got 6)"),
        (
            ["--conductance", "g.csv", "--voltages", "g.csv"],
            "g.csv: must hold voltages in one of V, mV, uV (its header",
        ),
        (
            ["--conductance", "g.csv", "--voltages", "wide.csv"],
            "--voltages must have 6 columns, one a word line (got 9)",
        ),
        (["--conductance", "g.csv", "--vectors", "0"], "--vectors must be >= 1 (got 0)"),
        (["--conductance", "g.csv", "--stuck", "v.csv"], "v.csv: must have 6 rows and 9 columns like the conductances"),
        (["--conductance", "g.csv", "--stuck", "units.csv"], "units.csv: names several units (nS, uS): say which"),
        (["--conductance", "g.csv", "--stuck-conductance", "1e-4"], "--stuck-conductance is for --stuck (got 0.0001)"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, array, words, message):
    folder, _, _ = array
    for name, text in {
        "ragged": "1,2,3\n4,5\n", "words": "1,2\nhigh,3\n", "empty": "# uS\n\n", "below": "1,-2\n",
        "wide": "1,2,3,4,5,6,7,8,9.5\n",
        "units": "# uS or nS\n" + ROWS * (",".join(COLUMNS * "5") + "\n"),
    }.items():  # fmt: skip
        (folder / f"{name}.csv").write_text(text)
    done = run(folder, *words, "--out", "found")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "found").exists()


def test_cell_currents_add_up_to_those_of_the_columns():
    rng = np.random.default_rng(1)
    tile = tile_of(rng.uniform(1e-6, 300e-6, (ROWS, COLUMNS)))
    solution = BehavioralEngine().solve(tile, rng.uniform(0.0, 0.2, (3, ROWS)))
    assert solution.cell_current.shape == (3, ROWS, COLUMNS)
    np.testing.assert_allclose(solution.cell_current.sum(axis=1), solution.column_current, rtol=1e-9)
    tile.program(np.full((ROWS, COLUMNS), 1e-6))  # the solution is of the tile as it was
    np.testing.assert_allclose(solution.cell_current.sum(axis=1), solution.column_current, rtol=1e-9)


@pytest.mark.parametrize("plot", [plot_voltages, plot_cell_currents, plot_error])
def test_maps_are_drawn_from_python(tmp_path, plot):
    tile = tile_of(np.full((ROWS, COLUMNS), 1e-4))
    figure = plot(tile, np.full(ROWS, 0.1), tmp_path / "map.png")
    assert figure.axes[0].get_xlabel() == "bit line"
    assert (tmp_path / "map.png").stat().st_size > 1000


MAP = np.random.default_rng(0).uniform(1.0, 100.0, (4, 3)).round(3)


def written(separator, decimal=".", head="# conductance (uS)", end=""):
    rows = [separator.join(f"{x:.3f}".replace(".", decimal) for x in row) + end for row in MAP]
    return "\n".join([head, *rows]) + "\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (written(","), "utf-8-sig"),
        (written(";", ","), "utf-8"),
        (written("\t", ","), "utf-16"),
        (written("   "), "utf-8"),
        (written("|"), "utf-8"),
        (written(";", ",", "Leitwerte in µS bei 25 °C"), "latin-1"),
        (written(",", end=","), "utf-8"),
        (written(",", end="D0"), "utf-8"),
        (written(",").replace("\n", "\r"), "utf-8"),
    ],
)
def test_a_map_is_read_however_a_measured_curve_is(content, encoding, tmp_path):
    (tmp_path / "g.csv").write_bytes(content.encode(encoding))
    found, said = load_conductances(tmp_path / "g.csv")
    np.testing.assert_allclose(found, 1e-6 * MAP, rtol=1e-12)
    assert said == "uS, from its header"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (written(",").replace(f"{MAP[0, 1]:.3f}", "NaN"), "line 2: must have numbers only (got 'NaN')"),
        (written(",") + "1.5,2\n", "line 6: must have 3 numbers like the first (got 2)"),
        (written(";", ",").replace(f"{MAP[1, 1]:.3f}".replace(".", ","), "12.5"), "numbers must have one decimal sign"),
        (written(",").replace(f"{MAP[1, 1]:.3f}", "1e999"), "line 3: must have finite numbers"),
        (
            "\n".join(["WL,BL0 (uS)", *(f"{k},{row[0]}" for k, row in enumerate(MAP))]),
            "the first column counts the lines: leave it out",
        ),
        (written(",", head="0,1,2"), "line 1 counts the columns: leave it out (in pandas: to_csv(index=False, header="),
        (written(",", head=",0,1,2"), "line 1 names the columns: leave it out (in pandas: to_csv(index=False, header="),
        (written(",", head="# resistance (GOhm)"), "must hold conductances in one of S, mS, uS, nS, pS (its header st"),
        (written(",", head="# current (A) at 1 V"), "(its header states A)"),
        (written(",", head="# resistances"), "(its header states resistance)"),
        (written(",", head="R in k\N{OHM SIGN}"), "(its header states kΩ)"),
        (written(",", head="# conductance (us)"), "(its header states us)"),
        (written(",", head="# conductance (microsiemens)"), "(its header states microsiemens)"),
    ],
)
def test_what_is_no_map_is_one_line(content, message, tmp_path):
    (tmp_path / "g.csv").write_text(content)
    with pytest.raises(DataFileError) as error:
        load_conductances(tmp_path / "g.csv")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("head", "factor", "words"),
    [
        ("# voltage (mV)", 1e-3, "mV, from its header"),
        ("V1 [\N{MICRO SIGN}V];V2;V3", 1e-6, "uV, from its header"),
        ("# read voltage (V)", 1.0, "V, from its header"),
        ("# a vector a line", 1.0, "V, none stated: SI"),
    ],
)
def test_voltages_are_in_the_unit_of_their_header(head, factor, words, tmp_path):
    (tmp_path / "v.csv").write_text(written(";", head=head), "utf-8")
    found, said = load_voltages(tmp_path / "v.csv")
    np.testing.assert_allclose(found, factor * MAP, rtol=1e-12)
    assert said == words


@pytest.mark.parametrize("head", ["# current (A)", "# voltage (kV)", "# currents", "# mV or uV"])
def test_what_a_header_calls_no_voltage_is_refused(head, tmp_path):
    (tmp_path / "v.csv").write_text(written(",", head=head))
    with pytest.raises(DataFileError, match=r"one of V, mV, uV"):
        load_voltages(tmp_path / "v.csv")


def test_the_page_says_in_which_unit_voltages_were(run, array):
    folder, conductance, voltages = array
    np.savetxt(folder / "mv.csv", 1e3 * voltages, delimiter=",", header="voltage (mV)", fmt="%.17g")
    done = run(folder, "--conductance", "g.csv", "--voltages", "mv.csv", "--out", "found", "--json", *WIRES)
    found = json.loads(done.stdout)
    np.testing.assert_allclose(found["ideal_currents_a"], voltages @ conductance, rtol=1e-12)
    assert found["voltage_unit"] == "mV, from its header"
    assert "mv.csv [mV, from its header]" in (folder / "found" / "report.html").read_text("utf-8")


def test_a_condition_in_a_header_is_no_unit(tmp_path):
    (tmp_path / "g.csv").write_text("# A measured array, conductance at 200 mV, V/2\n1e-6,2e-6\n3e-6,1e-6\n")
    assert load_conductances(tmp_path / "g.csv")[1] == "S, none stated: SI"


def test_an_empty_field_at_the_end_of_a_line_is_a_cell_that_works(tmp_path):
    (tmp_path / "stuck.csv").write_text("# uS\n5,,\n,,7\n,,\n")
    found = load_stuck(tmp_path / "stuck.csv", (3, 3), None, None)
    assert found.stuck.tolist() == [[True, False, False], [False, False, True], [False] * 3]
