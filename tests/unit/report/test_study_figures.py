"""Figures of a study show what its table holds, and join only what lies on a scale."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from circuitmem.config import FigureSpec
from circuitmem.errors import ValidationError
from circuitmem.report import stills, study_plots
from circuitmem.report.interactive import interactive
from circuitmem.report.stills import draw, draw_together, readable
from circuitmem.report.study_pareto import pareto_text
from circuitmem.study.plots import Lines, Series
from circuitmem.study.spec import load_study
from circuitmem.study.store import table_rows

STUDY = """
title = "A study"
methods = ["raw", "in_situ"]
[axes.{axis}.levels]
{levels}
[figures.one]
kind = "lines"
x = "{axis}"
"""


def panels(study, spec, rows, **across):
    """Draw a figure of a study."""
    return draw_together(*study_plots.panels_of(study, spec, rows), **across)


@pytest.mark.parametrize(
    ("names", "joined"),
    [
        (("stuck-on", "cut lines", "dead"), False),
        (("16", "32", "784"), True),
        (("0.5", "1.0"), True),
        (("0 %", "50 %"), True),
    ],
)
def test_levels_that_are_names_are_not_joined(tmp_path, names, joined):
    levels = "\n".join(f'"{name}" = {{ "chip.read_noise" = 0.0 }}' for name in names)
    (tmp_path / "study.toml").write_text(STUDY.format(axis="kind", levels=levels))
    study = load_study(tmp_path)
    rows = [
        {"kind": name, "method": method, "end": True, "accuracy_percent": 50.0 + 10 * index + seed, "seed": seed}
        for index, method in enumerate(("raw", "in_situ", "digital"))
        for name in names
        for seed in (0, 2)
    ]
    figure = panels(study, FigureSpec(kind="lines", x="kind"), rows)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    drawn = {bars.get_label(): bars.lines[0] for bars in panel.containers}
    assert [text.get_text() for text in panel.get_xticklabels()] == list(names)
    assert list(drawn["raw defective chip"].get_ydata()) == [51.0] * len(names)
    assert list(drawn["in-situ only"].get_ydata()) == [61.0] * len(names)
    assert {line.get_linestyle() for line in drawn.values()} == {"-" if joined else "None"}
    apart = drawn["raw defective chip"].get_xdata()[0] != drawn["in-situ only"].get_xdata()[0]
    assert apart is not joined
    # Two maps: whoever reads them as an interval would be misled.
    assert figure.legends[0].get_title().get_text() == "fewer than 3 maps: no intervals"
    assert all(np.ptp(bar.get_segments()[0][:, 1]) == 0.0 for bars in panel.containers for bar in bars.lines[2])
    assert figure.legends[0].get_window_extent().y1 <= panel.get_window_extent().y0  # the legend hides no point


def test_a_logarithmic_scale_is_marked_at_its_levels(tmp_path):
    text = STUDY.replace(
        "[axes.{axis}.levels]\n{levels}", '[axes.share]\nkey = "chip.converters.adc.share"\nvalues = [1, 4, 64]'
    )
    (tmp_path / "study.toml").write_text(text.format(axis="share"))
    study = load_study(tmp_path)
    rows = [
        {
            "share": share,
            "method": "raw",
            "end": True,
            "accuracy_percent": 50.0,
            "seed": 1,
            "simulated_time_s": 0.1 * share,
        }
        for share in (1, 4, 64)
    ]
    figure = panels(study, FigureSpec(kind="lines", x="share", logarithmic=True), rows)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    assert panel.get_xscale() == "log"
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "4", "64"]
    assert panel.get_xticklabels(minor=True) == []


ROWS = [
    {"method": method, "seed": seed, "end": True, "epoch": 0, "point": "", "part": "test", "bits": bits,
     "accuracy_percent": accuracy + seed, "energy_j": 1e-3, "simulated_time_s": 2e-3, "pulses": 5,
     "inference_j": energy * 1e-9, "inference_s": 1e-6, "digital_products": 0.25}
    for method, accuracy, energy in (("raw", 40.0, 2.0), ("in_situ", 90.0, 2.5), ("calibration", 80.0, 3.0))
    for bits in (6, 8)
    for seed in (0, 2)
]  # fmt: skip


def test_what_no_other_surpasses_is_joined_and_named(tmp_path):
    front = study_plots.pareto_front([(3.0, 80.0), (2.0, 41.0), (2.5, 90.0), (2.5, 70.0), (4.0, 90.0)])
    assert front == [(2.0, 41.0), (2.5, 90.0)]
    declared = STUDY.replace('["raw", "in_situ"]', '["raw", "in_situ", "calibration"]').replace(".levels", "")
    declared = declared.replace('kind = "lines"', 'kind = "pareto"').replace('x = "{axis}"', 'x = "inference_j"')
    levels = 'key = "chip.converters.adc.bits"\nvalues = [6, 8]'
    (tmp_path / "study.toml").write_text(declared.format(axis="bits", levels=levels))
    study = load_study(tmp_path)
    figure = panels(study, study.spec.figures["one"], ROWS)
    (panel,) = figure.axes
    drawn = {line.get_label(): line for line in panel.lines}
    assert [list(drawn["in-situ only"].get_xdata()), list(drawn["in-situ only"].get_ydata())] == [[2.5] * 2, [91.0] * 2]
    assert list(drawn["not surpassed"].get_ydata()) == [41.0, 91.0]
    text = pareto_text(study, [{"bits": 8}], ROWS)
    (line,) = (each for each in text.splitlines() if each.startswith("| in-situ only"))
    # 1 mJ before the first inference is 100 nJ of each of 10,000 and 1 nJ of each of a million.
    assert line == "| in-situ only | 8 | 91.00 | 25.0 | 2.50 | 1.0000 | 2.000 | 102.5 | 3.5 | no |"
    assert "| calibration only | 8 | 81.00 | 25.0 | 3.00 | 1.0000 | 2.000 | 103.0 | 4.0 | yes |" in text


def test_a_pareto_figure_holds_accuracy_against_a_cost():
    with pytest.raises(ValidationError, match=r"x must be one of inference_j, .* with pareto \(got 'pulses'\)"):
        FigureSpec(kind="pareto", x="pulses")
    with pytest.raises(ValidationError, match=r"y must be accuracy_percent with pareto \(got 'energy_j'\)"):
        FigureSpec(kind="pareto", x="energy_j", y="energy_j")


def test_the_row_of_the_end_alone_has_what_an_inference_takes():
    entry = {"accuracy_percent": 50.0, "pulses": 1, "simulated_time_s": 1.0, "energy_j": 1.0}
    record = {"levels": {}, "seed": 1, "id": "one", "digital_percent": 90.0}
    record |= {"histories": {"in_situ": [{"epoch": epoch, **entry} for epoch in (0, 1)]}}
    used = {"inference_s": 1e-6, "inference_j": 2e-9, "digital_products": 0.25}
    for tests in ({}, {"in_situ": 60.0}):
        rows = list(table_rows(record | {"inferences": {"in_situ": used}, "tests": tests or None}))
        own = [row for row in rows if row["method"] == "in_situ"]
        assert [used.items() <= row.items() for row in own] == [row["end"] for row in own]
    assert all(row["inference_j"] is None for row in table_rows(record))  # a point of an older version


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_figure_of_training_says_which_samples_it_was_watched_with(tmp_path, part):
    text = STUDY.format(axis="kind", levels='"one" = { "chip.read_noise" = 0.0 }')
    (tmp_path / "study.toml").write_text(text)
    study = load_study(tmp_path)
    costs = {"pulses": 1, "simulated_time_s": 1.0, "energy_j": 1.0}
    rows = [
        {
            "kind": "one",
            "method": "in_situ",
            "epoch": epoch,
            "end": False,
            "part": part,
            "accuracy_percent": 90.0,
            "seed": 1,
        }
        | costs
        for epoch in (0, 1, 2)
    ]
    rows.append({**rows[-1], "end": True, "part": "test", "epoch": 2})
    rows.append({**rows[-1], "method": "digital", "epoch": 0})
    (panel,) = panels(study, FigureSpec(kind="training", x="epoch"), rows).axes
    labels = {line.get_label() for line in panel.lines}
    # The digital network is known with the test samples: beside others it would mislead.
    assert ("digital network" in labels) is (part == "test")
    assert ("validation" in panel.get_ylabel()) is (part == "validation")


def test_a_map_that_stops_early_keeps_its_last_accuracy_to_the_end(tmp_path):
    """Of two maps one stops at 60 % after an epoch; the other goes on to 90 %."""
    (tmp_path / "study.toml").write_text(STUDY.format(axis="kind", levels='"one" = { "chip.read_noise" = 0.0 }'))
    study = load_study(tmp_path)
    tests = [(1, 0, 50.0, 1), (1, 1, 60.0, 3), (2, 0, 50.0, 1), (2, 1, 80.0, 5), (2, 2, 90.0, 9)]
    ends = {1: 1, 2: 2}
    rows = [
        {"kind": "one", "method": "in_situ", "seed": seed, "epoch": epoch, "end": ends[seed] == epoch, "part": "test"}
        | {"accuracy_percent": percent, "pulses": pulses * 1_000_000}
        for seed, epoch, percent, pulses in tests
    ]
    for x, places in (("epoch", [0, 1, 2]), ("pulses", [1.0, 4.0, 6.0])):
        (plot,) = study_plots.panels_of(study, FigureSpec(kind="training", x=x), rows).plots
        assert list(plot.series[0].y) == [50.0, 70.0, 75.0]
        assert list(plot.series[0].x) == places


def test_a_level_of_many_letters_leaves_room_for_its_figure(tmp_path, recwarn):
    name = "many letters " * 400
    (tmp_path / "study.toml").write_text(
        STUDY.format(axis="kind", levels=f'"{name}" = {{ "chip.read_noise" = 0.0 }}').replace("{axis}", "kind")
    )
    study = load_study(tmp_path)
    rows = [
        {"kind": name, "method": "raw", "end": True, "accuracy_percent": 50.0 + seed, "seed": seed} for seed in (1, 2)
    ]
    for spec in (FigureSpec(kind="lines", x="kind"), FigureSpec(kind="lines", x="kind", panels="kind")):
        figure = panels(study, spec, rows, across=1)
        figure.draw_without_rendering()
        shown = [*(text.get_text() for text in figure.axes[0].get_xticklabels()), figure.axes[0].get_title()]
        assert {len(text.removeprefix("kind: ")) for text in shown if text} == {study_plots.LETTERS + 1}
    assert [str(warning.message) for warning in recwarn] == []


def test_levels_lie_in_the_order_of_the_declaration_after_failures(tmp_path):
    levels = "\n".join(f'"{name}" = {{ "chip.read_noise" = 0.0 }}' for name in ("first", "second"))
    (tmp_path / "study.toml").write_text(STUDY.format(axis="kind", levels=levels))
    rows = [
        {"kind": kind, "method": "raw", "end": True, "accuracy_percent": 50.0, "seed": seed}
        for kind, seed in (("second", 1), ("first", 2), ("second", 2))
    ]
    (plot,) = study_plots.panels_of(load_study(tmp_path), FigureSpec(kind="lines", x="kind"), rows).plots
    assert list(plot.ticks.values()) == ["first", "second"]


def _letters(figure):
    """Return the size of every text of a figure that is not empty [points]."""
    return [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def test_a_figure_of_a_study_can_be_read_in_a_column_of_85_mm(tmp_path):
    declared = STUDY.replace('["raw", "in_situ"]', '["raw", "in_situ", "calibration"]').replace(".levels", "")
    declared = declared.replace('x = "{axis}"', 'x = "{axis}"\nlogarithmic = true\ntitle = "{title}"')
    levels = 'key = "chip.converters.adc.bits"\nvalues = [6, 8]'
    (tmp_path / "study.toml").write_text(declared.format(axis="bits", levels=levels, title="many words " * 8))
    study = load_study(tmp_path)
    figure = panels(study, study.spec.figures["one"], ROWS, across=1)
    figure.draw_without_rendering()
    width = figure.get_window_extent().width
    assert width / figure.dpi == pytest.approx(85 / 25.4)
    assert min(_letters(figure)) >= 6.0
    boxes = [text.get_window_extent() for text in (figure._suptitle, *figure.axes[0].get_xticklabels())]
    assert all(0.0 <= box.x0 < box.x1 <= width for box in boxes)
    assert boxes[1].x1 <= boxes[2].x0  # labels of ticks do not lie on each other


def test_a_long_legend_takes_no_height_from_the_panels(tmp_path):
    heights = []
    for count in (1, 8):
        names = [f"one_{number}" for number in range(count)]
        text = STUDY.replace('["raw", "in_situ"]', str(names)).replace(".levels", "")
        text = text.format(axis="bits", levels='key = "chip.converters.adc.bits"\nvalues = [6, 8]')
        text += "".join(f'[variants.{name}]\nmethod = "in_situ"\nlabel = "{"long " * 6}{name}"\n' for name in names)
        (tmp_path / "study.toml").write_text(text)
        study = load_study(tmp_path)
        rows = [row | {"method": name} for name in names for row in ROWS if row["method"] == "in_situ"]
        figure = panels(study, study.spec.figures["one"], rows, across=1)
        figure.draw_without_rendering()
        heights.append(figure.axes[0].get_window_extent().height)
    assert heights[1] > 0.9 * heights[0]


def test_a_plot_of_a_page_can_be_read_in_a_column_of_85_mm():
    series = [{"name": name, "x": [0, 1], "y": [1, 2], "style": "line"} for name in ("in-situ only", "digital network")]
    plot = {"kind": "lines", "title": "Accuracy", "x_label": "epoch", "y_label": "%", "log": "", "series": series}
    figure = draw(plot)
    assert min(_letters(figure)) * (85 / 25.4) / figure.get_figwidth() >= 6.0


@pytest.mark.parametrize(
    ("largest", "label", "scaled", "said"),
    [
        (1.2e-9, "time (s)", 1.2, "time (ns)"),
        (2.5e-4, "time (s)", 250.0, "time (µs)"),
        (4.8e-5, "of the range", 4.8, "of the range × 10⁻⁵"),
        (0.5, "time (s)", 0.5, "time (s)"),
        (0.0, "of the range", 0.0, "of the range"),
    ],
)
def test_an_axis_of_small_numbers_has_a_prefix_or_a_power_of_ten_in_its_label(largest, label, scaled, said):
    factor, found = readable([0.0, float("nan"), -largest], label)
    assert factor * largest == pytest.approx(scaled)
    assert found == said


def test_sizes_on_a_logarithmic_axis_have_a_tick_each():
    plot = {"kind": "lines", "title": "", "x_label": "side", "y_label": "ms", "log": "xy"}
    plot["series"] = [{"name": "one", "x": [8, 12], "y": [1.0, 2.0], "style": "both"}]
    figure = draw(plot)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["8", "12"]
    assert figure.axes[0].get_xticklabels(minor=True) == []


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((60.0, 740.0), ["100", "200", "500"]),
        ((0.2, 30.0), ["0.2", "0.5", "1", "2", "5", "10", "20"]),
        ((1.0, 1e4), None),
    ],
)
def test_a_logarithmic_axis_of_costs_has_plain_numbers(ends, words):
    figure = Figure()
    panel = figure.subplots()
    panel.set(xscale="log", xlim=ends)
    stills._plain_decades(panel)
    figure.draw_without_rendering()
    shown = [text.get_text() for text in panel.get_xticklabels() if ends[0] <= text.get_position()[0] <= ends[1]]
    assert shown == (words or ["1", "10", "100", "1000", "10000"])
    assert not any(text.get_text() for text in panel.get_xticklabels(minor=True))


def test_a_method_has_one_colour_and_one_marker_in_all_panels():
    names = ("first", "second", "third")
    full = [Series(name, [0, 1], [1, 2], "both", [0.1, 0.2]) for name in names]
    plots = [Lines("", "x", "y", tuple(full), names=names), Lines("", "x", "y", tuple(full[1:]), names=names)]
    left, right = draw_together(plots).axes
    styles = [
        {bars.get_label(): (bars.lines[0].get_color(), bars.lines[0].get_marker()) for bars in panel.containers}
        for panel in (left, right)
    ]
    assert len(set(styles[0].values())) == 3
    assert styles[1] == {name: styles[0][name] for name in names[1:]}
    assert [text.get_text() for text in left.figure.legends[0].get_texts()] == list(names)
    assert (left.get_ylabel(), right.get_ylabel()) == ("y", "")


def test_levels_steps_and_intervals_are_drawn_on_pages_too():
    series = (
        Series("raw", [], [40.0], "level"),
        Series("digital network", [], [90.0], "level"),
        Series("best", [0.0, 1.0], [50.0, 60.0], "marks", [1.0, 2.0]),
        Series("front", [0.0, 1.0], [50.0, 60.0], "steps"),
    )
    plot = Lines("", "x", "y", series, limits=(0.0, 100.0), ticks={0.0: "none", 1.0: "all"}).as_dict()
    (view,) = interactive(plot)
    raw, digital, best, front = view["traces"]
    assert (raw["x"], raw["y"]) == ([0.0, 1.0], [40.0, 40.0])
    assert (raw["line"]["dash"], digital["line"]["dash"]) == ("dash", "dot")
    assert (best["mode"], best["error_y"]["array"]) == ("markers", [1.0, 2.0])
    assert front["line"]["shape"] == "hv"
    assert view["layout"]["yaxis"]["range"] == [0.0, 100.0]
    assert view["layout"]["xaxis"]["ticktext"] == ["none", "all"]
    (axes,) = draw(plot).axes
    lines = {line.get_label(): line.get_linestyle() for line in axes.lines}
    assert (lines["raw"], lines["digital network"], lines["front"]) == (":", "--", "-")
    assert axes.get_ylim() == (0.0, 100.0)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["none", "all"]
