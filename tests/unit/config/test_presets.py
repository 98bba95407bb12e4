"""Presets from published chips: every number has a source or says that it is assumed, and each one runs."""

import re
from importlib import resources

import pytest

from circuitmem.config import load_run, presets

PUBLISHED = ("Joshi2020", "Li2018", "Shafiee2016", "Wan2022")
MARK = re.compile(r"#.*(\[[PD]\]|assumed|ours|left out)")


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_run_and_is_found_in_any_case(name):
    assert load_run(name) == load_run(name.lower())


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_of_a_published_chip_says_where_it_is_from(name):
    text = (resources.files("circuitmem.config") / "presets" / f"{name}.toml").read_text("utf-8")
    assert re.search(r"doi 10\.\d{4}/\S+", text)
    tables = text.partition("\n[")[2].splitlines()
    values = [line for line in tables if "=" in line and not line.startswith("#")]
    assert len(values) > 20
    assert [line for line in values if not MARK.search(line)] == []


def test_li_2018_is_the_board_of_the_paper():
    spec = load_run("li2018")
    assert (spec.network.layers, spec.chip.tile.shape, spec.in_situ.batch) == ((64, 54, 10), (128, 64), 50)
    device = spec.chip.device
    for gate, conductance in (
        (device.minimum_gate, device.minimum_conductance),
        (device.maximum_gate, device.maximum_conductance),
    ):
        assert conductance == pytest.approx(98e-6 * gate + 120e-6, rel=1e-12)


def test_isaacs_read_takes_a_hundred_nanoseconds():
    from circuitmem.control import OPERATIONS

    spec = load_run("shafiee2016").chip
    assert OPERATIONS["mac_read"].beat(spec) == pytest.approx(100_000, abs=150)
    assert len(spec.converters.dac.plane_weights) == 8
