"""Complete netlists, as text.

After a wanted change, write them anew with CIRCUITMEM_UPDATE_GOLDEN=1 and read the diff.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, SelectorCell, SinhCell, Tile, TileSpec, TransistorCell
from circuitmem.config import (
    AdcSpec,
    ComplianceCell,
    ConverterSpec,
    DacSpec,
    IonDriftSpec,
    Pulse,
    StanfordSpec,
    TiaSpec,
    TwoPulseSpec,
    VteamSpec,
    YakopcicSpec,
)
from circuitmem.converter import Readout
from circuitmem.device import conductance
from circuitmem.engine import adc_netlist, program_netlist
from circuitmem.netlists.compliance import ComplianceNetlist
from circuitmem.netlists.readout import ReadoutNetlist
from circuitmem.netlists.tile import TileNetlist, tile_netlist

GOLDEN = Path(__file__).parent / "golden"


def defective(cell=None, **spec):
    """Three rows, two columns, with one defect of every kind."""
    spec = TileSpec(rows=3, columns=2, word_line_resistance=1.0, bit_line_resistance=2.5, **spec)
    if cell is not None:
        spec = spec.model_copy(update={"cell": cell})
    defects = DefectMap(
        stuck=[[True, False], [False, False], [False, True]],
        stuck_conductance=[[1e-3, 0.0], [0.0, 0.0], [0.0, 0.0]],
        open_word_segments=[[False, False], [False, True], [False, False]],
        open_bit_segments=[[False, True], [False, False], [False, False]],
        bridges=[(("word", 0, 1), ("word", 1, 1), 50.0)],
        dead_drivers=[False, False, True],
        dead_senses=[False, True],
    )
    return Tile(spec, np.array([[1e-5, 2e-5], [1 / 3e4, 4e-5], [5e-5, 6e-5]]), defects)


def converted():
    spec = ConverterSpec(
        dac=DacSpec(bits=2, resistor_mismatch=0.01, gain_error=0.01, offset_error=1e-3),
        tia=TiaSpec(feedback_resistance=200.0, open_loop_gain=999.0),
        adc=AdcSpec(bits=4, gain_error=0.01, offset_error=1e-3),
    )
    tile = defective(sense_resistance=spec.tia.input_resistance, bit_line_sense="both")
    readout = Readout(spec, tile.spec, seed=1, defects=tile.defects)
    readout.adc.set_pga_gain(2.0)
    return ReadoutNetlist(tile, readout).netlist.text


def programmed(device, scheme, cell, **pulse):
    spec = TileSpec(rows=3, columns=2, word_line_resistance=1.0, bit_line_resistance=2.5, cell=cell)
    tile = Tile(spec, conductance(device, np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])), defective().defects)
    return program_netlist(tile, device, Pulse(scheme=scheme, **pulse))


def whole_read():
    spec = ConverterSpec(
        dac=DacSpec(bits=2, resistor_mismatch=0.01, switch_resistance=100.0, offset_error=1e-3),
        tia=TiaSpec(open_loop_gain=999.0, gain_bandwidth=1e9, input_offset=1e-3),
        adc=AdcSpec(bits=3, architecture="sar", capacitor_mismatch=0.05, comparator_offset=1e-3, gain_error=0.01),
    )
    tile = defective(sense_resistance=spec.tia.input_resistance, bit_line_sense="both", word_line_capacitance=1e-15)
    return adc_netlist(tile, Readout(spec, tile.spec, seed=1, defects=tile.defects), [1, 2, 3])


CASES = {
    "tile": lambda: TileNetlist(defective(driver_resistance=10.0, sense_resistance=5.0)).netlist.text,
    "tile_all_nodes_both_ends": lambda: (
        TileNetlist(defective(word_line_drive="both", bit_line_sense="both"), all_nodes=True).netlist.text
    ),
    "tile_sinh": lambda: TileNetlist(defective(SinhCell(a=2.0))).netlist.text,
    "compliance": lambda: ComplianceNetlist(ComplianceCell.of(TwoPulseSpec()), np.array([0.8, 1.25]), 0.5).netlist.text,
    "tile_transistor": lambda: TileNetlist(defective(TransistorCell(on_resistance=2e3))).netlist.text,
    "tile_mosfet": lambda: TileNetlist(defective(TransistorCell(on_resistance=2e3)), overdrive=2.0).netlist.text,
    "tile_selector": lambda: TileNetlist(defective(SelectorCell(threshold=0.4))).netlist.text,
    "export": lambda: tile_netlist(defective(driver_resistance=10.0), [0.1, -0.2, 0.3]),
    "readout": converted,
    "adc": whole_read,
    "program_vteam": lambda: programmed(
        VteamSpec.preset("A"), "v/2", LinearCell(), amplitude=1.2, width=1e-9, rise=1e-10, rows=(1,), columns=(0,)
    ),
    "program_yakopcic": lambda: programmed(
        YakopcicSpec(**YakopcicSpec.PRESETS["Oblea"] | {"a2": 0.1}),
        "v/3",
        SinhCell(a=0.05),
        amplitude=0.8,
        width=1e-4,
        rise=1e-5,
        rows=(1,),
    ),
    "program_ion_drift": lambda: programmed(
        IonDriftSpec.preset("Biolek"),
        "v/2",
        LinearCell(),
        amplitude=1.0,
        width=1e-3,
        rise=1e-4,
        rows=(1,),
        columns=(0,),
    ),
    "program_stanford": lambda: programmed(
        StanfordSpec.preset("1.0"),
        "1t1r",
        TransistorCell(on_resistance=200.0),
        amplitude=-1.8,
        width=1e-7,
        rise=1e-8,
        rows=(0,),
        columns=(1,),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    path = GOLDEN / f"{name}.cir"
    text = CASES[name]()
    if os.environ.get("CIRCUITMEM_UPDATE_GOLDEN") == "1":
        path.write_text(text)
        pytest.fail(f"{path.name} was written anew: read the diff")
    assert text == path.read_text()
