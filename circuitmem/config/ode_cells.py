"""ODE devices on a chip: their model, the range they work in, and the pulses on the lines that move them.

Pulses and working ranges are our choice [I], since the published sets give none. We chose them so that a few tens of
pulses cross the working range of each device.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pydantic

from circuitmem.config.cell import CellLaw, LinearCell, TransistorCell
from circuitmem.config.device import DeviceSpec
from circuitmem.config.ode_device import IonDriftSpec, OdeDevice, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.config.quantity import Duration, Voltage
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["IonDriftCellSpec", "OdeCellSpec", "StanfordCellSpec", "VteamCellSpec", "YakopcicCellSpec"]


class OdeCellSpec(DeviceSpec):
    """Parameters of all ODE devices in addition to those of their models.

    Parameters
    ----------
    minimum_conductance, maximum_conductance : float
        Working range [S], within that of the model.
    set_voltage, reset_voltage : float
        Amplitude of the pulses that raise and lower conductances [V], > 0; the model determines their sign.
    set_time, reset_time : float
        Width of the pulses, both slopes included [s].
    rise_time : float
        Duration of each slope [s], > 0 and less than half of either width.
    widths : {"equal", "binary"}
        With ``equal``, a cell that needs n pulses gets n pulses of the declared width. With ``binary``, it gets pulses
        of 1, 2, 4, ... times the width, both slopes included, that add up to n; a row then needs as many pulses as its
        largest n has binary digits.
    scheme : {"v/2", "v/3", "1t1r"}
        Voltages of the lines that a pulse does not select (:class:`circuitmem.config.Pulse`). With ``v/2`` and
        ``v/3`` half-selected cells move as their model says; with ``1t1r`` the transistors of the other rows are off.
    """

    rule: ClassVar[str] = "pulse-count"
    stateful: ClassVar[bool] = True
    PULSES: ClassVar[dict[str, dict[str, float]]] = {}
    """Working range and pulses of each published set; the first is the default."""
    Model: ClassVar[type[Any]]
    """Class that declares the model alone."""

    set_voltage: Voltage
    reset_voltage: Voltage
    set_time: Duration
    reset_time: Duration
    rise_time: Duration
    widths: Literal["equal", "binary"] = "binary"
    scheme: Literal["v/2", "v/3", "1t1r"] = "v/2"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _start_from_published(cls, values: object) -> object:
        """Fill in undeclared parameters from the published set ``published``, or from the first set."""
        if not isinstance(values, dict):
            return values
        own = {key: value for key, value in values.items() if key != "published"}
        name = values.get("published", next(iter(cls.PULSES)))
        if not isinstance(name, str) or name not in cls.PULSES:
            known = ", ".join(cls.PULSES)
            raise ValidationError("published", f"must be one of {known}{did_you_mean(str(name), cls.PULSES)}", name)
        return {**cls.Model.PRESETS[name], **cls.PULSES[name], **own}

    @pydantic.model_validator(mode="after")
    def _check_slopes(self) -> OdeCellSpec:
        for name in ("set_time", "reset_time"):
            if getattr(self, name) <= 2.0 * self.rise_time:
                rule = f"must be > twice rise_time (={self.rise_time:g}), its slopes"
                raise ValidationError(name, rule, getattr(self, name))
        return self

    @property
    def model(self) -> OdeDevice:
        """The model alone."""
        own = {name: getattr(self, name) for name in self.Model.model_fields if name != "kind"}
        found: OdeDevice = self.Model(**own)
        return found

    @property
    def own_cell(self) -> CellLaw:
        """Static law of a tile with such devices, where the tile declares none."""
        return TransistorCell(on_resistance=0.0) if self.scheme == "1t1r" else self.model.cell

    def check_cell(self, cell: CellLaw) -> None:
        """Raise :class:`ValidationError` if a tile of such devices cannot have this law."""
        if self.scheme == "1t1r":
            if not isinstance(cell, TransistorCell):
                raise ValidationError("tile.cell", "must be of kind transistor for chip.device.scheme 1t1r", cell.kind)
        elif cell not in (self.model.cell, LinearCell()):
            own = self.model.cell
            also = "" if isinstance(own, LinearCell) else f", or {own!r}, that of the device"
            raise ValidationError(
                "tile.cell", f"must be LinearCell(){also}, for chip.device.scheme {self.scheme}", cell
            )


class VteamCellSpec(OdeCellSpec, VteamSpec):
    """VTEAM devices on a chip: :class:`circuitmem.config.VteamSpec`, and :class:`OdeCellSpec`."""

    Model = VteamSpec
    PULSES: ClassVar[dict[str, dict[str, float]]] = {
        "A": {
            "minimum_conductance": 10e-6,
            "maximum_conductance": 150e-6,
            "set_voltage": 1.8,
            "reset_voltage": 0.6,
            "set_time": 0.1e-9,
            "reset_time": 0.1e-9,
            "rise_time": 0.01e-9,
        },
        "B": {
            "minimum_conductance": 1.5e-3,
            "maximum_conductance": 10e-3,
            "set_voltage": 0.3,
            "reset_voltage": 0.04,
            "set_time": 0.1e-9,
            "reset_time": 100e-9,
            "rise_time": 0.01e-9,
        },
    }

    kind: Literal["vteam"] = "vteam"


class YakopcicCellSpec(OdeCellSpec, YakopcicSpec):
    """Yakopcic's devices on a chip: :class:`circuitmem.config.YakopcicSpec`, and :class:`OdeCellSpec`."""

    Model = YakopcicSpec
    PULSES: ClassVar[dict[str, dict[str, float]]] = {
        "Oblea": {
            "minimum_conductance": 10e-6,
            "maximum_conductance": 300e-6,
            "set_voltage": 0.3,
            "reset_voltage": 0.3,
            "set_time": 1.5e-6,
            "reset_time": 0.8e-3,
            "rise_time": 0.1e-6,
        },
        "Miao": {
            "minimum_conductance": 100e-6,
            "maximum_conductance": 3e-3,
            "set_voltage": 0.15,
            "reset_voltage": 1.5,
            "set_time": 2.5e-3,
            "reset_time": 0.13,
            "rise_time": 0.1e-3,
        },
    }

    kind: Literal["yakopcic"] = "yakopcic"


class StanfordCellSpec(OdeCellSpec, StanfordSpec):
    """Stanford-PKU devices on a chip: :class:`circuitmem.config.StanfordSpec`, and :class:`OdeCellSpec`."""

    Model = StanfordSpec
    PULSES: ClassVar[dict[str, dict[str, float]]] = {
        "1.0": {
            "minimum_conductance": 5e-6,
            "maximum_conductance": 100e-6,
            "set_voltage": 1.2,
            "reset_voltage": 1.2,
            "set_time": 25e-9,
            "reset_time": 25e-9,
            "rise_time": 2.5e-9,
        },
    }

    kind: Literal["stanford-pku"] = "stanford-pku"  # type: ignore[assignment]  # the registry's name of them


class IonDriftCellSpec(OdeCellSpec, IonDriftSpec):
    """Linear ion drift on a chip: :class:`circuitmem.config.IonDriftSpec`, and :class:`OdeCellSpec`.

    The model has no threshold, so half-selected cells move half as far at half the voltage; therefore the scheme is
    ``1t1r`` unless another is declared.
    """

    Model = IonDriftSpec
    PULSES: ClassVar[dict[str, dict[str, float]]] = {
        "HP": {
            "minimum_conductance": 80e-6,
            "maximum_conductance": 400e-6,
            "set_voltage": 1.0,
            "reset_voltage": 1.0,
            "set_time": 10e-3,
            "reset_time": 10e-3,
            "rise_time": 1e-3,
        },
        "Biolek": {
            "minimum_conductance": 1.2e-3,
            "maximum_conductance": 6e-3,
            "set_voltage": 1.0,
            "reset_voltage": 1.0,
            "set_time": 0.5e-3,
            "reset_time": 0.5e-3,
            "rise_time": 0.05e-3,
        },
    }

    kind: Literal["ion-drift"] = "ion-drift"
    scheme: Literal["v/2", "v/3", "1t1r"] = "1t1r"
