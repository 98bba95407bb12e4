"""Figures of a study show what its table holds, and join only what lies on a scale."""

import pytest
from matplotlib.figure import Figure

from circuitmem.config import FigureSpec
from circuitmem.report import study_figures
from circuitmem.study.spec import load_study

STUDY = """
title = "A study"
methods = ["raw", "in_situ"]
[axes.{axis}.levels]
{levels}
[figures.one]
kind = "lines"
x = "{axis}"
"""


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
    figure = study_figures._panels(study, FigureSpec(kind="lines", x="kind"), rows)
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
    figure = study_figures._panels(study, FigureSpec(kind="lines", x="share", logarithmic=True), rows)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    assert panel.get_xscale() == "log"
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "4", "64"]
    assert panel.get_xticklabels(minor=True) == []
