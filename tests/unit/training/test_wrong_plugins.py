"""Plug-ins whose answers are wrong: refused in one line that names them, the method, the rule and what came."""

from types import SimpleNamespace

import numpy as np
import pytest

from circuitmem.calibration import Calibration, CalibrationRecord, calibrate_layer, calibration_of
from circuitmem.config import CalibrationSpec, InSituSpec, load_run
from circuitmem.control import Chip
from circuitmem.control.clock import plugin_process
from circuitmem.errors import ValidationError
from circuitmem.network import Correction, HardwareNetwork, Perceptron
from circuitmem.training import InSituTrainer, Optimiser, Recipe, UpdateRule
from circuitmem.training.bring_up import prepare_chip
from circuitmem.training.optimisers import Moved

HERE = __name__


def small_network():
    rng = np.random.default_rng(1)
    model = Perceptron([rng.uniform(-0.5, 0.5, (4, 3))], [np.zeros(3)])
    spec = load_run(None, ["chip.tile.rows=5", "chip.tile.columns=8", "calibration.vectors=6"])
    return HardwareNetwork(Chip(spec.chip, 1), model, [1.0]), spec


class Answers(Calibration):
    """Leaves one output_scale, as the test says."""

    name = "answers"
    left = np.ones(3)
    words = 0

    def learn(self, layer, activities, kept=None):
        yield from layer.forward(activities, kind="calibration_read")
        layer.correction = self.left if self.left is None else Correction(
            np.ones((1, 1, 8)), np.zeros((1, 1, 8)), output_scale=self.left, output_shift=np.zeros(3)
        )  # fmt: skip

    def stored_words(self, layer):
        return self.words


class NoProcess(Answers):
    def learn(self, layer, activities, kept=None):
        return None


def calibrate(*names):
    network, _ = small_network()
    network.chip.run(network.program(0.0))
    method = calibration_of([f"{HERE}:{name}" if name[0].isupper() else name for name in names], CalibrationSpec())
    inputs = np.random.default_rng(2).uniform(0.0, 1.0, (6, 4))
    network.chip.run(calibrate_layer(method, network.layers[0], inputs, CalibrationRecord()))


@pytest.mark.parametrize(
    ("left", "words", "said"),
    [
        (np.full(3, np.nan), 0, r"must return finite numbers from learn as output_scale of .* \(got nan\)"),
        (np.ones(2), 0, r"must return numbers of shape \(3,\) from learn as output_scale of .* \(got shape \(2,\)\)"),
        (None, 0, r"must leave a Correction in layer.correction after learn \(got None\)"),
        (np.ones(3), 1.5, r"must return a whole number >= 0 from stored_words \(got 1.5\)"),
    ],
)
def test_a_calibration_that_leaves_nonsense_is_named(monkeypatch, left, words, said):
    monkeypatch.setattr(Answers, "left", left)
    monkeypatch.setattr(Answers, "words", words)
    for names in (["Answers"], ["affine", "Answers"]):
        with pytest.raises(ValidationError, match=rf"^calibration {HERE}:Answers {said}$"):
            calibrate(*names)


def test_a_calibration_that_is_right_is_taken():
    calibrate("Answers")
    calibrate("affine", "Answers")


def test_a_calibration_that_is_no_process_is_named():
    with pytest.raises(ValidationError, match=rf"^calibration {HERE}:NoProcess must return a process from learn.*None"):
        calibrate("NoProcess")


def returns_three(work, word):
    return 3


def yields_five(work, word):
    yield 5


@pytest.mark.parametrize(("step", "got"), [(returns_three, 3), (yields_five, 5)])
def test_a_step_that_is_no_process_on_the_clock_is_named(step, got):
    network, spec = small_network()
    recipe = Recipe("wrong", (f"{HERE}:{step.__name__}", "program"))
    said = rf"^step {HERE}:{step.__name__} must .* \(got {got}\)$"
    with pytest.raises(ValidationError, match=said):
        network.chip.run(prepare_chip(network, spec, SimpleNamespace(), recipe))


def test_a_process_hears_of_errors_on_the_chip_and_returns_its_result():
    chip = small_network()[0].chip

    def fails():
        yield from chip.compute(1)
        raise ValueError("broken")

    def own():
        try:
            yield from chip.together([fails()])
        except ValueError as error:
            yield from chip.compute(1)
            return str(error)

    assert chip.run(plugin_process("steps", "own", "", own())) == "broken"


class Changes(Optimiser):
    """Returns what the test says."""

    learning_rate = 0.1
    answer = staticmethod(lambda gradient: gradient)

    def change(self, gradient, rate, *memory):
        return self.answer(gradient)


WRONG = [
    (lambda _: None, r"numbers of shape \(4, 3\) .* \(got None\)"),
    (lambda own: own.sum(axis=0), r"numbers of shape \(4, 3\) .* \(got shape \(3,\)\)"),
    (lambda own: own * np.nan, r"finite numbers .* \(got nan\)"),
    (lambda own: own * 1j, r"numbers of shape \(4, 3\) .* \(got complex128 of shape \(4, 3\)\)"),
    (lambda _: [[1.0], [1.0, 2.0]], r"numbers of shape \(4, 3\) .* \(got \[\[1.0\], \[1.0, 2.0\]\]\)"),
]


@pytest.mark.parametrize(("answer", "said"), WRONG)
def test_an_optimiser_with_a_wrong_change_is_named(monkeypatch, answer, said):
    monkeypatch.setattr(Changes, "answer", staticmethod(answer))
    values = np.ones((4, 3))
    own = Changes(InSituSpec(), [values])
    with pytest.raises(
        ValidationError, match=rf"^optimiser {HERE}:Changes must return {said.replace('.*', 'from change')}$"
    ):
        own.move([Moved(values)], [np.ones((4, 3))], 0.1)
    assert (values == 1.0).all()


def test_an_optimiser_may_pass_on_a_gradient_that_is_not_finite_and_numbers_of_another_precision():
    values, own = np.ones((4, 3)), Changes(InSituSpec(), [np.ones((4, 3))])
    own.move([Moved(values)], [np.full((4, 3), np.float32(0.5))], 0.1)
    assert (values == 1.5).all()
    own.move([Moved(values)], [np.full((4, 3), np.inf)], 0.1)


def test_an_optimiser_without_a_change_for_each_parameter_is_named(monkeypatch):
    monkeypatch.setattr(Changes, "changes", lambda self, gradients, rate: None, raising=False)
    own = Changes(InSituSpec(), [])
    with pytest.raises(ValidationError, match=r"must return a list of 1 arrays from changes \(got None\)$"):
        own.move([Moved(np.ones(2))], [np.ones(2)], 0.1)


class Asks(UpdateRule):
    """Asks for what the test says."""

    answer = staticmethod(lambda change: change)

    def asked(self, layer, change):
        return self.answer(change)


class NoPulses(UpdateRule):
    def program(self):
        return None


@pytest.mark.parametrize(("answer", "said"), WRONG)
def test_a_rule_that_asks_for_nonsense_is_named(monkeypatch, answer, said):
    monkeypatch.setattr(Asks, "answer", staticmethod(answer))
    network, _ = small_network()
    network.chip.run(network.program(0.0))
    trainer = InSituTrainer(InSituSpec(rule=f"{HERE}:Asks", gradient="ideal"), network)
    with pytest.raises(ValidationError, match=rf"^rule {HERE}:Asks must return {said.replace('.*', 'from asked')}$"):
        trainer.step([np.ones((2, 4)), np.ones((2, 3))], np.ones((2, 3)), 0.1)


def test_a_rule_whose_program_is_no_process_is_named():
    from circuitmem.training.in_situ import _programmed

    network, _ = small_network()
    with pytest.raises(ValidationError, match=rf"^rule {HERE}:NoPulses must return a process from program.*None"):
        network.chip.run(_programmed(NoPulses(InSituSpec(), network)))
