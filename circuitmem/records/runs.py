"""Records of a run: results and cost of its methods, its audit, and its provenance."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from circuitmem.errors import ValidationError
from circuitmem.records.reading import MethodName, NotNegative, Number, Percent, Record

__all__ = ["Begun", "DataRecord", "Digital", "History", "MethodRecord", "Partial", "Provenance", "Results", "Weights"]


def _check_score(record: Any) -> tuple[str, ...]:
    """Return the names of the scores that a record has: accuracy for classes, or RMSE and R2 for values.

    Raises
    ------
    ValidationError
        If it has neither, or only one of RMSE and R2.
    """
    if record.rmse is None and record.r2 is None:
        if record.accuracy_percent is None:
            raise ValidationError("accuracy_percent", "must be there, or rmse and r2")
        return ("accuracy_percent",)
    for name in ("rmse", "r2"):
        if getattr(record, name) is None:
            raise ValidationError(name, "must be there where rmse or r2 is")
    return ("rmse", "r2")


class Epoch(Record):
    """Results and cost of a method at the end of an epoch, or within one."""

    epoch: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    accuracy_percent: Percent | None = None
    rmse: Number | None = None
    r2: Number | None = None
    pulses: NotNegative
    simulated_time_s: Number
    energy_j: Number

    @pydantic.model_validator(mode="after")
    def _has_a_score(self) -> Self:
        _check_score(self)
        return self


class AccountRecord(Record):
    """Sums over operations: times in ps, energy in aJ."""

    operations: NotNegative
    busy: NotNegative
    energy: NotNegative
    pulses: NotNegative
    saturated: NotNegative


class Saturated(Record):
    """Numbers of codes at an end of their range."""

    adc: NotNegative
    dac: NotNegative


class LayerUse(Record):
    """What a layer's converters and cells were used for."""

    adc: NotNegative
    adc_saturated: NotNegative
    dac: NotNegative
    dac_saturated: NotNegative
    least_gain: NotNegative
    weights: NotNegative
    limited_before: NotNegative
    limited_after: NotNegative


class CalibrationCost(Record):
    """Cost of a calibration, and of products after it; older versions did not record the latter."""

    reads_per_product: NotNegative = 1
    digital_products: NotNegative = 0
    products: NotNegative = 0

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


class WarningRecord(Record):
    """A warning of a run."""

    kind: str
    message: str
    setting: str


class Used(Record):
    """How long a resource was held and waited for [ps], and the fraction of the time that it was in use."""

    busy: NotNegative
    waited: NotNegative
    fraction: Number


History = Annotated[list[Epoch], Field(min_length=1)]
Accounts = dict[str, AccountRecord]
Matrix = list[list[NotNegative]]
ProductErrors = dict[Literal["before", "after"], Annotated[list[ProductError], Field(min_length=1)]]


def _check_layers(errors: ProductErrors) -> ProductErrors:
    if "after" in errors and len(errors.get("before", ())) != len(errors["after"]):
        raise ValidationError("before", "must have as many layers as after")
    return errors


ProductErrorsOfLayers = Annotated[ProductErrors, pydantic.AfterValidator(_check_layers)]


class Partial(Record):
    """``partial_NAME.json``: intermediate results of a running method."""

    accuracy_percent: Percent | None = None
    rmse: Number | None = None
    r2: Number | None = None
    each: dict[str, list[Number | None]] = {}
    simulated_time_s: Number
    energy_j: Number
    pulses: NotNegative
    history: History
    between: list[Epoch] = []
    confusion: Matrix = []
    output_errors: dict[str, list[NotNegative]] = {}
    accounts: Accounts = {}
    phases: Accounts = {}
    energy_by_part: dict[str, NotNegative] = {}
    saturated_codes: dict[str, NotNegative] = {}
    utilisation: dict[str, Used] = {}
    losses: list[float] = []
    reuse: dict[str, Number] = {}
    calibration: CalibrationCost = CalibrationCost()
    product_errors: ProductErrorsOfLayers = {}
    upkeep: dict[str, Number] = {}
    audit_so_far: dict[str, Any] = {}

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> Self:
        _check_score(self)
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ValidationError("confusion", "must have as many columns as rows")
        for name in ("energy_by_part", "utilisation"):
            if self.phases and name not in self.model_fields_set:
                raise ValidationError(name, "must be there where phases is")
        if self.saturated_codes and not {"adc", "dac"} <= set(self.saturated_codes):
            raise ValidationError("saturated_codes", "must have the keys adc and dac")
        return self


class MethodRecord(Partial):
    """``method_NAME.json``: results and cost of a method."""

    layers: list[LayerUse] = []


class MethodAudit(Record):
    """What the audit found in one method."""

    largest_relative_error: float | None
    largest_state_error: float | None = None


class RefereeAudit(MethodAudit):
    """What one circuit simulator audited."""

    reads: NotNegative
    pulse_trains: NotNegative


class Audit(Record):
    """What the audit of a run found."""

    reads: NotNegative
    pulse_trains: NotNegative = 0
    largest_relative_error: float | None = None
    largest_state_error: float | None = None
    skipped_reason: str | None
    failures: list[str]
    files: list[str] = []
    referees: dict[Literal["ngspice", "vacask"], RefereeAudit] = {}
    limit: Number | None = None
    confidence: Number | None = None
    of_operations: NotNegative | None = None
    fraction_bound: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = None
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
    """Comparison of the trained methods, at equal epochs and at equal pulses."""

    equal_epochs_points: Number
    equal_pulses: Number
    equal_pulses_points: Number | None


class Results(Record):
    """``results.json``."""

    seed: NotNegative
    accuracy_percent: dict[MethodName, Percent] | None = None
    rmse: dict[MethodName, Number] | None = None
    r2: dict[MethodName, Number] | None = None
    rmse_of_targets: dict[MethodName, dict[str, Number]] = {}
    r2_of_targets: dict[MethodName, dict[str, Number | None]] = {}
    simulated_time_s: dict[MethodName, Number]
    energy_j: dict[MethodName, Number]
    pulses: dict[MethodName, NotNegative]
    audit: Audit
    history: Annotated[dict[MethodName, History], Field(min_length=1)]
    between: dict[MethodName, list[Epoch]] | None = None
    calibration_and_in_situ_against_in_situ: Gain | None = None
    confusion: dict[MethodName, Matrix] | None = None
    accounts: dict[MethodName, Accounts] | None = None
    phases: dict[MethodName, Accounts] | None = None
    energy_by_part_aj: dict[MethodName, dict[str, NotNegative]] | None = None
    utilisation: dict[MethodName, dict[str, Used]] | None = None
    saturated_codes: dict[MethodName, Saturated] | None = None
    calibration: dict[MethodName, CalibrationCost] | None = None
    product_errors: dict[MethodName, ProductErrorsOfLayers] | None = None
    warnings: list[WarningRecord] = []
    reuse: dict[MethodName, dict[str, Any]] | None = None
    upkeep: dict[MethodName, dict[str, Number]] | None = None
    precision: Literal["double", "single"] = "double"

    @pydantic.model_validator(mode="after")
    def _of_the_same_methods(self) -> Self:
        methods = set(self.history)
        for name in _check_score(self):
            if set(getattr(self, name)) != methods | {"digital"}:
                raise ValidationError(name, "must be of the methods of history, and digital")
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

    accuracy_percent: Percent | None = None
    rmse: Number | None = None
    r2: Number | None = None

    @pydantic.model_validator(mode="after")
    def _has_a_score(self) -> Self:
        _check_score(self)
        return self


class Provenance(Record):
    """``provenance.json`` of a run."""

    circuitmem: str
    seed: NotNegative
    kernels: dict[str, str] = {}
    data: dict[str, str] = {}
    finished: str = ""
    wall_time_s: Number = 0.0


class DataRecord(Record):
    """``data.json``: the data for training and test of a run."""

    name: str
    sha256: str


class Begun(Record):
    """``model.json``: the sources of the torch network of a run."""

    model: str | None
    sources: dict[str, str]
    torch: str
    weights_file: str | None = None
    weights: str | None = None
    arguments: dict[str, Any] = {}


class ExSitu(Record):
    """Result of training on a computer."""

    epochs: NotNegative
    loss: Number
    converged: bool


class Weights(Record):
    """``weights.json``: which weights ``weights.npz`` has, and how they were trained, if by the run."""

    sha256: str
    training: ExSitu | None = None
