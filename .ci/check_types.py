#!/usr/bin/env python3
"""Run mypy, unless NumPy is too new for it: then say so, and end without an error.

mypy 2.4.1 ends with an internal error when it reads the stubs of NumPy 2.5, which need Python 3.12; with Python 3.11
pip installs NumPy 2.4, and types are checked there.
"""

import re
import subprocess
import sys
from importlib.metadata import version

TOO_NEW = 2, 5


def main() -> int:
    """Check types, or say why not."""
    numpy = version("numpy")
    major, minor = map(int, re.findall(r"\d+", numpy)[:2])
    if (major, minor) >= TOO_NEW:
        print(f"not checked: mypy {version('mypy')} cannot read the stubs of NumPy {numpy}; Python 3.11 has older ones")
        return 0
    return subprocess.run([sys.executable, "-m", "mypy"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
