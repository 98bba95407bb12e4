"""Reads of a whole layer: against those of its tiles one by one, in every variant and number of threads."""

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem._kernels import stack_reads
from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.reads import Channels, IdealAdmittance, read_codes
from circuitmem._kernels.stack_reads import IdealWires, Matrices, StackChannels, StackCorrection, add_codes, read_stack
from circuitmem._kernels.tiling import Tiling
from circuitmem._kernels.tree import transfer_of_ideal, transfer_stack
from circuitmem.errors import ValidationError
from circuitmem.network.layer import split

CASES = [
    # rows, columns, grid, batch, groups, planes, wires, thresholds
    (8, 8, (1, 1), 8, 1, 1, "ideal", False),
    (17, 26, (3, 2), 70, 1, 1, "ideal", False),
    (17, 26, (2, 3), 131, 3, 1, "resistive", False),
    (9, 6, (2, 2), 20, 1, 4, "ideal", False),
    (9, 6, (2, 1), 23, 2, 4, "resistive", True),
    (33, 2, (1, 2), 5, 1, 1, "sensed", True),
    (64, 64, (4, 3), 64, 1, 1, "sensed", False),
    (5, 12, (2, 1), 600, 4, 1, "no power", False),
]


class Layer:
    """Tiles with random converters, cells and places, a few spare, and inputs of which many are 0."""

    def __init__(self, rows, columns, grid, batch, groups, planes, wires, table):
        rng = np.random.default_rng(rows * 1000 + columns + batch)
        tiles, levels = grid[0] * grid[1], 1 << (planes if planes > 1 else 8)
        used, pairs = max(rows - 2, 1), max(columns // 2 - 1, 1)
        shape = used * grid[0], pairs * grid[1]
        inputs = np.full((tiles, rows), -1, dtype=np.int32)
        outputs = np.full((tiles, columns // 2), -1, dtype=np.int32)
        for tile in range(tiles):
            inputs[tile, rows - used :] = np.arange(used) + tile // grid[1] * used
            outputs[tile, :pairs] = np.arange(pairs) + tile % grid[1] * pairs
        if rows == 17 and grid == (2, 3):  # a pair and a line were moved on one tile
            outputs[1] = np.roll(outputs[1], 2)
            inputs[4] = np.roll(inputs[4], 1)
        self.tiling = Tiling(inputs, outputs, grid, shape).check()
        self.groups, self.planes, self.levels, self.wires = groups, planes, levels, wires
        self.codes = rng.integers(0, levels, (batch, shape[0])) * (rng.random((batch, shape[0])) < 0.4)
        self.channels = [
            Channels(
                rng.uniform(0.0, 0.4, (rows, levels)),
                rng.uniform(0.5, 1.5, columns) * 6e4 / rows,
                rng.normal(0.0, 0.01, columns),
                np.where(rng.random(columns) < 0.1, 0.0, 255.0),
                -0.01,
                1.0 / 255.0,
                0.01,
                np.sort(np.arange(255) + 0.5 + 3.0 * rng.standard_normal((columns, 255)), axis=1) if table else None,
            )
            for _ in range(tiles)
        ]
        self.cells = rng.uniform(1e-6, 1e-4, (tiles, rows, columns))
        ohms = 0.0 if wires in ("ideal", "sensed") else 1.0
        spec = TileSpec(
            rows=rows,
            columns=columns,
            word_line_resistance=ohms,
            bit_line_resistance=ohms,
            sense_resistance=0.0 if wires == "ideal" else 50.0,
        )
        self.mesh = Tile(spec, self.cells[0]).mesh
        self.noise = Addresses(
            rng.integers(0, 2**63, (tiles, 2), dtype=np.uint64), rng.integers(0, 99, tiles, dtype=np.uint64)
        )
        self.correction = StackCorrection(
            rng.uniform(0.5, 1.5, (groups, tiles, columns)),
            rng.standard_normal((tiles, columns)),
            np.array([1.0]) if planes == 1 else 2.0 ** np.arange(planes) / (levels - 1),
        )

    @property
    def source(self):
        """What the kernel is given."""
        if self.wires in ("ideal", "sensed"):
            return IdealWires(self.cells, self.mesh.bit_resistance[-1:])
        matrix, admittance = transfer_stack(self.cells, *self.mesh[1:])
        return Matrices(matrix, None if self.wires == "no power" else admittance)

    def read(self, source=None, **options):
        """Read all with one call."""
        return read_stack(
            self.codes,
            self.source if source is None else source,
            StackChannels.of(self.channels, 255),
            self.noise,
            **{
                "tiling": self.tiling,
                "correction": self.correction,
                "groups": self.groups,
                "planes": self.planes,
                **options,
            },
        )

    def drives(self, tile):
        """Return the codes of the word lines of a tile, read by read."""
        own = np.zeros((len(self.codes), self.cells.shape[1]), dtype=np.int64)
        lines = self.tiling.inputs[tile] >= 0
        own[:, lines] = self.codes[:, self.tiling.inputs[tile][lines]]
        own = split(own, self.groups)
        if self.planes == 1:
            return own
        bits = own[:, None] >> np.arange(self.planes)[:, None] & 1
        return bits.reshape(-1, own.shape[1]) * (self.levels - 1)

    def by_tiles(self):
        """Read tile after tile with the kernel of single tiles."""
        found = []
        for tile, channels in enumerate(self.channels):
            source = self.source
            if isinstance(source, IdealWires):
                matrix, *rest = transfer_of_ideal(self.cells[tile], *self.mesh[1:])
                admittance = IdealAdmittance(*rest)
            else:
                matrix = source.matrix[tile]
                admittance = None if source.admittance is None else source.admittance[tile]
            found.append(read_codes(self.drives(tile), matrix, admittance, channels, self.noise.of(tile)))
        codes, power = zip(*found, strict=True)
        return np.stack(codes), np.stack(power)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13 * np.abs(wanted).max(initial=0.0))


@pytest.mark.parametrize("case", CASES)
def test_codes_are_those_of_single_tiles_bit_for_bit(case):
    layer = Layer(*case)
    found, (codes, power) = layer.read(), layer.by_tiles()
    np.testing.assert_array_equal(found.codes, codes)
    assert len(np.unique(found.codes)) > 5
    close(found.power, power)
    np.testing.assert_array_equal(found.saturated, (codes == 255).sum(axis=(1, 2)))


@pytest.mark.parametrize("case", CASES)
def test_every_variant_agrees_with_the_twin(kernel_variant, monkeypatch, case):
    layer = Layer(*case)
    monkeypatch.setattr(stack_reads, "_read_stack", stack_reads._reference_stack)
    wanted = layer.read()
    monkeypatch.setattr(stack_reads, "_read_stack", kernel_variant("layers").read_stack)
    found = layer.read()
    # A code at a tie may go either way; then so do the sums.
    assert np.count_nonzero(found.codes != wanted.codes) <= 1e-4 * wanted.codes.size
    assert np.abs(found.codes.astype(int) - wanted.codes).max() <= 1
    close(found.power, wanted.power)
    np.testing.assert_array_equal(
        found.sums,
        add_codes(found.codes, layer.tiling, layer.correction, groups=layer.groups, planes=layer.planes),
    )


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if case[6] in ("resistive", "no power")])
def test_matrices_of_single_precision_are_read_as_what_they_are(kernel_variant, monkeypatch, case, apart):
    layer = Layer(*case)
    monkeypatch.setattr(stack_reads, "_read_stack", kernel_variant("layers").read_stack)
    narrow = [None if each is None else each.astype(np.float32) for each in layer.source]
    wide = [None if each is None else each.astype(np.float64) for each in narrow]
    given = [None if each is None else list(each) for each in narrow] if apart else narrow
    found, wanted = (layer.read(source=Matrices(*each)) for each in (given, wide))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(wide[0], layer.source[0])


def test_matrices_of_a_tile_are_of_one_precision():
    layer = Layer(*next(case for case in CASES if case[6] == "resistive"))
    matrix, admittance = layer.source
    with pytest.raises(ValidationError, match=r"admittance must have shape .* 32-bit numbers"):
        layer.read(source=Matrices(matrix.astype(np.float32), admittance))
    with pytest.raises(ValidationError, match=r"matrix must have shape .* 64-bit numbers"):
        layer.read(source=Matrices([*matrix[:-1], matrix[-1].astype(np.float32)], admittance))


@pytest.mark.parametrize("case", CASES)
def test_bits_depend_neither_on_threads_nor_on_the_batch(case):
    layer = Layer(*case)
    one = layer.read(threads=1)
    for threads in (2, 3):
        for found, wanted in zip(layer.read(threads=threads), one, strict=True):
            np.testing.assert_array_equal(found, wanted)
    if layer.groups == layer.planes == 1:
        half, cut = len(layer.codes) // 2, layer.codes
        layer.codes = cut[half:]
        rest = layer.read(first=half)
        np.testing.assert_array_equal(rest.codes, one.codes[:, half:])
        np.testing.assert_array_equal(rest.sums, one.sums[half:])
        close(rest.power, one.power[:, half:])


def test_codes_of_the_lines_of_each_tile_are_read_like_those_of_the_layer():
    layer = Layer(*CASES[1])
    wanted = layer.read()
    drives = np.stack([layer.drives(tile) for tile in range(6)])
    found = read_stack(drives, layer.source, StackChannels.of(layer.channels, 255), layer.noise)
    np.testing.assert_array_equal(found.codes, wanted.codes)
    assert found.sums is None
    alike = read_stack(drives[:1], layer.source, StackChannels.of(layer.channels, 255), layer.noise)
    np.testing.assert_array_equal(alike.codes[:2], wanted.codes[:2])  # they share their inputs
    assert layer.read(keep_codes=False).codes is None
    np.testing.assert_array_equal(layer.read(keep_codes=False).sums, wanted.sums)


def test_a_batch_of_nothing_is_read():
    layer = Layer(*CASES[1])
    layer.codes = layer.codes[:0]
    found = layer.read()
    assert found.codes.shape == (6, 0, 26)
    assert found.sums.shape == (0, 24)
    assert not found.saturated.any()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"codes": np.full((2, 45), 256)}, "codes"),
        ({"codes": np.full((2, 45), -1)}, "codes"),
        ({"codes": np.zeros((2, 44), dtype=int)}, "codes"),
        ({"codes": np.zeros((2, 45))}, "codes"),
        ({"tiling": None}, "codes"),
        ({"planes": 3}, "plane_weights"),
        ({"groups": 2}, "slope"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, name):
    layer = Layer(*CASES[1])
    layer.codes = change.pop("codes", layer.codes)
    with pytest.raises(ValidationError) as refused:
        layer.read(**change)
    assert refused.value.name == name


def test_tiles_that_would_add_to_the_same_output_side_by_side_are_refused():
    tiling = Layer(*CASES[1]).tiling
    outputs = tiling.outputs.copy()
    outputs[1, 0] = outputs[0, 0]
    with pytest.raises(ValidationError, match="outputs"):
        tiling._replace(outputs=outputs).check()
    with pytest.raises(ValidationError, match="inputs"):
        tiling._replace(inputs=tiling.inputs + 1).check()
