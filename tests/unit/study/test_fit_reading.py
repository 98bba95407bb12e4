"""Tables as instruments write them: the right numbers, what was assumed, or one line that says what is missing."""

import math

import numpy as np
import pytest

from circuitmem.errors import DataFileError, ValidationError
from circuitmem.study.fit import Reading, fit_device, read_iv, read_pulses
from circuitmem.study.fit.cells import read_cells


def loop():
    """Time, voltage and current of a bow-tie loop: a state moves above a threshold."""
    state, rows = 0.1, []
    for time in np.linspace(0.0, 0.1, 201):
        volt = 1.2 * math.sin(2.0 * math.pi * time / 0.1)
        push = 60.0 * max(abs(volt) - 0.4, 0.0) ** 2
        state = min(max(state + math.copysign(push, volt) * 0.0005, 0.0), 1.0)
        rows.append((time, volt, (5e-6 + 95e-6 * state) * volt))
    return np.array([[float(f"{x:.9g}") for x in row] for row in rows])


ROWS = loop()
HEAD = "time_s,voltage_v,current_a"


def text(head, rows=ROWS, separator=",", decimal=".", digits=9, end="\n"):
    lines = [separator.join(f"{x:.{digits}g}".replace(".", decimal) for x in row) for row in rows]
    return end.join([*([head] if head else []), *lines]) + end


def semicolons(decimal="."):
    return text(HEAD.replace(",", ";"), separator=";", decimal=decimal)


SCALED = ROWS * [1.0, 1.0, 1e6]
CASES = {
    "base": (text(HEAD), "utf-8", []),
    "semicolon": (semicolons(), "utf-8", ["separator: semicolon"]),
    "tab": (text(HEAD.replace(",", "\t"), separator="\t"), "utf-8", ["separator: tab"]),
    "decimal comma": (semicolons(","), "utf-8", ["separator: semicolon", "decimal sign: comma"]),
    "units in the heading": (
        text("Time (s),Voltage (V),Current (uA)", SCALED),
        "utf-8",
        ["current: in uA, times 1e-06 A"],
    ),
    "upper case": (text(HEAD.upper()), "utf-8", []),
    "short names": (
        text("t,V,I"),
        "utf-8",
        [
            "time: column t",
            "voltage: column V",
            "current: column I",
            "time: in s; no unit is named",
            "voltage: in V; no unit is named",
            "current: in A; no unit is named",
        ],
    ),
    "no heading": (
        text(""),
        "utf-8",
        [
            "columns: no headings; taken to be time, voltage, current",
            "time: in s; no unit is named",
            "voltage: in V; no unit is named",
            "current: in A; no unit is named",
        ],
    ),
    "preamble": (
        "Instrument: parameter analyser\nCompliance: 1 mA\n\n" + text(HEAD),
        "utf-8",
        ["preamble: 2 lines before line 4 are skipped"],
    ),
    "utf-16": (text(HEAD), "utf-16", ["encoding: UTF-16"]),
    "latin-1": ("# at 25 \xb0C\n" + text(HEAD), "latin-1", ["encoding: Latin-1"]),
}

FORMS = {
    "utf-8 with a mark": (text(HEAD), "utf-8-sig"),
    "utf-16 big-endian without a mark": (text(HEAD), "utf-16-be"),
    "lines end as on Windows": (text(HEAD, end="\r\n"), "utf-8"),
    "lines end as on old Macs": (text(HEAD, end="\r"), "utf-8"),
    "micro sign in brackets": (text("Time [ms],Voltage [mV],Current [\xb5A]", ROWS * [1e3, 1e3, 1e6]), "utf-8"),
    "micro sign in Latin-1": (text("t (s),V (V),I (\xb5A)", SCALED), "latin-1"),
    "Greek mu": (text("t (s),V (V),I (\u03bcA)", SCALED), "utf-8"),
    "unit after a stroke": (text("t / s,U / V,I / nA", ROWS * [1.0, 1.0, 1e9]), "utf-8"),
    "analyser's names": (text("Time,AV,AI"), "utf-8"),
    "line of units": ("Time,Voltage,Current\ns,V,mA\n" + text("", ROWS * [1.0, 1.0, 1e3]), "utf-8"),
    "quoted headings and fields": (
        '"Time (s)","Voltage (V)","Current (A)"\n'
        + "".join(",".join(f'"{x:.9g}"' for x in row) + "\n" for row in ROWS),
        "utf-8",
    ),
    "blanks between columns": (text(HEAD.replace(",", "  "), separator="   "), "utf-8"),
    "blanks after commas": (text(HEAD.replace(",", ", "), separator=", "), "utf-8"),
    "bars": (text(HEAD.replace(",", "|"), separator="|"), "utf-8"),
    "separator at the end of lines": (text(HEAD).replace("\n", ",\n"), "utf-8"),
    "headings in a comment": ("# " + text(HEAD), "utf-8"),
    "exponents of Fortran": (text(HEAD).replace("e-", "D-"), "utf-8"),
    "another order and other columns": (
        text("Index,Current (A),Vmeas (V),Temp,Time (s)", np.c_[range(201), ROWS[:, [2, 1]], [25.0] * 201, ROWS[:, 0]]),
        "utf-8",
    ),
    "preamble that looks like data": ("Compliance,1,mA\nRange,2,V\n" + text(HEAD), "utf-8"),
    "German": (
        text("Zeit [s];Spannung [V];Strom [\xb5A]", SCALED, separator=";", decimal=","),
        "latin-1",
    ),
    "tabs and decimal commas": (text(HEAD.replace(",", "\t"), separator="\t", decimal=","), "utf-16"),
    "headings repeated within": (text(HEAD, ROWS[:100]) + "\n" + text(HEAD, ROWS[100:]), "utf-8"),
    "comments within": (text(HEAD, ROWS[:100]) + "# paused\n\n" + text("", ROWS[100:]), "utf-8"),
    "a source meter's export": (
        "Instrument Model,2450\nRun Date,2025-03-11 10:22:11\n\n"
        + text("Index,SMU-1 Time (s),SMU-1 Voltage (V),SMU-1 Current (A)", np.c_[range(1, 202), ROWS]),
        "utf-8",
    ),
    "an analyser's export, each line named": (
        "SetupTitle,I/V Sweep\nDimension1,201,201,201\nDataName, Time1, V1, I1\n"
        + "".join(f"DataValue, {line}\n" for line in text("").splitlines()),
        "utf-8",
    ),
    "a file of LabVIEW, whose last column is empty": (
        "LabVIEW Measurement\t\n***End_of_Header***\t\n\t\nChannels\t2\t\t\n"
        + text("X_Value\tVoltage\tCurrent\tComment", separator="\t"),
        "utf-8",
    ),
    "the separator said first, as Excel writes it": ("sep=;\n" + semicolons(","), "utf-8-sig"),
    "a flag behind the numbers": (text(HEAD + ",Compliance").replace("\n", ",N\n").replace("ance,N", "ance"), "utf-8"),
    "a unit in words": (text("Zeit in s;Spannung in V;Strom in \xb5A", SCALED, separator=";", decimal=","), "latin-1"),
    "minutes": (text("Time (min),Voltage (V),Current (A)", ROWS / [60.0, 1.0, 1.0], digits=12), "utf-8"),
    "a minus sign of typographers": (text(HEAD).replace(",-", ",\u2212"), "utf-8"),
    "empty lines and two separators at the end": (text(HEAD).replace("\n", ",,\n\n"), "utf-8"),
    "name and unit by a blank": (text("Time s,Voltage mV,Current uA", ROWS * [1.0, 1e3, 1e6]), "utf-8"),
}


def read(tmp_path, content, encoding="utf-8", **told):
    path = tmp_path / "curve.csv"
    path.write_bytes(content.encode(encoding))
    return read_iv(path, Reading(**told))


def assert_loop(curve, rows=ROWS):
    np.testing.assert_allclose(curve.time, rows[:, 0], rtol=1e-8, atol=1e-18)
    np.testing.assert_allclose(curve.voltage, rows[:, 1], rtol=1e-8, atol=1e-18)
    np.testing.assert_allclose(curve.current, rows[:, 2], rtol=1e-8, atol=1e-18)


@pytest.mark.parametrize("name", CASES)
def test_a_curve_is_read_however_it_is_written_and_what_was_assumed_is_said(name, tmp_path):
    """Rows *iv_semicolon, iv_tab, iv_decimal_comma, ..., iv_latin1*: as iv_base, and what was assumed is said."""
    content, encoding, assumed = CASES[name]
    curve = read(tmp_path, content, encoding)
    assert_loop(curve)
    assert curve.assumed == assumed
    assert curve.polarity == 1


@pytest.mark.parametrize("name", FORMS)
def test_further_forms_are_read(name, tmp_path):
    """Thirty forms of our own."""
    assert_loop(read(tmp_path, *FORMS[name]))


@pytest.mark.parametrize("name", ["units in the heading", "line of units", "micro sign in brackets"])
def test_a_unit_changes_no_bit(name, tmp_path):
    """Row *iv_units_in_header*: the same numbers as iv_base, and so the same fit, where the last bit may decide."""
    content, encoding = (CASES | FORMS)[name][:2]
    curve, base = read(tmp_path, content, encoding), read(tmp_path, text(HEAD))
    for quantity in ("time", "voltage", "current"):
        np.testing.assert_array_equal(getattr(curve, quantity), getattr(base, quantity))


def test_two_sweeps_follow_one_another(tmp_path):
    """Row *iv_two_sweeps*."""
    curve = read(tmp_path, text(HEAD) + text("", ROWS))
    assert len(curve.time) == 402
    assert (np.diff(curve.time) > 0.0).all()
    np.testing.assert_allclose(curve.time[201:] - curve.time[201], ROWS[:, 0], atol=1e-15)
    assert curve.time[201] - curve.time[200] == pytest.approx(0.0005)
    assert curve.assumed == ["sweeps: 2, one after another; time starts again at line 203"]


def test_a_sweep_without_time_has_equal_steps(tmp_path):
    """Row *iv_no_time*."""
    content = text("voltage_v,current_a", ROWS[:, 1:])
    curve = read(tmp_path, content)
    np.testing.assert_array_equal(curve.time, np.arange(201.0))
    assert curve.assumed == ["time: no such column; equal steps of 1 s, and rates are per step (--step SECONDS)"]
    curve = read(tmp_path, content, step=0.0005)
    assert_loop(curve)
    assert curve.assumed == []


def test_swapped_electrodes_are_found(tmp_path):
    curve = read(tmp_path, text(HEAD, ROWS * [1.0, -1.0, -1.0]))
    assert_loop(curve, ROWS * [1.0, -1.0, -1.0])
    assert curve.polarity == -1
    assert curve.assumed == ["polarity: -1, found from the loop; a negative voltage raises the conductance"]
    assert read(tmp_path, text(HEAD), polarity=-1).polarity == -1


def test_vteam_and_yakopcic_fit_a_device_of_either_polarity_alike(tmp_path):
    """Row *iv_mirrored.csv against iv_base.csv*: the same fit, and the polarity is reported."""
    held = {
        "yakopcic": {"b": 0.01, "positive_decay": 4.0, "negative_decay": 4.0, "positive_limit": 0.1},
        "vteam": {"on_power": 2.0, "off_power": 2.0},
    }
    for model, known in held.items():
        fits = []
        for way in (1.0, -1.0):
            (tmp_path / "iv.csv").write_text(text(HEAD, ROWS[::2] * [1.0, way, way]))
            fits.append(fit_device(tmp_path / "iv.csv", model, held=known))
        base, mirrored = fits
        assert base.estimate.values == mirrored.estimate.values
        assert base.residual == mirrored.residual < 0.1
        assert (base.polarity, mirrored.polarity) == (1, -1)
        exchanged, plain = (base, mirrored) if model == "vteam" else (mirrored, base)
        assert sum("electrodes exchanged" in note for note in exchanged.notes) == 1
        assert not any("electrodes exchanged" in note for note in plain.notes)
        np.testing.assert_array_equal(mirrored.curve.measured, -base.curve.measured)


def test_a_current_into_the_other_electrode_is_turned_round_and_said_so(tmp_path):
    curve = read(tmp_path, text(HEAD, ROWS * [1.0, 1.0, -1.0]))
    assert_loop(curve)
    assert curve.polarity == 1
    assert curve.assumed == [
        "current: its sign is that of the other electrode, where it leaves the device; turned round"
    ]


def test_what_is_told_settles_columns_and_units(tmp_path):
    content = text("a,b,c", SCALED)
    assert_loop(read(tmp_path, content, columns={"time": "1", "voltage": "B", "current": "c"}, units={"current": "uA"}))
    content = text("Time (s),V1 (V),Current 1 (A),Current (A)", np.c_[ROWS, 2.0 * ROWS[:, 2]])
    assert_loop(read(tmp_path, content, columns={"current": "Current 1 (A)"}))


@pytest.mark.parametrize("title", ["Vtop (mV)", "Vtop [mV]", "Vtop / mV", "V_top_mV", "Vtop in mV", "Vtop mV"])
def test_a_column_that_is_told_has_the_unit_that_its_heading_names(title, tmp_path):
    content = text(f"Time (s),{title},Ibottom (uA)", ROWS * [1.0, 1e3, 1e6])
    assert_loop(read(tmp_path, content, columns={"voltage": title, "current": "3"}))
    content = text("Time (s),Voltage (V),Resistance (ohm)")
    with pytest.raises(DataFileError, match="the unit ohm of current cannot be told; say --units current="):
        read(tmp_path, content, columns={"current": "3"})


MESSAGES = {
    "columns that nobody knows": (
        text("a,b,c"),
        "wanted voltage, current, of which voltage, current cannot be told; say --columns voltage=HEADING,current=HEAD",
    ),
    "two columns for one quantity": (
        text("Time (s),Voltage (V),Current (A),I (A)", np.c_[ROWS, ROWS[:, 2]]),
        "line 1: has several columns for current (Current (A), I (A)); say --columns current=HEADING",
    ),
    "five columns without headings": (
        text("", np.c_[ROWS, ROWS[:, 1:]]),
        "line 1: has no headings and 5 columns; wanted voltage, current; say --columns voltage=HEADING",
    ),
    "numbers that are no amperes": (
        text("t,V,I", ROWS * [1.0, 1.0, 1e9]),
        "line 1: names no unit of current, whose largest value is ",
    ),
    "milli or mega": (
        text("TIME_S,VOLTAGE_V,CURRENT_MA"),
        "line 1: the unit MA of current cannot be told; say --units current=nA|uA|mA|A",
    ),
    "a unit of something else": (text("Time (s),Voltage (V),Current (V)"), "the unit V of current cannot be told"),
    "points and commas": (
        semicolons(",").replace("0,001;", "0.001;"),
        "numbers must have one decimal sign, a point or a comma (got 0.001 and 0,0005)",
    ),
    "a line without area": (
        text(HEAD, np.c_[ROWS[:, :2], 1e-6 * ROWS[:, 1]]),
        "which sign of the voltage raises the conductance cannot be told: the loop has no area; say --polarity 1",
    ),
    "volts that no device has": (
        text(HEAD, ROWS * [1.0, 1e3, 1.0]),
        "line 1: the largest voltage must be from 1e-06 to 500 V (it is ",
    ),
    "nearly no current": (
        text(HEAD, ROWS * [1.0, 1.0, 1e-30]),
        "); say --units current=nA|uA|mA|A if the unit is another",
    ),
    "a magnitude in place of the current": (
        text(HEAD, np.abs(ROWS) * [1.0, 0.0, 1.0] + ROWS * [0.0, 1.0, 0.0]),
        "column of current: has the wrong sign at a negative voltage, as magnitudes have; a device takes power at both",
    ),
    "sweeps beside one another": (
        text("Time 1 (s),V1 (V),I1 (A),Time 2 (s),V2 (V),I2 (A)", np.c_[ROWS, ROWS]),
        "voltage (V1 (V), V2 (V)), current (I1 (A), I2 (A)); say --columns time=HEADING,voltage=HEADING,current=HEAD",
    ),
    "fewer headings than columns": (
        text("voltage_v,current_a"),
        "line 2: has 3 columns, and the line before names 2 (voltage_v, current_a); say --columns voltage=HEADING",
    ),
    "a row without its last column": (text(HEAD) + "0.2,0.1\n", "line 203: must have 3 columns (got 2)"),
    "no number": (text(HEAD) + "0.2,0.1,NaN\n", "line 203, column current_a: must be a finite number (got 'NaN')"),
    "an overflow": (
        text(HEAD) + "0.2,0.1,9.91E+37\n",
        "line 203, column current_a: 9.91E+37 is no measured value but what instruments write where they have none",
    ),
    "thousands with a comma": (
        "Time (us),Voltage (V),Current (A)\n"
        + "".join(f'"{1e3 * k:,.2f}",{r[1]},{r[2]}\n' for k, r in enumerate(ROWS)),
        "line 3, column Time (us): must be a finite number, without a sign for thousands (got '1,000.00')",
    ),
    "thousands with a point": (
        "Time (us);Voltage (V);Current (A)\n"
        + "".join(f"{1e3 * k:,.2f};{r[1]:.6f};{r[2]:.9f}\n" for k, r in enumerate(ROWS)).translate(
            str.maketrans(".,", ",.")
        ),
        "numbers must have no sign for thousands (got 1.000,00)",
    ),
    "a clock": (
        "Timestamp,Voltage (V),Current (A)\n" + "".join(f"12:00:{r[0]:09.6f},{r[1]},{r[2]}\n" for r in ROWS),
        "line 2, column Timestamp: must be a finite number (got '12:00:00.000000')",
    ),
    "columns of another device": (
        text("No.\tTime\tVG\tID", np.c_[range(201), ROWS], separator="\t"),
        "line 1: has columns No., Time, VG, ID; wanted voltage, current, of which voltage, current cannot be told",
    ),
    "no text": ("\x00\x01\x02\x03" * 50, "must be a text file (UTF-8, UTF-16 or Latin-1)"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_cannot_be_told_is_one_line_that_names_the_option(name, tmp_path):
    content, message = MESSAGES[name]
    with pytest.raises(DataFileError) as error:
        read(tmp_path, content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"columns": {"voltag": "2"}}, "--columns must name some of time, voltage, current; did you mean 'voltage'?"),
        (
            {"columns": {"voltage": "7"}},
            "--columns voltage must be one of time_s, voltage_v, current_a, or a number from",
        ),
        ({"units": {"current": "V"}}, "--units current must be a unit of A, e.g. uA (got 'V')"),
    ],
)
def test_what_is_told_wrongly_is_one_line(told, message, tmp_path):
    with pytest.raises(ValidationError) as error:
        read(tmp_path, text(HEAD), **told)
    assert message in str(error.value)


def test_a_curve_that_no_pulse_changes_is_refused(tmp_path):
    path = tmp_path / "pulses.csv"
    path.write_text("\n".join(["pulse,G (uS),polarity", *(f"{p},5.0,up" for p in range(20))]))
    with pytest.raises(DataFileError, match=r"conductance must change with the pulses; all are 5e-06 S"):
        fit_device(path, "pulse")


def pulses(tmp_path, lines):
    path = tmp_path / "pulses.csv"
    path.write_text("\n".join(lines))
    return read_pulses(path)


@pytest.mark.parametrize("repeated", [True, False])
def test_one_counter_through_both_directions_is_counted_anew(repeated, tmp_path):
    up = [(p, 10.0 + p) for p in range(51)]
    down = [(51 + p, 60.0 - p) for p in range(51)] if repeated else [(50 + p, 60.0 - p) for p in range(1, 51)]
    lines = ["pulse,G (uS),polarity", *(f"{p},{g},up" for p, g in up), *(f"{p},{g},down" for p, g in down)]
    curve = pulses(tmp_path, lines)
    np.testing.assert_array_equal(curve.count[:51], range(51))
    np.testing.assert_array_equal(curve.count[51:], range(0 if repeated else 1, 51))
    assert curve.assumed[-1] == "pulses: one counter through both directions; counted anew from each turn"


@pytest.mark.parametrize("first", [0, 1])
def test_pulses_that_are_numbered_from_1_are_said_to_be(first, tmp_path):
    rows = [f"{first + k},{g},{way}" for way in ("LTP", "LTD") for k, g in enumerate(range(10, 50))]
    curve = pulses(tmp_path, ["Pulse #,G (uS),Direction", *rows])
    assert any("numbered from 1, the first reading is after one pulse" in said for said in curve.assumed) is bool(first)
    assert curve.count.min() == first


def test_directions_are_found_in_one_ramp_up_and_down(tmp_path):
    lines = ["n,Conductance (nS)", *(f"{p},{10 + p}" for p in range(30)), *(f"{30 + p},{38 - p}" for p in range(28))]
    curve = pulses(tmp_path, lines)
    assert curve.up.sum() == 30
    assert "polarity: no such column; up, then down" in curve.assumed
    np.testing.assert_allclose(curve.conductance[:2], [10e-9, 11e-9])
    with pytest.raises(DataFileError, match="has no column of polarity, and is no ramp up and down; say --columns"):
        pulses(tmp_path, ["n,G (nS)", *(f"{p},{10 + p % 5}" for p in range(30))])


def test_cells_may_be_named_by_row_and_column(tmp_path):
    times, rows = np.geomspace(0.01, 100.0, 5), []
    for cell in range(12):
        rows += [f"{cell // 4};{cell % 4};{t:.6g};{5 + cell % 2};{5 + cell % 2 + 0.01 * cell}" for t in times]
    for head, said in (
        ("Row;Column;Time (h);Target (uS);Read (uS)", "cell: Row and Column"),
        ("WL;BL;Time (h);Target (uS);Read (uS)", "cell: WL and BL"),
    ):
        (tmp_path / "cells.csv").write_text("\n".join([head, *rows]))
        found = read_cells(tmp_path / "cells.csv")
        assert said in found.assumed
        assert "time: in h, times 3600 s" in found.assumed
        assert len(found.target) == 12
        np.testing.assert_allclose(found.time[:5], 3600.0 * times, rtol=1e-5)
        np.testing.assert_allclose(found.target[:2], [5e-6, 6e-6])
    # A column of cells counts more; a row alone names no cell.
    (tmp_path / "cells.csv").write_text("\n".join(["Row;cell;Time (h);Target (uS);Read (uS)", *rows]))
    assert not any(said.startswith("cell:") for said in read_cells(tmp_path / "cells.csv").assumed)
    (tmp_path / "cells.csv").write_text("\n".join(["Row;Temp;Time (h);Target (uS);Read (uS)", *rows]))
    with pytest.raises(DataFileError, match="wanted cell, time, target, read, of which cell cannot be told"):
        read_cells(tmp_path / "cells.csv")
