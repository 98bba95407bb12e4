"""What a new user tries first, in one command that ends in a figure; pages of docs/ have the others, tested too."""

import json

import numpy as np
import pytest
from builders import options


@pytest.mark.slow
def test_a_network_of_20_64_3_on_a_table(command, tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.arange(150) % 3
    inputs = 2.0 * rng.normal(size=(3, 20))[kinds] + rng.normal(size=(150, 20))
    names = [f"sensor {k}" for k in range(20)]
    lines = [",".join([*map("{:.4f}".format, row), "abc"[kind]]) for row, kind in zip(inputs, kinds, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join([",".join([*names, "state"]), *lines]) + "\n")
    settings = [
        "data.source=mine.csv",
        "data.target=state",
        "network.layers=[20, 64, 3]",
        'methods=["raw", "calibration"]',
    ]
    quick = [
        "chip.tile.rows=32",
        "chip.tile.columns=32",
        "ex_situ.learning_rate=0.01",
        "audit.tiles=0",
        "audit.fraction=0.0",
    ]
    words = options((*settings, *quick))
    done = command("train", "--out", "run", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "results.json").read_text())["accuracy_percent"]
    assert found["digital"] > 90.0
    assert found["calibration"] > 80.0
    for name in ("accuracy.png", "tile.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    # Nothing is trained on the chip: one bar a method, and no axis of epochs.
    assert "Accuracy against epoch" not in page
    assert "calibration only" in page
