"""A chip in use: requests that queue, checks that give way to them, drift that is detected and corrected."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.calibration import DriftWatch, refresh_periodically
from circuitmem.config import (
    AdcSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    DigitalSpec,
    InferenceSpec,
    RetentionSpec,
    TiaSpec,
    TwoPulseSpec,
)
from circuitmem.control import Chip
from circuitmem.data import Dataset
from circuitmem.network import HardwareNetwork, Perceptron, RequestStream
from circuitmem.training import serve

NS = 1000


def make_network(granularity="burst", retention=None, noise=0.0):
    """Two layers of one tile each, reads of 10 + 10 + 2·5 = 30 ns; a digital core that takes a picosecond per step."""
    spec = ChipSpec(
        tile=TileSpec(rows=8, columns=8, word_line_resistance=0.5, bit_line_resistance=0.5),
        converters=ConverterSpec(
            dac=DacSpec(), tia=TiaSpec(), adc=AdcSpec(bits=12, share=2, conversion_time=5e-9, noise=noise)
        ),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=1.0),
        digital=DigitalSpec(throughput=1e18, energy_per_operation=0.0),
        retention=retention or RetentionSpec(),
    )
    rng = np.random.default_rng(0)
    model = Perceptron([rng.normal(size=(8, 4)), rng.normal(size=(4, 3))], [np.zeros(4), np.zeros(3)])
    chip = Chip(spec, 2, seed=1, granularity=granularity)
    network = HardwareNetwork(chip, model, [1.0, 4.0])
    chip.run(network.program(0.0))
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(8.0)
    return network


INPUTS = np.random.default_rng(1).random((90, 8))


def test_requests_far_apart_take_the_time_of_two_layers_and_none_waits():
    network = make_network()
    stream = RequestStream(network, INPUTS, rate=1e5, queue=4, seed=3)
    network.chip.run(stream.arrivals(network.chip.clock + 200_000 * NS))
    assert len(stream.predicted) == pytest.approx(20, abs=12)
    # Two reads of 30 ns and two digital steps of a picosecond.
    assert min(stream.latencies()) == pytest.approx(60.002e-9, abs=1e-15)
    assert np.median(stream.latencies()) == pytest.approx(60.002e-9, abs=1e-15)


def test_requests_are_a_poisson_process():
    network = make_network()
    stream = RequestStream(network, INPUTS, rate=1e6, queue=100, seed=3)
    began = network.chip.clock
    network.chip.run(stream.arrivals(began + 400_000 * NS))
    gaps = np.diff([began, *sorted(stream.arrived)])
    assert len(gaps) == pytest.approx(400, abs=5 * 20)
    assert gaps.mean() == pytest.approx(1e6, rel=0.25)
    # Exponential gaps: their standard deviation equals their mean.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.2)


def test_more_requests_than_reads_fill_the_queue_and_are_refused():
    network = make_network()
    stream = RequestStream(network, INPUTS, rate=1e8, queue=6, seed=3)
    began = network.chip.clock
    network.chip.run(stream.arrivals(began + 6_000 * NS))
    assert stream.largest == 6
    assert stream.refused > 300
    # The slower of two tiles gives an answer every 30 ns.
    assert len(stream.predicted) / ((network.chip.clock - began) * 1e-12) == pytest.approx(1 / 30e-9, rel=0.05)
    # Six in the pipeline, 30 ns each.
    assert max(stream.latencies()) == pytest.approx(6 * 30e-9, rel=0.05)


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_checks_give_way_to_requests(granularity):
    """A request waits on each layer for at most the one background read under way; none waits for another request."""
    network = make_network(granularity)
    chip = network.chip
    watch = DriftWatch(network, INPUTS, vectors=8, period=400 * NS, limit=1.0)
    chip.run(watch.begin())
    stream = RequestStream(network, INPUTS, rate=1e6, queue=1, seed=3)
    until = chip.clock + 100_000 * NS
    requests = chip.start(stream.arrivals(until))
    chip.start(watch.keep(until))
    chip.environment.run(requests)
    latencies = stream.latencies()
    assert len(watch.checks) > 50
    assert latencies.min() == pytest.approx(60.002e-9, abs=1e-15)
    assert 60.1e-9 < latencies.max() <= 120.002e-9 + 1e-15
    assert max(check.error for check in watch.checks) < 1e-9


def test_drift_is_noticed_and_calibration_brings_the_products_back():
    network = make_network(retention=RetentionSpec(drift_exponent=0.05, drift_time=1e-6))
    chip = network.chip
    watch = DriftWatch(network, INPUTS, vectors=8, period=20_000 * NS, limit=0.05)
    chip.run(watch.begin())
    chip.run(watch.keep(chip.clock + 400_000 * NS))
    errors = [check.error for check in watch.checks]
    mended = [check.recalibrated for check in watch.checks]
    assert mended[0]  # the first 20 us are 20 times the drift time
    assert 0 < sum(mended) < len(mended)
    assert [error > 0.05 for error in errors] == mended
    first = mended.index(True)
    assert errors[first + 1] < 0.5 * errors[first]
    assert chip.ledger.by("phase")["re-calibration"].operations > 0


def test_a_refresh_writes_what_has_drifted():
    errors = {}
    for period in (50_000, 10**9):
        network = make_network(retention=RetentionSpec(drift_exponent=0.5, drift_time=1e-4))
        chip, done = network.chip, []
        until = chip.clock + 120_000 * NS
        chip.run(refresh_periodically(network, period * NS, 10e-6, until, done))
        chip.run(chip.wait_until(until))
        asked = network.layers[0].units[0].asked
        network.chip.units[0].meet(network.chip.clock, 0)
        found = network.chip.units[0].tile.effective_conductance
        errors[period] = np.abs(found / asked - 1.0)[asked > 60e-6].max()
    assert errors[10**9] == pytest.approx(1.0 - 2.2**-0.5, abs=0.02)  # 120 us old, drift time 100 us
    assert errors[50_000] < 0.5 * errors[10**9]
    assert done == []


def test_a_refresh_is_booked_as_such():
    network = make_network(retention=RetentionSpec(drift_exponent=0.5, drift_time=1e-4))
    chip, done = network.chip, []
    chip.run(refresh_periodically(network, 50_000 * NS, 10e-6, chip.clock + 120_000 * NS, done))
    assert len(done) == 2
    assert all(refresh.pulses >= refresh.cells > 5 for refresh in done)
    assert chip.ledger.by("phase")["refresh"].pulses == sum(refresh.pulses for refresh in done)


def test_both_granularities_serve_alike_and_phases_are_kept_apart():
    labels = np.zeros(90, dtype=np.int64)
    digits = Dataset(INPUTS, labels, INPUTS, labels)
    load = InferenceSpec(rate=5e6, duration=2e-5, check_every=3e-6, refresh_every=5e-6, limit=1e-3, seed=4)
    found = []
    for granularity in ("burst", "pulse"):
        network = make_network(granularity, RetentionSpec(drift_exponent=0.05, drift_time=1e-6), noise=1e-3)
        found.append((serve(network, load, digits), network.chip.ledger.entries))
    assert found[0] == found[1]
    record, entries = found[0]
    assert {"inference", "drift check", "re-calibration", "refresh"} <= {phase for phase, _, _ in entries}
    reads = {phase: account for (phase, kind, _), account in entries.items() if kind == "mac_read"}
    assert set(reads) == {"inference"}
    assert record["requests"] == record["refused"] + round(record["throughput_per_s"] * record["elapsed_s"])
    answered = record["requests"] - record["refused"]
    assert record["energy_per_inference_j"] * answered == pytest.approx(record["energy_j"]["inference"])
    assert record["energy_per_inference_with_upkeep_j"] * answered == pytest.approx(sum(record["energy_j"].values()))
    assert record["on_chip"]["mean"] <= record["on_chip"]["largest"]
    assert all(0.0 <= share <= 1.0 for share in record["utilisation"].values())
