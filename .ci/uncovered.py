#!/usr/bin/env python3
"""Say whether more lines of circuitmem have no test than the record says; exit code 1 if so.

    make coverage               # runs all tests, counts, and calls this
    .ci/uncovered.py --keep     # what make coverage counted becomes the record, tests/uncovered.json

The record has the lines that no test runs, file by file, with the commit and the versions of Python and coverage that
counted them. Lines are counted, not shares: a deletion of tested lines is no loss, and a new line without a test is one
however large the package is. A file may have more of them if others have fewer.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "build" / "coverage" / "report.json"
RECORD = ROOT / "tests" / "uncovered.json"


def counted(report: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a report of coverage: how many lines there are, and how many of each file no test runs."""
    files = {name.replace("\\", "/"): each["summary"]["missing_lines"] for name, each in report["files"].items()}
    return {
        "lines": report["totals"]["num_statements"],
        "without_test": sum(files.values()),
        "files": {name: count for name, count in sorted(files.items()) if count},
        "coverage": report["meta"]["version"],
        "python": platform.python_version(),
    }


def differences(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return a line for each file that has more or fewer of them, the most that came first."""
    changes = {name: after.get(name, 0) - before.get(name, 0) for name in {*before, *after}}
    order = sorted((name for name, change in changes.items() if change), key=lambda name: (-changes[name], name))
    return [f"{changes[name]:+5d}  {name}" for name in order]


def commit() -> str:
    """Return the commit that was counted, with a mark if files differ from it."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=8", "--exclude=*"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def main(words: list[str]) -> int:
    """Compare with the record, or keep one."""
    if words not in ([], ["--keep"]):
        print(f"usage: uncovered.py [--keep], not {' '.join(words)}")
        return 2
    if not REPORT.is_file():
        print(f"there is no {REPORT.relative_to(ROOT)}: make coverage writes it")
        return 2
    found = counted(json.loads(REPORT.read_text("utf-8")))
    share = f"{found['without_test']:,} of {found['lines']:,} lines have no test"
    if words:
        record = found | {"commit": commit(), "counted": datetime.now(UTC).isoformat(timespec="seconds")}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        print(f"{share}: written to {RECORD.relative_to(ROOT)}")
        return 0
    if not RECORD.is_file():
        print(f"{share}; there is no record to compare with: .ci/uncovered.py --keep makes it of this")
        return 0
    record = json.loads(RECORD.read_text("utf-8"))
    print(f"{share}, {record['without_test']:,} in the record of {record['commit']}")
    for line in differences(record["files"], found["files"]):
        print(line)
    return int(found["without_test"] > record["without_test"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
