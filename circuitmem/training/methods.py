"""One method of the comparison: bring up the same defective chip, then calibrate it, train it, both, or neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord
from circuitmem.config import InSituSpec, RunSpec
from circuitmem.control import PICOSECOND, Chip, Process
from circuitmem.data import Dataset
from circuitmem.engine import BehavioralEngine, Engine
from circuitmem.network import HardwareLayer, HardwareNetwork, Network, Perceptron, kernels_of, tile_counts
from circuitmem.training.bring_up import calibrate_network, prepare_chip
from circuitmem.training.in_situ import InSituTrainer, train_epoch
from circuitmem.training.method_result import MethodResult
from circuitmem.training.objective import Objective, accuracy_percent, objective_of
from circuitmem.training.optimisers import Optimiser
from circuitmem.training.own import kernels_in, shapes_of
from circuitmem.training.recipes import Recipe, check_copies, recipe_of
from circuitmem.training.schedules import LabelledSamples, Patience
from circuitmem.training.use import Upkeep

__all__ = [
    "Hooks",
    "MethodResult",
    "MethodRun",
    "build_network",
    "conversions",
    "engine_of",
    "run_method",
    "tile_count",
    "trainer_of",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hooks:
    """Functions that a job calls.

    Attributes
    ----------
    progress : callable
        Called with (steps done, steps) when steps are done.
    brought_up : callable
        Called once, when the chip is programmed and calibrated, before it is trained.
    safe : callable
        Called whenever nothing is under way, so that the state can be saved; its argument says whether an epoch, or the
        bring-up, has just ended.
    """

    progress: Callable[[int, int], None] = lambda done, steps: None  # noqa: ARG005
    brought_up: Callable[[], None] = lambda: None
    safe: Callable[[bool], None] = lambda ended: None  # noqa: ARG005


NO_HOOKS = Hooks()


def tile_count(spec: RunSpec) -> int:
    """Return how many tiles the network of a run needs."""
    return sum(tile_counts(shapes_of(spec.network), spec.chip, kernels_in(spec.network)))


def engine_of(spec: RunSpec, threads: int | None = None) -> Engine | str:
    """Return the engine that computes the circuits of a run, or its name; ``threads`` sets its number of threads."""
    if spec.engine != BehavioralEngine.name or (spec.precision == "double" and threads is None):
        return spec.engine
    return BehavioralEngine(precision=spec.precision, threads=threads)


def build_network(spec: RunSpec, model: Network, data: Dataset, engine: Engine | str | None = None) -> HardwareNetwork:
    """Fabricate the chip of a run, and lay the network out on it; nothing is programmed yet.

    The highest DAC code of a layer stands for the 99.9th percentile of the digital network's activities on the training
    samples. In the first layer of a network of layers it stands for 1 if the inputs are bounded by that.

    Parameters
    ----------
    spec : RunSpec
        What the run declares.
    model : Network
        Trained ex situ: the weights, and the computations with them.
    data : Dataset
        Its training samples determine the range of the activities.
    engine : Engine or str, optional
        The engine that computes the circuit; the run's own when left out.

    Returns
    -------
    HardwareNetwork
        The network on its chip.
    """
    seed, layers = spec.seed, spec.chip.defects.layers
    counts = tile_counts([weights.shape for weights in model.weights], spec.chip, kernels_of(model))
    belongs = [layer for layer, count in enumerate(counts) for _ in range(count)]
    sound = {tile for tile, layer in enumerate(belongs) if layers is not None and layer not in layers}
    chosen = engine or engine_of(spec)
    chip = Chip(spec.chip, len(belongs), seed, seed, chosen, spec.granularity, spec.reuse_error, sound)
    activities = model.activities(data.train_inputs[:2000])[:-1]
    known = data.bounded and isinstance(model, Perceptron)  # another network may multiply anything first
    scales = [1.0] * known + [max(float(np.quantile(np.abs(own), 0.999)), 1e-6) for own in activities[known:]]
    return HardwareNetwork(chip, model, scales, spec.network.room)


def training_of(recipe: Recipe, spec: RunSpec) -> InSituSpec:
    """Return the settings with which a recipe trains in situ."""
    if recipe.best:
        return spec.best.of(spec.in_situ)
    return spec.in_situ.after_calibration() if recipe.calibrate else spec.in_situ


def trainer_of(
    recipe: Recipe, spec: RunSpec, network: HardwareNetwork, optimiser: Optimiser | None = None
) -> InSituTrainer | None:
    """Return the trainer of a recipe, None if it does not train in situ; tiles that it needs are added to the chip."""
    return InSituTrainer(training_of(recipe, spec), network, optimiser) if recipe.train else None


class MethodRun:
    """A running method: its results so far, and the work that remains.

    Parameters
    ----------
    name : str
        A method that the run declares, or that :mod:`circuitmem.registry` knows.
    spec : RunSpec
        The run.
    network : HardwareNetwork
        From :func:`build_network`; after the method it is in its final state.
    data : Dataset
        The data.
    hooks : Hooks
        Functions to call on the way; their progress counts the batches of training, and the last test.
    objective : Objective, optional
        The objective of training; that of the data when left out.
    optimiser : Optimiser, optional
        An optimiser of the caller's own, instead of the declared one.
    """

    def __init__(
        self,
        name: str,
        spec: RunSpec,
        network: HardwareNetwork,
        data: Dataset,
        hooks: Hooks = NO_HOOKS,
        objective: Objective | None = None,
        optimiser: Optimiser | None = None,
    ) -> None:
        self.recipe = recipe_of(spec, name)
        self.spec, self.network, self.data = spec, network, data
        self.epochs = spec.in_situ.epochs if self.recipe.train else 0
        self.result = MethodResult()
        self._hooks = hooks
        check_copies(spec, self.recipe)
        self._trainer = trainer_of(self.recipe, spec, network, optimiser)
        self._validating = bool(spec.data.held_back or spec.in_situ.patience)
        self._patience()  # raises its errors before anything is computed
        self._objective = objective_of(data) if objective is None else objective
        self._losses: list[float] = []
        self._test: dict[str, float] = {"time": 0.0, "energy": 0.0}
        self._spent = (0.0, 0.0, 0)
        self._rested = 0

    @property
    def chip(self) -> Chip:
        """The chip."""
        return self.network.chip

    def state(self) -> dict[str, Any]:
        """Return everything that has changed since the network was built, for a checkpoint."""
        return {
            "chip": self.network.chip.state(),
            "network": self.network.state(),
            "trainer": None if self._trainer is None else self._trainer.state(),
            "losses": self._losses,
            "result": self.result.as_dict(),
            "test": self._test,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned, on a freshly built network."""
        self.network.chip.restore(state["chip"])
        self.network.restore(state["network"])
        if self._trainer is not None:
            self._trainer.restore(state["trainer"])
        self._losses, self._test = state["losses"], state["test"]
        self.result = MethodResult(**state["result"])
        self._progress()

    @property
    def _batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.data.train_inputs) // self.spec.in_situ.batch)

    def _progress(self, tested: bool = False) -> None:
        """Report how many steps are done: batches of training, and the last test."""
        epochs = max(len(self.result.history) - 1, 0)
        self._hooks.progress(epochs * self._batches + len(self._losses) + tested, self.epochs * self._batches + 1)

    def finish(self) -> MethodResult:
        """Do the rest of the method, and return its result."""
        chip, data = self.network.chip, self.data
        if not self.result.history:
            with chip.during("bring-up"):
                record = CalibrationRecord()
                preparing = prepare_chip(self.network, self.spec, data, self.recipe, record)
                self.result.product_errors = chip.run(preparing)
            self.result.calibration = record.as_dict()
            self.result.layers = [
                {"limited_before": limited} | ({} if name is None else {"name": name})
                for (name, _), limited in zip(self.network.parts, self._limited(), strict=True)
            ]
            self._hooks.brought_up()
            self._record(0)
        while len(self.result.history) <= self.epochs and not self._is_over():
            epoch = len(self.result.history) - 1
            self.result.losses.append(self._train(epoch))
            self._losses = []
            self._record(epoch + 1)
        result = self.result
        if self.spec.use.after:
            self._rest()
        if self._validating or self.spec.use.after:
            self._test_at_the_end()
        if self.spec.use.after:
            result.note_between(len(result.history) - 1, result.accuracy_percent, *self._spent)
        result.accounts = chip.ledger.as_dict()
        result.phases = {phase: asdict(account) for phase, account in chip.ledger.by("phase").items()}
        result.energy_by_part = chip.ledger.energy_by_part()
        clipped = sum(layer.saturated for layer in self.network.layers)
        result.saturated_codes = {"adc": chip.ledger.total.saturated, "dac": clipped}
        result.layers = [
            each | _conversions(own) | {"weights": sum(layer.kernel.size for layer in own), "limited_after": limited}
            for each, (_, own), limited in zip(result.layers, self.network.parts, self._limited(), strict=True)
        ]
        result.utilisation = {name: used._asdict() for name, used in chip.utilisation().items()}
        result.reuse = chip.electrics.transfers.record.as_dict()
        return result

    def _train(self, epoch: int) -> float:
        """Train for the rest of an epoch, with the tests within it that are asked for; returns its mean loss."""
        data, every, trainer, batches = self.data, self.spec.in_situ.evaluate_every, self._trainer, self._batches
        assert trainer is not None
        while len(self._losses) < batches:
            done = epoch * batches + len(self._losses)  # over all epochs
            if every and self._losses and done % every == 0:
                self._test_within(done / batches)
            until = done + every - done % every - epoch * batches if every else batches
            training = train_epoch(
                self.network,
                trainer,
                data.train_inputs,
                data.train_targets,
                self.spec.seed,
                epoch,
                self._losses,
                self._after_batch,
                self._recalibrate if self.recipe.calibrate else None,
                until,
                self._objective,
            )
            with self.network.chip.during("training"):
                self.network.chip.run(training)
        return float(np.mean(self._losses))

    def _after_batch(self) -> None:
        self._hooks.safe(False)
        self._progress()

    def _patience(self) -> Patience:
        return Patience("in_situ.patience", self.spec.in_situ.patience, self.data.validation)

    def _is_over(self) -> bool:
        """Say whether the validation samples show no more gain from training."""
        patience = self._patience()
        for entry in self.result.history if patience.epochs else ():
            patience.note(entry["accuracy_percent"])
        return patience.is_over

    def _limited(self) -> list[int]:
        pairs = zip(self.network.layers, self.network.model.weights, strict=True)
        limited = iter([layer.at_limit(own) for layer, own in pairs])
        return [sum(next(limited) for _ in layers) for _, layers in self.network.parts]

    def _recalibrate(self) -> Process:
        """Calibrate again during training; the cost is added to the record of the calibration."""
        record = CalibrationRecord(**self.result.calibration)
        record.stored_words = record.digital_products = record.products = 0
        methods = self.recipe.calibrations(self.spec.calibration)
        yield from calibrate_network(self.network, self.spec, self.data, methods, record, again=True)
        self.result.calibration = record.as_dict()

    @property
    def _watched(self) -> LabelledSamples:
        """The samples with which the network is tested while training goes on."""
        if self._validating and self.data.validation is not None:
            return self.data.validation
        return self.data.test_inputs, self.data.test_targets

    def _outputs(self, inputs: Floats, booked: bool = False) -> tuple[Floats, tuple[float, float, int]]:
        """Return the outputs of a test, and the time, energy and pulses spent until then, without unbooked tests."""
        chip, test = self.network.chip, self._test
        time, energy = self._busy, chip.ledger.energy
        with chip.during("validation" if booked else "test"):
            outputs: Any = chip.run(self.network.outputs(inputs))
        self.result.note_inference(len(inputs), chip.now - time, chip.ledger.energy - energy)
        if booked:
            time, energy = self._busy, chip.ledger.energy
        spent = time - test["time"], energy - test["energy"], chip.ledger.pulses
        test["time"] += self._busy - time
        test["energy"] += chip.ledger.energy - energy
        return outputs, spent

    @property
    def _busy(self) -> float:
        """Simulated time in which the chip was not resting [s]."""
        return float(self.chip.clock - self._rested) * PICOSECOND

    def _record(self, epoch: int) -> None:
        """Test the network, and note its score and the cost so far."""
        inputs, targets = self._watched
        outputs, spent = self._outputs(inputs, booked=self.spec.in_situ.patience > 0 and self.recipe.train)
        self.result.note_test(outputs, self.network.model.logits(inputs), targets, self._objective)
        self.result.note_cost(*spent)
        self._hooks.safe(True)
        self._progress(tested=epoch == self.epochs)

    def _test_within(self, epoch: float) -> None:
        """Test the network at a fraction of an epoch, unless that was done before the run was resumed."""
        if self.result.between and self.result.between[-1]["epoch"] == epoch:
            return
        inputs, targets = self._watched
        outputs, spent = self._outputs(inputs)
        self.result.note_between(epoch, accuracy_percent(outputs.argmax(axis=1), targets), *spent)
        self._hooks.safe(False)

    def _rest(self) -> None:
        """Let the chip reach its declared age; time in which it only rests is not counted as spent."""
        chip = self.network.chip
        upkeep, began = Upkeep(self.network, self.spec.use, self.data.train_inputs), chip.clock
        chip.run(upkeep.begin())
        chip.run(upkeep.rest(self.spec.use.after))
        self.result.upkeep = upkeep.summary()
        self._rested = chip.clock - began - upkeep.spent

    def _test_at_the_end(self) -> None:
        """Test the network with the test samples; a run with validation samples uses them only here."""
        inputs = self.data.test_inputs
        outputs, self._spent = self._outputs(inputs)
        self.result.note_test(outputs, self.network.model.logits(inputs), self.data.test_targets, self._objective)


def _conversions(layers: Sequence[HardwareLayer]) -> dict[str, int]:
    """Return the conversions of all layers of a part, added up."""
    parts = [conversions(layer) for layer in layers]
    return {key: sum(part[key] for part in parts) for key in parts[0]}


def conversions(layer: HardwareLayer) -> dict[str, int]:
    """Return how many conversions a layer's products took, and how many of them saturated."""
    pairs = zip(layer.units, layer.used_lines(), strict=True)
    columns = {unit.index: unit.read_cost(used).columns for unit, used in pairs}
    found = [(t, a) for (_, kind, t), a in layer.chip.ledger.entries.items() if kind == "mac_read" and t in columns]
    counted = sum(columns[t] * a.operations for t, a in found), sum(a.saturated for _, a in found)
    if layer.shares_tiles:  # the ledger has accounts of tiles, not of layers
        counted = layer.codes_read, layer.codes_saturated
    return {
        "adc": counted[0],
        "adc_saturated": counted[1],
        "least_gain": layer.least_gains,
        "dac": layer.converted,
        "dac_saturated": layer.saturated,
    }


def run_method(
    name: str, spec: RunSpec, network: HardwareNetwork, data: Dataset, progress: Callable[[int, int], None]
) -> MethodResult:
    """Run one method on a freshly built network from beginning to end; ``progress`` is called as in :class:`Hooks`.

    Parameters
    ----------
    name : str
        The method.
    spec : RunSpec
        What the run declares.
    network : HardwareNetwork
        From :func:`build_network`.
    data : Dataset
        The data to train and to test with.
    progress : callable
        Called with (steps done, steps).

    Returns
    -------
    MethodResult
        Its scores, epoch by epoch, and its cost.
    """
    return MethodRun(name, spec, network, data, Hooks(progress)).finish()
