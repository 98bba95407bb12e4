"""Still pictures: files by their endings, panels in rows, and legends that leave the panels their size."""

import numpy as np
import pytest

from circuitmem.errors import DataFileError, ValidationError
from circuitmem.report.stills import draw, save
from circuitmem.study.plots import Lines, Series


def lines(count, words=10):
    series = tuple(Series(f"{'w' * words} {k}", np.arange(4), k + np.arange(4.0)) for k in range(count))
    return Lines("curves", "epoch", "accuracy (%)", series).as_dict()


@pytest.mark.parametrize(
    ("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_ending_says_what_a_file_becomes_and_the_bytes_are_always_the_same(tmp_path, ending, begins):
    for name in "ab":
        save(draw(lines(2)), tmp_path / f"{name}.{ending}")
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
    assert first.startswith(begins)
    assert first == second


def test_another_ending_and_a_folder_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"path must end in \.png, \.svg or \.pdf \(got '.*p\.gif'\)"):
        save(draw(lines(1)), tmp_path / "p.gif")
    with pytest.raises(DataFileError, match="cannot be written"):
        save(draw(lines(1)), tmp_path / "nowhere" / "p.png")
    assert list(tmp_path.iterdir()) == []


def test_panels_stand_in_rows_and_places_without_a_panel_are_empty():
    figure = draw([lines(1) for _ in range(5)], across=3)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False]
    width, height = figure.get_size_inches()
    assert width > height
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 2


def test_a_long_legend_makes_the_figure_higher_and_the_panel_no_smaller():
    heights = []
    for count in (2, 12):
        figure = draw(lines(count, words=40))
        figure.draw_without_rendering()
        (axes,) = figure.axes
        assert axes.get_legend().get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0
        assert axes.get_legend().get_window_extent().y0 >= 0.0
        heights.append(axes.get_window_extent().height)
    assert heights[1] > 0.95 * heights[0]
