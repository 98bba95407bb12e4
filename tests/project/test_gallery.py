"""Every program of the gallery runs and draws the figure that its page shows."""

import runpy
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"


def programs():
    """Return every program; those that ask ngspice need it."""
    for path in sorted(GALLERY.glob("*.py")):
        marks = [pytest.mark.spice] if "SpiceEngine" in path.read_text("utf-8") else []
        yield pytest.param(path, marks=marks, id=path.stem)


def test_the_gallery_has_twelve_programs():
    assert len(list(programs())) == 12


@pytest.mark.parametrize("path", list(programs()))
def test_a_program_of_the_gallery_draws_its_figure(path, tmp_path, monkeypatch):
    if "import torch" in path.read_text("utf-8"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    drawn = tmp_path / f"{path.stem}.png"
    assert [drawn] == list(tmp_path.iterdir())
    assert drawn.read_bytes().startswith(b"\x89PNG")
