"""A user's Verilog-A, read as text: the names in the model, and what is refused before it is compiled.

OpenVAF silently drops the values that variables keep from one moment to the next, and runs analogue events in every
evaluation; such models compile, run, and are wrong. A model is accepted if its state is the voltage of a node,
``V(x) <+ idt(rate, start);``, and nothing else in it has a memory.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from circuitmem.config import VerilogASpec, verilog_text
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["RATE", "Model", "read_model", "without_comments"]

RATE = "circuitmem_rate"
"""Terminal that is added to a model to read its rate."""

_INCLUDES = ("constants.vams", "disciplines.vams")
_MACROS = re.compile(r"`(?!include\b|[MP]_[A-Z0-9_]+)(\w+)")
_REFUSED = (
    (r"\bddt\s*\(", "must have no ddt(): wires and devices have no capacitance during a pulse"),
    (r"\bidtmod\s*\(", "must have no idtmod(), which OpenVAF takes for idt()"),
    (r"\babsdelay\s*\(", "must have no absdelay(): its law must be of state and voltage"),
    (r"\$abstime\b", "must not ask for the time, $abstime: its law must be of state and voltage"),
    (r"\$(?:random|arandom|rdist_\w+)\b", "must draw no random numbers: its law must be of state and voltage"),
)
_MODULE = re.compile(r"\bmodule\s+(\w+)\s*\(([^)]*)\)\s*;(.*?)\bendmodule\b", re.S)


class Model(NamedTuple):
    """A model that has been read.

    Attributes
    ----------
    module : str
        Its name.
    terminals : tuple of str
        The two of the device, the positive one first, and the state.
    start : str
        The parameter that sets the initial state.
    text : str
        The Verilog-A, with the state as a terminal.
    probe : str
        The same with the state held at its initial value, and its rate as the voltage of a fourth terminal.
    """

    module: str
    terminals: tuple[str, ...]
    start: str
    text: str
    probe: str


def read_model(spec: VerilogASpec) -> Model:
    """Read a model.

    Raises
    ------
    ValidationError
        If the model cannot be accepted: the message names the file, the variable or node, and the rule.
    """
    text = without_comments(verilog_text(spec))
    _check_text(spec, text)
    module, ports, body = _module(spec, text)
    state, terminals = spec.state, [port.strip() for port in ports.split(",")]
    if not re.search(rf"\belectrical\b[^;]*\b{state}\b", body):
        raise ValidationError("chip.device.state", f"must be an electrical node of module {module}", state)
    devices = [port for port in terminals if port != state]
    if len(devices) != 2 or not all(re.fullmatch(r"\w+", port) for port in terminals):
        rule = "must have two terminals by name, and may have the state as a third"
        raise _refused(spec, rule, f"module {module}({ports.strip()})")
    rate, start, statement = _integral(spec, body)
    known = _parameters(body)
    if start not in _instance_parameters(body):
        rule = (
            f'must have {start} as (* type="instance" *) parameter real {start}: each cell has a first state of its own'
        )
        raise _refused(spec, rule)
    for name in spec.parameters:
        if name not in known or name == start:
            listed = [each for each in known if each != start]
            rule = f"must be a parameter of module {module}: {', '.join(listed)}{did_you_mean(name, listed)}"
            raise ValidationError("chip.device.parameters", rule, name)
    order = (*devices, state)
    declared = "" if state in terminals else f"\n  inout {state};"
    held = body.replace(statement, f"V({state}) <+ {start};\n    V({RATE}) <+ {rate};")
    return Model(
        module,
        order,
        start,
        _with_module(text, module, f"module {module}({', '.join(order)});{declared}{body}endmodule"),
        _with_module(
            text,
            module,
            f"module {module}({', '.join((*order, RATE))});{declared}\n"
            f"  inout {RATE};\n  electrical {RATE};{held}endmodule",
        ),
    )


def without_comments(text: str) -> str:
    """Return Verilog-A with each comment replaced by a space."""
    return re.sub(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda found: found[1] or " ", text, flags=re.S)


def _refused(spec: VerilogASpec, rule: str, value: object = None) -> ValidationError:
    return ValidationError(spec.file, rule, value)


def _check_text(spec: VerilogASpec, text: str) -> None:
    for name in re.findall(r"`include\s*([^\n]*)", text):
        if name.strip().strip('"') not in _INCLUDES:
            raise _refused(spec, f"must include nothing but {' and '.join(_INCLUDES)}", name.strip())
    if macro := _MACROS.search(text):
        raise _refused(spec, "must have no macros of its own: write them out", f"`{macro[1]}")
    if event := re.search(r"@\s*(?=\()", text):
        end = _arguments(text, event.end())[1]
        after = re.match(r"\s*(?:begin\s*(?::\s*\w+)?)?\s*(\w+)\s*=(?!=)", text[end:])
        who = f"variable {after[1]!r}" if after else "its state"
        what = " ".join(text[event.end() : end].split())
        rule = f"must have no analogue events: OpenVAF runs @{what} in every evaluation; make {who} a node"
        raise _refused(spec, f"{rule}, V(x) <+ idt(rate, start)")
    for pattern, rule in _REFUSED:
        if found := re.search(pattern, text):
            raise _refused(spec, rule, found[0])


def _module(spec: VerilogASpec, text: str) -> tuple[str, str, str]:
    found = {name: (name, ports, body) for name, ports, body in _MODULE.findall(text)}
    if spec.module is None:
        if len(found) != 1:
            rule = f"must be named: {spec.file} has {', '.join(found) or 'no module with a list of terminals'}"
            raise ValidationError("chip.device.module", rule)
        return next(iter(found.values()))
    if spec.module not in found:
        rule = f"must be a module of {spec.file}: {', '.join(found)}{did_you_mean(spec.module, found)}"
        raise ValidationError("chip.device.module", rule, spec.module)
    return found[spec.module]


def _with_module(text: str, module: str, new: str) -> str:
    """Return the text with the definition of a module replaced."""
    return _MODULE.sub(lambda found: new if found[1] == module else found[0], text)


def _integral(spec: VerilogASpec, body: str) -> tuple[str, str, str]:
    """Return rate and initial value of the only integral, and its statement."""
    places = [found.start() for found in re.finditer(r"\bidt\s*\(", body)]
    right = f"V({spec.state}) <+ idt(rate, start);"
    if not places:
        raise _refused(spec, f"must have a state: {right}")
    begin = 0
    for place in places:
        line = body[body.rfind(";", 0, place) + 1 : place]
        alone = re.search(r"\bV\s*\(\s*(\w+)\s*\)\s*<\+\s*$", line)
        if alone is None:
            variable = re.search(r"(\w+)\s*=(?!=)[^=]*$", line)
            who = f"variable {variable[1]!r}" if variable else " ".join(line.split())
            rule = f"must integrate into a node, and {who} is none: it is not known where its rate is worked out"
            raise _refused(spec, f"{rule}; write {right}")
        if alone[1] != spec.state:
            rule = f"must be the node that {spec.file} integrates into, {alone[1]}"
            raise ValidationError("chip.device.state", rule, spec.state)
        begin = place - len(line) + alone.start()
    if len(places) > 1:
        raise _refused(spec, "must have one state, and so one idt", len(places))
    arguments, end = _arguments(body, body.index("(", places[0]))
    tail = re.match(r"\s*;", body[end:])
    if tail is None or len(arguments) != 2 or not re.fullmatch(r"[A-Za-z_]\w*", arguments[1]):
        raise _refused(spec, f"must have idt alone, the first state a parameter: {right}", body[begin:end])
    return arguments[0], arguments[1], body[begin : end + tail.end()]


def _arguments(text: str, opening: int) -> tuple[list[str], int]:
    """Return the arguments in a pair of brackets, and the place after the closing one."""
    depth, parts, last = 0, [], opening + 1
    for place in range(opening, len(text)):
        sign = text[place]
        depth += (sign in "([{") - (sign in ")]}")
        if (sign == "," and depth == 1) or depth == 0:
            parts.append(text[last:place].strip())
            last = place + 1
        if depth == 0:
            return parts, place + 1
    return parts, len(text)


def _parameters(body: str) -> list[str]:
    found: list[str] = []
    for _, names in re.findall(r"\bparameter\s+(real|integer)\s+([^;]*);", body):
        found += [part.partition("=")[0].strip() for part in re.split(r",(?![^\[(]*[\])])", names)]
    return [name for name in found if re.fullmatch(r"\w+", name)]


def _instance_parameters(body: str) -> list[str]:
    pattern = r'\(\*[^*]*\btype\s*=\s*"instance"[^*]*\*\)\s*(parameter\s+real\s+[^;]*;)'
    return [name for part in re.findall(pattern, body) for name in _parameters(part)]
