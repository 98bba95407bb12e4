"""SPICE against behavioral, stage by stage."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import circuitmem
from circuitmem._kernels import kernel_info
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, LinearCell, SinhCell, TileSpec
from circuitmem.converter import Readout
from circuitmem.engine import BehavioralEngine, SpiceEngine
from circuitmem.errors import DataFileError
from circuitmem.files import write_text
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile
from circuitmem.validation import integer

__all__ = ["random_tile", "validate_engines"]

Floats = NDArray[np.float64]
LINEAR_BOUND = 1e-9
"""Node voltages and currents of linear tiles, relative to the largest (design: physics.md, section 9)."""
NON_LINEAR_BOUND = 1e-7
"""The same for sinh cells."""
THRESHOLD_LSB = 1e-6
"""ADC codes may differ where the analogue value is this near to a threshold, nowhere else; such codes are counted."""


def random_tile(chip: ChipSpec, seed: int) -> tuple[Tile, Floats]:
    """Return a tile of the chip with random working conductances and its stuck devices, and random inputs (rows,) V."""
    rng = stream(seed, Purpose.VALIDATION)
    spec, device, defects = chip.tile_spec, chip.device, chip.defects
    conductance = rng.uniform(device.minimum_conductance, device.maximum_conductance, spec.shape)
    defect_map = DefectMap.random(
        spec,
        yield_=defects.device_yield,
        stuck_on_fraction=defects.stuck_on_fraction,
        stuck_on_range=defects.stuck_on_range,
        stuck_off_range=defects.stuck_off_range,
        clustering=defects.clustering,
        seed=seed,
    )
    return Tile(spec, conductance, defect_map), chip.converters.dac.full_scale * rng.random(spec.rows)


def validate_engines(
    folder: str | Path, seed: int = 1, quick: bool = False, progress: Callable[[str, int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """Run every stage, write ``validation.json`` into ``folder``, and return its content.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    seed : int
        Seed of the random cases, >= 0.
    quick : bool
        Fewer and smaller cases.
    progress : callable
        Called with (stage, cases done, cases).

    Raises
    ------
    ValidationError
        If the seed is not an integer >= 0.
    SpiceUnavailableError
        If there is no ngspice to compare with.
    DataFileError
        If the folder cannot be made.
    """
    seed = integer("seed", seed)
    library, began = SpiceEngine.probe(), time.time()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(folder, f"cannot be made: {error.strerror}") from None
    cases, side = (4, 12) if quick else (20, 32)
    stages = []
    with SpiceEngine() as spice:
        for number, (stage, bound) in enumerate(
            (("tile linear", LINEAR_BOUND), ("tile with defects", LINEAR_BOUND), ("tile sinh", NON_LINEAR_BOUND))
        ):
            differences = []
            for case in range(cases):
                tile, voltages = _case(stage, seed, number, case, side)
                differences.append(_difference(BehavioralEngine(), spice, tile, voltages))
                progress(stage, case + 1, cases)
            stages.append(_stage(stage, cases, differences, bound))
        codes, near_threshold = _codes(spice, seed, 100 if quick else 1000, progress)
        stages.append(codes)
    record = {
        "stages": stages,
        "adc_codes_near_threshold": near_threshold,
        "seed": seed,
        "quick": quick,
        "circuitmem": circuitmem.__version__,
        "kernels": kernel_info(),
        "ngspice": library.version,
        "platform": platform.platform(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": round(time.time() - began, 1),
    }
    write_text(Path(folder) / "validation.json", json.dumps(record, indent=2) + "\n")
    return record


def _stage(stage: str, cases: int, differences: list[float], bound: float) -> dict[str, Any]:
    """Judge the differences of a stage's cases; ``worst`` is None, and the stage fails, if one is not a number."""
    # max() alone would drop NaN, and JSON has no word for it.
    worst = max(differences) if all(map(math.isfinite, differences)) else None
    passed = worst is not None and worst <= bound
    return {"stage": stage, "cases": cases, "worst": worst, "bound": bound, "pass": passed}


def _case(stage: str, seed: int, number: int, case: int, largest: int) -> tuple[Tile, Floats]:
    """Draw a tile, 2 to ``largest`` a side, with resistances from 0 to 20 ohm, and two input vectors."""
    rng = stream(seed, Purpose.VALIDATION, number + 1, case)
    rows, columns = (int(n) for n in rng.integers(2, largest + 1, 2))
    word, bit, driver, sense = (float(r) for r in rng.uniform(0.0, 20.0, 4) * (rng.random(4) < 0.8))
    spec = TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=word,
        bit_line_resistance=bit,
        driver_resistance=driver,
        sense_resistance=sense,
        cell=SinhCell(a=2.0) if stage == "tile sinh" else LinearCell(),
    )
    defects = _defects(rng, spec) if stage == "tile with defects" else DefectMap()
    return Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), defects), rng.uniform(-0.5, 0.5, (2, rows))


def _defects(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
    """Draw defects at random, but at least one of every kind."""
    stuck, stuck_conductance = rng.random(spec.shape) < 0.2, rng.choice([0.0, 1e-8, 1e-3, 0.1], spec.shape)
    word_cut, bit_cut = rng.random(spec.shape) < 0.02, rng.random(spec.shape) < 0.02
    dead = rng.random(spec.rows) < 0.05
    row, column = int(rng.integers(spec.rows - 1)), int(rng.integers(spec.columns))
    stuck[row, column] = word_cut[row + 1, column] = bit_cut[row, column] = dead[row + 1] = True
    stuck_conductance[row, column] = 0.0
    word_cut[0, 0] = bit_cut[-1, 0] = dead[0] = False  # at least one driver and one sense amplifier stay connected
    return DefectMap(
        stuck=stuck,
        stuck_conductance=stuck_conductance,
        open_word_segments=word_cut,
        open_bit_segments=bit_cut,
        bridges=[(("word", row, column), ("word", row + 1, column), 50.0)],
        dead_drivers=dead,
    )


def _difference(behavioral: BehavioralEngine, spice: SpiceEngine, tile: Tile, voltages: Floats) -> float:
    """Return the largest difference of node voltages and column currents, relative to the largest of each.

    NaN if any of them is NaN: unlike Python's max, NumPy's keeps it.
    """
    ours, theirs = behavioral.solve(tile, voltages), spice.solve(tile, voltages)
    differences = []
    for name in ("word_line_voltage", "bit_line_voltage", "column_current"):
        a, b = getattr(ours, name), getattr(theirs, name)
        scale = max(float(np.abs(theirs.word_line_voltage if "voltage" in name else b).max()), 1e-300)
        differences.append(float(np.abs(a - b).max()) / scale)
    return float(np.max(differences))


def _codes(
    spice: SpiceEngine, seed: int, cases: int, progress: Callable[[str, int, int], None]
) -> tuple[dict[str, Any], int]:
    """Compare ADC codes of random products on a defective 16x16 tile, converters and all.

    Returns the stage, whose worst is how many codes differ, and how many are too near to a threshold to say.
    """
    rng = stream(seed, Purpose.VALIDATION, 9)
    converters = ConverterSpec(
        dac=DacSpec(resistor_mismatch=0.005, gain_error=0.01, offset_error=1e-3),
        adc=AdcSpec(gain_error=0.03, offset_error=10e-3, noise=2e-3),
    )
    spec = ChipSpec(
        tile=TileSpec(rows=16, columns=16, word_line_resistance=1.0, bit_line_resistance=1.0), converters=converters
    ).tile_spec
    tile = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), DefectMap.random(spec, yield_=0.8, seed=seed))
    readout = Readout(converters, spec, seed, defects=tile.defects)
    readout.adc.set_pga_gain(8.0)
    codes = rng.integers(0, converters.dac.levels, (cases, 16))
    noise = converters.adc.noise * rng.standard_normal((cases, 16))
    currents = BehavioralEngine().read(tile, readout.dac.voltages(codes))
    ours = readout.adc.codes(currents, noise)
    theirs = spice.codes(tile, readout, codes, noise)
    steps = (readout.adc.input_voltage(currents, noise) - converters.adc.minimum) / converters.adc.lsb
    near = np.abs(steps - np.floor(steps) - 0.5) < THRESHOLD_LSB
    progress("adc codes", cases, cases)
    different = float(np.count_nonzero((ours != theirs) & ~near))
    return _stage("adc codes", cases, [different], 0.0), int(np.count_nonzero(near))
