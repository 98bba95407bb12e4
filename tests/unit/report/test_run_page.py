"""The page of a run that is under way: what it has reached, and what its audit has found by then."""

import json
import re

import pytest

from circuitmem.cli.drawing import PageDrawer
from circuitmem.config import load_run
from circuitmem.errors import DataFileError
from circuitmem.report import draw_run, draw_run_page, load_run_record
from circuitmem.report.interactive import interactive
from circuitmem.report.page import _drawn
from circuitmem.report.stills import draw
from circuitmem.study.plots import Bars, HeatMap
from circuitmem.training.run import start_run

SMALL = [
    "data.side=8",
    "data.train=200",
    "data.test=100",
    "network.layers=[64, 12, 10]",
    "chip.tile.rows=16",
    "chip.tile.columns=16",
    "in_situ.epochs=2",
    "in_situ.batch=50",
    "calibration.vectors=40",
    "ex_situ.epochs=3",
    'methods=["raw", "in_situ"]',
]


@pytest.mark.spice
def test_a_run_under_way_shows_what_it_has_reached_and_its_audit_so_far(tmp_path):
    folder, seen = tmp_path / "run", []

    def look(what, done, total):
        if what == "in_situ" and done == 5:  # of four batches an epoch: the first is tested, the second has begun
            record = load_run_record(folder)
            page = draw_run_page(folder, figures=False)[0].read_text("utf-8")
            seen.append((record, page))

    results = start_run(load_run(None, SMALL), folder, look)
    ((record, page),) = seen
    assert not record["finished"]
    assert record["running"] == ["in_situ"]
    assert [entry["epoch"] for entry in record["methods"]["in_situ"]["history"]] == [0, 1]
    assert set(record["methods"]["in_situ"]["audit_so_far"]) >= {"reads", "pulse_trains", "largest_relative_error"}
    assert "Under way: in-situ only, epoch 1 of 2." in page
    assert "Audit in ngspice, so far" in page
    finished = draw_run_page(folder, figures=False)[0].read_text("utf-8")
    assert "Finished." in finished
    assert ", so far" not in finished
    assert f"{results['accuracy_percent']['in_situ']:.2f} %" in finished
    assert not list(folder.glob("partial_*"))
    check_drawing_before_the_audit_ends(folder)


def check_drawing_before_the_audit_ends(folder):
    """Draw a run whose methods are finished and whose results are not there yet: the same, but for the audit."""
    drawn = {path.name: path.read_bytes() for path in draw_run(folder)}
    page = re.findall("<svg .*?</svg>", draw_run_page(folder, figures=False)[0].read_text("utf-8"), re.DOTALL)
    results = (folder / "results.json").rename(folder / "kept")
    with PageDrawer(folder) as drawer:
        drawer.prepare()
        assert {path.name: path.read_bytes() for path in draw_run(folder)} == drawn
        results.rename(folder / "results.json")
        drawer.begin()
        *figures, path = drawer.result()
    assert {figure.name: figure.read_bytes() for figure in figures} == drawn
    text = path.read_text("utf-8")
    assert "Finished." in text
    assert re.findall("<svg .*?</svg>", text, re.DOTALL) == page
    hits = _drawn.cache_info().hits
    draw_run_page(folder, figures=False)
    assert _drawn.cache_info().hits > hits  # what has not changed is not drawn again
    (folder / "results.json").unlink()
    (folder / "method_raw.json").unlink()
    with pytest.raises(DataFileError, match="is not a finished run"):
        draw_run(folder)


def test_a_damaged_file_of_a_run_is_one_line(tmp_path):
    (tmp_path / "config.toml").write_text("seed = 1\n")
    (tmp_path / "method_raw.json").write_text('{"accuracy_percent": 1')
    with pytest.raises(DataFileError, match=r"method_raw.json: is not JSON"):
        load_run_record(tmp_path)
    (tmp_path / "method_raw.json").write_text(json.dumps([1]))
    with pytest.raises(DataFileError, match=r"method_raw.json: must hold a JSON object"):
        load_run_record(tmp_path)


def test_the_page_has_the_cost_and_the_error_of_products(tmp_path):
    methods = 'methods=["raw", "calibration"]'
    results = start_run(load_run(None, [*SMALL[:-1], methods, "audit.tiles=0"]), tmp_path / "run")
    page = draw_run_page(tmp_path / "run", figures=False)[0].read_text("utf-8")
    cost, errors = results["calibration"]["calibration"], results["product_errors"]["calibration"]
    assert f"{100 * cost['digital_products'] / cost['products']:.1f} %" in page
    for when in ("before", "after"):
        assert ", ".join(f"{100 * layer['rmse']:.2f} %" for layer in errors[when]) in page
    assert "Errors of the products of layer 2" in page
    assert "Nothing has been audited." not in page  # it says why
    assert "audit.tiles is 0" in page


@pytest.mark.parametrize("stacked", [True, False])
def test_bars_add_up_only_where_they_are_said_to(stacked):
    plot = Bars("t", ("a", "b"), "x", {"before": [3.0, 5.0], "after": [1.0, 2.0]}, stacked).as_dict()
    (axes,) = draw(plot).axes
    bars = [(bar.get_x(), bar.get_width(), round(bar.get_y() + bar.get_height() / 2, 6)) for bar in axes.patches]
    assert [width for _, width, _ in bars] == [3.0, 5.0, 1.0, 2.0]
    assert [x for x, _, _ in bars] == ([0.0, 0.0, 3.0, 5.0] if stacked else [0.0] * 4)
    assert len({middle for _, _, middle in bars}) == (2 if stacked else 4)
    assert interactive(plot)[0]["layout"]["barmode"] == ("stack" if stacked else "group")


def test_maps_that_are_compared_have_the_ends_that_are_given():
    plot = HeatMap("t", [[-1.0, 0.5], [2.0, 9.0]], "x", limits=(-3.0, 3.0), diverging=True).as_dict()
    axes, bar = draw(plot).axes
    assert axes.images[0].get_clim() == (-3.0, 3.0)
    assert bar._colorbar.extend == "max"
    (trace,) = interactive(plot)[0]["traces"]
    assert (trace["zmin"], trace["zmax"], trace["colorscale"]) == (-3.0, 3.0, "RdBu")
    plain = HeatMap("t", [[1.0, 2.0]], "x").as_dict()
    assert draw(plain).axes[0].images[0].get_clim() == (1.0, 2.0)
    assert "zmin" not in interactive(plain)[0]["traces"][0]
