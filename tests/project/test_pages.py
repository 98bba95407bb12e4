"""The pages of the documentation do what they say: their Python runs, their commands too, their TOML is accepted."""

import contextlib
import importlib.util
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from circuitmem.config import load_run

DOCS = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"# (\S+/\S+\.(?:toml|py))\n")
"""The first line of a block that is a file: of TOML that is no run by itself, or of Python that a run imports."""

_FOUND = importlib.util.spec_from_file_location("outputs", DOCS.parent / ".ci" / "outputs.py")
outputs = importlib.util.module_from_spec(_FOUND)
_FOUND.loader.exec_module(outputs)


def pages():
    """Return every page with blocks that run; each runs in a folder of its own, beside the tables of docs/."""
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text("utf-8")
        if outputs.BLOCK.search(text):
            yield pytest.param(path.name, marks=[pytest.mark.spice] if "SpiceEngine" in text else [])


@pytest.mark.parametrize("page", list(pages()))
def test_what_a_page_shows_works(command, page, tmp_path, monkeypatch):
    for table in DOCS.glob("*.csv"):
        shutil.copy(table, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    whole = (DOCS / page).read_text("utf-8")
    blocks = outputs.BLOCK.findall(whole)
    assert blocks
    if any("torch" in text for language, text, _ in blocks if language == "python"):
        pytest.importorskip("torch")
    names = {}
    for index, (language, text, shown) in enumerate(blocks):
        printed = ""
        if (file := _FILE.match(text)) is not None:
            path = tmp_path / file[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(text, f"{page}, block {index}", "exec"), names)
            printed = stream.getvalue()
        elif language == "toml":
            path = tmp_path / f"block_{index}.toml"
            path.write_text(text)
            load_run(path)
        else:
            for line in text.splitlines():
                program, *rest = shlex.split(line, comments=True)
                assert program == "circuitmem"
                done = command(*rest, cwd=tmp_path, COLUMNS="400")
                assert done.returncode == 0, done.stderr
                printed += done.stdout
        if shown:
            assert outputs.agree(shown, printed), f"{printed}\n.ci/outputs.py docs/{page} writes it into the page"
    for figure in outputs.figures(whole, page):
        assert (tmp_path / figure).is_file()
        assert (DOCS / Path(page).stem / figure).is_file()


def test_the_tutorial_shows_what_is_printed_and_drawn():
    text = (DOCS / "tutorial.md").read_text("utf-8")
    printing = [(code, shown) for language, code, shown in outputs.BLOCK.findall(text) if "print(" in code]
    assert len(printing) >= 3
    assert all(shown for _, shown in printing)
    assert len(outputs.figures(text, "tutorial.md")) >= 3


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ("accuracy  90.67 %\n", "accuracy 91.00 %\n", True),
        ("accuracy  90.67 %\n", "accuracy 71.00 %\n", False),
        ("accuracy  90.67 %\n", "error 90.67 %\n", False),
        ("off by 3.1e-13\n", "off by 9.0e-12\n", True),
        ("off by 3.1e-13\n", "off by 9.0e-4\n", False),
        ("1,000 pulses\n", "2,000 pulses\n", False),
        ("python …\n…\nngspice …\n", "python 3.11\nnumpy 2.4\nngspice 39\n", True),
        ("python …\nngspice …\n", "python 3.11\n", False),
    ],
)
def test_a_page_that_shows_something_else_is_found(shown, printed, right):
    assert outputs.agree(shown, printed) is right
