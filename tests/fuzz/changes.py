"""Random changes of a resolved configuration, as words of the command line; the same seed gives the same words."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import pydantic

from circuitmem import registry
from circuitmem.config import load_run
from circuitmem.config.base import Spec

TINY = (
    "data.side=4",
    "data.train=20",
    "data.test=10",
    "network.layers=[16,6,10]",
    "chip.tile.rows=8",
    "chip.tile.columns=8",
    "ex_situ.epochs=1",
    "in_situ.epochs=1",
    "in_situ.batch=10",
    "in_situ.read_batches=1",
    "retraining.epochs=1",
    "calibration.vectors=5",
    "audit.tiles=0",
    "audit.fraction=0.0",
)
"""A run that takes a fraction of a second, before its figures are drawn."""

COUNTED = ("chip.device.kind=pulse-update", "chip.programming.verify_tolerance=1e-6", "chip.programming.deadband=5e-7")

VERILOG_A = (
    (
        'chip.device={kind="verilog-a", file="vteam", error=0.1, set_sign=-1, minimum_conductance=1e-5,'
        " maximum_conductance=1.5e-4, set_voltage=1.8, reset_voltage=0.7, set_time=1e-9, reset_time=1e-9,"
        " rise_time=1e-10}"
    ),
    "network.layers=[16,2,10]",
)

VARIANTS = (
    (),
    (),
    ("chip.tile.cell.kind=sinh", "chip.tile.cell.a=2.0"),
    ("chip.tile.cell.kind=transistor", "chip.tile.cell.on_resistance=1e3"),
    ("chip.tile.cell.kind=selector", "chip.tile.cell.threshold=0.1"),
    COUNTED,
    (*COUNTED, "in_situ.rule=tiki-taka", "in_situ.options.tiki-taka.settling=2"),
    (*COUNTED, "in_situ.rule=chopped-tiki-taka", "in_situ.options.chopped-tiki-taka.lines=3"),
    (*COUNTED, "in_situ.rule=agad", "in_situ.options.agad.period=1"),
    ("chip.device.kind=step-table", "chip.programming.verify_tolerance=1e-6", "chip.programming.deadband=0.0"),
    ("chip.device.kind=statistical", "chip.programming.verify_tolerance=1e-6", "chip.programming.deadband=0.0"),
    ("chip.device.kind=vteam", "chip.tile.cell.kind=linear"),
    ("chip.device.kind=stanford-pku", "chip.device.scheme=v/3"),
    ("chip.device.kind=ion-drift", "chip.device.window=biolek"),
    ("chip.device.kind=yakopcic", "chip.device.scheme=1t1r", "in_situ.ranges=follow"),
    ("chip.mapping.kind=offset",),
    ("chip.mapping.kind=bit-slicing", "chip.mapping.bits=2"),
    ("precision=single",),
    ("data.held_back=10", "in_situ.patience=1", "in_situ.evaluate_every=1", "ex_situ.patience=1"),
    ("network.kind=cnn", "network.convolutions=[[2,3]]", "network.layers=[16,10]"),
    ("network.kind=cnn", "network.convolutions=[[2,3]]", "network.layers=[16,10]", "chip.kernel_copies=2"),
    ("chip.converters.adc.architecture=sar",),
    ("chip.converters.dac.input=serial",),
    ("trace=true",),
    ("chip.gated=true",),
    ("chip.packed=true", "chip.tile.columns=32"),
    ("chip.mapping.kind=differential", "chip.mapping.largest_weight=output"),
    ("granularity=pulse",),
    VERILOG_A,
)
"""Settings that open other tables and other code."""

SPECIAL_FLOATS = (
    "0.0",
    "-0.0",
    "1e-300",
    "1e-61",
    "1e-60",
    "1e-30",
    "1e-12",
    "1e-9",
    "1e-6",
    "0.001",
    "0.5",
    "1.0",
    "10.0",
)
SPECIAL_FLOATS += ("1e3", "1e6", "1e7", "1e9", "1e12", "1e18", "1e30", "1e60", "1e61", "1.7e308", "inf", "-inf", "nan")
SPECIAL_INTS = (
    -1,
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    63,
    64,
    65,
    255,
    4096,
    65536,
    2**31 - 1,
    2**31,
    2**63 - 1,
    2**63,
    10**40,
)
OTHERS = (
    "true",
    "5",
    "1.5",
    '"word"',
    "[]",
    "{}",
    "[1]",
    "[[1,2],[3]]",
    '["a"]',
    "{a=1}",
    "",
    '""',
    '"a\\u0000b"',
    '"\\u2028"',
)
OTHERS += ("1979-05-27", '"' + "x" * 300 + '"', "[nan]", "'../x'", "= 3")


@dataclass(frozen=True)
class Key:
    """A key of the configuration: its value, and what its declaration names as allowed words."""

    name: str
    value: Any
    words: tuple[Any, ...] = ()


def keys_of(spec: Spec, prefix: str = "") -> list[Key]:
    """Return every key of a specification, tables and keys that were left out among them."""
    found = []
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        found.append(Key(prefix + name, value, (*_words(field.annotation), *_names(field.metadata))))
        if isinstance(value, Spec):
            found += keys_of(value, f"{prefix}{name}.")
    return found


def _words(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    words = [word for each in inner for word in ([each] if isinstance(each, str) else _words(each))]
    return words + _names(inner)


def _names(metadata: Iterable[Any]) -> list[str]:
    """Return the names that the registry knows where a declaration asks it; other engines would take too long."""
    validators = [each.func for each in metadata if isinstance(each, pydantic.AfterValidator)]
    kinds = [each.args[0] for each in validators if isinstance(each, partial) and each.args[0] in registry.KINDS]
    return [name for kind in kinds if kind != "engines" for name in registry.names(kind)]


def _number(rng: random.Random, value: float) -> str:
    choice = rng.random()
    if choice < 0.35:
        return rng.choice(SPECIAL_FLOATS)
    if choice < 0.85:
        return repr(float(value or 1.0) * 10.0 ** rng.uniform(-3.0, 3.0))
    return repr(float(value or 1.0) * rng.choice((-1.0, 0.5, 0.999, 1.001, 2.0, 1e9, 1e-9)))


def _integer(rng: random.Random, value: int) -> str:
    if rng.random() < 0.5:
        return str(rng.choice(SPECIAL_INTS))
    return str(rng.choice((value - 1, value + 1, 2 * value, value // 2, rng.randint(0, 20))))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{','.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _list(rng: random.Random, key: Key) -> str:
    """Change a list: drop, repeat or change an item, or put items where there were none."""
    items = list(key.value)
    if not items:
        ends = "cut_lines", "word_line", "bit_line", "cell", "driver", "adc"
        fault = f'{{what="{rng.choice(ends)}",tile={rng.choice((0, 1, 99))},time={_number(rng, 1e-6)}}}'
        pair = f"[{_number(rng, 1e-6)},{_number(rng, 300.0)}]"
        return rng.choice((f"[{fault}]", f"[{pair}]", f"[{pair},{pair}]", "[0]", "[0,1]", "[[2,3]]", "[[1,1],[2,2]]"))
    at = rng.randrange(len(items))
    kind = rng.random()
    if kind < 0.2:
        return _toml(items[:at] + items[at + 1 :])
    if kind < 0.4:
        return _toml([*items, items[at]])
    changed = change(rng, Key("", items[at], key.words))
    return f"[{','.join(changed if k == at else _toml(item) for k, item in enumerate(items))}]"


def change(rng: random.Random, key: Key) -> str:
    """Return another value for a key, as TOML: mostly of its type, sometimes of none that it has."""
    value = key.value
    if rng.random() < 0.06 or isinstance(value, Spec):
        return rng.choice(OTHERS)
    if key.words and rng.random() < 0.8 and not isinstance(value, tuple):
        return _toml(rng.choice(key.words))
    if key.words and rng.random() < 0.6 and isinstance(value, tuple):
        return _toml(rng.choices(key.words, k=rng.randint(1, 3)))
    if isinstance(value, bool):
        return rng.choice(("true", "false"))
    if isinstance(value, int):
        return _integer(rng, value)
    if isinstance(value, float):
        return _number(rng, value)
    if isinstance(value, tuple):
        return _list(rng, key)
    if value is None:
        return rng.choice((_number(rng, 1.0), _integer(rng, 10), "[0]", "[0.5,1.0]", "true"))
    return rng.choice(OTHERS)


def mild(rng: random.Random, key: Key) -> str:
    """Return another value for a key that is likely to be allowed, so that what lies behind the checks is met."""
    if key.words and not isinstance(key.value, tuple):
        return _toml(rng.choice(key.words))
    if isinstance(key.value, bool):
        return rng.choice(("true", "false"))
    if isinstance(key.value, int):
        return str(max(0, key.value + rng.randint(-3, 5)))
    if isinstance(key.value, float):
        return repr(key.value * 10.0 ** rng.uniform(-1.5, 1.5) if key.value else 10.0 ** rng.uniform(-16.0, 0.0))
    return change(rng, key)


def words_of(seed: int, number: int) -> list[str]:
    """Return the words of one try: a command with a tiny network and one to eight changes."""
    rng = random.Random(f"{seed}:{number}")
    settings = [*TINY, *rng.choice(VARIANTS)]
    keys = [key for key in keys_of(load_run(None, settings)) if key.name not in ("data.source", "audit.workers")]
    if rng.random() < 0.4:
        some = [key for key in keys if isinstance(key.value, (bool, int, float, str)) and "layers" not in key.name]
        some = [key for key in some if key.name not in ("network.kind", "data.side", "chip.device.kind")]
        settings += [f"{key.name}={mild(rng, key)}" for key in rng.sample(some, rng.randint(2, 8))]
    else:
        chosen = rng.sample(keys, rng.choice((1, 1, 1, 2, 2, 3, 4)))
        settings += [f"{key.name}={change(rng, key)}" for key in chosen]
    sets = [word for setting in settings for word in ("--set", setting)]
    json = ["--json"] if rng.random() < 0.3 else []
    kind = rng.random()
    if kind < 0.1:
        return ["netlist", "-o", "tile.cir", *rng.choice(([], ["--what", "adc"], ["--what", "program"])), *sets, *json]
    if kind < 0.2:
        return ["calibrate", "--held-out", "5", *sets, *json]
    methods = rng.sample(["raw", "calibration", "in_situ", "calibration_in_situ", "schr", "best"], rng.randint(1, 2))
    some = [] if any("methods=" in word for word in sets) else ["--set", f"methods={_toml(methods)}"]
    return ["train", "--out", "run", *sets, *some, *json]
