import importlib

import pytest


@pytest.fixture
def kernel_variant():
    """Import a compiled variant of a kernel by name and suffix, or skip what this processor cannot run."""

    def variant(name, suffix):
        cpu = importlib.import_module("circuitmem._kernels._cpu")
        if cpu.level() < {"": 1, "_v3": 3, "_v4": 4}[suffix]:
            pytest.skip("this processor cannot run it")
        return importlib.import_module(f"circuitmem._kernels._{name}{suffix}")

    return variant
