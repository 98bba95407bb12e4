"""Times and energies become integers of picoseconds and attojoules, and numbers again, by the ledger's constants."""

import ast
from pathlib import Path

import circuitmem

UNITS = {1e-12, 1e12, 1e-18, 1e18}


def products_with_units(source):
    """Yield the lines of products and quotients with a literal picosecond or attojoule."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            for side in (node.left, node.right):
                if isinstance(side, ast.Constant) and side.value in UNITS:
                    yield node.lineno


def test_nothing_converts_times_and_energies_by_itself():
    folder = Path(circuitmem.__file__).parent
    found = [
        f"{path.relative_to(folder)}:{line}"
        for path in sorted(folder.rglob("*.py"))
        for line in products_with_units(path.read_text("utf-8"))
    ]
    assert found == []
    assert list(products_with_units("x = 1e-18 * energy\ny = time / 1e-12\nz = 1e-12\n")) == [1, 2]
