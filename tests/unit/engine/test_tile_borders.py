"""Inputs at the border of what a tile, its converters and its files take: right, or the project's own errors."""

import json
import warnings
from functools import partial

import numpy as np
import pytest
from builders import uniform_tile

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.config import DacSpec
from circuitmem.converter import DacBank
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import DataFileError, RunBusyError, ValidationError
from circuitmem.files import locked, save_npz, write_bytes, write_text

BRIDGE = (("word", 0, 0), ("word", 1, 0), 100.0)


tile = partial(uniform_tile, rows=2, columns=3, conductance=1e-5, ohms=1.0)


@pytest.mark.parametrize("wire", [0.0, 1.0])
@pytest.mark.parametrize("defects", [None, DefectMap(bridges=[BRIDGE])])
@pytest.mark.parametrize("declared", [{}, {"cell": SinhCell(a=2.0)}])
def test_the_gradient_of_an_empty_batch_is_zero(wire, defects, declared):
    found = BehavioralEngine().gradient(tile(ohms=wire, defects=defects, **declared), np.ones((0, 2)), np.ones((0, 3)))
    assert found.voltages.shape == (0, 2)
    assert np.array_equal(found.conductance, np.zeros((2, 3)))


def test_nan_has_no_code_and_what_is_beyond_the_range_saturates():
    bank = DacBank(DacSpec(), rows=2)
    with pytest.raises(ValidationError, match="values must be finite"):
        bank.codes([np.nan])
    assert bank.codes([-np.inf, -1.0, 2.0, np.inf]).tolist() == [0, 0, bank.spec.levels - 1, bank.spec.levels - 1]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: DefectMap().save(path),
        lambda path: save_npz(path, {"a": np.zeros(1)}),
        lambda path: write_bytes(path, b""),
        lambda path: write_text(path, ""),
        lambda path: locked(path, RunBusyError("busy")).__enter__(),
    ],
)
def test_no_file_has_a_nul_in_its_name(tmp_path, write):
    with pytest.raises(DataFileError, match="cannot be written"):
        write(f"{tmp_path}/a\0b")
    assert not list(tmp_path.iterdir())


def test_bridges_nested_without_end_are_no_defect_map(tmp_path):
    save_npz(tmp_path / "deep.npz", {"bridges": np.array("[" * 100_000 + "]" * 100_000)})
    with pytest.raises(DataFileError, match="is not a defect map"):
        DefectMap.load(tmp_path / "deep.npz")
    save_npz(tmp_path / "other.npz", {"bridges": np.array(json.dumps({"word": 1}))})
    with pytest.raises(DataFileError, match="is not a defect map"):
        DefectMap.load(tmp_path / "other.npz")


@pytest.mark.parametrize("defects", [None, DefectMap(bridges=[BRIDGE])])
def test_a_law_that_overflows_is_named_with_the_voltage(defects):
    with pytest.raises(ValidationError, match=r"cell\.a must be <= 350 for cells at up to 2 V.*got 1000"):
        BehavioralEngine().read(tile(ohms=0.0, defects=defects, cell=SinhCell(a=1000.0)), [1.5, -0.5])
    # Where wires take the voltage, the same law can be solved.
    assert np.isfinite(BehavioralEngine().read(tile(cell=SinhCell(a=1000.0)), [1.0, 0.5])).all()


@pytest.mark.parametrize("sense", ["bottom", "both"])
@pytest.mark.parametrize("first", [0.0, 1e-6])
def test_one_row_of_ideal_wires_with_a_cut_warns_of_nothing(sense, first):
    spec = TileSpec(rows=1, columns=2, word_line_resistance=0.0, bit_line_resistance=0.0, bit_line_sense=sense)
    cut = Tile(spec, [[first, 1e-5]], DefectMap(open_bit_segments=[[True, False]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = BehavioralEngine().transfer_matrix(cut)
    np.testing.assert_allclose(found, [[first if sense == "both" else 0.0], [1e-5]], rtol=1e-15, atol=0.0)
