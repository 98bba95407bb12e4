"""The one reader of what runs, studies and validations leave behind: typed, versioned; an error names file and key.

JSON files carry ``format``. A file without one is of a version that wrote none and is read as the first; a file of a
later format is refused. Keys that are not declared here pass: later versions may add some. See ``docs/files.md``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from circuitmem.config import RunSpec, load_run, missing_packages
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz, write_text

__all__ = [
    "EX_SITU_ARRAYS", "STATE_ARRAYS", "DataRecord", "Digital", "Method", "Partial", "Point", "Provenance", "Record",
    "Results", "StudyProvenance", "Validation", "check_record", "read_arrays", "read_config", "read_record",
    "record_text", "write_record",
]  # fmt: skip

FORMAT = 1
"""Counts changes of JSON files that an older reader would misread."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
MethodName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]
"""Of a method of the comparison, which may be of somebody's own."""
Percent = Annotated[float, Field(ge=0.0, le=100.0)]


class Record(BaseModel):
    """A JSON object of a file, strictly typed; unknown keys pass."""

    model_config = ConfigDict(strict=True, extra="allow")


class Epoch(Record):
    """What a method had reached at the end of an epoch, or within one."""

    epoch: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    accuracy_percent: Percent
    pulses: Count
    simulated_time_s: Number
    energy_j: Number


class Account(Record):
    """What operations added up to: times in ps, energy in aJ."""

    operations: Count
    busy: Count
    energy: Count
    pulses: Count
    saturated: Count


class Saturated(Record):
    """Codes at the end of their range."""

    adc: Count
    dac: Count


class LayerUse(Record):
    """What a layer's converters and cells were used for."""

    adc: Count
    adc_saturated: Count
    dac: Count
    dac_saturated: Count
    least_gain: Count
    weights: Count
    limited_before: Count
    limited_after: Count


class CalibrationCost(Record):
    """What a calibration cost; older versions did not say what products cost since."""

    reads_per_product: Count = 1
    digital_products: Count = 0
    products: Count = 0

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
        for name in ("reads_per_product", "products"):
            if "digital_products" in self.model_fields_set and name not in self.model_fields_set:
                raise ValidationError(name, "must be there where digital_products is")
        return self


class ProductError(Record):
    """Errors of a layer's products."""

    rmse: Number
    largest: Number


class RunWarning(Record):
    """What a run warns of."""

    kind: str
    message: str
    setting: str


class Used(Record):
    """How much of the time a resource was held, and what waited for it [ps]."""

    busy: Count
    waited: Count
    fraction: Number


History = Annotated[list[Epoch], Field(min_length=1)]
Accounts = dict[str, Account]
Matrix = list[list[Count]]
ProductErrors = dict[Literal["before", "after"], Annotated[list[ProductError], Field(min_length=1)]]


def _check_layers(errors: ProductErrors) -> ProductErrors:
    if "after" in errors and len(errors.get("before", ())) != len(errors["after"]):
        raise ValidationError("before", "must have as many layers as after")
    return errors


ProductErrorsOfLayers = Annotated[ProductErrors, pydantic.AfterValidator(_check_layers)]


class Partial(Record):
    """``partial_NAME.json``: what a method that is under way has reached."""

    accuracy_percent: Percent
    simulated_time_s: Number
    energy_j: Number
    pulses: Count
    history: History
    between: list[Epoch] = []
    confusion: Matrix = []
    output_errors: dict[str, list[Count]] = {}
    accounts: Accounts = {}
    phases: Accounts = {}
    energy_by_part: dict[str, Count] = {}
    saturated_codes: dict[str, Count] = {}
    utilisation: dict[str, Used] = {}
    losses: list[float] = []
    reuse: dict[str, Number] = {}
    calibration: CalibrationCost = CalibrationCost()
    product_errors: ProductErrorsOfLayers = {}
    audit_so_far: dict[str, Any] = {}

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> Self:
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ValidationError("confusion", "must have as many columns as rows")
        for name in ("energy_by_part", "utilisation"):
            if self.phases and name not in self.model_fields_set:
                raise ValidationError(name, "must be there where phases is")
        if self.saturated_codes and not {"adc", "dac"} <= set(self.saturated_codes):
            raise ValidationError("saturated_codes", "must have the keys adc and dac")
        return self


class Method(Partial):
    """``method_NAME.json``: what a method reached and cost."""

    layers: list[LayerUse] = []


class MethodAudit(Record):
    """What the audit found in one method."""

    largest_relative_error: float | None
    largest_state_error: float | None = None


class RefereeAudit(MethodAudit):
    """What one circuit simulator did again."""

    reads: Count
    pulse_trains: Count


class Audit(Record):
    """What the audit of a run found."""

    reads: Count
    pulse_trains: Count = 0
    largest_relative_error: float | None = None
    largest_state_error: float | None = None
    skipped_reason: str | None
    failures: list[str]
    files: list[str] = []
    referees: dict[Literal["ngspice", "vacask"], RefereeAudit] = {}
    limit: Number | None = None
    confidence: Number | None = None
    of_operations: Count | None = None
    fraction_bound: Number | None = None
    methods: dict[MethodName, MethodAudit] = {}

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
        if self.reads and self.largest_relative_error is None:
            raise ValidationError("largest_relative_error", "must be a number where reads were audited")
        bound = self.fraction_bound is not None
        for name in ("limit", "confidence", "of_operations"):
            if getattr(self, name) is None and (bound or (name == "limit" and self.files)):
                raise ValidationError(name, "must be a number where a bound or a file is given")
        return self


class Gain(Record):
    """The trained methods compared."""

    equal_epochs_points: Number
    equal_pulses: Number
    equal_pulses_points: Number | None


class Results(Record):
    """``results.json``."""

    seed: Count
    accuracy_percent: dict[MethodName, Percent]
    simulated_time_s: dict[MethodName, Number]
    energy_j: dict[MethodName, Number]
    pulses: dict[MethodName, Count]
    audit: Audit
    history: Annotated[dict[MethodName, History], Field(min_length=1)]
    between: dict[MethodName, list[Epoch]] | None = None
    calibration_and_in_situ_against_in_situ: Gain | None = None
    confusion: dict[MethodName, Matrix] | None = None
    accounts: dict[MethodName, Accounts] | None = None
    phases: dict[MethodName, Accounts] | None = None
    energy_by_part_aj: dict[MethodName, dict[str, Count]] | None = None
    utilisation: dict[MethodName, dict[str, Used]] | None = None
    saturated_codes: dict[MethodName, Saturated] | None = None
    calibration: dict[MethodName, CalibrationCost] | None = None
    product_errors: dict[MethodName, ProductErrorsOfLayers] | None = None
    warnings: list[RunWarning] = []
    reuse: dict[MethodName, dict[str, Any]] | None = None

    @pydantic.model_validator(mode="after")
    def _of_the_same_methods(self) -> Self:
        methods = set(self.history)
        if set(self.accuracy_percent) != methods | {"digital"}:
            raise ValidationError("accuracy_percent", "must be of the methods of history, and digital")
        for name in (*_OF_EACH, *_TOGETHER):
            found = getattr(self, name)
            if found is None and name in self.model_fields_set:
                raise ValidationError(name, "must not be null")
            if found is not None and set(found) != methods:
                raise ValidationError(name, "must be of the methods of history")
        if self.phases is not None:
            for name in _TOGETHER:
                if getattr(self, name) is None:
                    raise ValidationError(name, "must be there where phases is")
        return self


_COSTS = ("simulated_time_s", "energy_j", "pulses", "calibration", "reuse")
_OF_EACH = (*_COSTS, "confusion", "saturated_codes", "product_errors")
_TOGETHER = ("phases", "accounts", "energy_by_part_aj", "utilisation")


class Digital(Record):
    """``digital.json``."""

    accuracy_percent: Percent


class Provenance(Record):
    """``provenance.json`` of a run."""

    circuitmem: str
    seed: Count
    kernels: dict[str, str] = {}
    data: dict[str, str] = {}
    finished: str = ""
    wall_time_s: Number = 0.0


class DataRecord(Record):
    """``data.json``: what the network of a run is trained and tested with."""

    name: str
    sha256: str


class Failure(Record):
    """The error of a point of a study."""

    type: str
    message: str
    where: str = ""


Level = str | int | float | bool | list[Any]


class Point(Record):
    """``points/ID.json`` of a study."""

    id: str
    levels: dict[str, Level]
    seed: Count
    status: Literal["finished", "failed"]
    config: dict[str, Any]
    wall_time_s: Number
    code: str = ""
    digital_percent: Percent | None = None
    histories: dict[str, History] | None = None
    tests: dict[str, Percent] | None = None
    maps: list[str] = []
    error: Failure | None = None

    @pydantic.model_validator(mode="after")
    def _of_its_status(self) -> Self:
        for name in ("error",) if self.status == "failed" else ("digital_percent", "histories"):
            if getattr(self, name) is None:
                raise ValidationError(name, f"must be there in a point that is {self.status}")
        return self


class FailedPoint(Failure):
    """A failed point, as the provenance of a study names it."""

    levels: dict[str, Level]
    seed: Count


class StudyProvenance(Record):
    """``provenance.json`` of a study, and what its table says of itself."""

    circuitmem: str
    quick: bool
    config_hash: str
    points: Count
    finished: Count
    failed: list[FailedPoint]
    seeds: Annotated[list[Count], Field(min_length=1)]
    data: list[tuple[str, str]]
    kernels: dict[str, str]
    platform: str
    computing_time_s: Number
    longest_point_s: Number
    written: str
    codes: dict[str, Count] = {}
    workers: Count | None = None
    declared_repeats: Count | None = None
    test_samples: Count | None = None


class Stage(Record):
    """One stage of a validation."""

    stage: str
    referee: str = "ngspice"
    worst: float | None
    bound: Number
    passed: bool = Field(alias="pass")


class Validation(Record):
    """``validation.json``."""

    stages: Annotated[list[Stage], Field(min_length=1)]


def read_record(path: str | os.PathLike[str], kind: type[Record]) -> dict[str, Any]:
    """Read a JSON file of a declared kind; returns its content as plain values, without ``format``.

    Raises
    ------
    DataFileError
        If it cannot be read, is not JSON, is of a later format, or a key has a wrong value or is not there.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror or error}") from None
    return check_record(path, content, kind)


def check_record(path: str | os.PathLike[str], content: bytes, kind: type[Record]) -> dict[str, Any]:
    """Return the plain values of a JSON text that came from a file; errors are those of :func:`read_record`."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataFileError(path, f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataFileError(path, f"must hold a JSON object, not a {type(found).__name__}")
    form = found.pop("format", FORMAT)
    if form != FORMAT:
        raise DataFileError(path, f"is of format {json.dumps(form)[:40]}; this version reads format {FORMAT}")
    try:
        kind.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise DataFileError(path, _rule(error)) from None
    return found


def write_record(path: str | os.PathLike[str], content: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a JSON file that :func:`read_record` reads; errors as in :func:`circuitmem.files.write_bytes`."""
    write_text(path, record_text(content, indent))


def record_text(content: Mapping[str, Any], indent: int | None = 2) -> str:
    """Return the text of such a file."""
    return json.dumps({"format": FORMAT, **content}, indent=indent) + "\n"


def _rule(error: pydantic.ValidationError) -> str:
    """Return the key and the rule of the first error."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the object"
    if first["type"] == "missing":
        return f"must have the key {key!r}"
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, ValidationError):
        return str(inner.within(key) if first["loc"] else inner)
    got = repr(first["input"])
    rule = first["msg"].replace("Input should be", "must be")
    return f"{key}: {rule} (got {got if len(got) <= 40 else got[:40] + '...'})"


Shape = tuple[str | int, ...]
EX_SITU_ARRAYS: dict[str, tuple[str, Shape]] = {"epochs": ("iu", ()), "loss": ("f", ()), "converged": ("b", ())}
"""How training ex situ went, in ``digital.npz``; an older version did not say."""

STATE_ARRAYS: dict[str, tuple[str, Shape]] = {
    "stuck": ("b", ("tiles", "rows", "columns")),
    "before": ("f", ("tiles", "rows", "columns")),
    "after": ("f", ("tiles", "rows", "columns")),
}
"""Arrays of ``state_METHOD.npz``."""


def read_arrays(path: str | os.PathLike[str], declared: Mapping[str, tuple[str, Shape]]) -> dict[str, NDArray[Any]]:
    """Read an npz file with certain arrays.

    Parameters
    ----------
    path : path
        The file.
    declared : mapping
        For each name the kinds of its type (letters of ``dtype.kind``) and its shape, whose sizes are numbers or names:
        sizes of one name are equal.

    Raises
    ------
    DataFileError
        If the file cannot be read, or an array is missing or of another type or shape.
    """
    saved = load_npz(path)
    sizes: dict[str, int] = {}
    for name, (kinds, shape) in declared.items():
        if name not in saved:
            raise DataFileError(path, f"must have the array {name!r}")
        found = saved[name]
        if found.dtype.kind not in kinds:
            raise DataFileError(path, f"{name}: must be of type {' or '.join(map(repr, kinds))}, not {found.dtype.str}")
        wanted = len(found.shape) == len(shape) and all(
            size == (part if isinstance(part, int) else sizes.setdefault(part, size))
            for part, size in zip(shape, found.shape, strict=True)
        )
        if not wanted or not found.size:
            words = ", ".join(str(sizes.get(part, part)) if isinstance(part, str) else str(part) for part in shape)
            raise DataFileError(path, f"{name}: must be of shape ({words}), not {found.shape}")
    return saved


def read_config(folder: str | os.PathLike[str], name: str = "config.toml") -> RunSpec:
    """Read the configuration of a run.

    Raises
    ------
    DataFileError
        If the folder is not a run, its configuration breaks a rule, or a package that it needs is not installed.
    """
    path = Path(folder) / name
    if not path.is_file():
        raise DataFileError(folder, f"is not a run folder (it has no {name})")
    missing = missing_packages(path)
    try:
        spec = load_run(path)
    except ValidationError as error:
        needs = f"needs {', '.join(missing)}, not installed: " if missing else ""
        raise DataFileError(path, f"{needs}{error}") from None
    if missing:
        raise DataFileError(path, f"needs {', '.join(missing)}, not installed")
    return spec
