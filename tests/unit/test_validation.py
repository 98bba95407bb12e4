"""The checks at the boundary: what passes unchanged, what is refused, and in which words."""

import math
import pickle

import numpy as np
import pytest

from circuitmem import errors
from circuitmem.errors import (
    CircuitmemError,
    ConvergenceError,
    DataFileError,
    SpiceError,
    SpiceTimeoutError,
    ValidationError,
)
from circuitmem.validation import boolean_array, did_you_mean, finite_array, in_range, integer, seconds_of, time_of


def message(function, *words, **options):
    with pytest.raises(ValidationError) as caught:
        function(*words, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestFiniteArray:
    def test_the_result_is_a_copy_in_c_order_that_nobody_can_change(self):
        given = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
        array = finite_array("x", given, shape=(2, 3))
        given[:] = 7.0
        assert array.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0

    @pytest.mark.parametrize(
        ("value", "options", "expected"),
        [
            ([1.0, math.nan], {}, "x must be finite at index 1 (got nan)"),
            ([[1.0, 2.0], [math.inf, 0.0]], {}, "x must be finite at index (1, 0) (got inf)"),
            (math.nan, {"allow_infinite": True}, "x must be finite (got nan)"),
            ([0.0, -1e-9], {"minimum": 0.0}, "x must be >= 0 at index 1 (got -1e-09)"),
            ([-math.inf], {"minimum": 0.0, "allow_infinite": True}, "x must be >= 0 at index 0 (got -inf)"),
            (-1, {"minimum": 0.0}, "x must be >= 0 (got -1.0)"),
            ([1.0, 2.0], {"shape": (3,)}, "x must have shape (3,) (got (2,))"),
            (1.0, {"shape": (2, 2)}, "x must have shape (2, 2) (got ())"),
            ("much", {}, "x must be an array of real numbers (got 'much')"),
            ([[1.0], [1.0, 2.0]], {}, "x must be an array of real numbers (got [[1.0], [1.0, 2.0]])"),
            ([1.0 + 2.0j], {}, "x must be an array of real numbers (got [(1+2j)])"),
            ([None, 1.0], {}, "x must be an array of real numbers (got [None, 1.0])"),
            (["1.0"], {}, "x must be an array of real numbers (got ['1.0'])"),
        ],
    )
    def test_what_is_refused(self, value, options, expected):
        assert message(finite_array, "x", value, **options) == expected

    def test_complex_arrays_lose_nothing_silently(self):
        assert "real numbers" in message(finite_array, "x", np.array([1.0 + 2.0j]))

    def test_infinity_passes_where_a_wire_may_be_open(self):
        assert finite_array("x", [math.inf], minimum=0.0, allow_infinite=True).tolist() == [math.inf]


class TestBooleanArray:
    @pytest.mark.parametrize("value", [[True, False], [1, 0], np.array([1, 0], np.uint8)])
    def test_what_passes(self, value):
        array = boolean_array("x", value)
        assert array.dtype == np.bool_
        assert array.tolist() == [True, False]
        assert not array.flags.writeable

    @pytest.mark.parametrize("value", [[0, 2], [0.0, 1.0], ["yes"], [-1]])
    def test_what_is_refused(self, value):
        assert message(boolean_array, "x", value) == f"x must be an array of true/false (got {value!r})"

    def test_ragged_lists_are_refused(self):
        assert "must be an array of true/false" in message(boolean_array, "x", [[True], [True, False]])

    def test_shape(self):
        assert message(boolean_array, "x", [True], shape=(2,)) == "x must have shape (2,) (got (1,))"


class TestNumbers:
    @pytest.mark.parametrize(("value", "low", "high"), [(0.5, 0.0, 1.0), (0, 0.0, 1.0), (1, 0.0, 1.0), (-5, -9.0, 0.0)])
    def test_bounds_belong_to_the_range(self, value, low, high):
        number = in_range("x", value, low, high)
        assert number == value
        assert type(number) is float

    @pytest.mark.parametrize(
        ("value", "bounds", "expected"),
        [
            (1.1, (0.0, 1.0), "x must be between 0 and 1 (got 1.1)"),
            (-0.1, (0.0,), "x must be >= 0 (got -0.1)"),
            (math.nan, (), "x must be finite (got nan)"),
            (math.inf, (0.0,), "x must be finite (got inf)"),
            ("one", (), "x must be a real number (got 'one')"),
            ([1.0], (), "x must be a real number (got [1.0])"),
        ],
    )
    def test_what_is_not_in_range(self, value, bounds, expected):
        assert message(in_range, "x", value, *bounds) == expected

    @pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
    def test_integers_of_all_kinds(self, value):
        number = integer("x", value)
        assert number == 3
        assert type(number) is int

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (3.0, "x must be an integer (got 3.0)"),
            (True, "x must be an integer (got True)"),
            ("3", "x must be an integer (got '3')"),
            (-1, "x must be >= 0 (got -1)"),
        ],
    )
    def test_what_is_no_integer(self, value, expected):
        assert message(integer, "x", value) == expected


def test_the_nearest_name_is_suggested_only_if_it_is_near():
    known = ["word_line_resistance", "bit_line_resistance", "rows"]
    assert did_you_mean("word_line_resistence", known) == "; did you mean 'word_line_resistance'?"
    assert did_you_mean("row", known) == "; did you mean 'rows'?"
    assert did_you_mean("temperature", known) == ""


class TestErrors:
    @pytest.mark.parametrize("name", errors.__all__)
    def test_every_error_has_one_base_and_a_builtin(self, name):
        kind = getattr(errors, name)
        assert issubclass(kind, CircuitmemError)
        builtins = {ValueError, OSError, RuntimeError, TimeoutError}
        assert kind is CircuitmemError or builtins & set(kind.__mro__)

    def test_a_long_value_is_cut_and_kept_on_one_line(self):
        text = str(ValidationError("x", "must be short", "a\nb" * 500))
        assert "\n" not in text
        assert len(text) < 120
        assert text.endswith("…)")
        assert "\n" not in str(ValidationError("x", "must be small", np.ones((50, 50))))

    def test_an_error_seen_from_outside_keeps_rule_and_value(self):
        outer = ValidationError("rows", "must be >= 1", 0).within("tile").within("chip")
        assert str(outer) == "chip.tile.rows must be >= 1 (got 0)"
        assert (outer.name, outer.rule, outer.value) == ("chip.tile.rows", "must be >= 1", 0)

    def test_non_convergence_carries_its_figures(self):
        error = ConvergenceError("Newton", 1e-3, 1e-9, 50)
        assert (error.residual, error.tolerance, error.iterations) == (1e-3, 1e-9, 50)
        assert str(error) == "Newton did not converge: residual 0.001 > tolerance 1e-09 after 50 iterations"

    def test_what_ngspice_said_is_in_the_message(self):
        error = SpiceError("no solution", ("singular matrix", "aborted"))
        assert str(error) == "no solution; ngspice said: singular matrix | aborted"

    @pytest.mark.parametrize(
        "error",
        [
            ValidationError("x", "must be >= 1", 0),
            DataFileError("a.npz", "no such file"),
            ConvergenceError("Newton", 1e-3, 1e-9, 50),
            SpiceError("no solution", ("singular matrix",)),
            SpiceTimeoutError("no answer", ("still at it",)),
        ],
    )
    def test_an_error_crosses_processes_unchanged(self, error):
        again = pickle.loads(pickle.dumps(error))  # as multiprocessing and Dask send it
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        again = type(error)(*error.args)  # as SimPy raises it
        assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "1 s"), (90.0, "90 s"), (5400.0, "90 min"), (31557600.0, "1 y"), (2.592e6, "30 d"), (1.5e-4, "150 us")],
)
def test_a_time_is_shown_as_it_would_be_typed(seconds, text):
    assert time_of(seconds) == text
    assert seconds_of("age", text) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0 s"), (1e-12, "1e-12 s"), (1234567.8, "1.235e+06 s")])
def test_a_time_that_is_no_number_of_a_unit_is_in_seconds(seconds, text):
    assert time_of(seconds) == text
