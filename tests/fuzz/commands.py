"""Random tries of the commands that read files of a user or of a run: words, and the files that they find."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from changes import SPECIAL_FLOATS, TINY, VARIANTS, change, keys_of, mild
from damage import change_arrays, hurt_bytes, hurt_table

from circuitmem.config import load_run

FINISHED = (0, 2, 5, 6, 9)
"""Variants of the tiny run that have been run for the commands that begin where a run ended."""

WORDS = ("", "word", "-1", "0", "1,1", "1.5", "a=b", "=", "\u2028", "x" * 300)


@dataclass
class Try:
    """A command line and what lies in the folder where it is called.

    Attributes
    ----------
    words : list of str
        Of the command line.
    files : dict of bytes
        By name.
    run : int, optional
        Variant of the tiny run whose folder ``run`` is there, finished.
    damage : str, optional
        Seed of a change of one file of that run.
    """

    words: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    run: int | None = None
    damage: str | None = None


def try_of(seed: int, number: int) -> Try:
    """Return one try: a command and its files."""
    rng = random.Random(f"commands {seed}:{number}")
    made = rng.choice((_tile, _tile, _tile, _fit, _fit, _infer, _infer, _netlist, _of_run, _data, _data))(rng)
    if rng.random() < 0.4:
        made.words.append("--json")
    return made


def _number(rng: random.Random, value: float, whole: bool = False) -> str:
    """Return a number for an option, mostly near one that is right."""
    choice = rng.random()
    if choice < 0.15:
        return rng.choice(SPECIAL_FLOATS)
    if choice < 0.2:
        return rng.choice(WORDS)
    if whole:
        return str(rng.choice((int(value), int(value) + 1, 2 * int(value), rng.randint(-1, 5), 10**20)))
    return repr(value * 10.0 ** rng.uniform(-2.0, 2.0))


def _options(rng: random.Random, often: float, **options: Callable[[], str] | None) -> list[str]:
    """Return some of the options, each with a value."""
    words = []
    for name, value in options.items():
        if rng.random() < often:
            words += [f"--{name.replace('_', '-')}", *([value()] if value else [])]
    return words


def _settings(rng: random.Random, *parts: str) -> list[str]:
    """Return changes of some keys of the tiny configuration, those whose names begin so."""
    base = [*TINY, *rng.choice(VARIANTS)]
    keys = [key for key in keys_of(load_run(None, base)) if key.name.startswith(parts)]
    how = mild if rng.random() < 0.6 else change
    chosen = rng.sample(keys, rng.choice((0, 0, 1, 1, 2, 3)))
    return [word for text in [*base, *(f"{k.name}={how(rng, k)}" for k in chosen)] for word in ("--set", text)]


def _table(rng: random.Random, rows: list[list[str]], often: float = 0.5) -> bytes:
    text = "\n".join(",".join(row) for row in rows) + "\n"
    return hurt_table(rng, text) if rng.random() < often else text.encode()


def _tile(rng: random.Random) -> Try:
    rows, columns = rng.randint(1, 5), rng.randint(1, 5)
    unit = rng.choice((1.0, 1e6, 1e6))
    header = [["# conductance (uS)"]] if unit != 1.0 and rng.random() < 0.8 else []
    cells = [[repr(unit * rng.uniform(1e-6, 1e-4)) for _ in range(columns)] for _ in range(rows)]
    files = {"G.csv": _table(rng, header + cells)}
    words = ["tile", "--conductance", "G.csv", "--out", "array"]
    if rng.random() < 0.4:
        marked = rng.random() < 0.5
        stuck = [[rng.choice("01" if marked else ("", "nan", repr(unit * 5e-5))) for _ in row] for row in cells]
        files["S.csv"] = _table(rng, header + stuck, 0.4)
        words += ["--stuck", "S.csv"]
        words += ["--stuck-conductance", _number(rng, 5e-5)] if marked else []
    if rng.random() < 0.4:
        vectors = [[repr(rng.uniform(0.0, 0.2)) for _ in range(rows)] for _ in range(rng.randint(1, 3))]
        files["V.csv"] = _table(rng, vectors, 0.4)
        words += ["--voltages", "V.csv"]
    words += _options(
        rng,
        0.12,
        vectors=lambda: _number(rng, 4, whole=True),
        unit=lambda: rng.choice(("S", "mS", "uS", "µS", "nS", "pS", "kS", "")),
        cell=lambda: f"{_number(rng, rows - 1, whole=True)},{_number(rng, columns - 1, whole=True)}",
        seed=lambda: _number(rng, 3, whole=True),
    )
    return Try(words + _settings(rng, "chip.tile", "chip.device", "chip.converters.dac"), files)


def _fit(rng: random.Random) -> Try:
    model = rng.choice((*["pulse"] * 7, "vteam", "yakopcic", "word"))
    if model == "pulse" or (model == "word" and rng.random() < 0.5):
        up, down, bend = rng.randint(3, 8), rng.randint(0, 8), rng.uniform(-4.0, 4.0)
        law = [math.expm1(-bend * k / up) / math.expm1(-bend) for k in range(up + 1)]
        rows = [["pulse", "conductance_s", "polarity"]]
        rows += [[str(k), repr(1e-5 + 4e-5 * part), "up"] for k, part in enumerate(law)]
        rows += [[str(k), repr(5e-5 - 4e-5 * k / max(down, 1)), "down"] for k in range(down + 1) if down]
    else:
        rows = [["time_s", "voltage_v", "current_a"]]
        for k in range(rng.randint(20, 26)):
            volts = math.sin(2.0 * math.pi * k / 25.0)
            rows.append([repr(1e-3 * k), repr(volts), repr(volts * (1e-5 if 6 < k < 19 else 1e-6))])
    columns = lambda: rng.choice(("voltage=2", "time=1,voltage=2,current=3", "current=x", "pulse=1", "=", "voltage=99"))  # noqa: E731
    words = _options(
        rng,
        0.08,
        fix=lambda: rng.choice(
            (f"minimum_conductance={_number(rng, 1e-5)}", "maximum_conductance=1e-4", "x=1", "k_on=1")
        ),
        confidence=lambda: _number(rng, 0.9),
        seed=lambda: _number(rng, 2, whole=True),
        columns=columns,
        units=lambda: rng.choice(("current=uA", "time=ms", "conductance=nS", "current=parsec", "x=y", "current")),
        step=lambda: _number(rng, 1e-3),
        polarity=lambda: rng.choice(("1", "-1", "0", "up")),
        output=lambda: rng.choice((".", "nowhere", "data.csv")),
    )
    return Try(["fit", "data.csv", "-m", model, *words], {"data.csv": _table(rng, rows, 0.7)})


def _infer(rng: random.Random) -> Try:
    words = _options(
        rng,
        0.2,
        method=lambda: rng.choice(("raw", "calibration_in_situ", "in_situ", "word")),
        rate=lambda: _number(rng, 1e5),
        duration=lambda: _number(rng, 1e-4),
        queue=lambda: _number(rng, 4, whole=True),
        check_every=lambda: _number(rng, 1e-5),
        limit=lambda: _number(rng, 0.02),
        vectors=lambda: _number(rng, 3, whole=True),
        refresh_every=lambda: _number(rng, 1e-5),
        seed=lambda: _number(rng, 2, whole=True),
        trace=lambda: rng.choice(("trace.json", "nowhere/trace.json", "run", "")),
    )
    words = words if "--duration" in words else ["--duration", "1e-4", *words]
    variant = rng.choice(FINISHED)
    aging = [key for key in keys_of(load_run(None, [*TINY, *VARIANTS[variant]])) if key.name.startswith("chip.")]
    how = mild if rng.random() < 0.6 else change
    changed = [f"{key.name}={how(rng, key)}" for key in rng.sample(aging, rng.choice((0, 0, 1, 1, 2)))]
    sets = [word for text in changed for word in ("--set", text)]
    return Try(["infer", "run", *words, *sets], {}, variant, _damage(rng, 0.35))


def _netlist(rng: random.Random) -> Try:
    what = rng.choice(("read", "program", "program", "adc"))
    words = ["netlist", "-o", rng.choice(("tile.cir", "tile.cir", "no/tile.cir", "a b.cir")), "--what", what]
    words += _options(
        rng,
        0.3 if what == "program" else 0.03,
        device=lambda: rng.choice(
            ("vteam:A", "vteam:B", "yakopcic:Miao", "stanford:1.0", "ion-drift:HP", "vteam", "word:A", "")
        ),
        pulse=lambda: rng.choice(("set", "reset", "word")),
        scheme=lambda: rng.choice(("v/2", "v/3", "1t1r", "v")),
        row=lambda: _number(rng, 3, whole=True),
        column=lambda: _number(rng, 3, whole=True),
        amplitude=lambda: _number(rng, 1.0),
        width=lambda: _number(rng, 1e-6),
        force=None,
    )
    return Try(words + _settings(rng, "chip."))


def _data(rng: random.Random) -> Try:
    """Try a network on a user's data: a table, or arrays of an npz file."""
    features, classes = rng.randint(1, 4), rng.randint(2, 3)
    samples = [[rng.uniform(-2.0, 5.0) for _ in range(features)] for _ in range(30)]
    labels = [k % classes for k in range(30)]
    if rng.random() < 0.6:
        words = ["label", "class", *"abc"] if rng.random() < 0.3 else None
        rows = [[*(f"f{k}" for k in range(features)), "label"]]
        rows += [
            [*map(repr, own), words[label] if words else str(label)] for own, label in zip(samples, labels, strict=True)
        ]
        name, content, target = "mine.csv", _table(rng, rows, 0.7), "label"
    else:
        arrays = {"x": np.array(samples), "y": np.array(labels)}
        change_arrays(rng, arrays, rng.choice((0, 1, 1, 2)))
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()
        name, target = "mine.npz", rng.choice(("", "", "y", "z"))
        content = hurt_bytes(rng, content) if rng.random() < 0.2 else content
    settings = [*TINY, f"network.layers=[{features},6,{rng.choice((classes, classes, classes, 10))}]"]
    settings = [text for text in settings if not text.startswith(("data.", "network.layers=[16"))]
    settings += [f"data.source={name}", *([f"data.target={target}"] if target else [])]
    keys = [
        key for key in keys_of(load_run(None, list(TINY))) if key.name.startswith("data.") and key.name != "data.source"
    ]
    how = mild if rng.random() < 0.5 else change
    settings += [f"{key.name}={how(rng, key)}" for key in rng.sample(keys, rng.choice((0, 0, 0, 1, 2)))]
    command = rng.choice((["data"], ["data"], ["summary"], ["train", "--out", "run", "--set", 'methods=["raw"]']))
    return Try([*command, *(word for text in settings for word in ("--set", text))], {name: content})


def _of_run(rng: random.Random) -> Try:
    return Try([rng.choice(("report", "resume", "resume")), "run"], {}, rng.choice(FINISHED), _damage(rng, 0.9))


def _damage(rng: random.Random, often: float) -> str | None:
    return str(rng.random()) if rng.random() < often else None
