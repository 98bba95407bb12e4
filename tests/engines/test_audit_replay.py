"""An operation beyond the limit is saved whole, and replayed: with the wrong answer it fails, without it does not."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec
from circuitmem.control import Chip
from circuitmem.engine import (
    AuditedEngine,
    AuditQueue,
    BehavioralEngine,
    ReadCase,
    SpiceEngine,
    fraction_bound,
    load_case,
    replay_case,
    stratified_bound,
)
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz, save_npz

SPEC = TileSpec(rows=4, columns=3, word_line_resistance=2.0, bit_line_resistance=[[1.0] * 3] * 4)
DEFECTS = DefectMap(
    stuck=np.eye(4, 3, dtype=bool),
    stuck_conductance=1e-3,
    bridges=[(("word", 0, 1), ("word", 1, 1), 50.0)],
    dead_drivers=[False, False, True, False],
)


def make_tile(**more):
    spec = SPEC.model_copy(update=more)
    return Tile(spec, np.random.default_rng(1).uniform(1e-6, 3e-4, (4, 3)), DEFECTS)


def replay(*words):
    return subprocess.run(
        [sys.executable, "-m", "circuitmem", "replay", *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wrong_read(tmp_path_factory):
    """A read that the behavioral engine answered wrongly in one column, as an audit saved it."""
    tile, voltages = make_tile(), np.random.default_rng(2).uniform(-0.2, 0.2, (3, 4))
    currents = BehavioralEngine().read(tile, voltages)
    currents[1, 2] *= 1.001
    with AuditQueue(folder=tmp_path_factory.mktemp("audit")) as audit:
        audit.submit(tile, voltages, BehavioralEngine().read(tile, voltages))
        audit.submit(tile, voltages, currents)
    record = audit.record
    assert (record.operations, record.exceeded, record.reads) == (2, 1, 6)
    assert record.fraction_bound == pytest.approx(fraction_bound(1, 2))
    (file,) = record.files
    return file, record.largest_relative_error


@pytest.mark.spice
def test_a_wrong_answer_is_saved_and_replayed(wrong_read):
    file, error = wrong_read
    done = replay(file, "--engine", "spice", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert found["saved_error"] == pytest.approx(error)
    assert found["error"] == pytest.approx(error, rel=1e-6)
    assert (found["kind"], found["size"], found["agrees"]) == ("read", 3, False)
    # The engine of today is right: what was wrong is mended.
    done = replay(file)
    assert done.returncode == 0, done.stderr
    assert "it agrees now" in done.stdout
    assert replay_case(file, spice=False)["agrees"]


@pytest.mark.spice
@pytest.mark.vacask
def test_operations_go_to_the_referee_that_is_named_and_are_replayed_there(tmp_path):
    tile, voltages = make_tile(), np.random.default_rng(2).uniform(-0.2, 0.2, (3, 4))
    case = ReadCase(tile, voltages, BehavioralEngine().read(tile, voltages) * 1.001)
    with AuditQueue(folder=tmp_path, referees=("ngspice", "vacask")) as audit:
        for name, referee in (("a", None), ("b", "vacask"), ("c", "vacask")):
            audit.add(case, name=name, referee=referee)
    assert [audit.record_of(referee=name).reads for name in ("ngspice", "vacask")] == [3, 6]
    assert audit.record.exceeded == 3
    found = json.loads(replay(tmp_path / "audit_b_read.npz", "--json").stdout)
    assert (found["referee"], found["agrees"]) == ("vacask", True)
    found = replay_case(tmp_path / "audit_b_read.npz", behavioral=False, referee="ngspice")
    assert (found["referee"], found["agrees"]) == ("ngspice", False)


@pytest.mark.spice
def test_an_engine_that_is_still_wrong_still_differs(wrong_read, monkeypatch):
    real = BehavioralEngine.read
    monkeypatch.setattr(BehavioralEngine, "read", lambda *a, **k: real(*a, **k) * 1.01)
    found = replay_case(wrong_read[0])
    assert not found["agrees"]
    assert found["error"] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.spice
def test_what_is_saved_is_the_whole_tile_without_pickle(wrong_read):
    saved = load_case(wrong_read[0])
    assert saved.case.tile.spec == SPEC
    assert saved.case.tile.defects == DEFECTS
    np.testing.assert_array_equal(saved.case.tile.conductance, make_tile().conductance)
    assert saved.reference.shape == saved.case.currents.shape == (3, 3)
    assert saved.provenance["error"] == pytest.approx(wrong_read[1])
    assert not any(array.dtype.hasobject for array in load_npz(wrong_read[0]).values())


@pytest.mark.spice
@pytest.mark.parametrize("damage", ["cut", "spec", "shape", "format", "missing", "foreign"])
def test_a_damaged_file_is_refused(wrong_read, tmp_path, damage):
    path = tmp_path / "damaged.npz"
    content = dict(load_npz(wrong_read[0]))
    if damage == "cut":
        path.write_bytes(Path(wrong_read[0]).read_bytes()[:-40])
    elif damage == "missing":
        path = tmp_path / "nowhere.npz"
    elif damage == "foreign":
        save_npz(path, {"x": np.zeros(3)})
    else:
        changed = {"spec": ("case_spec", np.array('{"rows": -1}')), "format": ("format", np.array(9))}
        name, value = changed.get(damage, ("case_currents", np.zeros((2, 2))))
        save_npz(path, content | {name: value})
    with pytest.raises(DataFileError):
        load_case(path)
    if damage in ("cut", "spec"):
        done = replay(path)
        assert done.returncode == 2
        assert done.stderr.startswith("circuitmem: error: ")
        assert done.stderr.count("\n") == 1


def small_chip(engine, **more):
    tile = TileSpec(rows=5, columns=4, word_line_resistance=2.0, bit_line_resistance=3.0, **more.pop("tile", {}))
    return Chip(ChipSpec(tile=tile, defects=DefectSpec(device_yield=0.8), **more), 2, seed=4, engine=engine)


def work(chip):
    rng = np.random.default_rng(7)
    for _ in range(2):
        for unit in chip.units:
            chip.run(chip.program(unit, rng.uniform(1e-6, 3e-4, (5, 4)), 0.0))
            chip.run(chip.read(unit, rng.integers(0, 256, (3, 5)), "mac_read"))


@pytest.mark.spice
@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=1.0)}])
def test_a_chip_is_audited_while_it_works(cell):
    with AuditedEngine(BehavioralEngine(), fraction=1.0) as engine:
        chip = small_chip(engine, tile=cell)
        work(chip)
    record = engine.record
    assert record.failures == ()
    assert (record.reads, record.pulse_trains, record.operations) == (12, 4, 8)
    assert record.largest_relative_error < 1e-7
    plain = small_chip(BehavioralEngine(), tile=cell)
    work(plain)
    assert plain.ledger.as_dict() == chip.ledger.as_dict()


@pytest.mark.spice
@pytest.mark.parametrize(
    ("what", "patched"),
    [
        ("what a SET leaves", ("circuitmem.device.two_pulse.set_pulse", 1.001)),
        ("the power of a row", ("circuitmem.control.unit.row_power", 1.001)),
    ],
)
def test_a_wrong_kernel_is_found_in_a_pulse_train(tmp_path, monkeypatch, what, patched):
    name, factor = patched
    module = importlib.import_module(name.rpartition(".")[0])
    real = getattr(module, name.rpartition(".")[2])

    def wrong(*arguments):
        answer = real(*arguments)
        if answer is None:
            programmed, effective, stuck, cells = arguments[:4]
            programmed[cells] *= factor
            if effective is not programmed:
                effective[cells & ~stuck] *= factor
            return None
        return answer * factor

    monkeypatch.setattr(module, name.rpartition(".")[2], wrong)
    with AuditedEngine(BehavioralEngine(), fraction=1.0, folder=tmp_path) as engine:
        work(small_chip(engine))
    record = engine.record
    assert record.exceeded == 4  # all trains, no read
    assert record.largest_relative_error == pytest.approx(0.001, rel=0.3)
    found = replay_case(record.files[0])
    assert found["kind"] == "pulse_train"
    assert found["agrees"]  # worked out anew by the kernels themselves, which are right
    assert not replay_case(record.files[0], behavioral=False)["agrees"]


@pytest.mark.spice
@pytest.mark.parametrize("programming", [{}, {"by_cell": True}, {"rows_at_once": 2}])
def test_any_operation_of_a_chip_runs_in_ngspice(spice, programming):
    """Programming, a verify read and a read, with converters as circuits; power and energy come from ngspice."""
    chips = [small_chip(engine, programming=ProgrammingSpec(**programming)) for engine in (BehavioralEngine(), spice)]
    answers = []
    for chip in chips:
        unit = chip.units[0]
        rng = np.random.default_rng(7)
        chip.run(chip.program(unit, rng.uniform(1e-6, 3e-4, (5, 4)), 0.0))
        chip.run(chip.program(unit, rng.uniform(1e-6, 3e-4, (5, 4)), 0.0))
        answers.append(chip.run(chip.read(unit, rng.integers(0, 256, (4, 5)), "verify_read")))
    np.testing.assert_array_equal(*answers)
    np.testing.assert_array_equal(*(chip.units[0].tile.conductance for chip in chips))
    assert chips[0].now == chips[1].now
    parts = [{key: value for key, value in chip.ledger.parts.items() if key[1] == "array"} for chip in chips]
    assert parts[0].keys() == parts[1].keys()
    for key, energy in parts[0].items():
        assert energy > 0
        assert parts[1][key] == pytest.approx(energy, rel=1e-9)


@pytest.mark.spice
def test_the_power_of_pulses_really_comes_from_ngspice(spice, monkeypatch):
    asked, real = [], SpiceEngine.solve
    monkeypatch.setattr(SpiceEngine, "solve", lambda self, *a: asked.append(a) or real(self, *a))
    monkeypatch.setattr("circuitmem.control.unit.row_power", lambda *a: pytest.fail("the kernel was asked"))
    chip = small_chip(spice)
    chip.run(chip.program(chip.units[0], np.full((5, 4), 1e-4), 0.0))
    assert len(asked) == 5


def test_a_chip_takes_nothing_that_is_no_engine():
    class Other:
        name = "other"

    with pytest.raises(ValidationError, match="engine must be an engine, the name of one"):
        small_chip(Other())


@pytest.mark.parametrize(("exceeded", "audited"), [(0, 1), (0, 59), (1, 40), (7, 200), (199, 200)])
def test_the_bound_is_the_exact_binomial_one(exceeded, audited):
    """At the bound, so few are found in a sample with a probability of 5 %."""
    assert binom.cdf(exceeded, audited, fraction_bound(exceeded, audited)) == pytest.approx(0.05, rel=1e-9)


def test_the_bound_at_its_ends():
    assert fraction_bound(0, 0) == 1.0
    assert fraction_bound(3, 3) == 1.0
    assert fraction_bound(0, 59) == pytest.approx(1.0 - 0.05 ** (1 / 59))
    with pytest.raises(ValidationError, match="exceeded must be <= 2"):
        fraction_bound(3, 2)


def test_the_bound_covers_what_it_says():
    """Two groups of operations, 1 % and 10 % beyond the limit: in 95 of 100 audits or more the bound is above."""
    rng = np.random.default_rng(0)
    sizes, fractions, audited = (3000, 1000), (0.01, 0.10), (80, 60)
    truth = sum(s * f for s, f in zip(sizes, fractions, strict=True)) / sum(sizes)
    held = 0
    for _ in range(400):
        counts = rng.binomial(audited, fractions)
        held += stratified_bound(zip(counts.tolist(), audited, sizes, strict=True)) >= truth
    assert held >= 0.95 * 400
    assert stratified_bound([(0, 59, 10)]) == pytest.approx(fraction_bound(0, 59))
    assert stratified_bound([]) == 1.0


def test_the_bound_of_groups_without_a_difference_is_the_worst_spread():
    # Eight groups alike: as if one sample of eight had been drawn, at nine tenths of the risk.
    assert stratified_bound([(0, 1, 100)] * 8) == pytest.approx(1.0 - 0.045 ** (1 / 8))
    assert stratified_bound([(0, 10, 100), (0, 0, 50)]) > 50 / 150  # of what nobody looked at all may be beyond
    groups = [(0, 3, 1000), (0, 10, 300), (0, 1, 50)]
    audited, weight = np.array([3, 10, 1]), np.array([1000, 300, 50]) / 1350
    # Fractions in all proportions at which nothing is found with a probability of the risk: none has a larger sum.
    spread = np.random.default_rng(0).dirichlet([0.3] * 3, 20_000) * np.log(0.045)
    sums = (1.0 - np.exp(spread / audited)) @ weight
    bound = stratified_bound(groups)
    assert sums.max() <= bound
    assert sums.max() == pytest.approx(bound, rel=1e-3)
