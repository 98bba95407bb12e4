"""A study of four small points, and a way to write others."""

import pytest

TINY = """
title = "Tiny"
methods = ["raw", "calibration", "in_situ", "calibration_in_situ"]
repeats = 2

[axes.device_yield]
key = "chip.defects.device_yield"
values = [1.0, 0.8]

[run.data]
side = 8
train = 200
test = 100

[run.network]
layers = [64, 12, 10]

[run.chip.tile]
rows = 32
columns = 16

[run.in_situ]
epochs = 2
batch = 50

[run.calibration]
vectors = 40

[run.ex_situ]
epochs = 5

[figures.accuracy]
kind = "lines"
x = "device_yield"

[[comparisons]]
method = "calibration_in_situ"
against = "raw"

[quick]
repeats = 1
points = [{ device_yield = 0.8 }]
"""


@pytest.fixture
def write_study(tmp_path):
    """Write a study, with more TOML at its end, and return its folder."""

    def write(more="", name="tiny", text=TINY):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "study.toml").write_text(text + more)
        return folder

    return write


@pytest.fixture
def results():
    """Read what must not depend on how a study was run."""
    return lambda folder: (folder / "results.csv").read_bytes()
