"""The Python of the pages in docs/ runs as it stands there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [pytest.param("spice", marks=pytest.mark.spice)]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert found
    names = {}
    for block in found:
        exec(compile(block, f"{page}.md", "exec"), names)
