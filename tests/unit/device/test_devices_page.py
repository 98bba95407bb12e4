"""The page on devices: its code runs as it stands there."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "devices.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_of_the_page_runs(number, capsys):
    exec(compile(BLOCKS[number], f"{PAGE.name}, block {number}", "exec"), {})
    assert capsys.readouterr().out.strip()
