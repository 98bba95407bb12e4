"""Tiles with an odd number of columns: the last has no partner, and no recipe or calibration takes it for a pair."""

import json

import numpy as np
import pytest

from circuitmem.config import load_run
from circuitmem.registry import names
from circuitmem.tile import PairMapping
from circuitmem.training import METHODS
from circuitmem.training.run import start_run

TINY = ["data.side=8", "data.train=40", "data.test=20", "network.layers=[64,6,10]", "chip.tile.rows=16"]
TINY += ["ex_situ.epochs=1", "in_situ.epochs=1", "retraining.epochs=1", "calibration.vectors=10"]
TINY += ["audit.tiles=0", "audit.fraction=0.0"]


@pytest.mark.parametrize("columns", [3, 15, 63])
@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_works_on_odd_tiles(tmp_path, method, columns):
    settings = [*TINY, f"chip.tile.columns={columns}", f"methods={json.dumps([method])}"]
    results = start_run(load_run(None, settings), tmp_path / "run")
    assert results["pulses"][method] > 0
    assert np.sum(results["confusion"][method]) == 20
    pairs = np.load(tmp_path / "run" / f"state_{method}.npz")["after"]
    assert pairs.shape[2] == columns


@pytest.mark.parametrize("columns", [3, 15])
@pytest.mark.parametrize("calibration", names("calibrations"))
def test_every_calibration_works_on_odd_tiles(tmp_path, calibration, columns):
    settings = [*TINY, f"chip.tile.columns={columns}", 'methods=["calibration"]']
    results = start_run(load_run(None, [*settings, f"calibration.method={json.dumps(calibration)}"]), tmp_path / "run")
    assert np.sum(results["confusion"]["calibration"]) == 20


def test_a_column_without_a_partner_is_no_pair():
    mapping = PairMapping(1e-6, 300e-6, 1.0)
    stuck = np.where(np.arange(60).reshape(4, 15) % 4 == 0, 500e-6, np.nan)
    for odd, even in zip(mapping.limits(stuck), mapping.limits(stuck[:, :14]), strict=True):
        np.testing.assert_array_equal(odd, even)
