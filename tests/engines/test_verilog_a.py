"""Verilog-A devices: what is taken and what refused, that tables follow the model, and that runs bring no code."""

import hashlib
import json
import re
import sys

import numpy as np
import pytest

from circuitmem import Tile, TileSpec, cli
from circuitmem.config import ChipSpec, Pulse, PulseTrain, VerilogASpec, VteamSpec, load_run, remember_verilog
from circuitmem.config.verilog_a import SHIPPED
from circuitmem.control import Chip
from circuitmem.device import conductance, tabulated_error
from circuitmem.device.tabulated import table_of
from circuitmem.engine import BehavioralEngine, SavedCase, SpiceEngine, StateCase, save_case, verilog_law
from circuitmem.engine.verilog_a import take_model
from circuitmem.errors import ValidationError
from circuitmem.netlists.vacask.text import model_source
from circuitmem.netlists.vacask.verilog import read_model
from circuitmem.records import read_config
from circuitmem.tile import DefectMap
from circuitmem.training import InSituTrainer
from circuitmem.training.run import resume_run, start_run

vacask_only = pytest.mark.vacask
LIMITS = {"positive_voltage": 1.3, "negative_voltage": 1.85, "time": 1e-8, "set_sign": -1, "conductance": 1e-6}
ON_A_CHIP = {
    "kind": "verilog-a", "set_sign": -1, "minimum_conductance": 10e-6, "maximum_conductance": 150e-6,
    "set_voltage": 1.8, "reset_voltage": 0.6, "set_time": 1e-9, "reset_time": 1e-9, "rise_time": 1e-10, "error": 1e-2,
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A user's cache of its own: models and tables are kept there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def named(tmp_path, text, **options):
    """Return a device of a file that the user has named."""
    path = tmp_path / "mine.va"
    path.write_text(text)
    remember_verilog(path)
    return VerilogASpec(file=str(path), **{**LIMITS, **options})


MODEL = """`include "disciplines.vams"
module mine(p, n);
  inout p, n;
  electrical p, n, w;
  (* type="instance" *) parameter real start = 0.5 from [0:1];
  parameter real g = 1e-4, k = 1e6;
  real v, s;
  analog begin
    v = V(p, n);
    s = min(max(V(w), 0.0), 1.0);
    V(w) <+ idt(k*v*s*(1.0 - s), start);  // the state
    I(p, n) <+ g*(0.1 + s)*v;
  end
endmodule
"""
STATEMENT = "V(w) <+ idt(k*v*s*(1.0 - s), start);"
TEXTS = {
    "an event": (MODEL.replace("v = V(p, n);", "@(initial_step) s = start;\n v = V(p, n);"),
                 "OpenVAF runs @(initial_step) in every evaluation; make variable 's' a node"),
    "a crossing": (MODEL.replace("v = V(p, n);", "@(cross(V(p, n), 1)) begin s = 1.0; end v = V(p, n);"),
                   "must have no analogue events: OpenVAF runs @(cross(V(p, n), 1))"),
    "an integral in a variable": (MODEL.replace(STATEMENT, "s = idt(k*v*s*(1.0 - s), start);"),
                                  "must integrate into a node, and variable 's' is none"),
    "half an integral in a variable": (MODEL.replace(STATEMENT, "s = 0.5*idt(k*v, start);"),
                                       "must integrate into a node, and variable 's' is none"),
    "an integral and more": (MODEL.replace(STATEMENT, "V(w) <+ idt(k*v, start) + 0.1;"), "must have idt alone"),
    "another node": (MODEL.replace("V(w) <+", "V(q) <+"), "chip.device.state must be the node that"),
    "a number to begin with": (MODEL.replace("1.0 - s), start)", "1.0 - s), 0.5)"), "the first state a parameter"),
    "a parameter of all": (MODEL.replace('(* type="instance" *) ', ""), 'must have start as (* type="instance" *)'),
    "two states": (MODEL.replace(STATEMENT, STATEMENT + " V(w) <+ idt(v, start);"), "must have one state"),
    "no state": (MODEL.replace(STATEMENT, ""), "must have a state: V(w) <+ idt(rate, start);"),
    "a modulus": (MODEL.replace(STATEMENT, "V(w) <+ idtmod(k*v, start, 1.0);"), "must have no idtmod()"),
    "a capacitance": (MODEL.replace("I(p, n) <+", "I(p, n) <+ 1e-15*ddt(v) +"), "must have no ddt()"),
    "the time": (MODEL.replace("k*v*s", "$abstime*v*s"), "must not ask for the time"),
    "an include": (MODEL.replace("disciplines.vams", "/etc/passwd"), "must include nothing but constants.vams"),
    "a macro": (MODEL.replace("module mine", "`define K 1\nmodule mine"), "must have no macros of its own"),
    "three terminals": (MODEL.replace("mine(p, n)", "mine(p, n, g2)"), "must have two terminals by name"),
    "two modules": (MODEL + MODEL.replace("module mine", "module other"), "chip.device.module must be named"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_would_go_wrong_is_refused_in_one_line(tmp_path, kind):
    text, message = TEXTS[kind]
    with pytest.raises(ValidationError, match=re.escape(message)) as error:
        read_model(named(tmp_path, text, state="w"))
    assert "\n" not in str(error.value)


def test_what_is_declared_wrongly_is_refused_by_name(tmp_path):
    for options, message in (
        ({"state": "q"}, "chip.device.state must be an electrical node of module mine"),
        ({"module": "mime"}, r"chip.device.module must be a module of .*mine.*did you mean"),
        ({"parameters": {"gg": 1.0}}, "chip.device.parameters must be a parameter of module mine: g, k"),
        ({"parameters": {"start": 1.0}}, "chip.device.parameters must be a parameter of module mine: g, k"),
        ({"state_range": (1.0, 0.0)}, "state_range must be"),
        ({"module": "x; load"}, "module"),
        ({"parameters": {"g=1 h": 1.0}}, "parameters"),
    ):
        with pytest.raises(ValidationError, match=message):
            read_model(named(tmp_path, MODEL, **{"state": "w", **options}))
    assert read_model(named(tmp_path, MODEL, state="w")).terminals == ("p", "n", "w")
    with pytest.raises(ValidationError, match=r"file must be Verilog-A that can be read.*No such file"):
        VerilogASpec(file=str(tmp_path / "none.va"), **LIMITS)


HIDDEN = {
    "on": MODEL.replace("I(p, n) <+", "if (v > 0.1) on = 1.0;\n    I(p, n) <+ on*1e-9*v +"),
    "sum": MODEL.replace("I(p, n) <+", "sum = sum + v;\n    I(p, n) <+ sum*1e-9 +"),
}


@vacask_only
@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_state_is_refused_with_its_name(tmp_path, name):
    text = HIDDEN[name].replace("real v, s", f"real v, s, {name}")
    with pytest.raises(ValidationError, match=f"OpenVAF drops what variable '{name}' had a moment ago"):
        verilog_law(named(tmp_path, text, state="w"), np.full(1, 0.5), np.full(1, 0.1))


@vacask_only
def test_what_does_not_compile_says_why(tmp_path):
    with pytest.raises(ValidationError, match=r"must be Verilog-A: it does not compile; .*nosuch") as error:
        verilog_law(named(tmp_path, MODEL.replace("g*(", "nosuch*("), state="w"), np.full(1, 0.5), np.full(1, 0.1))
    assert "\n" not in str(error.value)


@vacask_only
def test_the_law_is_what_the_model_says_with_its_parameters_and_range(tmp_path):
    device = named(tmp_path, MODEL, state="w", parameters={"g": 2e-4}, state_range=(0.0, 0.5))
    states, volts = np.random.default_rng(0).random((2, 150))
    amperes, rates = verilog_law(device, states, volts - 0.5)
    w, v = 0.5 * states, volts - 0.5
    np.testing.assert_allclose(amperes, 2e-4 * (0.1 + w) * v, rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(rates, 1e6 * v * w * (1.0 - w) / 0.5, rtol=1e-9, atol=1e-6)


@vacask_only
def test_our_vteam_gives_the_states_of_the_built_in_one_and_of_vacask(vacask):
    device, known = VerilogASpec(file="vteam", **LIMITS, error=1e-3), VteamSpec.preset("A")
    _, error = tabulated_error(device)
    assert error <= 1e-3
    rng = np.random.default_rng(5)
    spec = TileSpec(rows=8, columns=8, word_line_resistance=2.0, bit_line_resistance=2.0)
    stuck = rng.random(spec.shape) < 0.1
    defects = DefectMap(stuck=stuck, stuck_conductance=np.where(stuck, 1e-4, 0.0))
    states = rng.uniform(0.2, 0.8, spec.shape)
    for amplitude, width in ((0.6, 3e-9), (-1.8, 2e-10)):
        pulse = Pulse(amplitude=amplitude, width=width, rise=0.1 * width, rows=(3,), columns=(1, 5, 7))
        tile = Tile(spec, conductance(device, states), defects)
        ours = BehavioralEngine().program(tile, PulseTrain(device=device, pulses=(pulse,)))
        theirs = vacask.program(tile, PulseTrain(device=device, pulses=(pulse,)))
        same = Tile(spec, conductance(known, states), defects)
        built_in = BehavioralEngine().program(same, PulseTrain(device=known, pulses=(pulse,)))
        moved = np.abs(built_in.state - states)[~stuck].max()
        assert moved > 0.01
        assert np.abs(ours.state - built_in.state)[~stuck].max() <= 1e-3 * moved
        assert np.abs(ours.state - theirs.state)[~stuck].max() <= 1e-4
        assert ours.energy == pytest.approx(theirs.energy, rel=1e-3)
        case = StateCase(
            spec, defects, (PulseTrain(device=device, pulses=(pulse,)),), tile.conductance[None], ours.state[None],
            np.array([ours.energy]),
        )  # fmt: skip
        again = StateCase.from_arrays(case.arrays())
        assert again.trains == case.trains
        assert again.errors(again.reference(vacask)).max() <= 1e-3
    with SpiceEngine() as spice, pytest.raises(ValidationError, match="device must have a model for ngspice; vacask"):
        spice.program(tile, PulseTrain(device=device, pulses=(pulse,)))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_can_be_taken_and_say_their_source(name):
    model = read_model(VerilogASpec(file=name, **LIMITS))
    assert model.start == "x0"
    assert re.search(r"^// .*doi 10\.\d{4}", model_source(name))


def declared(tmp_path, *settings):
    (tmp_path / "mine.va").write_text(model_source("vteam"))
    words = {**ON_A_CHIP, "file": str(tmp_path / "mine.va")}
    (tmp_path / "mine.toml").write_text(
        'methods = ["in_situ"]\ncheckpoint_interval = 0.0\n'
        "[data]\nside = 4\ntrain = 30\ntest = 10\n[network]\nlayers = [16, 4, 10]\n"
        "[chip.tile]\nrows = 4\ncolumns = 8\nword_line_resistance = 1.0\nbit_line_resistance = 1.0\n"
        "[ex_situ]\nepochs = 1\n[in_situ]\nepochs = 1\nbatch = 10\n[calibration]\nvectors = 5\n"
        "[chip.device]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in words.items())
    )
    return load_run(tmp_path / "mine.toml", list(settings))


@vacask_only
def test_a_run_is_audited_in_vacask_and_goes_on_to_the_same_end(tmp_path, monkeypatch):
    spec = declared(tmp_path, "audit.tiles=1", "audit.reads=1", "audit.pulses=1")
    assert spec.audit.referee == "vacask"
    assert spec.chip.device.sha256 == hashlib.sha256((tmp_path / "mine.va").read_bytes()).hexdigest()
    whole = start_run(spec, tmp_path / "whole")
    assert whole["pulses"]["in_situ"] > 100
    assert whole["audit"]["pulse_trains"] == 1
    assert whole["audit"]["largest_relative_error"] < 1e-12
    real, calls = InSituTrainer.step, []

    def interrupted(self, *words, **options):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *words, **options)

    monkeypatch.setattr(InSituTrainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_run(spec, tmp_path / "part")
    # A model that changes meanwhile does not change a run, nor does one that is gone.
    (tmp_path / "mine.va").unlink()
    rest = resume_run(tmp_path / "part")
    for name in ("accuracy_percent", "pulses", "energy_j", "simulated_time_s"):
        assert rest[name] == whole[name], name
    assert len(calls) == 4  # three batches, and the one that was cut off again
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "somebody"))
    with pytest.raises(ValidationError, match=r"chip.device.file must be what this run .* there is no such file"):
        Chip(read_config(tmp_path / "whole").chip.model_copy(update={"device": other_error(spec)}), 1)


@vacask_only
def test_an_operation_on_ones_own_model_is_replayed_by_the_command(tmp_path, monkeypatch, capsys):
    """The model as it was then is in the cache, whatever became of the file; where it is not, the line says why."""
    device = named(tmp_path, MODEL, state="w", error=1e-2, set_sign=1, time=1e-6)
    path, spec = tmp_path / "mine.va", TileSpec(rows=2, columns=2, word_line_resistance=2.0)
    pulse = Pulse(amplitude=1.0, width=4e-7, rise=1e-8, rows=(1,), columns=(0, 1))
    tile, train = Tile(spec, np.full((2, 2), 5e-5)), PulseTrain(device=device, pulses=(pulse,))
    right = BehavioralEngine().program(tile, train)
    wrong = StateCase(spec, DefectMap(), (train,), tile.conductance[None], right.state[None] - 0.01,
                      np.array([right.energy]))  # fmt: skip
    saved = SavedCase(wrong, wrong.again(BehavioralEngine()).reference(BehavioralEngine()), 1e-3, {"referee": "vacask"})
    save_case(tmp_path / "audit_in_situ_tile0_1_pulse_train.npz", saved)

    def replay(*words):
        for cached in (take_model, table_of):
            cached.cache_clear()
        file = str(tmp_path / "audit_in_situ_tile0_1_pulse_train.npz")
        monkeypatch.setattr(sys, "argv", ["circuitmem", "replay", file, "--json", *words])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code
        return code or 0, json.loads(capsys.readouterr().out)

    code, found = replay()
    assert (code, found["agrees"], found["referee"]) == (0, True, "vacask")
    assert found["saved_error"] == pytest.approx(0.01)
    assert 0.0 < found["error"] < 1e-3
    path.write_text(MODEL.replace("k = 1e6", "k = 2e6"))
    assert replay("--engine", "spice")[0] == 1  # what the kernels said then still differs from the model of then
    assert replay() == (code, found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "somebody"))
    for became, message in (
        (None, "which is not in your cache; the file has another text now (got '"),
        (path.unlink, "which is not in your cache; there is no such file (got '"),
        (lambda: path.write_text(MODEL), "must be named in a command of yours first, circuitmem verilog-a CONFIG"),
    ):
        if became:
            became()
        code, said = replay()
        assert code == 2
        assert said["error"]["message"].startswith("chip.device.file must be ")
        assert message in said["error"]["message"]
    remember_verilog(path)
    assert replay() == (0, found)


def other_error(spec):
    """The devices of a run, whose tables are not made yet."""
    return spec.chip.device.model_copy(update={"error": 2e-2})


def test_a_run_of_somebody_else_brings_no_code(tmp_path, monkeypatch):
    text = declared(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "somebody"))
    (tmp_path / "config.toml").write_text((tmp_path / "mine.toml").read_text())
    spec = read_config(tmp_path)
    assert spec.chip.device == text.chip.device
    with pytest.raises(ValidationError, match=r"circuitmem verilog-a CONFIG, once you have read it: this run or study"):
        read_model(spec.chip.device.model)
    assert not list((tmp_path / "somebody").rglob("*.va"))
    load_run(tmp_path / "config.toml")  # named by the user
    assert read_model(spec.chip.device.model).module == "vteam"
    with pytest.raises(ValidationError, match=r"chip.device.sha256 must be"):
        load_run(tmp_path / "config.toml", ["chip.device.sha256=" + "0" * 64])


def test_referees_and_engines_that_have_no_verilog_are_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"audit.referee must be vacask for Verilog-A devices"):
        declared(tmp_path, "audit.referee=ngspice")
    with pytest.raises(ValidationError, match=r"engine must be another for Verilog-A devices"):
        declared(tmp_path, "engine=ngspice")
    with pytest.raises(ValidationError, match=r"minimum_conductance.* must be < |maximum_conductance must be >"):
        ChipSpec(device={**ON_A_CHIP, "file": "vteam", "maximum_conductance": 1e-6})
