"""The pages of the documentation do what they say: their Python runs, their commands too, their TOML is accepted."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from circuitmem.config import load_run

DOCS = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"# (\S+/\S+\.(?:toml|py))\n")
"""The first line of a block that is a file: of TOML that is no run by itself, or of Python that a run imports."""

_BLOCK = re.compile(r"^```(python|sh|toml)\n(.*?)^```$", re.S | re.M)


def pages():
    """Return every page with blocks that run; each runs in a folder of its own, beside the tables of docs/."""
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text("utf-8")
        if _BLOCK.search(text):
            yield pytest.param(path.name, marks=[pytest.mark.spice] if "SpiceEngine" in text else [])


@pytest.mark.parametrize("page", list(pages()))
def test_what_a_page_shows_works(command, page, tmp_path, monkeypatch):
    for table in DOCS.glob("*.csv"):
        shutil.copy(table, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    blocks = _BLOCK.findall((DOCS / page).read_text("utf-8"))
    assert blocks
    if any("torch" in text for language, text in blocks if language == "python"):
        pytest.importorskip("torch")
    names = {}
    for index, (language, text) in enumerate(blocks):
        if (file := _FILE.match(text)) is not None:
            path = tmp_path / file[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif language == "python":
            exec(compile(text, f"{page}, block {index}", "exec"), names)
        elif language == "toml":
            path = tmp_path / f"block_{index}.toml"
            path.write_text(text)
            load_run(path)
        else:
            for line in text.splitlines():
                program, *rest = shlex.split(line, comments=True)
                assert program == "circuitmem"
                done = command(*rest, cwd=tmp_path)
                assert done.returncode == 0, done.stderr
