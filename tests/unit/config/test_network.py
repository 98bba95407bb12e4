"""Declared networks: what is wrong with one is said in one line."""

import pytest

from circuitmem.config import NetworkSpec, load_run
from circuitmem.errors import ValidationError


def test_a_kind_alone_declares_a_network_like_lenet():
    spec = load_run(None, ["network.kind=cnn"])
    assert spec.network.convolutions == ((6, 5), (16, 5))
    assert spec.network.layers == (784, 100, 10)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["network.convolutions=[[6,5]]"], "network.convolutions must be left out unless kind is cnn"),
        (["network.kind=cnn", "network.convolutions=[]"], "network.convolutions must name at least one"),
        (["network.kind=cnn", "network.convolutions=[[6,4]]"], "(a kernel of 4 on 28 leaves 25)"),
        (["network.kind=cnn", "network.convolutions=[[6,5],[16,13]]"], "(a kernel of 13 on 12 leaves 0)"),
        (["network.kind=cnn", "network.convolutions=[[0,5]]"], "must be greater than or equal to 1"),
        (["network.kind=cnn", "network.convolutions=[[6]]"], "network.convolutions.0.1 is required"),
        (["network.kind=rnn"], "network.kind must be 'mlp' or 'cnn'"),
        (["network.layers=[784,9223372036854775807,10]"], "network.layers must give every layer at most 1000000000"),
        (
            ["network.kind=cnn", "network.convolutions=[[99999999999,5]]"],
            "network.convolutions must give every layer at most 1000000000 weights (layer 1 has 25x99999999999)",
        ),
        (["network.kind=cnn", "data.side=14"], "network.layers must begin with data.side squared (=196)"),
        (["network.kind=cnn", "chip.defects.layers=[4]"], "chip.defects.layers must be < 4, each"),
    ],
)
def test_what_is_wrong_is_said(settings, line):
    with pytest.raises(ValidationError) as caught:
        load_run(None, settings)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_is_square():
    with pytest.raises(ValidationError, match="square number"):
        NetworkSpec(kind="cnn", layers=(80, 10), convolutions=((2, 3),))


def test_there_are_no_more_groups_than_word_lines():
    """Random configurations found it: each group has an array of its own, of which there can be too many."""
    assert load_run(None, ["calibration.groups=64", "chip.tile.rows=64"]).calibration.groups == 64
    assert load_run(None, ["chip.tile.rows=3"]).calibration.groups == 4  # the default is for tiles of any size
    with pytest.raises(ValidationError, match=r"calibration.groups must be <= chip.tile.rows \(=64\), one word line"):
        load_run(None, ["calibration.groups=65", "chip.tile.rows=64"])
