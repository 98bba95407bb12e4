"""Usage: check_wheel.py CHECKOUT WHEEL, with the Python that has the wheel installed, from any other folder."""

import sys
import zipfile
from pathlib import Path

import numpy as np

import circuitmem
from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem._kernels import kernel_info
from circuitmem.config import load_run, presets
from circuitmem.data import load_mnist
from circuitmem.engine import BehavioralEngine, SpiceEngine

checkout, wheel = Path(sys.argv[1]), Path(sys.argv[2])
assert checkout not in Path(circuitmem.__file__).parents, "the checkout shadows the wheel"

names = set(zipfile.ZipFile(wheel).namelist())
folders = {"circuitmem": checkout / "circuitmem", "circuitmem/netlists": checkout / "netlists"}
files = {
    f"{package}/{path.relative_to(folder).as_posix()}"
    for package, folder in folders.items()
    for path in folder.rglob("*")
    if path.is_file() and path.suffix not in (".pyc", ".so")
}
assert files <= names, f"the wheel lacks {sorted(files - names)}"
extra = {name for name in names - files if not name.endswith(".so") and ".dist-info/" not in name}
assert not extra, f"the wheel has more than the checkout: {sorted(extra)}"
assert {name.split("/")[0].split("-")[0] for name in names} == {"circuitmem"}, "something else would be installed too"

assert all(text.startswith("compiled") for text in kernel_info().values()), kernel_info()

# One cell behind 2 + 2 ohm of wire and 3 + 3 ohm of driver and sense: Ohm's law.
spec = TileSpec(
    rows=1,
    columns=1,
    word_line_resistance=2.0,
    bit_line_resistance=2.0,
    driver_resistance=3.0,
    sense_resistance=3.0,
)
current = BehavioralEngine().read(Tile(spec, np.array([[1e-3]])), np.array([0.2]))[0]
assert abs(current / (0.2 / 1010.0) - 1.0) < 1e-12, current

spec = TileSpec(rows=12, columns=9, word_line_resistance=1.0, bit_line_resistance=1.0, cell=SinhCell(a=2.0))
rng = np.random.default_rng(1)
defects = DefectMap.random(spec, yield_=0.8, seed=1)
tile = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), defects=defects)
voltages = rng.uniform(0.0, 0.2, (3, 12))
with SpiceEngine() as spice:
    expected = spice.read(tile, voltages)
# Sinh cells are iterated in both engines: the bound that `circuitmem validate` holds them to.
np.testing.assert_allclose(BehavioralEngine().read(tile, voltages), expected, rtol=0.0, atol=1e-7 * expected.max())

assert load_mnist().train_inputs.shape == (10_000, 784)
assert all(load_run(name).chip.tile.rows > 0 for name in presets())
print(f"{wheel.name}: complete, and works outside the checkout")
