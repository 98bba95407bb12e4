"""Random changes of files: tables of numbers, JSON, TOML and npz; the same random numbers make the same changes."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from changes import OTHERS, SPECIAL_FLOATS

SPELLINGS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "word",
    "1,5",
    "1.5.2",
    "1e400",
    "1e-400",
    "-",
    "0x10",
    "1_000",
    "1D-6",
    '"',
)
"""Fields that are no plain numbers."""
SPELLINGS += ("''", '"1"', "9" * 400, "é", "#", "\u2028", "1\x00", "1 2", "+1", ".5", "5.", "\ufeff1", "\u0663", "TRUE")
HEADERS = (
    "# conductance (uS)",
    "conductance_nS",
    "S mS",
    "# µS",
    "(kS)",
    "a,b",
    "# S",
    "",
    "time,voltage",
    "\ufeff# pS",
)
JSON_VALUES = (
    None,
    True,
    0,
    -1,
    1.5,
    1e300,
    10**30,
    2**63,
    "",
    "word",
    "a\u0000b",
    [],
    {},
    [1],
    [[1, 2], [3]],
    {"a": 1},
)


def number(rng: random.Random, value: float) -> str:
    """Return another text for a number of a table, mostly a number."""
    choice = rng.random()
    if choice < 0.25:
        return rng.choice(SPECIAL_FLOATS)
    if choice < 0.4:
        return rng.choice(SPELLINGS)
    return repr((value or 1.0) * rng.choice((-1.0, 0.0, 0.5, 1.001, 1e3, 1e-3, 1e6, 10.0 ** rng.uniform(-12.0, 12.0))))


def hurt_table(rng: random.Random, text: str) -> bytes:
    """Change a table of numbers: fields, lines, columns, separator, header, encoding, or where it ends."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        lines = _hurt_lines(rng, lines) or [""]
    end = rng.choice(("\n", "\n", "\n", "\r\n", "\r", ""))
    written = end.join(lines) + end
    choice = rng.random()
    if choice < 0.04:
        return written.encode("utf-16")
    if choice < 0.08:
        return written.encode("latin-1", "replace")
    if choice < 0.12:
        return hurt_bytes(rng, written.encode())
    return written.encode()


def _hurt_lines(rng: random.Random, lines: list[str]) -> list[str]:
    at = rng.randrange(len(lines))
    fields = lines[at].split(",")
    choice = rng.random()
    if choice < 0.4:
        place = rng.randrange(len(fields))
        try:
            fields[place] = number(rng, float(fields[place]))
        except ValueError:
            fields[place] = rng.choice((*SPELLINGS, *SPECIAL_FLOATS))
        return [*lines[:at], ",".join(fields), *lines[at + 1 :]]
    if choice < 0.5:  # all numbers of the table, alike
        factor = 10.0 ** rng.uniform(-12.0, 12.0) if rng.random() < 0.7 else rng.choice((0.0, -1.0, 1e-300, 1e300))
        return [",".join(_scaled(field, factor) for field in line.split(",")) for line in lines]
    if choice < 0.56:
        return lines[:at] + lines[at + 1 :]
    if choice < 0.62:
        return [*lines[:at], *[lines[at]] * rng.choice((2, 3, 40)), *lines[at + 1 :]]
    if choice < 0.68:
        return lines[:at]
    if choice < 0.74:
        place = rng.randrange(len(fields))
        return [",".join(each.split(",")[:place] + each.split(",")[place + 1 :]) for each in lines]
    if choice < 0.8:
        return [f"{each},{rng.choice(('0', '1e-6', 'x', ''))}" for each in lines]
    if choice < 0.87:
        return [line.replace(",", rng.choice((";", "\t", " ", "|", ", ", ",,"))) for line in lines]
    if choice < 0.94:
        return [rng.choice(HEADERS), *lines[rng.choice((0, 1)) :]]
    rng.shuffle(lines)
    return lines


def _scaled(field: str, factor: float) -> str:
    try:
        return repr(float(field) * factor)
    except ValueError:
        return field


def hurt_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut bytes off, or change, repeat or insert some."""
    at = rng.randrange(len(content) + 1)
    choice = rng.random()
    if choice < 0.3:
        return content[:at]
    if choice < 0.6:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if choice < 0.8:
        return content[:at] + rng.choice((b"\x00", b"\xff\xfe", b"\n\n", b'"', b"\xe9", b"[" * 5000)) + content[at:]
    return rng.choice((b"", b"\n", content + content, content[at:]))


def hurt_run(rng: random.Random, folder: Path) -> str:
    """Change one file of a run; returns its name."""
    path = rng.choice(sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith(".")))
    choice = rng.random()
    if choice < 0.1:
        path.unlink()
    elif choice < 0.15:
        path.unlink()
        path.mkdir()
    elif choice < 0.2:
        shutil.copyfile(rng.choice(sorted(folder.glob("*" + path.suffix))), path.with_name("other"))
        path.with_name("other").replace(path)
    elif choice < 0.35:
        path.write_bytes(hurt_bytes(rng, path.read_bytes()))
    elif path.suffix == ".json":
        path.write_text(json.dumps(_hurt_json(rng, json.loads(path.read_text()))))
    elif path.suffix == ".toml":
        lines = path.read_text().splitlines()
        at = rng.randrange(len(lines))
        lines[at] = lines[at].partition("=")[0] + "= " + rng.choice((*OTHERS, *SPECIAL_FLOATS, "3", "-1"))
        path.write_text("\n".join(lines))
    elif path.suffix == ".npz":
        _hurt_arrays(rng, path)
    else:
        path.write_bytes(hurt_bytes(rng, path.read_bytes()))
    return path.name


def _hurt_json(rng: random.Random, value: Any) -> Any:
    """Change one place of a value, at any depth."""
    if isinstance(value, dict) and value and rng.random() < 0.93:
        key = rng.choice(sorted(value))
        rest = {name: each for name, each in value.items() if name != key}
        return rest if rng.random() < 0.15 else value | {key: _hurt_json(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.93:
        at = rng.randrange(len(value))
        rest = value[:at] + value[at + 1 :]
        return rest if rng.random() < 0.15 else [*value[:at], _hurt_json(rng, value[at]), *value[at + 1 :]]
    return rng.choice(JSON_VALUES)


def _hurt_arrays(rng: random.Random, path: Path) -> None:
    """Change one array of an npz file, and make the checksum right again."""
    from circuitmem.files import load_npz, save_npz

    arrays: dict[str, Any] = dict(load_npz(path))
    change_arrays(rng, arrays, 1)
    save_npz(path, arrays)


def change_arrays(rng: random.Random, arrays: dict[str, Any], times: int) -> None:
    """Change some of the arrays, in place: their shape, their type, a number of them, or all; or leave one out."""
    for _ in range(times if arrays else 0):
        name = rng.choice(sorted(arrays))
        found = _changed(rng, arrays.pop(name))
        if found is not None:
            arrays[name] = found


def _changed(rng: random.Random, old: Any) -> Any:
    """Return another array, or None."""
    choice = rng.random()
    if choice < 0.15:
        return None
    if choice < 0.3:
        return old.reshape(-1)[: max(0, old.size - 1)]
    if choice < 0.5:
        return np.array("word") if choice < 0.4 else old[None]
    if old.dtype.kind in "fiub" and old.size:
        flat = old.astype(np.float64 if rng.random() < 0.2 else old.dtype).reshape(-1).copy()
        some = (0, 1, -1, 255) if flat.dtype.kind in "iub" else (0.0, -1.0, 1e-300, 1e300, np.inf, np.nan)
        value = rng.choice(some)
        with np.errstate(over="ignore"):
            flat[rng.randrange(flat.size) if rng.random() < 0.7 else slice(None)] = np.array(value).astype(flat.dtype)
        return flat.reshape(old.shape)
    if old.dtype.kind == "U" and old.ndim == 0:
        try:
            return np.array(json.dumps(_hurt_json(rng, json.loads(str(old)))))
        except ValueError:
            return np.array(str(old)[1:])
    return old
