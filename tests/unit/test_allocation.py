"""Freed memory is kept for the next arrays: the system does not clear its pages again."""

import ctypes
import subprocess
import sys

import pytest

from circuitmem import workers

PROGRAM = """
import resource

import numpy as np


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        arrays = [np.ones(500_000) for _ in range(4)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


faults()
print(faults())
"""
KEPT = "from circuitmem.allocation import keep_freed_memory\nassert keep_freed_memory()\n" + PROGRAM


def has_glibc():
    try:
        return sys.platform.startswith("linux") and bool(ctypes.CDLL(None).gnu_get_libc_version)
    except AttributeError:
        return False


def faults(program):
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not has_glibc(), reason="only glibc can keep freed memory")
def test_arrays_get_the_memory_of_those_before_them():
    assert faults(PROGRAM) > 1000  # 20 times 16 MB in pages of 4 kB, or of 64 kB
    assert faults(KEPT) < 100


def test_worker_processes_keep_freed_memory(monkeypatch):
    called = []
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(workers, "_follow", lambda parent: None)
    monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda: object())
    workers._begin(called.append, "pipe")
    assert called == [True, "pipe"]
