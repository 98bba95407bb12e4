"""The base of all specifications, and the geometry that is declared with it."""

import math

import numpy as np
import pydantic
import pytest

from circuitmem import LinearCell, SinhCell, TileSpec
from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError


class Wire(Spec):
    length: float = pydantic.Field(gt=0.0)
    strands: tuple[int, ...] = (1,)


class Cable(Spec):
    name: str
    wires: tuple[Wire, ...] = ()
    spare: Wire | None = None


class Plug(Spec):
    pins: int
    width: float
    height: float


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Wire(length=0), "length must be greater than 0 (got 0)"),
        (lambda: Wire(length=math.nan), "length must be a finite number (got nan)"),
        (lambda: Wire(length="1"), "length must be a valid number (got '1')"),
        (lambda: Wire(length=1.0, strands=(1, 2.5)), "strands.1 must be a valid integer (got 2.5)"),
        (lambda: Wire(lenght=1.0), "lenght is not a known key; did you mean 'length'?"),
        (lambda: Cable(nam="x", wires=3), "nam is not a known key; did you mean 'name'?"),
        (lambda: Cable(), "name is required"),
        (lambda: Cable(name=3), "name must be a valid string (got 3)"),
        (
            lambda: Cable(name="x", wires=[{"length": 1.0}, {"length": -1.0}]),
            "wires.1.length must be greater than 0 (got -1.0)",
        ),
        (
            lambda: Cable(name="x", spare={"length": 1.0, "strand": 2}),
            "spare.strand is not a known key; did you mean 'strands'?",
        ),
        (lambda: Cable(name="x", spare={}), "spare.length is required"),
        (
            lambda: TileSpec(rows=2, columns=2, cell={"kind": "sin"}),
            (
                "cell.kind must be one of linear, sinh, transistor, selector, or package.module:Name (see circuitmem "
                "list cells); did you mean 'sinh'? (got 'sin')"
            ),
        ),
        (lambda: TileSpec(rows=2, columns=2, cell={}), "cell must be a table that says its kind (got {})"),
        (lambda: TileSpec(rows=2, columns=2, cell={"kind": "sinh"}), "cell.a is required"),
        (lambda: TileSpec(), "rows is required, and so is columns"),
        (lambda: Plug(), "pins is required, and so are width, height"),
        (lambda: TileSpec(rows=True, columns=2), "rows must be a valid integer (got True)"),
        (lambda: TileSpec(rows="2", columns=2), "rows must be a valid integer (got '2')"),
        (lambda: TileSpec(rows=2, columns=2, word_line_drive="right"), "must be 'left' or 'both' (got 'right')"),
        (lambda: TileSpec(rows=2, columns=2, driver_resistance=math.inf), "must be a finite number (got inf)"),
        (
            lambda: TileSpec(rows=2, columns=3, word_line_resistance=np.ones((2, 2))),
            "word_line_resistance must have shape (2, 3) (got (2, 2))",
        ),
        (
            lambda: TileSpec(rows=2, columns=3, bit_line_resistance=[1.0, 2.0, 3.0]),
            "bit_line_resistance must be a number or a two-dimensional array (got (3,))",
        ),
        (
            lambda: TileSpec(rows=1, columns=2, bit_line_resistance=[[1.0, -2.0]]),
            "bit_line_resistance must be >= 0 at index (0, 1) (got -2.0)",
        ),
    ],
)
def test_an_error_names_the_place_the_rule_and_the_value(make, expected):
    with pytest.raises(ValidationError) as caught:
        make()
    assert str(caught.value).endswith(expected)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_and_arrays_become_plain_values():
    spec = TileSpec(rows=np.int64(1), columns=np.uint8(2), word_line_resistance=np.array([[1, 2]], np.int32))
    assert (type(spec.rows), type(spec.columns)) == (int, int)
    assert spec.word_line_resistance == ((1.0, 2.0),)
    assert TileSpec(rows=1, columns=1, driver_resistance=np.float32(0.5)).driver_resistance == 0.5


def test_specs_compare_and_hash_by_value():
    resistance = np.arange(6.0).reshape(2, 3)
    first, second = (TileSpec(rows=2, columns=3, word_line_resistance=resistance, cell=SinhCell(a=2.0)) for _ in "ab")
    assert first == second
    assert hash(first) == hash(second)
    assert first != TileSpec(rows=2, columns=3, word_line_resistance=resistance, cell=LinearCell())


def test_a_spec_does_not_follow_the_array_that_it_was_made_from():
    resistance = np.ones((2, 3))
    spec = TileSpec(rows=2, columns=3, word_line_resistance=resistance)
    resistance[:] = 9.0
    assert spec.word_segments()[0, 0] == 1.0


def test_a_dumped_spec_makes_the_same_spec():
    spec = TileSpec(rows=2, columns=3, bit_line_resistance=np.ones((2, 3)), cell=SinhCell(a=2.0))
    assert TileSpec(**spec.model_dump()) == spec


def test_segments_of_lines_driven_and_sensed_at_one_end():
    spec = TileSpec(rows=2, columns=3, word_line_resistance=[[1, 2, 3], [4, 5, 6]], bit_line_resistance=7.0)
    assert spec.word_segments().tolist() == [[1, 2, 3, math.inf], [4, 5, 6, math.inf]]
    assert spec.bit_segments().tolist() == [[math.inf] * 3, [7.0] * 3, [7.0] * 3]


def test_segments_of_lines_driven_and_sensed_at_both_ends():
    spec = TileSpec(
        rows=2,
        columns=1,
        word_line_resistance=[[1, 2], [3, 4]],
        bit_line_resistance=[[5], [6], [7]],
        word_line_drive="both",
        bit_line_sense="both",
    )
    assert spec.word_segments().tolist() == [[1, 2], [3, 4]]
    assert spec.bit_segments().tolist() == [[5], [6], [7]]
    with pytest.raises(ValidationError, match=r"word_line_resistance must have shape \(2, 2\)"):
        TileSpec(rows=2, columns=1, word_line_resistance=[[1], [2]], word_line_drive="both")
