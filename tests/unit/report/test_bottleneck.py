"""The table and the figure of where time and energy go, for accounts that are known."""

import numpy as np
import pytest

from circuitmem.files import save_npz
from circuitmem.report.bottleneck import bottleneck_table
from circuitmem.report.figures import _one_tile
from circuitmem.report.run_plots import WHEN, cost_plots, map_plots, product_plots
from circuitmem.report.stills import draw

ACCOUNT = {"operations": 1, "busy": 2 * 10**9, "energy": 3 * 10**15, "pulses": 0}
METHODS = {
    "raw": {
        "phases": {"bring-up": ACCOUNT, "test": ACCOUNT | {"energy": 10**15}},
        "accounts": {"mac_read": ACCOUNT | {"energy": 4 * 10**15}},
        "energy_by_part": {"array": 10**15, "adc": 3 * 10**15},
        "utilisation": {
            "tiles": {"things": 1, "busy": 3 * 10**9, "waited": 10**9, "fraction": 0.75},
            "bus": {"things": 1, "busy": 0, "waited": 0, "fraction": 0.0},
        },
    }
}


def test_the_table_has_every_account_once_and_the_bottleneck_first():
    rows = [line.split() for line in bottleneck_table(METHODS).splitlines() if line.endswith("%")]
    assert rows == [
        ["bring-up", "2.0000", "3.000000", "75.0%"],
        ["test", "2.0000", "1.000000", "25.0%"],
        ["mac_read", "2.0000", "4.000000", "100.0%"],
        ["ADCs", "3.000000", "75.0%"],
        ["arrays", "1.000000", "25.0%"],
        ["tiles", "3.0000", "1.0000", "75.0%"],
        ["bus", "0.0000", "0.0000", "0.0%"],
    ]


def test_the_figure_stacks_to_the_same_energy_in_words():
    by_phase, by_part, by_resource = draw([plot.as_dict() for plot in cost_plots(METHODS)]).axes
    for axes in (by_phase, by_part):
        assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(4.0)  # mJ
        assert [text.get_text() for text in axes.get_yticklabels()] == ["raw defective chip"]
    assert {text.get_text() for text in by_part.get_legend().get_texts()} == {"arrays", "ADCs"}
    assert [bar.get_width() for bar in by_resource.patches] == [75.0, 0.0]


def test_few_layers_have_bars_each_and_many_share_one_plot():
    errors = [{"rmse": 0.01 * layer} for layer in range(1, 23)]
    few, many = ({"calibration": {"product_errors": dict.fromkeys(WHEN, errors[:n])}} for n in (6, 22))
    assert [plot.title for plot in product_plots(few)] == [f"Errors of the products of layer {n}" for n in range(1, 7)]
    (plot,) = product_plots(many)
    assert [series.name for series in plot.series] == [f"calibration only, {when} calibration" for when in WHEN]
    assert plot.series[1].y == pytest.approx(range(1, 23))


def test_maps_of_a_method_that_trains_nothing_are_not_drawn_twice(tmp_path):
    state = {
        "stuck": np.zeros((2, 3, 4), dtype=bool),
        "before": np.full((2, 3, 4), 1e-6),
        "after": np.full((2, 3, 4), 1e-6),
    }
    save_npz(tmp_path / "state_raw.npz", state)
    still = map_plots(tmp_path, {"raw": {}})
    assert [view.label for view in still] == ["Defects, raw defective chip", "Conductance, raw defective chip"]
    assert _one_tile(still)[-1].title == "Conductance, tile 0 of 2"
    state["after"] = state["after"].copy()
    state["after"][1] *= 2.0
    save_npz(tmp_path / "state_raw.npz", state)
    trained = map_plots(tmp_path, {"raw": {}})
    assert len(trained) == 4
    assert _one_tile(trained)[-1].title == "What training changed, tile 1 of 2"
