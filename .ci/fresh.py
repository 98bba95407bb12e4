#!/usr/bin/env python3
"""Time the set-up and the first run on a bare Debian, and keep the record, docs/measured/fresh-SUITE.json.

    .ci/fresh.py trixie /tmp/trixie             # as root, with debootstrap; a new folder of 4 GB
    .ci/fresh.py trixie /tmp/trixie --test      # afterwards make test too

The folder becomes the smallest system that debootstrap makes. What README asks for is installed there, a fresh clone of
this checkout's commit is put in, and ``make run`` is called in two parts: all that comes before the run, and the run.
With ``--test`` the tools of the tests are installed and ``make test`` is called; the record has them if they pass.
Nothing else comes from this machine but its names of hosts and, where its variables name them, its certificates.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "docs" / "measured"
SUITES = ("bookworm", "trixie")
INSIDE = "/root/circuitmem"
"""The clone, as it is called in the new system."""
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
MOUNTS = ("proc", "proc"), ("devtmpfs", "dev"), ("devpts", "dev/pts"), ("tmpfs", "dev/shm")
"""Kinds of file systems that programs expect, and where; a terminal of tests is one of ``dev/pts``."""
KEPT = ("circuitmem", "python", "numpy", "kernels", "platform", "ngspice", "vacask")
"""What a record has of the run's own provenance."""


def packages(readme: str) -> list[str]:
    """Return the packages of Debian that README asks for before its two commands."""
    lines = re.search(r"^## Two commands\n+(.*?):\n\n    make run", readme, re.M | re.S)
    if lines is None:
        raise SystemExit("README.md does not say what the two commands need")
    return " ".join(re.findall(r"`([^`]+)`", lines[1])).split()


def load() -> list[float]:
    """Return how many processes wanted a processor in the last minute, five and fifteen."""
    return [round(value, 2) for value in os.getloadavg()]


def processor() -> str:
    """Return what the processor calls itself."""
    text = Path("/proc/cpuinfo").read_text("utf-8")
    names = re.findall(r"^model name\s*: (.*)$", text, re.M)
    return names[0] if names else "unknown"


class System:
    """A bare Debian in a folder."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        subprocess.run(["debootstrap", "--variant=minbase", suite, str(folder)], check=True, stdout=sys.stderr)  # noqa: S603, S607
        shutil.copyfile("/etc/resolv.conf", folder / "etc" / "resolv.conf")
        own = next((os.environ[name] for name in CERTIFICATES if name in os.environ), None)
        self.environment = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        if own is not None:
            shutil.copyfile(own, folder / "root" / "certificates.pem")
            self.environment |= dict.fromkeys(CERTIFICATES, "/root/certificates.pem")
        for kind, place in MOUNTS:
            (folder / place).mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", kind, kind, str(folder / place)], check=True)  # noqa: S603, S607

    def close(self) -> None:
        """Take away what is mounted; the folder stays."""
        for _, place in reversed(MOUNTS):
            subprocess.run(["umount", str(self.folder / place)], check=False)  # noqa: S603, S607

    def call(self, command: str) -> tuple[float, str]:
        """Run a command in it; returns the time it took [s], and the last line that it printed."""
        began, last = time.perf_counter(), ""
        words = ["chroot", str(self.folder), "/bin/bash", "-c", command]
        with subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            assert process.stdout is not None
            for line in process.stdout:
                sys.stderr.write(line)
                last = line.strip() or last
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode} of {command}")
        return time.perf_counter() - began, last


def passed(line: str) -> int:
    """Return how many tests the closing line of pytest says have passed."""
    found = re.search(r"(\d+) passed", line)
    if found is None:
        raise SystemExit(f"not the closing line of pytest: {line}")
    return int(found[1])


def record(
    suite: str, times: dict[str, float], loads: dict[str, list[float]], provenance: dict[str, Any], tests: int | None
) -> dict[str, Any]:
    """Return what is kept: the times, on what, and what else the machine did before each part and at the end."""
    return {
        "suite": suite,
        **{f"{name}_s": round(seconds, 1) for name, seconds in times.items()},
        **({} if tests is None else {"tests_passed": tests}),
        "processor": processor(),
        "processors": os.cpu_count(),
        "load_before": loads,
        **{name: provenance[name] for name in KEPT if name in provenance},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(words: list[str]) -> int:
    """Make the system, time it, and keep the record."""
    if len(words) not in (2, 3) or words[0] not in SUITES or words[2:] not in ([], ["--test"]):
        print(f"usage: fresh.py {{{','.join(SUITES)}}} FOLDER [--test], not {' '.join(words)}")
        return 2
    suite, folder = words[0], Path(words[1]).resolve()
    if folder.exists():
        print(f"{folder} must be a new folder")
        return 2
    if os.geteuid() or shutil.which("debootstrap") is None:
        print("this needs root, and debootstrap (apt-get install debootstrap)")
        return 2
    system = System(folder, suite)
    try:
        asked = " ".join(packages((ROOT / "README.md").read_text("utf-8")))
        system.call(f"apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install {asked}")
        subprocess.run(["git", "clone", "-q", str(ROOT), f"{folder}{INSIDE}"], check=True)  # noqa: S603, S607
        parts = {"set_up": ".venv/build.stamp", "run": "run OUT=runs/first"}
        parts |= {"test_set_up": ".venv/test.stamp", "test": "test"} if words[2:] else {}
        path, last = RECORDS / f"fresh-{suite}.json", list(parts)[-1]
        loads, times, tests = {}, {}, None
        for name, target in parts.items():
            loads[name] = load()
            times[name], printed = system.call(f"cd {INSIDE} && make {target}")
            tests = passed(printed) if name == "test" else None
            if name in ("run", last):  # tests that fail afterwards take nothing away from the run
                loads["end"] = load()
                made = json.loads(Path(f"{folder}{INSIDE}/runs/first/provenance.json").read_text("utf-8"))
                path.write_text(json.dumps(record(suite, times, loads, made, tests), indent=1) + "\n", "utf-8")
                del loads["end"]
        print(f"{path.relative_to(ROOT)}: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))
    finally:
        system.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
