"""The engines that the common suite runs on. A new engine is one more parameter here."""

import pytest

from circuitmem.engine import BehavioralEngine


@pytest.fixture(
    params=[
        "behavioral",
        pytest.param("spice", marks=pytest.mark.spice),
    ]
)
def engine(request):
    if request.param == "spice":
        return request.getfixturevalue("spice")
    return BehavioralEngine(threads=2)
