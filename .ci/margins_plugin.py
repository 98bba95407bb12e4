"""A pytest plugin that notes how much of every tolerance is used, into the file that MARGINS names.

It sees ``assert_allclose``, ``pytest.approx``, and asserts whose two sides were numbers (``assert error <= 1e-9``),
which pytest explains to it when they hold. Used is a fraction: 1 is the edge. A comment "margin: why" on the line above
a comparison is its reason for using much of it.
"""

import functools
import inspect
import json
import linecache
import os
import re
from pathlib import Path

import numpy as np
import pytest

LARGEST_TOLERANCE = 0.1
"""Right sides of asserts beyond it are no tolerances, but what something must be below."""

_NUMBER = r"(?:np\.float\d+\()?(-?\d+(?:\.\d*)?(?:e[+-]?\d+)?)\)?"
_BELOW = re.compile(rf"^\(?{_NUMBER} <=? {_NUMBER}\)?(?:$|\n)")

_REASON = re.compile(r"#\s*margin:\s*(.+)")

_found = {}
_current = [""]


def _note(kind, line, asked, used):
    if np.isfinite(used):
        key = (re.sub(r"\[.*", "", _current[0]), kind, line)
        if used >= _found.get(key, (-1.0,))[0]:
            _found[key] = (float(used), float(asked), _current[0])


def _line():
    """Return the line of the test module from which a comparison was called."""
    test = _current[0].split("::", 1)[0]
    for frame in inspect.stack()[2:]:
        if frame.filename.endswith(test):
            return frame.lineno
    return 0


def _reason(test, line):
    """Return the reason that stands in the comment above a line of a test's module, or None."""
    found, said = "", line - 1
    while (text := linecache.getline(test.split("::", 1)[0], said).strip()).startswith("#"):
        if match := _REASON.match(text):
            return f"{match[1]} {found}".strip()
        found, said = f"{text.lstrip('# ')} {found}", said - 1
    return None


def _watch_allclose():
    original = np.testing.assert_allclose

    @functools.wraps(original)
    def watched(actual, desired, rtol=1e-7, atol=0, *args, **kwargs):
        original(actual, desired, rtol, atol, *args, **kwargs)
        try:
            one, other = np.asarray(actual, dtype=float), np.asarray(desired, dtype=float)
            apart = np.abs(one - other)
            allowed = atol + rtol * np.abs(other)
            share = np.divide(apart, allowed, out=np.zeros(np.broadcast(apart, allowed).shape), where=allowed > 0.0)
            _note("assert_allclose", _line(), max(float(rtol), float(atol)), np.nanmax(share, initial=0.0))
        except (TypeError, ValueError):  # not numbers: no tolerance is used
            return

    np.testing.assert_allclose = watched


def _watch_approx():
    scalar = type(pytest.approx(1.0))  # those of arrays and lists ask it, element by element
    original = scalar.__eq__

    def watched(self, actual):
        equal = original(self, actual)
        if equal is True or equal is np.True_:
            try:
                tolerance, apart = float(self.tolerance), abs(float(actual) - float(self.expected))
            except (TypeError, ValueError):
                return equal
            if tolerance > 0.0:
                _note("approx", _line(), tolerance, apart / tolerance)
        return equal

    scalar.__eq__ = watched


def pytest_configure():
    """Begin to watch."""
    _watch_allclose()
    _watch_approx()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Note which test is on."""
    _current[0] = item.nodeid
    yield


def pytest_assertion_pass(lineno, orig, expl):
    """Note an assert that held, if it compares a measured number with a tolerance."""
    found = _BELOW.match(expl)
    # A whole number on the left is counted, not measured.
    if found and re.search(r"[.e]", found[1]):
        value, limit = float(found[1]), float(found[2])
        if 0.0 < limit <= LARGEST_TOLERANCE:
            _note(orig.strip(), lineno, limit, max(value, 0.0) / limit)


def pytest_sessionfinish(session, exitstatus):
    """Write what was found, under another name first."""
    rows = [
        {
            "test": test,
            "what": what,
            "line": line,
            "used": used,
            "asked": asked,
            "case": case,
            "reason": _reason(test, line),
        }
        for (test, what, line), (used, asked, case) in sorted(_found.items())
    ]
    reports = session.config.pluginmanager.get_plugin("terminalreporter").stats
    counts = {name: len(reports.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    failed = [report.nodeid for name in ("failed", "error") for report in reports.get(name, [])]
    target = Path(os.environ["MARGINS"])
    partial = target.with_suffix(".partial")
    record = {"counts": counts, "failed": failed, "exit": int(exitstatus), "tolerances": rows}
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(target)
