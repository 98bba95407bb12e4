"""Specifications: strict, frozen, one-line errors, and back from TOML as they were."""

import pydantic
import pytest

from circuitmem import SinhCell, TileSpec
from circuitmem.config import load_run, to_toml
from circuitmem.errors import DataFileError, ValidationError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rows": 0, "columns": 1}, "rows must be greater than or equal to 1 (got 0)"),
        ({"rows": 2, "colums": 2}, "colums is not a known key; did you mean 'columns'?"),
        ({"rows": 2}, "columns is required"),
        ({"rows": 2, "columns": 2, "word_line_resistance": -1}, "word_line_resistance must be >= 0 (got -1.0)"),
        (
            {"rows": 2, "columns": 2, "bit_line_resistance": float("nan")},
            "bit_line_resistance must be finite (got nan)",
        ),
        ({"rows": 2, "columns": 2, "cell": {"kind": "sinh", "a": -1.0}}, "cell.a must be greater than 0 (got -1.0)"),
        ({"rows": 2.5, "columns": 2}, "rows must be a valid integer (got 2.5)"),
    ],
)
def test_a_bad_tile_is_one_line(values, message):
    with pytest.raises(ValidationError) as caught:
        TileSpec(**values)
    assert str(caught.value) == message


def test_specs_are_frozen():
    with pytest.raises(pydantic.ValidationError):
        TileSpec(rows=2, columns=2).rows = 3


def test_a_resolved_run_reads_back_the_same(tmp_path):
    spec = load_run(None, ["chip.defects.clustering=2.0", "seed=9", "data.train=500"])
    (tmp_path / "run.toml").write_text(to_toml(spec))
    assert load_run(tmp_path / "run.toml") == spec


def test_a_file_that_is_not_toml(tmp_path):
    (tmp_path / "run.toml").write_text("seed = = 1")
    with pytest.raises(DataFileError, match="is not TOML"):
        load_run(tmp_path / "run.toml")


def test_the_sinh_cell_becomes_linear_for_small_a():
    assert SinhCell(a=1e-6).current(1e-4, 0.2) == pytest.approx(2e-5, rel=1e-12)


@pytest.mark.parametrize(
    "override",
    [
        "chip.tile.rows=32",
        "chip.converters.adc.bits=8",
        "chip.device.set_noise=0.0",
        "chip.defects.device_yield=0.9",
        "ex_situ.epochs=5",
        "chip.programming.deadband=1e-6",
    ],
)
def test_an_override_changes_its_own_key_and_nothing_else(override, tmp_path):
    """A file without a chip has the default one, whether or not one of its keys is set besides."""
    file = tmp_path / "part.toml"
    file.write_text("[network]\nlayers = [784, 20, 10]\n", "utf-8")
    layers = "network.layers=[784, 20, 10]"
    assert load_run(str(file)) == load_run(None, [layers])
    assert load_run(str(file), [override]) == load_run(None, [layers, override])


def test_what_a_table_of_a_file_leaves_out_is_not_filled_by_an_override(tmp_path):
    file = tmp_path / "part.toml"
    file.write_text("[chip.converters.tia]\nfeedback_resistance = 300.0\n", "utf-8")
    assert load_run(str(file)).chip.converters.adc.gain_error == 0.0
    assert load_run(str(file), ["chip.converters.adc.bits=7"]).chip.converters.adc.gain_error == 0.0
    assert load_run(str(file), ["chip.tile.rows=32"]).chip.tile.word_line_resistance == 1.0
