"""Formulas as MathML, made while the site is built: its pages fetch nothing from elsewhere, and need no network."""

from __future__ import annotations

from docutils.nodes import SkipNode, math, math_block
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def setup(app: Sphinx) -> dict[str, bool]:
    """Give Sphinx the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_inline(self: HTML5Translator, node: math) -> None:
    """Write a formula within a sentence."""
    self.body.append(convert(node.astext()))
    raise SkipNode


def write_block(self: HTML5Translator, node: math_block) -> None:
    """Write a formula on a line of its own, which scrolls where a page is too narrow for it."""
    self.body.append(self.starttag(node, "div", CLASS="math", style="overflow: auto hidden; padding: 0.3em 0"))
    self.body.append(convert(node.astext(), display="block"))
    self.body.append("</div>")
    raise SkipNode
