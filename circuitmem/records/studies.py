"""Records of studies and validations."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from circuitmem.errors import ValidationError
from circuitmem.records.reading import NotNegative, Number, Percent, Record
from circuitmem.records.runs import History

__all__ = ["PointRecord", "StudyProvenance", "Tuned", "Validation"]


class Failure(Record):
    """The error of a point of a study."""

    type: str
    message: str
    where: str = ""


RecordedLevel = str | int | float | bool | list[Any]


class DataUsed(Record):
    """Data that a point was computed with."""

    source: str
    name: str
    sha256: str
    test_samples: NotNegative


class PointRecord(Record):
    """``points/ID.json`` of a study."""

    id: str
    levels: dict[str, RecordedLevel]
    seed: NotNegative
    status: Literal["finished", "failed"]
    config: dict[str, Any]
    wall_time_s: Number
    code: str = ""
    data: list[DataUsed] | None = None
    files: dict[str, str] | None = None
    digital_percent: Percent | None = None
    histories: dict[str, History] | None = None
    tests: dict[str, Percent] | None = None
    inferences: dict[str, dict[str, Number | None]] | None = None
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

    levels: dict[str, RecordedLevel]
    seed: NotNegative


class Tuned(Record):
    """Result of tuning a method of a study at some levels, and the cost of all its trials."""

    method: str
    levels: dict[str, RecordedLevel]
    settings: dict[str, Any]
    trials: NotNegative
    maps: NotNegative
    failed: NotNegative
    percent: Percent
    half_width: Number | None
    lowest_percent: Percent
    simulated_time_s: Number
    energy_j: Number
    pulses: NotNegative
    computing_time_s: Number


class StudyProvenance(Record):
    """``provenance.json`` of a study, also kept in the metadata of its table."""

    circuitmem: str
    study: str = ""
    quick: bool
    config_hash: str
    points_hash: str = ""
    methods: list[str] | None = None
    points: NotNegative
    finished: NotNegative
    failed: list[FailedPoint]
    seeds: Annotated[list[NotNegative], Field(min_length=1)]
    data: list[tuple[str, str]]
    files: list[tuple[str, str]] = []
    kernels: dict[str, str]
    platform: str
    computing_time_s: Number
    longest_point_s: Number
    written: str
    codes: dict[str, NotNegative] = {}
    workers: NotNegative | None = None
    declared_repeats: NotNegative | None = None
    test_samples: NotNegative | None = None
    tuning: list[Tuned] | None = None


class StageRecord(Record):
    """One stage of a validation."""

    stage: str
    referee: str = "ngspice"
    worst: float | None
    bound: Number
    passed: bool = Field(alias="pass")


class Validation(Record):
    """``validation.json``."""

    stages: Annotated[list[StageRecord], Field(min_length=1)]
