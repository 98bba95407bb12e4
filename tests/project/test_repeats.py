"""The script that counts repeats finds lines that stand twice, and lines of one shape, and nothing else."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "repeats"
BODY = """
def {name}({argument}):
    \"\"\"{about}\"\"\"
    found = {{}}
    for {each} in {argument}:
        if {each} is None:
            continue
        found[{each}] = {each} + {number}
    # {about}
    return sorted(found)
"""
FIRST = BODY.format(name="first", argument="values", about="One.", each="value", number=1)
SECOND = BODY.format(name="second", argument="things", about="Two.", each="thing", number=27)


def repeats(*words):
    done = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


def test_lines_of_one_shape_are_one_pair(tmp_path):
    (tmp_path / "a.py").write_text(FIRST)
    (tmp_path / "b.py").write_text(SECOND)
    code, lines = repeats(tmp_path)
    assert code == 0
    assert lines == [
        f"  6 {tmp_path}/a.py:4-10 ~ {tmp_path}/b.py:4-10",
        "1 pairs of places share 6 or more lines",
    ]
    assert repeats("--limit", 1, tmp_path) == (0, ["1 pairs of places share 6 or more lines, of 1 that may"])
    assert repeats("--limit", 0, tmp_path)[0] == 1
    assert repeats("--lines", 7, tmp_path)[1] == ["0 pairs of places share 7 or more lines"]


def test_the_same_docstring_counts_and_the_same_imports_do_not(tmp_path):
    text = "\n".join(f"    {word} : float" for word in ("one", "two", "three", "four", "five", "six"))
    for name in "ab":
        imports = "\n".join(f"import {module}" for module in ("os", "re", "sys", "json", "math", "time", "ast"))
        (tmp_path / f"{name}.py").write_text(f'{imports}\n{name.upper()} = """\n{text}\n"""\n')
    assert repeats(tmp_path)[1] == [
        f"  6 {tmp_path}/a.py:9-14 ~ {tmp_path}/b.py:9-14",
        "1 pairs of places share 6 or more lines",
    ]
