"""Schedules worked out on paper, physics in simulated time, no deadlock, and a trace that adds up."""

import gzip
import json

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import (
    AdcSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    DigitalSpec,
    FaultSpec,
    ProgrammingSpec,
    RetentionSpec,
    TiaSpec,
    TwoPulseSpec,
)
from circuitmem.control import Chip, Priority, Trace
from circuitmem.errors import ValidationError

CODES = np.full((2, 4), 255)


def make_chip(tiles=3, granularity="burst", **changes):
    """Reads of 10 + 10 + 2·5 = 30 ns, SETs of 100 ns, RESETs of 50 ns; no noise, no defects."""
    spec = ChipSpec(
        **{
            "tile": TileSpec(rows=4, columns=4, word_line_resistance=1.0, bit_line_resistance=1.0),
            "converters": ConverterSpec(
                dac=DacSpec(settling_time=10e-9),
                tia=TiaSpec(settling_time=10e-9),
                adc=AdcSpec(share=2, conversion_time=5e-9, noise=0.0),
            ),
            "device": TwoPulseSpec(set_time=100e-9, reset_time=50e-9, set_noise=0.0, slope_spread=0.0),
            "defects": DefectSpec(device_yield=1.0),
            "programming": ProgrammingSpec(drivers=1),
            **changes,
        }
    )
    return Chip(spec, tiles, seed=1, granularity=granularity)


def timed(chip, process, log, name):
    yield from process
    log[name] = chip.clock // 1000


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_three_tiles_and_two_adc_banks_follow_the_timeline_on_paper(granularity):
    # Two reads of 30 ns each:  tile 0  |0----60|          bank 1
    #                           tile 1  |0----60|          bank 2
    #                           tile 2          |60---120| whichever bank
    # One driver: tile 0's two rows at 100 ns each follow its reads, at 60; tile 1's row waits for the driver.
    #             tile 0          |60-------260|
    #             tile 1                       |260--360|
    chip, log = make_chip(adc_banks=2, granularity=granularity), {}
    first, second = (np.full((4, 4), 1e-6) for _ in range(2))
    first[:2], second[3] = 2e-4, 1e-4
    chip.run(
        chip.together(
            [
                *(timed(chip, chip.read(unit, CODES, "mac_read"), log, f"read {unit.index}") for unit in chip.units),
                timed(chip, chip.program(chip.units[0], first, 1e-6), log, "program 0"),
                timed(chip, chip.program(chip.units[1], second, 1e-6), log, "program 1"),
            ]
        )
    )
    assert log == {"read 0": 60, "read 1": 60, "read 2": 120, "program 0": 260, "program 1": 360}
    used = chip.utilisation()
    assert used["programming drivers"].busy == 300_000
    assert used["ADC banks"] == (2, 180_000, 60_000, 0.25)
    assert used["tiles"].busy == 480_000
    assert next(iter(used)) == "programming drivers"
    assert chip.ledger.accounts["set_row_pulse"].operations == 3


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_inference_goes_first_between_two_reads_of_a_background_calibration(granularity):
    # Calibration has 30 ns reads from 0 on; inference comes at 40 ns and waits for the read that ends at 60.
    chip, log = make_chip(1, granularity), {}
    unit = chip.units[0]

    def arrive():
        yield from chip.wait_until(40_000)
        yield from timed(chip, chip.read(unit, CODES, "mac_read", Priority.INFERENCE), log, "inference")

    calibration = chip.read(unit, np.full((10, 4), 9), "calibration_read", Priority.BACKGROUND)
    chip.run(chip.together([timed(chip, calibration, log, "calibration"), arrive()]))
    assert log == {"inference": 120, "calibration": 360}


def test_a_calibration_that_takes_longer_sees_a_different_array():
    seen = []
    for settling in (10e-9, 1e-3):
        chip = make_chip(
            1,
            retention=RetentionSpec(drift_exponent=0.1, drift_time=1e-6),
            converters=ConverterSpec(
                dac=DacSpec(settling_time=settling), tia=TiaSpec(), adc=AdcSpec(noise=0.0, gain_error=0.0, bits=14)
            ),
        )
        unit = chip.units[0]
        chip.run(chip.program(unit, np.full((4, 4), 2e-4), 1e-6))
        answers = [chip.run(chip.read(unit, CODES, "calibration_read"))[0] for _ in range(3)]
        seen.append(np.array(answers, dtype=float))
    fast, slow = seen
    assert (slow[-1] < 0.9 * fast[-1]).all()
    assert (slow[-1] < slow[0]).all()


def test_a_refresh_brings_a_drifted_cell_back():
    chip = make_chip(1, retention=RetentionSpec(drift_exponent=0.2, drift_time=1e-6))
    unit = chip.units[0]
    wanted = np.full((4, 4), 2e-4)
    chip.run(chip.program(unit, wanted, 1e-6))
    chip.run(chip.wait_until(chip.clock + 10**10))
    unit.meet(chip.clock, 0)
    drifted = unit.tile.effective_conductance.copy()
    assert (drifted < 0.5 * wanted).all()
    cells = np.eye(4, dtype=bool)
    assert chip.run(chip.rewrite(unit, cells, np.zeros((4, 4), dtype=bool))) == 4
    np.testing.assert_allclose(unit.cells.written[cells], 2e-4, rtol=1e-9)
    assert (unit.cells.found(chip.clock)[cells] > 1.8e-4).all()
    assert (unit.cells.found(chip.clock)[~cells] < 0.5 * 2e-4).all()


def test_a_thousand_random_schedules_with_preemption_and_failures_end():
    faults = (FaultSpec(what="driver", tile=1, row=2, time=200e-9), FaultSpec(what="cell", row=1, pulses=3.0))
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        chip = make_chip(3, ("burst", "pulse")[seed % 2], dac_banks=1 + seed % 3, adc_banks=1 + seed % 2, faults=faults)
        ended = []

        def carry_out(number, rng=rng, chip=chip, ended=ended):
            for _ in range(3):
                unit, priority = chip.units[rng.integers(3)], Priority(int(rng.integers(3)))
                if rng.random() < 0.5:
                    yield from chip.read(unit, rng.integers(0, 256, (3, 4)), "mac_read", priority)
                else:
                    yield from chip.program(unit, rng.uniform(1e-6, 3e-4, (4, 4)), 4e-5, priority)
            ended.append(number)

        chip.run(chip.together(carry_out(number) for number in range(4)))
        assert sorted(ended) == [0, 1, 2, 3]
        assert not chip.arbiter.waiting
        assert all(resource.busy <= resource.capacity * chip.clock for resource in chip.resources)


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_a_trace_adds_up_to_the_ledger(tmp_path, granularity, suffix):
    chip = make_chip(2, granularity, digital=DigitalSpec(throughput=1e9))
    path = tmp_path / f"trace.{suffix}"
    with Trace(path, "a chip") as trace:
        chip.trace_to(trace)
        for unit in chip.units:
            chip.run(chip.program(unit, np.full((4, 4), 2e-4), 1e-6))
            chip.run(chip.read(unit, CODES, "mac_read"))
        chip.run(chip.compute(1000))
        assert not path.exists()
    text = gzip.decompress(path.read_bytes()) if suffix.endswith("gz") else path.read_bytes()
    events = json.loads(text)["traceEvents"]
    booked = [event for event in events if event.get("cat") == "operation"]
    assert sum(event["args"]["energy_aJ"] for event in booked) == chip.ledger.total.energy
    assert sum(event["args"]["busy_ps"] for event in booked) == chip.ledger.total.busy
    assert sum(event["args"]["pulses"] for event in booked) == chip.ledger.pulses == 32
    tracks = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"tile 0", "tile 1", "ADCs of tile 0", "programming drivers", "digital core"} <= tracks
    for event in events:
        assert {"name", "ph", "pid", "tid"} <= set(event)
        assert event["ph"] in ("M", "X", "C")
        if event["ph"] == "X":
            assert event["dur"] > 0
            assert event["ts"] >= 0
    assert not list(tmp_path.glob("*.part"))


def test_a_fault_on_a_tile_that_is_not_there_is_refused():
    with pytest.raises(ValidationError, match=r"chip\.faults\.0\.tile must be < 3"):
        make_chip(3, faults=(FaultSpec(what="cell", tile=3, time=1.0),))
