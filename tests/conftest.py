"""What all tests share: the rule for tests that need libngspice, and one engine for all of them."""

import functools
import os

import pytest

from circuitmem.engine import SpiceEngine, VacaskEngine
from circuitmem.errors import SpiceUnavailableError


@functools.cache
def missing_ngspice():
    """Return why ngspice cannot be used, or None."""
    try:
        SpiceEngine.probe()
    except SpiceUnavailableError as error:
        return str(error)
    return None


@functools.cache
def missing_vacask():
    """Return why VACASK cannot be used, or None."""
    try:
        VacaskEngine.probe()
    except SpiceUnavailableError as error:
        return str(error)
    return None


def pytest_runtest_setup(item):
    if item.get_closest_marker("vacask") and missing_vacask():
        pytest.skip(missing_vacask())
    if item.get_closest_marker("spice") and missing_ngspice():
        if os.environ.get("CIRCUITMEM_REQUIRE_SPICE") == "1":
            pytest.fail(f"CIRCUITMEM_REQUIRE_SPICE=1, but {missing_ngspice()}")
        pytest.skip(missing_ngspice())


@pytest.fixture(scope="session")
def spice():
    """One SpiceEngine, and so one ngspice process, for all tests that only compute."""
    with SpiceEngine(time_limit=300.0) as engine:
        yield engine


@pytest.fixture(scope="session")
def vacask():
    """One VacaskEngine for all tests that only compute."""
    with VacaskEngine() as engine:
        yield engine
