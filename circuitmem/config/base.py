"""The base of every declared thing: a frozen, strict specification.

A spec is data. It is checked once, when it is made; unknown keys are refused with the nearest known name;
it never changes afterwards and can be compared, hashed, and written to and read from TOML.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict

from circuitmem.config.quantity import LARGEST, SMALLEST, magnitudes
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["Spec"]


class Spec(BaseModel):
    """Frozen pydantic model whose errors are circuitmem's one-line :class:`ValidationError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)

    @pydantic.field_validator("*")
    @classmethod
    def _check_magnitude(cls, value: Any) -> Any:
        bad = magnitudes(value)
        if bad is not None:
            raise ValueError(f"must be 0 or between {SMALLEST:g} and {LARGEST:g} in magnitude")
        return value

    def __init__(self, **values: Any) -> None:
        plain = {key: _plain(value) for key, value in values.items()}
        try:
            super().__init__(**plain)
        except pydantic.ValidationError as error:
            raise _first_error(type(self), plain, error) from None


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays into Python numbers and nested tuples (strict mode takes only those)."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return value


def _first_error(model: type[Spec], values: dict[str, Any], error: pydantic.ValidationError) -> ValidationError:
    """Translate pydantic's errors into one of name, rule and value: a misspelt key comes before missing ones."""
    errors = error.errors(include_url=False)
    first = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    name = _name(first["loc"], values, keep_last=first["type"] in ("missing", "extra_forbidden")) or model.__name__
    if first["type"] == "extra_forbidden":
        return ValidationError(name, f"is not a known key{did_you_mean(str(first['loc'][-1]), model.model_fields)}")
    if first["type"] == "missing":
        table = first["loc"][:-1]
        missing = [str(item["loc"][-1]) for item in errors if item["type"] == "missing" and item["loc"][:-1] == table]
        verb = "is" if len(missing) == 2 else "are"
        others = f", and so {verb} {', '.join(missing[1:])}" if missing[1:] else ""
        return ValidationError(name, f"is required{others}")
    if first["type"].startswith("union_tag"):
        return _wrong_kind(name, first)
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, ValidationError):
        return inner.within(name) if first["loc"] else inner
    # Pydantic says "Input should be greater than 0"; a rule here completes the sentence "<name> ...".
    rule = first["msg"].replace("Input should be", "must be").replace("Value error, ", "")
    return ValidationError(name, rule, first["input"])


def _wrong_kind(name: str, error: Any) -> ValidationError:
    """Return the error for a missing or unknown ``kind``, such as that of a cell, with the known ones."""
    if error["type"] == "union_tag_not_found":
        return ValidationError(name, "must be a table that says its kind", error["input"])
    expected, tag = error["ctx"]["expected_tags"], error["ctx"]["tag"]
    hint = did_you_mean(tag, [word.strip(" '") for word in expected.split(",")])
    return ValidationError(f"{name}.kind", f"must be one of {expected}{hint}", tag)


def _name(location: tuple[int | str, ...], values: Any, keep_last: bool) -> str:
    """Return the dotted name of a pydantic location, without the tags that it adds for members of a union.

    The first part and all parts that the input has are kept; ``keep_last`` keeps the last one in any case.
    """
    parts = []
    for depth, part in enumerate(location):
        inside = (isinstance(values, dict) and part in values) or (
            isinstance(values, tuple) and isinstance(part, int) and part < len(values)
        )
        if inside:
            values = values[part]
        if inside or depth == 0 or (keep_last and depth == len(location) - 1):
            parts.append(str(part))
    return ".".join(parts)
