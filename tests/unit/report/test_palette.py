"""A method has one colour everywhere; maps of classes have a legend; figures are files that a paper takes."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from circuitmem.report.interactive import interactive
from circuitmem.report.palette import COLOURS, name_colours
from circuitmem.report.run_plots import STUCK, accuracy_plots, defect_classes
from circuitmem.report.stills import draw, pdf
from circuitmem.report.validation import _steps
from circuitmem.study.plots import Bars, HeatMap, Lines, Series
from circuitmem.training import method_title


def test_a_method_has_its_colour_in_lines_bars_and_by_its_name():
    titles = [method_title(name) for name in ("in_situ", "schr", "raw")]
    lines = Lines("Accuracy", "epoch", "%", tuple(Series(title, [0, 1], [k, k]) for k, title in enumerate(titles)))
    bars = Bars("Use", ("tiles",), "%", {title: [1.0] for title in reversed(titles)}, stacked=False)
    (axes,), (beside,) = draw(lines.as_dict()).axes, draw(bars.as_dict()).axes
    in_lines = {line.get_label(): to_hex(line.get_color()) for line in axes.lines}
    in_bars = {own.get_label(): to_hex(own.patches[0].get_facecolor()) for own in beside.containers}
    assert in_lines == in_bars
    assert in_lines[titles[0]] == name_colours(["in_situ"])["in_situ"]
    live = {trace["name"]: trace["line"]["color"] for trace in interactive(lines.as_dict())[0]["traces"]}
    assert live == in_lines


@pytest.mark.parametrize("count", [1, 4, len(COLOURS)])
def test_series_without_a_colour_of_their_own_are_told_apart(count):
    colours = name_colours([f"ADC {k}" for k in range(count)])
    assert len(set(colours.values())) == count
    mixed = name_colours(["raw", "in_situ", *(f"own {k}" for k in range(min(count, 6)))])
    assert len(set(mixed.values())) == len(mixed)


def test_defects_are_classes_with_a_legend_and_shares():
    stuck = np.array([[True, True], [False, False]])
    kinds = defect_classes(stuck, np.array([[1.0, 900.0], [10.0, 300.0]]))
    assert kinds.tolist() == [[1, 2], [0, 0]]
    plot = HeatMap("Defects", kinds, "", classes=STUCK).as_dict()
    (axes,) = draw(plot).axes  # no scale beside it
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "works, 50%",
        "stuck low, 25%",
        "stuck high, 25%",
    ]
    assert axes.get_aspect() == 1.0
    (trace,) = interactive(plot)[0]["traces"]
    assert trace["colorbar"]["ticktext"] == list(STUCK)
    assert (trace["zmin"], trace["zmax"]) == (-0.5, 2.5)


def test_the_legend_is_off_the_data_and_epochs_are_whole():
    series = tuple(Series(name, [0, 1, 2, 3], [1, 2, 3, 4], "both") for name in ("one", "two"))
    figure = draw(Lines("Accuracy", "epoch", "%", series).as_dict())
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_legend().get_window_extent().y1 <= axes.get_window_extent().y0
    assert all(tick == round(tick) for tick in axes.get_xticks())
    assert len({line.get_marker() for line in axes.lines}) == 2


def test_a_figure_is_the_same_pdf_each_time():
    plot = Lines("Accuracy", "epoch", "%", (Series("one", [0, 1], [1, 2]),)).as_dict()
    first = pdf(draw(plot))
    assert first.startswith(b"%PDF")
    assert first == pdf(draw(plot))


def test_the_digital_network_is_told_from_the_raw_chip_on_a_page():
    series = tuple(Series(method_title(name), [0, 1], [1, 1], "dashed") for name in ("digital", "raw"))
    digital, raw = interactive(Lines("Accuracy", "epoch", "%", series).as_dict())[0]["traces"]
    assert (digital["line"]["dash"], raw["line"]["dash"]) == ("dot", "dash")


def test_each_class_of_a_confusion_matrix_has_a_tick():
    plot = HeatMap("all", np.eye(10), "samples", "taken for", "true class").as_dict()
    layout = interactive(plot)[0]["layout"]
    assert layout["xaxis"]["dtick"] == layout["yaxis"]["dtick"] == 1
    axes = draw(plot).axes[0]
    assert set(range(10)) <= set(axes.get_xticks().tolist()) & set(axes.get_yticks().tolist())
    assert "dtick" not in interactive(HeatMap("all", np.eye(64), "").as_dict())[0]["layout"]["xaxis"]


@pytest.mark.parametrize(("pulses", "unit", "shown"), [(12_000, "thousands", 12.0), (1_200_000, "millions", 1.2)])
def test_pulses_are_in_the_unit_that_suits_them(pulses, unit, shown):
    history = [{"epoch": k, "pulses": k * pulses, "accuracy_percent": 50.0} for k in range(2)]
    record = {"methods": {"in_situ": {"history": history}}, "digital": {"accuracy_percent": 90.0}}
    _, plot = accuracy_plots(record)
    assert plot.x_label == f"programming pulses ({unit})"
    assert plot.series[0].x[-1] == pytest.approx(shown)


def test_a_step_that_engines_share_is_said_once():
    step = {"loss": 0.5, "pulses": 10, "labels": [1, 2], "digest": "abc"}
    other = step | {"loss": 0.6}
    stages = [
        {"stage": "training", "values_a_step": 3, "referee": name, "steps": {"behavioral": [step], "referee": [found]}}
        for name, found in (("ngspice", step), ("vacask", other))
    ]
    found = _steps(stages)
    assert found["columns"] == ["step", "loss", "pulses so far", "labels", "digest of all values"]
    assert found["rows"] == [("1", "kernels 0.500000; ngspice 0.500000; VACASK 0.600000", "10", "12", "abc")]
    assert "kernels, ngspice, VACASK" in found["caption"]
