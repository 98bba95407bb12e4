"""Devices as SPICE subcircuits: the text of a model, and a cell's device with its numbers."""

from __future__ import annotations

from importlib.resources import files

from circuitmem.config import IonDriftSpec, OdeDevice, StanfordSpec, TabulatedSpec, VteamSpec, YakopcicSpec
from circuitmem.errors import ValidationError
from circuitmem.netlists.text import number

__all__ = ["device_parameters", "device_subcircuit", "model_name", "model_text", "static_law", "vteam_parameters"]


def model_text(device: OdeDevice) -> str:
    """Return the subcircuit of the model, with the comments that explain it: a file of ``models/``.

    Raises
    ------
    ValidationError
        If ngspice has no such model.
    """
    if isinstance(device, TabulatedSpec):
        rule = f"must have a model for ngspice; {' and '.join(device.referees) or 'no simulator'} has this one"
        raise ValidationError("device", rule, device.kind)
    return files("circuitmem.netlists").joinpath("models", f"{model_name(device)}.lib").read_text("ascii")


def model_name(device: OdeDevice) -> str:
    """Return the name of the model in circuits, which may have no hyphen."""
    return device.kind.replace("-", "_")


def device_subcircuit(device: OdeDevice) -> str:
    """Return the subcircuit ``device``: the model with this device's numbers; its parameter x0 is the initial state."""
    values = " ".join(f"{name}={number(value)}" for name, value in device_parameters(device).items())
    return f".subckt device p n x PARAMS: x0=0\nXmodel p n x {model_name(device)} {values} x0={{x0}}\n.ends device\n"


def static_law(device: OdeDevice, siemens: float, first: str, second: str) -> str | None:
    """Return the current of a cell stuck at a conductance, None if that is ohmic."""
    across = f"V({first},{second})"
    if isinstance(device, VteamSpec | IonDriftSpec | TabulatedSpec):
        return None
    if isinstance(device, StanfordSpec):
        v0 = number(device.current_voltage)
        return f"{number(siemens)}*{v0}*sinh({across}/{v0})"
    b, amplitude = number(device.b), number(siemens)
    if device.a1 == device.a2:
        return f"{amplitude}/{b}*sinh({b}*{across})"
    even, odd = number(0.5 * (1.0 - device.a2 / device.a1)), number(0.5 * (1.0 + device.a2 / device.a1))
    return f"{amplitude}/{b}*({odd}*sinh({b}*{across})+{even}*abs(sinh({b}*{across})))"


def vteam_parameters(device: VteamSpec) -> dict[str, float]:
    """Return the parameters of the subcircuit ``vteam``."""
    return {
        "ron": device.on_resistance,
        "roff": device.off_resistance,
        "exponential": float(device.resistance == "exponential"),
        "kon": device.on_speed,
        "koff": device.off_speed,
        "von": device.on_voltage,
        "voff": device.off_voltage,
        "aon": device.on_power,
        "aoff": device.off_power,
        "length": device.length,
        "window": device.window_power,
    }


def device_parameters(device: OdeDevice) -> dict[str, float]:
    """Return the parameters of the device's model, by their names in ``models/``."""
    if isinstance(device, VteamSpec):
        return vteam_parameters(device)
    if isinstance(device, YakopcicSpec):
        return {
            "a1": device.a1,
            "a2": device.a2,
            "b": device.b,
            "vp": device.positive_threshold,
            "vn": device.negative_threshold,
            "ap": device.positive_rate,
            "an": device.negative_rate,
            "xp": device.positive_limit,
            "xn": device.negative_limit,
            "alphap": device.positive_decay,
            "alphan": device.negative_decay,
            "eta": float(device.direction),
        }
    if isinstance(device, TabulatedSpec):
        return {}
    if isinstance(device, IonDriftSpec):
        return {
            "ron": device.on_resistance,
            "roff": device.off_resistance,
            "mobility": device.mobility,
            "length": device.length,
            "biolek": float(device.window == "biolek"),
            "window": device.window_power,
        }
    return {
        "i0": device.current,
        "g0": device.current_gap,
        "v0": device.current_voltage,
        "vel0": device.velocity,
        "ea": device.activation,
        "gamma0": device.gamma0,
        "beta": device.beta,
        "hop": device.hop / device.thickness,
        "rth": device.thermal_resistance,
        "t0": device.temperature,
        "gmin": device.minimum_gap,
        "gmax": device.maximum_gap,
        "edge": device.edge,
    }
