"""The engines that the common suite runs on. A new engine is one more parameter here."""

import pytest

from circuitmem.engine import BehavioralEngine


@pytest.fixture(
    params=[
        "behavioral",
        pytest.param("spice", marks=pytest.mark.spice),
        pytest.param("vacask", marks=pytest.mark.vacask),
    ]
)
def engine(request):
    if request.param != "behavioral":
        return request.getfixturevalue(request.param)
    return BehavioralEngine(threads=2)


@pytest.fixture(
    params=[pytest.param("spice", marks=pytest.mark.spice), pytest.param("vacask", marks=pytest.mark.vacask)]
)
def referee(request):
    """Each simulator against which the behavioral engine is held."""
    return request.getfixturevalue(request.param)
