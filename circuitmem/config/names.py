"""Names of things that the registry knows: what a declaration may say for each kind."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import pydantic

from circuitmem import registry
from circuitmem.errors import ValidationError

__all__ = ["CalibrationName", "DatasetName", "EngineName", "OptimiserName", "RuleName"]


def _known(kind: str, name: str) -> str:
    """Return a name that is known, or one that leads to what it names; pydantic says which key has it."""
    try:
        return registry.check(kind, name)
    except ValidationError as error:
        raise ValueError(error.rule) from None


CalibrationName = Annotated[str, pydantic.AfterValidator(partial(_known, "calibrations"))]
DatasetName = Annotated[str, pydantic.AfterValidator(partial(_known, "datasets"))]
EngineName = Annotated[str, pydantic.AfterValidator(partial(_known, "engines"))]
OptimiserName = Annotated[str, pydantic.AfterValidator(partial(_known, "optimisers"))]
RuleName = Annotated[str, pydantic.AfterValidator(partial(_known, "rules"))]
