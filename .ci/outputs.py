#!/usr/bin/env python3
"""Write into pages what their programs and commands print, and the figures that they draw.

    .ci/outputs.py docs/tutorial.md

A block of ``python`` or ``sh`` that prints something is followed by a block ``output``; a figure that a page shows from
a folder of the name of the page (``tutorial/first/accuracy.png``) is a file that its blocks left
(``first/accuracy.png``).
Both are taken from a run of the whole page in an empty folder. In an ``output`` block "…" stands for what is otherwise
on each machine: such a block is kept as it is where it fits what was printed.

``tests/project/test_pages.py`` runs the pages too, and fails where a page shows something else (:func:`agree`).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```(python|sh|toml)\n(.*?)^```\n(?:\n```output\n(.*?)^```\n)?", re.S | re.M)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
NEAR = 0.1
"""Numbers may differ by so much of themselves: another processor rounds otherwise, and training makes more of it."""
ROUND_OFF = 1e-6
"""Numbers below this are what rounding leaves."""


def agree(shown: str, printed: str) -> bool:
    """Say whether a page shows what was printed: the words, and numbers within :data:`NEAR`."""
    if "…" in shown:
        return re.fullmatch(re.escape(_words(shown)).replace("…", ".*"), _words(printed), re.S) is not None
    if _words(shown) != _words(printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(_near(*(float(text.replace(",", "")) for text in pair)) for pair in pairs)


def _words(text: str) -> str:
    """Return a text with # for each number, and one blank between words."""
    return " ".join(re.sub(r"─+", " ", NUMBER.sub("#", text)).split())


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= max(NEAR * max(abs(first), abs(second)), ROUND_OFF)


def figures(text: str, page: str) -> list[str]:
    """Return the files of a run that a page shows."""
    return re.findall(rf"\]\({Path(page).stem}/(\S+?)\)", text)


def run(text: str, folder: Path) -> list[str]:
    """Run the blocks of a page in a folder; returns what each printed."""
    names: dict[str, object] = {}
    found = []
    for language, code, _ in BLOCK.findall(text):
        printed = io.StringIO()
        if language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(code, "page", "exec"), names)  # noqa: S102  (the pages are ours)
        elif language == "sh":
            for line in code.splitlines():
                words = [sys.executable, "-m", *shlex.split(line, comments=True)]
                done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603
                printed.write(done.stdout)
        found.append(printed.getvalue())
    return found


def main(pages: list[str]) -> int:
    """Write the outputs and figures of pages."""
    for page in map(Path, pages):
        text = page.read_text("utf-8")
        home = Path.cwd()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                os.chdir(folder)
                printed = iter(run(text, folder))
            finally:
                os.chdir(home)
            for figure in figures(text, page.name):
                target = page.parent / page.stem / figure
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / figure, target)

        def shown(match: re.Match[str], printed: object = printed) -> str:
            language, code, old = match.groups()
            new = next(printed)  # type: ignore[call-overload]
            if old is not None and "…" in old and agree(old, new):
                new = old
            lines = "".join(f"{line.rstrip()}\n" for line in new.splitlines())
            return f"```{language}\n{code}```\n" + (f"\n```output\n{lines}```\n" if lines else "")

        page.write_text(BLOCK.sub(shown, text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
