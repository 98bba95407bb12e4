"""Pulse and burst end alike, to the last bit: time, energy, state and answers, whatever is asked and what breaks."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitmem import TileSpec
from circuitmem.config import (
    AdcSpec,
    BusSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    EnduranceSpec,
    FaultSpec,
    NoiseSpec,
    ProgrammingSpec,
    PulseUpdateSpec,
    RetentionSpec,
    StatisticalSpec,
    TemperatureSpec,
    TwoPulseSpec,
)
from circuitmem.control import Chip, Priority
from circuitmem.registry import find

ROWS, COLUMNS, TILES = 5, 4, 3
sys.path.append(str(Path(__file__).parents[3] / "examples" / "plugin"))
OWN = "circuitmem_example:Stairs"


@st.composite
def chips(draw):
    """A chip whose pulses and reads meet at the same instants often: few round durations, scarce resources."""
    faults = [
        FaultSpec(
            what=draw(st.sampled_from(["cell", "word_line", "bit_line", "driver", "adc"])),
            tile=draw(st.integers(0, TILES - 1)),
            row=draw(st.integers(0, ROWS - 1)),
            column=draw(st.integers(1, COLUMNS - 1)),
            conductance=2e-4,
            **draw(
                st.one_of(
                    st.builds(lambda k: {"time": k * 10e-9}, st.integers(0, 100)),
                    st.builds(lambda k: {"pulses": float(k)}, st.integers(1, 12)),
                )
            ),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    by_cell = draw(st.booleans())
    times = {
        "set_time": draw(st.sampled_from([30e-9, 60e-9])),
        "reset_time": draw(st.sampled_from([20e-9, 60e-9])),
        "minimum_conductance": 1e-6,
        "maximum_conductance": 300e-6,
    }
    counted = PulseUpdateSpec(states=6, cycle_noise=0.05, nonlinearity_spread=0.3, **times)
    # One of somebody else, who has no kernel: the class of the example package.
    own = find("devices", OWN).Spec(kind=OWN, steps=6, noise=5e-6, **times)
    known = StatisticalSpec(programming_error=((1e-6, 1e-6), (300e-6, 6e-6)), **times)
    device = draw(st.sampled_from([TwoPulseSpec(**times), counted, own, known]))
    return ChipSpec(
        tile=TileSpec(rows=ROWS, columns=COLUMNS, word_line_resistance=1.0, bit_line_resistance=2.0),
        converters=ConverterSpec(dac=DacSpec(), adc=AdcSpec(share=2, noise=1e-3)),
        device=device,
        defects=DefectSpec(device_yield=0.8),
        programming=ProgrammingSpec(
            drivers=draw(st.integers(1, 2)),
            by_cell=by_cell,
            rows_at_once=1 if by_cell else draw(st.integers(1, 3)),
            energy_per_pulse=1e-12,
        ),
        bus=draw(st.sampled_from([BusSpec(), BusSpec(bandwidth=3.2e9, energy_per_bit=1e-15)])),
        dac_banks=draw(st.sampled_from([None, 1, 2])),
        adc_banks=draw(st.sampled_from([None, 1, 2])),
        retention=draw(
            st.sampled_from(
                [
                    RetentionSpec(),
                    RetentionSpec(drift_exponent=0.05, drift_spread=0.3, drift_time=1e-7),
                    RetentionSpec(read_disturb=1e-3, read_disturb_rate=1e3),
                ]
            )
        ),
        noise=draw(st.sampled_from([NoiseSpec(), NoiseSpec(white=0.02, flicker=0.05, flicker_time=1e-8)])),
        temperature=draw(
            st.sampled_from(
                [TemperatureSpec(), TemperatureSpec(coefficient=1e-3, profile=((0.0, 300.0), (1e-6, 350.0)))]
            )
        ),
        endurance=draw(st.sampled_from([EnduranceSpec(), EnduranceSpec(pulses=3.0, failure="stuck-on")])),
        faults=tuple(faults),
    )


steps = st.lists(
    st.tuples(
        st.sampled_from(["read", "program", "compute", "wait"]),
        st.integers(0, TILES - 1),
        st.sampled_from(list(Priority)),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=6,
)
schedules = st.lists(steps, min_size=1, max_size=5)


def carry_out(chip, script, number, seen):
    """One process of a random schedule."""
    rng = np.random.default_rng(number)
    for what, tile, priority, amount in script:
        unit = chip.units[tile]
        if what == "read":
            codes = rng.integers(0, 256, (amount, ROWS))
            seen.append((number, (yield from chip.read(unit, codes, "mac_read", priority)).tolist()))
        elif what == "program":
            wanted = rng.uniform(1e-6, 300e-6, (ROWS, COLUMNS))
            seen.append((number, (yield from chip.program(unit, wanted, 40e-6, priority))))
        elif what == "compute":
            yield from chip.compute(640 * amount, priority)
        else:
            yield from chip.wait_until(chip.clock + 10_000 * amount)
        seen.append((number, chip.clock))


def end(spec, schedule, granularity):
    chip, seen = Chip(spec, TILES, seed=3, granularity=granularity), []
    chip.run(chip.together(carry_out(chip, script, number, seen) for number, script in enumerate(schedule)))
    return chip, seen


def usage(chip):
    return [(resource.name, resource.busy, resource.waited) for resource in chip.resources]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(chips(), schedules)
def test_random_schedules_end_alike_to_the_last_bit(spec, schedule):
    (pulse, by_pulse), (burst, by_burst) = end(spec, schedule, "pulse"), end(spec, schedule, "burst")
    assert by_pulse == by_burst
    assert pulse.clock == burst.clock
    assert pulse.ledger.entries == burst.ledger.entries
    assert pulse.ledger.parts == burst.ledger.parts
    for one, other in zip(pulse.units, burst.units, strict=True):
        for unit in (one, other):
            unit.meet(pulse.clock, 0)
        assert np.array_equal(one.tile.effective_conductance, other.tile.effective_conductance)
        assert np.array_equal(one.asked, other.asked)
        assert np.array_equal(one.cells.pulses, other.cells.pulses)
        assert one.tile.defects == other.tile.defects
    assert [(r.name, r.busy, r.waited) for r in pulse.resources] == [
        (r.name, r.busy, r.waited) for r in burst.resources
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(chips(), schedules)
def test_time_and_energy_are_conserved(spec, schedule):
    chip, _ = end(spec, schedule, "burst")
    for resource in chip.resources:
        assert 0 <= resource.busy <= resource.capacity * chip.clock
        assert not resource.users
        assert sorted(resource.free) == list(range(resource.capacity))
    tiles = sum(unit.array.busy for unit in chip.units)
    assert tiles == sum(account.busy for tile, account in chip.ledger.by("tile").items() if tile >= 0)
    for sums in (chip.ledger.by("kind"), chip.ledger.by("tile"), chip.ledger.by("phase")):
        assert sum(account.energy for account in sums.values()) == chip.ledger.total.energy
    assert sum(chip.ledger.energy_by_part().values()) == chip.ledger.total.energy
