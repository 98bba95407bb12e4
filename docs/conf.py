"""How Sphinx builds the site: `make docs`. Notebooks run while it does, and any warning ends it."""

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import circuitmem

project = "circuitmem"
author = "The circuitmem developers"
copyright = "The circuitmem developers; GPL-3.0-or-later"  # noqa: A001  (Sphinx wants this name)
release = circuitmem.__version__

sys.path.insert(0, str(Path(__file__).parent))
extensions = [
    "mathml",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"circuitmem {release}"
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# Notebooks: every one runs, from nothing, and an exception in a cell is an error of the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have them, with shapes and units
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# Names in numpydoc sections are words for a reader; Sphinx takes some for links.
suppress_warnings = ["ref.python"]  # such a word that several classes have

# The page of commands is what `circuitmem COMMAND --help` says, so it cannot fall behind.
_commands = subprocess.run(
    [sys.executable, "-m", "typer", "circuitmem.cli", "utils", "docs", "--name", "circuitmem", "--title", "Commands"],
    check=True,
    capture_output=True,
    text=True,
    env=os.environ | {"NO_COLOR": "1"},
)
Path(__file__).with_name("commands.md").write_text(_commands.stdout, encoding="utf-8")

# The gallery is what examples/gallery holds: each program runs, draws its figure, and stands below it.
_docs = Path(__file__).parent
_gallery = _docs / "gallery"
_gallery.mkdir(exist_ok=True)
_programs = sorted((_docs.parent / "examples" / "gallery").glob("*.py"))
with ThreadPoolExecutor(2) as pool:
    _drawn = [pool.submit(subprocess.run, [sys.executable, path], cwd=_gallery, check=True) for path in _programs]
    for _program in _drawn:
        _program.result()
_page = ["# Gallery", "Short programs, each with the figure that it draws; they are in `examples/gallery`."]
for _path in _programs:
    _title, _, _text = ast.get_docstring(ast.parse(_path.read_text(encoding="utf-8"))).partition("\n")
    _figure = f"```{{image}} gallery/{_path.stem}.png\n:width: 75%\n:alt: {_title}\n```"
    _page += [f"## {_title.removesuffix('.')}", _text.strip(), _figure]
    _lines = f":lines: {_text.count(chr(10)) + 5}-"  # without the docstring, which stands above as text
    _page.append(f"```{{literalinclude}} ../examples/gallery/{_path.name}\n:language: python\n{_lines}\n```")
(_docs / "gallery.md").write_text("\n\n".join(_page) + "\n", encoding="utf-8")
