"""A network of torch cut in two: layers in front replay their outputs on the chip while those behind train."""

import numpy as np
import pytest

from circuitmem.config import load_run
from circuitmem.control import Chip
from circuitmem.data import load_dataset
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import convert  # noqa: E402
from circuitmem.torch.cuts import check_cuts, cuts_of  # noqa: E402
from circuitmem.torch.examples import Examples  # noqa: E402
from circuitmem.torch.network import TorchNetwork  # noqa: E402
from circuitmem.torch.plan import RunPlan  # noqa: E402
from circuitmem.training import Hooks  # noqa: E402

TINY = ["chip.tile.rows=12", "chip.tile.columns=12", "calibration.vectors=30", "retraining.epochs=4"]
TINY += ["chip.defects.device_yield=0.9", "network.model=of_a_test:build"]


class Residual(nn.Module):
    """A convolution that is used twice, another in parallel to it, and a head that is declared before them."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.stem, self.twice = nn.Conv2d(1, 3, 2), nn.Conv2d(3, 3, 3, padding=1)
        self.beside, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, maps):
        found = torch.relu(self.stem(maps.unflatten(-1, (1, 4, 4))))
        found = torch.relu(self.norm(self.twice(torch.tanh(self.twice(found)))) + self.beside(found))
        return self.head(found.mean(dim=(2, 3)))


class StepsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, inputs):
        return self.head(torch.relu(self.first(inputs.unflatten(-1, (4, 4)).transpose(0, 1)))).mean(dim=0)


def samples():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(90, 16))
    targets = (inputs[:, :8].sum(axis=1) > inputs[:, 8:].sum(axis=1)).astype(int)
    return inputs, targets


def test_layers_in_front_of_a_cut_give_what_they_gave_on_the_chip():
    torch.manual_seed(0)
    inputs = samples()[0][:20]
    net = Residual().double().eval()
    spec = load_run(None, TINY).chip
    network = TorchNetwork(convert(net, Chip(spec, 0, 1, 1), sample=torch.from_numpy(inputs)), 1)
    chip = network.chip
    chip.run(network.program(0.0))
    cuts = list(cuts_of(network, inputs[:2]))
    assert [list(cut.layers) for cut in cuts] == [[0, 2, 3], [0, 3], [0]]  # in the order of a pass, not of declaration
    cut = cuts[-1]
    numbers = chip.run(cut.measure(inputs))
    assert chip.now > 0.0
    found = cut.model.logits(numbers)
    model, (_, given) = network.net, cut.model._known
    again, beside = given[model.twice][1], given[model.beside][0]  # of the noted calls the last one counts
    with torch.no_grad():
        hidden = torch.relu(model.norm(again) + beside).mean(dim=(2, 3))
        wanted = (hidden @ model.head.weight.T + model.head.bias).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=1e-12)
    assert np.abs(found - network.model.logits(inputs)).max() > 1e-3  # the chip has its defects
    np.testing.assert_allclose(cut.model.logits(numbers[5:9]), found[5:9], rtol=0.0, atol=1e-12)
    _, weights, biases = cut.model.loss_gradients(numbers, lambda given: (0.0, np.ones_like(given)))
    assert len(weights) == 1
    assert np.abs(weights[0]).max() > 0.0
    norms = [own for own in biases if own.shape == (3,)]
    assert any(np.abs(own).max() > 0.0 for own in norms)  # the norm is behind the last layer in front
    (vectors,) = cut.vectors(numbers)
    assert vectors.shape == (20, 3)


def test_fine_tuning_makes_up_for_layers_in_front_and_leaves_them_alone():
    inputs, targets = samples()
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    data = load_dataset((inputs[:60], targets[:60], inputs[60:], targets[60:]))
    spec = load_run(None, [*TINY, "methods=['calibration','chip_in_the_loop']", "calibration.method=affine"])
    plan = RunPlan(spec, net, Examples.of(data))
    jobs = {name: plan.make(name, Hooks()) for name in spec.methods}
    found = {name: job.finish() for name, job in jobs.items()}
    assert found["chip_in_the_loop"].pulses > found["calibration"].pulses
    assert found["chip_in_the_loop"].energy_j > found["calibration"].energy_j
    plain, tuned = (jobs[name].network for name in spec.methods)
    assert np.array_equal(plain.model.weights[0], tuned.model.weights[0])
    assert not np.array_equal(plain.model.weights[2], tuned.model.weights[2])
    for before, after in zip(plain.layers[0].units, tuned.layers[0].units, strict=True):
        assert np.array_equal(before.tile.conductance, after.tile.conductance)


def test_a_network_whose_layers_do_not_give_samples_first_is_refused():
    net = convert(StepsFirst().double(), load_run(None, TINY).chip, seed=1)
    inputs = torch.rand(5, 16, dtype=torch.float64)
    with pytest.raises(ValidationError, match=r"methods must not have fine-tune: layer first gives \(4, 1, 3\) for 1"):
        check_cuts(net, inputs)
