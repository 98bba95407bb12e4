"""The declared run of ``circuitmem train``: a chip, a network, its data, and the methods to compare."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import pydantic

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.config.cell import LinearCell
from circuitmem.config.chip import ChipSpec
from circuitmem.config.data import SIDE, DataSpec
from circuitmem.config.device import DeviceSpec, TwoPulseSpec
from circuitmem.config.names import EngineName
from circuitmem.config.network import NetworkSpec
from circuitmem.config.recipe import RecipeSpec, split_methods
from circuitmem.config.training import (
    BestSpec,
    CalibrationSpec,
    ExSituSpec,
    HardwareAwareSpec,
    InSituSpec,
    RetrainingSpec,
)
from circuitmem.config.use import UseSpec
from circuitmem.config.verilog_cells import VerilogACellSpec
from circuitmem.errors import ValidationError

__all__ = ["AuditSpec", "RunSpec"]


class AuditSpec(Spec):
    """Which of the run's own reads and pulse trains are computed again in a circuit simulator.

    Parameters
    ----------
    tiles : int
        Smallest number of operations of each kind that are audited in each method, >= 0; 0 switches the audit off.
    fraction : float, optional
        Expected fraction of all operations that is audited, in [0, 1]. Left out, it is what the referee can do
        alongside the run: 1e-4; with VACASK, where it computes many states of a tile together, enough for a bound on
        the operations beyond the limit below 1 % in a run as long as the default one (:attr:`RunSpec.audited`).
    reads, pulses : int, optional
        Reads of an audited read operation, and pulses of an audited train, that are computed again, >= 1. Left out, 4,
        or 1 where many operations are audited.
    limit : float
        Relative difference beyond which an operation is reported and saved, > 0; ``reuse_error`` is added to it, and
        2e-5 in single precision.
    referee : {"ngspice", "vacask", "all"}
        The circuit simulator; with ``all`` each operation goes to one of the two at random, by the run's seed. For
        Verilog-A devices it is VACASK, the only one that has them. Where none is declared, ``circuitmem train`` also
        takes VACASK if it is installed and can compute many states of these tiles together.
    workers : int
        Processes of each simulator at once while the run goes on, >= 1. They give way to the run itself. When the run
        only waits for them, there are as many as it may use threads, if that is more.
    """

    tiles: int = pydantic.Field(default=1, ge=0)
    fraction: float | None = pydantic.Field(default=None, ge=0.0, le=1.0)
    reads: int | None = pydantic.Field(default=None, ge=1)
    pulses: int | None = pydantic.Field(default=None, ge=1)
    limit: float = pydantic.Field(default=1e-6, gt=0.0)
    referee: Literal["ngspice", "vacask", "all"] = "ngspice"
    workers: int = pydantic.Field(default=1, ge=1)


class Audited(NamedTuple):
    """Which operations are audited, and how much of each."""

    fraction: float
    reads: int
    pulses: int


_FEW = Audited(1e-4, 4, 4)
_MANY = Audited(0.0115, 1, 1)
"""With many states at a time: some 380 of the 33,000 operations of the default run, at 0.03 s of a processor each."""
_MANY_CELLS, _MANY_EPOCHS = 64 * 64, 3
"""The time for a state grows with the square of the cells; a longer run needs no more operations for its bound."""

_OWN_RULES = ("two-pulse", "pulse-count")
"""Update rules that are each for one kind of device."""
_COUNTING = ("tiki-taka", "chopped-tiki-taka", "agad")
"""Update rules for devices that every pulse moves a little further: those whose own rule is pulse-count."""


class RunSpec(Spec):
    """Everything that ``circuitmem train`` needs; every table of the TOML file is optional.

    Parameters
    ----------
    seed : int
        Seed of everything random, >= 0.
    granularity : {"burst", "pulse"}
        Whether a loop of pulses without contention is one event of the chip's clock, or one per pulse; results are
        equal.
    trace : bool
        Whether to write every operation of each method to ``trace_METHOD.json.gz``, which opens in Perfetto.
    vcd : bool
        Whether to write the control signals of each method to ``signals_METHOD.vcd``, for GTKWave.
    checkpoint_interval : float
        Wall time after which a running method saves a checkpoint [s], >= 0; at 0 it saves one after every batch. The
        end of an epoch saves one too, unless saving would take more than a fiftieth of the time.
    engine : str
        What computes the circuits: ``behavioral``, ``ngspice``, ``vacask``, or another that :mod:`circuitmem.registry`
        finds. All but the first are slow.
    precision : {"double", "single"}
        Precision in which the behavioral engine computes transfer matrices, and keeps the lines through which
        gradients go; everything else is in double. In single precision matrices are off by about 1e-6 of the largest
        column current, and the results state the largest error (``reuse``).
    reuse_error : float
        Error that a tile's transfer matrix may have while its cells are trained, relative to the largest column
        current, in [0, 0.1]: 4e-4 is a tenth of a step of an 8-bit converter. At 0 every matrix is exact. The results
        state the largest error that random exact solutions found (``reuse``).
    methods : sequence of str
        The methods to compare, each on the same chip, in this order (:mod:`circuitmem.training.recipes`).
        Alternatively, a table of them: ``[methods.NAME]`` has the ``steps`` of a method of your own, or is empty for an
        existing one.
    recipes : sequence of RecipeSpec
        The methods that the table declares; a file has them there.
    """

    seed: int = pydantic.Field(default=1, ge=0)
    granularity: Literal["burst", "pulse"] = "burst"
    trace: bool = False
    vcd: bool = False
    checkpoint_interval: float = pydantic.Field(default=20.0, ge=0.0)
    methods: tuple[str, ...] = ("raw", "calibration", "in_situ", "calibration_in_situ")
    recipes: tuple[RecipeSpec, ...] = ()
    engine: EngineName = "behavioral"
    precision: Literal["double", "single"] = "double"
    reuse_error: float = pydantic.Field(default=0.0, ge=0.0, le=0.1)
    data: DataSpec = DataSpec()
    network: NetworkSpec = NetworkSpec()
    chip: ChipSpec = ChipSpec()
    ex_situ: ExSituSpec = ExSituSpec()
    calibration: CalibrationSpec = CalibrationSpec()
    in_situ: InSituSpec = InSituSpec()
    retraining: RetrainingSpec = RetrainingSpec()
    hardware_aware: HardwareAwareSpec = HardwareAwareSpec()
    best: BestSpec = BestSpec()
    use: UseSpec = UseSpec()
    audit: AuditSpec = AuditSpec()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _declared_methods(cls, values: Any) -> Any:
        return split_methods(values) if isinstance(values, dict) else values

    @pydantic.model_serializer(mode="wrap")
    def _methods_as_declared(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return plain values, with the declared methods in the table where a file has them."""
        values: dict[str, Any] = handler(self)
        values.pop("recipes", None)
        if self.recipes:
            steps = {recipe.name: {"steps": recipe.steps} for recipe in self.recipes}
            values["methods"] = {name: steps.get(name, {}) for name in self.methods}
        return values

    @pydantic.model_validator(mode="before")
    @classmethod
    def _rule_of_the_devices(cls, values: Any) -> Any:
        """Choose the update rule of the devices, where none is declared."""
        if not isinstance(values, dict):
            return values
        chip, in_situ = values.get("chip"), values.get("in_situ", {})
        device = chip.get("device") if isinstance(chip, dict) else getattr(chip, "device", None)
        kind = device.get("kind") if isinstance(device, dict) else getattr(device, "kind", None)
        if isinstance(kind, str) and isinstance(in_situ, dict) and "rule" not in in_situ:
            own = device.rule if isinstance(device, DeviceSpec) else _rule_of(kind)
            return values | {"in_situ": {**in_situ, "rule": own}}
        return values

    @property
    def audits_together(self) -> bool:
        """Whether VACASK computes many states of a tile in one process: linear cells, no ODE devices, no cut lines."""
        defects = self.chip.defects
        cut = defects.cut_word_lines > 0.0 or defects.cut_bit_lines > 0.0
        return type(self.chip.tile.cell) is LinearCell and not self.chip.device.stateful and not cut

    @property
    def audited(self) -> Audited:
        """The fraction of the operations that is audited, and the reads and pulses of each, declared or not."""
        own, usual = self.audit, _FEW
        if own.referee == "vacask" and self.audits_together:
            cells = self.chip.tile.rows * self.chip.tile.columns
            share = min(1.0, (_MANY_CELLS / cells) ** 2) * min(1.0, _MANY_EPOCHS / max(1, self.in_situ.epochs))
            usual = _MANY._replace(fraction=max(_FEW.fraction, _MANY.fraction * share))
        return Audited(
            usual.fraction if own.fraction is None else own.fraction,
            usual.reads if own.reads is None else own.reads,
            usual.pulses if own.pulses is None else own.pulses,
        )

    @pydantic.model_validator(mode="after")
    def _check_referee(self) -> RunSpec:
        """Audit Verilog-A devices in VACASK, the only one that has them, if none is declared; refuse another."""
        if not isinstance(self.chip.device, VerilogACellSpec):
            return self
        audit, wanted = self.audit, "vacask"
        if "referee" not in audit.model_fields_set:
            # The spec is frozen but not finished yet: a referee that nobody declared becomes that of the devices.
            object.__setattr__(self, "audit", audit.model_copy(update={"referee": wanted}))
        elif audit.referee != wanted and (audit.tiles or audit.fraction):
            raise ValidationError("audit.referee", "must be vacask for Verilog-A devices", audit.referee)
        if self.engine == "ngspice":
            raise ValidationError("engine", "must be another for Verilog-A devices, which ngspice has not", self.engine)
        return self

    @pydantic.model_validator(mode="after")
    def _check_rule(self) -> RunSpec:
        device, rule = self.chip.device, self.in_situ.rule
        if (rule in _OWN_RULES and rule != device.rule) or (rule in _COUNTING and device.rule != "pulse-count"):
            raise ValidationError(
                "in_situ.rule", f"must be another for devices of kind {device.kind}, such as {device.rule}", rule
            )
        return self

    @pydantic.model_validator(mode="after")
    def _check_use(self) -> RunSpec:
        if self.use.after and self.data.task == "values":
            raise ValidationError("use.after", 'must be 0 with data.task = "values"', self.use.after)
        return self

    @pydantic.model_validator(mode="after")
    def _check_precision(self) -> RunSpec:
        if self.precision != "double" and self.engine != "behavioral":
            raise ValidationError("precision", f"must be double with the engine {self.engine}", self.precision)
        return self

    @pydantic.model_validator(mode="after")
    def _check_groups(self) -> RunSpec:
        # The default must suit tiles of any size: a group may be empty.
        rows, default = self.chip.tile.rows, CalibrationSpec.model_fields["groups"].default
        if self.calibration.groups > max(rows, default):
            rule = f"must be <= chip.tile.rows (={rows}), one word line a group"
            raise ValidationError("calibration.groups", rule, self.calibration.groups)
        return self

    @pydantic.model_validator(mode="after")
    def _check_inputs(self) -> RunSpec:
        if self.data.is_digits and not self.network.model:  # other data are known only when they are loaded
            pixels = (self.data.side or SIDE) ** 2
            if self.network.layers[0] != pixels:
                rule = f"must begin with data.side squared (={pixels})"
                raise ValidationError("network.layers", rule, self.network.layers)
            if self.network.layers[-1] != 10:
                raise ValidationError("network.layers", "must end with 10, one output a digit", self.network.layers)
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValidationError("methods", "must name at least one method, each once", self.methods)
        own = {recipe.name for recipe in self.recipes}
        for place, name in enumerate(self.methods):
            if name not in own:
                registry.check("methods", name, f"methods.{place}")
        if self.network.model:
            return self
        layers = len(self.network.shapes)
        if any(layer >= layers for layer in self.chip.defects.layers or ()):
            raise ValidationError("chip.defects.layers", f"must be < {layers}, each", self.chip.defects.layers)
        return self


def _rule_of(kind: str) -> str:
    """Return the update rule of a kind of device; any rule if it is not known: the device's own error says more."""
    if kind == "two-pulse":
        return TwoPulseSpec.rule
    try:
        rule: str = registry.find("devices", kind).Spec.rule
    except ValidationError:
        return TwoPulseSpec.rule
    return rule
