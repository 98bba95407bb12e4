#!/usr/bin/env python
"""Record how much processor time tests take: ``.ci/durations.py tests/unit/study -n 2`` (paths and options of pytest).

Tests of more than ``SLOW`` seconds carry the marker ``slow``; tests/project/test_tests.py compares the markers with
the record, tests/durations.json. The processor time of a test and of the processes that it starts depends little on
the load of the machine, and no test is judged by its time when it runs. The record keeps what it had of other tests.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
RECORD = TOP / "tests" / "durations.json"
SLOW, LEAST = 5.0, 1.0
"""Seconds from which a test is slow, and from which the record has it."""


def tree_seconds(root=None):
    """Return the processor time of a process, its descendants, and those that they have waited for [s]."""
    times, children = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        times[int(folder.name)] = sum(int(field) for field in fields[11:15])
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    ticks, waiting = 0, [os.getpid() if root is None else root]
    while waiting:
        process = waiting.pop()
        ticks += times.get(process, 0)
        waiting += children.get(process, [])
    return ticks / os.sysconf("SC_CLK_TCK")


_found = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Note the time before a test; :func:`pytest_runtest_makereport` takes it from the time after."""
    item.began = tree_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Put the seconds into the report, which goes to the process that has all of them."""
    report = yield
    if call.when == "teardown":
        report.user_properties.append(("cpu_seconds", tree_seconds() - item.began))
    return report


def pytest_runtest_logreport(report):
    """Collect the seconds of every test."""
    if report.when == "teardown":
        _found[report.nodeid] = dict(report.user_properties)["cpu_seconds"]


def pytest_sessionfinish(session):
    """Write the record, in the process that has all reports."""
    if hasattr(session.config, "workerinput") or not _found:
        return
    kept = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
    kept = {name: value for name, value in kept.items() if name not in _found}
    record = kept | {name: round(value, 1) for name, value in _found.items() if value >= LEAST}
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOP / ".ci"), *filter(None, paths)])}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "durations", "-p", "no:cacheprovider", *sys.argv[1:]]
    sys.exit(subprocess.run(words, cwd=TOP, env=environment, check=False).returncode)  # noqa: S603
