"""Traces and signals, read by parsers that are not ours; as long as you like, in constant memory."""

import gzip
import json
import signal
import tracemalloc

import numpy as np
import pytest
from chrometrace import TraceEvent, TraceEventType
from vcd.reader import TokenKind, tokenize
from vcdvcd import VCDVCD

from circuitmem import TileSpec
from circuitmem.config import (
    AdcSpec,
    ChipSpec,
    ConverterSpec,
    DefectSpec,
    DigitalSpec,
    ProgrammingSpec,
    PulseUpdateSpec,
    TwoPulseSpec,
)
from circuitmem.control import Chip, Priority, Signals, Trace
from circuitmem.control.recording import BLOCK, Recording
from circuitmem.errors import DataFileError

# On import vcdvcd lets SIGPIPE end the process again, in which any test may lose a reader.
signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def make_chip(granularity="burst", **changed):
    spec = ChipSpec(
        tile=TileSpec(rows=4, columns=4),
        converters=ConverterSpec(adc=AdcSpec(share=2)),
        defects=DefectSpec(device_yield=1.0),
        digital=DigitalSpec(throughput=1e9),
        adc_banks=3,
        **({"programming": ProgrammingSpec(drivers=2)} | changed),
    )
    return Chip(spec, 3, seed=1, granularity=granularity)


def work(chip):
    """Programming, then reads that share three ADC banks, one of them interrupted, then a digital step."""

    def late():
        yield from chip.wait_until(chip.clock + 70_000)
        yield from chip.read(chip.units[0], np.full((1, 4), 3), "mac_read", Priority.INFERENCE)

    chip.run(chip.together(chip.program(unit, np.full((4, 4), 2e-4), 1e-6) for unit in chip.units))
    background = chip.read(chip.units[0], np.full((5, 4), 9), "calibration_read", Priority.BACKGROUND)
    others = [chip.read(unit, np.full((3, 4), 9), "mac_read") for unit in chip.units[1:]]
    chip.run(chip.together([background, late(), *others]))
    chip.run(chip.compute(1000))


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_every_event_of_a_trace_is_one_to_another_program(tmp_path, granularity):
    chip = make_chip(granularity)
    with Trace(tmp_path / "trace.json.gz") as trace:
        chip.trace_to(trace)
        work(chip)
    events = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["traceEvents"]
    assert len(events) > 40
    for event in events:
        kind = TraceEventType(event["ph"])
        parsed = TraceEvent.from_dict(event)  # refuses keys that the format does not have
        assert {key: value for key, value in parsed.to_dict().items() if key in event} == event
        assert kind in (TraceEventType.COMPLETE, TraceEventType.COUNTER, TraceEventType.METADATA)
    counters = [event for event in events if event["ph"] == "C"]
    assert counters[-1]["args"] == {"pulses": chip.ledger.pulses}
    assert counters[-2]["args"]["energy (J)"] == pytest.approx(chip.ledger.energy)


def nests(events):
    """Say whether the slices of every track lie one inside another or apart, by their own times."""
    tracks = {}
    for event in (event for event in events if event["ph"] == "X"):
        begin = round(event["ts"] * 1e6)
        tracks.setdefault((event["pid"], event["tid"]), []).append((begin, -(begin + round(event["dur"] * 1e6))))
    for slices in tracks.values():
        open_until = []
        for begin, end in sorted(slices):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            if open_until and -end > open_until[-1]:
                return False
            open_until.append(-end)
    return True


@pytest.mark.parametrize(
    "device", [TwoPulseSpec(), PulseUpdateSpec(minimum_conductance=1e-6, maximum_conductance=3e-4)]
)
@pytest.mark.parametrize("granularity", ["burst", "pulse"])
@pytest.mark.parametrize("cells", ["row", "cell"])
def test_slices_of_set_and_reset_nest(tmp_path, granularity, device, cells):
    programming = ProgrammingSpec(drivers=2, by_cell=cells == "cell")
    chip = make_chip(granularity, device=device, programming=programming)
    rng = np.random.default_rng(3)
    with Trace(tmp_path / "trace.json.gz") as trace:
        chip.trace_to(trace)
        for _ in range(6):
            wanted = rng.uniform(2e-5, 2e-4, (3, 4, 4))
            chip.run(chip.together(chip.program(u, w, 1e-9) for u, w in zip(chip.units, wanted, strict=True)))
    events = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["traceEvents"]
    kinds = [event for event in events if event.get("cat") == "operation"]
    assert len({event["name"] for event in kinds}) == 2
    assert nests(events)
    assert sum(event["args"]["energy_aJ"] for event in kinds) == chip.ledger.total.energy
    for event in kinds:
        assert event["args"]["begin_ps"] <= round((event["ts"] + event["dur"]) * 1e6)


def strings(path, tile):
    """Return the times [ps] and values of a tile's operation, which vcdvcd does not read: strings are GTKWave's."""
    names, scope, now, found = {}, "", 0, []
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.SCOPE:
                scope = token.scope.ident
            elif token.kind is TokenKind.VAR:
                names[token.var.id_code] = f"{scope}.{token.var.reference}"
            elif token.kind is TokenKind.CHANGE_TIME:
                now = token.time_change
            elif token.kind is TokenKind.CHANGE_STRING and names[token.string_change.id_code] == f"{tile}.operation":
                found.append((now, token.string_change.value))
    return found


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_signals_say_when_everything_was_busy_and_with_what(tmp_path, granularity):
    chip = make_chip(granularity)
    path = tmp_path / "signals.vcd"
    with Signals(path, chip.resources) as signals:
        chip.signal_to(signals)
        work(chip)
    vcd = VCDVCD(str(path), store_tvs=True)
    assert float(vcd.timescale["magnitude"] * vcd.timescale["factor"]) == 1e-12
    busy = dict.fromkeys([resource.name for resource in chip.resources], 0)
    for resource in chip.resources:
        for slot in range(resource.capacity):
            name = resource.name if resource.capacity == 1 else f"{resource.name} {slot}"
            since = None
            for time, value in vcd[f"chip.{name.replace(' ', '_')}.busy"].tv:
                if value == "1" and since is None:
                    since = time
                if value == "0" and since is not None:
                    busy[resource.name] += time - since
                    since = None
            assert since is None
    assert busy == {resource.name: resource.busy for resource in chip.resources}
    # Four rows of 500 ns, by the clock; the third tile waits for a driver.
    operations = strings(path, "tile_0")
    assert operations[:2] == [(0, "set_row_pulse"), (2_000_000, "")]
    interrupted = ["calibration_read", "", "mac_read", "", "calibration_read", ""]
    assert [value for _, value in operations[2:]] == interrupted


@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_a_recording_goes_on_to_the_same_bytes(tmp_path, suffix):
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(40, 90, 7919))) for _ in range(3 * BLOCK // 7919)]
    with Recording(tmp_path / f"whole.{suffix}") as whole:
        for word in words:
            whole.write(word)
    first = Recording(tmp_path / f"parts.{suffix}")
    for word in words[:50]:
        first.write(word)
    state = first.state()
    for word in words[50:90]:  # what a crash leaves behind
        first.write(word)
    first.abandon()
    with Recording(tmp_path / f"parts.{suffix}", json.loads(json.dumps(state))) as second:
        for word in words[50:]:
            second.write(word)
    assert (tmp_path / f"parts.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    text = (tmp_path / f"parts.{suffix}").read_bytes()
    assert (gzip.decompress(text) if suffix.endswith("gz") else text) == "".join(words).encode()


def test_a_recording_that_is_lost_is_refused(tmp_path):
    first = Recording(tmp_path / "trace.json")
    first.write("x" * 2 * BLOCK)
    state = first.state()
    first.abandon()
    (tmp_path / "trace.json.part").write_bytes(b"")
    with pytest.raises(DataFileError, match="must have at least"):
        Recording(tmp_path / "trace.json", state)


def peak(tmp_path, reads):
    """Return the memory that tracing so many reads takes at most, beyond what there was."""
    chip = make_chip()
    with Trace(tmp_path / "t.json.gz") as trace, Signals(tmp_path / "s.vcd", chip.resources) as signals:
        chip.trace_to(trace)
        chip.signal_to(signals)
        codes = np.full((1, 4), 9)

        def go_on():
            for _ in range(reads):
                yield from chip.read(chip.units[0], codes, "mac_read")

        chip.run(chip.read(chip.units[0], codes, "mac_read"))
        tracemalloc.start()
        chip.run(go_on())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_number_of_events(tmp_path):
    # The shorter of the two fills the first block already.
    assert peak(tmp_path, 5000) < 1.2 * peak(tmp_path, 500) + BLOCK


@pytest.mark.parametrize("name", ["", ".", "a\0b", "/"])
def test_what_can_be_no_file_is_refused_before_anything_is_done(tmp_path, monkeypatch, name):
    """Random options found it: a trace without a name ended in a traceback."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataFileError, match="cannot be written: "):
        Recording(name)
    assert list(tmp_path.iterdir()) == []
