import importlib

import pytest

from circuitmem._kernels.variants import LEVELS


@pytest.fixture(params=LEVELS, ids=[level.name for level in LEVELS])
def level(request):
    """Every instruction set that kernels are compiled for, or those of them that this processor can run."""
    if importlib.import_module("circuitmem._kernels._cpu").level() < request.param.needed:
        pytest.skip("this processor cannot run it")
    return request.param


@pytest.fixture
def kernel_variant(level):
    """Import a compiled kernel by its name: each variant of it in turn."""
    return lambda name: importlib.import_module(f"circuitmem._kernels._{name}{level.suffix}")
