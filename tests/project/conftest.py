"""Programs of .ci, for the tests that hold them against the project."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture
def script(request, monkeypatch):
    """The program of .ci that the module of the test names in ``SCRIPT``, loaded as a module."""
    path = Path(__file__).parents[2] / ".ci" / f"{request.module.SCRIPT}.py"
    monkeypatch.syspath_prepend(path.parent)  # a program may import its neighbour
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
