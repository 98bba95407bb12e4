"""The fast engine: exact solutions of the wire network, in compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from circuitmem._kernels.mesh import TOLERANCE, MeshSolution, solve_mesh, solve_mesh_selector, solve_mesh_sinh
from circuitmem._kernels.reads import read_currents
from circuitmem._kernels.select import thread_count
from circuitmem._kernels.tree import transfer_stack
from circuitmem.config import OdeDevice, PulseTrain, SelectorCell, SinhCell, TiaSpec
from circuitmem.engine.adjoint import Gradient, adjoint_gradient, gradient_of_ideal
from circuitmem.engine.base import ProgrammingResult, PulseResult, Solution, Transfer, silence_dead_drivers
from circuitmem.engine.bridges import bridge_drops, dipoles_of_bridges, one_blas_thread, superpose
from circuitmem.engine.direct import solve_directly
from circuitmem.engine.kept import KEPT_BYTES, KeptMatrices
from circuitmem.engine.plan import Plan, SolverChoice, check_linear, check_method, make_plan, plan_nodes
from circuitmem.engine.precision import PRECISION, Precision, check_precision
from circuitmem.engine.programming import PROGRAMMING_TOLERANCE, PulseDrive, program_tile, pulse_tile
from circuitmem.engine.settling import Settling, settle
from circuitmem.engine.steepness import check_steepness
from circuitmem.errors import ConvergenceError, ValidationError
from circuitmem.tile import Tile, turned_tile
from circuitmem.validation import finite_array, in_range, integer

__all__ = ["BehavioralEngine"]

Floats = NDArray[np.float64]


class BehavioralEngine:
    """Solves Kirchhoff's equations of a tile exactly.

    A few vectors are solved one by one, by conjugate gradients; many vectors go through the transfer matrix. The two
    ways agree within ``tolerance``; :meth:`plan` says which one is taken. Results are bit-identical for any number of
    threads.

    The engine counts the vectors that it has read in the present state of a tile. The call that brings the count to the
    break-even computes the transfer matrix, which is then kept until the tile is programmed, damaged or deleted. So the
    last digits of a read, within ``tolerance``, depend on how many vectors this engine read in that state before; the
    same sequence of calls gives the same bits. With a ``method``, or with ``kept_bytes=0``, the result depends only on
    the tile and the call.

    Parameters
    ----------
    threads : int, optional
        Threads to use, >= 1. None takes ``CIRCUITMEM_THREADS`` or ``OMP_NUM_THREADS`` from the environment, else all
        processors available to this process.
    tolerance : float
        Largest error of a node voltage relative to the largest driver voltage, between 1e-15 and 1e-3; :meth:`plan`
        reports it. Currents are accurate to 1000 times this tolerance, relative to the largest current of all columns,
        or of all drivers, apart from rounding errors of the cells' own currents. With the default, small currents also
        agree with SPICE to 1e-9 and better. A looser tolerance saves little: each iteration gains one to three digits.
    method : {"transfer matrix", "conjugate gradients", "newton", "direct"}, optional
        The method to use where ``read`` has a choice; the cheapest one when left out.
    precision : {"double", "single"}
        Default precision of transfer matrices; everything else is computed in double. Single takes two thirds of the
        time, with errors of up to 2e-6 of the largest current at 64 x 64 cells and 2e-5 at 1024 x 1024.
    kept_bytes : int
        Memory for the transfer matrices of unchanged tiles [bytes], >= 0. When it is full, the least recently used
        matrix is dropped. At 0 no matrix is kept, and no vectors are counted.

    Raises
    ------
    ValidationError
        If an argument breaks its rule.
    ConvergenceError
        From every computing method, if voltages or currents of a tile cannot be solved to their tolerance.
    """

    name = "behavioral"

    def __init__(
        self,
        *,
        threads: int | None = None,
        tolerance: float = TOLERANCE,
        method: SolverChoice | None = None,
        precision: Precision = "double",
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.threads = thread_count(threads)
        self._tolerance = in_range("tolerance", tolerance, 1e-15, 1e-3)
        self._method = check_method(method)
        self.precision = check_precision(precision)
        self._kept = KeptMatrices(integer("kept_bytes", kept_bytes))
        # Whether a read may use the matrix that an earlier read computed.
        self._keeps = self._kept.limit > 0 and method in (None, "transfer matrix")

    def plan(self, tile: Tile, batch: int = 1, *, known: bool | None = None) -> Plan:
        """Return how ``batch`` vectors would be read, and why; try ``print(engine.plan(tile, 1000))``.

        Parameters
        ----------
        tile : Tile
            The tile, in its present state.
        batch : int
            Number of vectors, >= 0.
        known : bool, optional
            Whether the transfer matrix of this state is available, as a chip has it until the tile is programmed. When
            left out, the plan is that of the next ``read``, which takes into account what this engine read before.

        Raises
        ------
        ValidationError
            If ``batch`` is negative, or the engine's ``method`` cannot solve the tile.
        """
        before = 0
        if known is None:
            known = self._keeps and self._kept.matrix(tile) is not None
            before = 0 if known else self._kept.vectors(tile)
        return make_plan(tile, batch, known=known, before=before, wanted=self._method, tolerance=self._tolerance)

    def read(self, tile: Tile, voltages: ArrayLike, *, matrix: ArrayLike | None = None) -> Floats:
        """Return the column currents, (batch, columns) or (columns,) A.

        Parameters
        ----------
        tile : Tile
            The tile.
        voltages : (batch, rows) or (rows,) array_like
            Driver voltages [V].
        matrix : (columns, rows) array_like, optional
            The transfer matrix of exactly this state [S], if available: then nothing has to be solved.

        Raises
        ------
        ValidationError
            If a shape is wrong or an element is not finite.
        """
        batch, version = tile.input_voltages(voltages), tile.version
        if matrix is not None:
            if self._method is not None:
                self.plan(tile, len(batch), known=True)  # raises if the method cannot solve this tile
            known: Floats | None = finite_array("matrix", matrix, shape=tile.spec.shape[::-1], copy=False)
        else:
            known = self._kept.matrix(tile) if self._keeps else None
        if known is None and (plan := self.plan(tile, len(batch))).method == "transfer matrix":
            known = np.asarray(self.transfer([tile]).matrix[0], dtype=np.float64)
            self._kept.keep(tile, known, version)
        if known is not None:
            currents = read_currents(batch, known, threads=self.threads)
        else:
            currents = self._solve(tile, batch, plan, voltages=False).column_current
            if self._keeps and plan.break_even:
                self._kept.count(tile, len(batch), version)
        return currents if np.ndim(voltages) == 2 else currents[0]

    def solve(self, tile: Tile, voltages: ArrayLike, *, start: Solution | None = None) -> Solution:
        """Return every node voltage and terminal current for driver voltages (batch, rows) or (rows,) V.

        Parameters
        ----------
        tile, voltages
            As for :meth:`read`.
        start : Solution, optional
            An earlier solution of this tile, for the same number of vectors, as initial guess. The closer it is, the
            fewer iterations are needed; the tolerance is met in any case.

        Raises
        ------
        ValidationError
            If a shape is wrong, an element is not finite, or ``start`` has another shape than this solution.
        """
        batch = tile.input_voltages(voltages)
        nodes = None if start is None else _nodes(start, (*np.shape(voltages)[:-1], *tile.spec.shape), len(batch))
        solution = self._solve(tile, batch, plan_nodes(tile, self._method), voltages=True, estimate=nodes)
        return solution.answers(tile, single=np.ndim(voltages) < 2)

    def program(
        self, tile: Tile, train: PulseTrain, *, samples: int = 0, tolerance: float = PROGRAMMING_TOLERANCE
    ) -> ProgrammingResult:
        """Return the effect of a pulse train on a tile; the tile itself does not change.

        Parameters
        ----------
        tile : Tile
            The tile. Its conductances are those of the devices at small voltages; a
            :class:`~circuitmem.config.TransistorCell` puts its transistor in series with each.
        train : PulseTrain
            Devices and pulses.
        samples : int
            States to keep within each pulse for the trajectory, evenly spaced, >= 0.
        tolerance : float
            Largest estimated error of a state in one step, between 1e-12 and 0.1; the state's range is 1.

        Raises
        ------
        ValidationError
            If the tile's cells are not of the device's kind, a conductance is out of its range, or a pulse selects
            lines or transistors that the tile does not have.
        ConvergenceError
            If a pulse takes too many steps, or the network cannot be solved.
        """
        return program_tile(tile, train, samples=samples, tolerance=tolerance, threads=self.threads)

    def pulse(
        self,
        tile: Tile,
        device: OdeDevice,
        state: ArrayLike,
        word: ArrayLike,
        bit: ArrayLike,
        *,
        width: float,
        rise: float,
        conducting: ArrayLike | None = None,
        tolerance: float = PROGRAMMING_TOLERANCE,
    ) -> PulseResult:
        """Return the effect of one pulse on devices in given states, with any voltages on the lines.

        Use :meth:`program` for pulses that follow a scheme, and this method if you choose the voltage of every line and
        keep track of the states yourself. It raises the same errors as ``program``.

        Parameters
        ----------
        tile : Tile
            Wires, cells and defects; its programmed conductances do not matter.
        device : VteamSpec, YakopcicSpec or StanfordSpec
            The devices.
        state : (rows, columns) array_like
            Their states, 0 to 1.
        word, bit : (rows,), (columns,) array_like
            Plateau voltages of the drivers of all word lines and of all bit lines [V]; dead drivers hold 0 V.
        width, rise : float
            Duration of the plateau, and of the slope before it and after it [s], > 0.
        conducting : (rows,) array_like of bool, optional
            Rows whose transistors are on; all rows when left out.
        tolerance : float
            Largest estimated error of a state in one step, between 1e-12 and 0.1; the state's range is 1.
        """
        return pulse_tile(tile, device, state, PulseDrive(word, bit, width, rise, conducting), tolerance, self.threads)

    def gradient(self, tile: Tile, voltages: ArrayLike, current_gradient: ArrayLike) -> Gradient:
        """Return the gradient of a scalar of the column currents, through wires, defects and the law of the cells.

        It costs two solutions for any number of cells, and none if the cells are linear and the wires ideal.

        Parameters
        ----------
        tile : Tile
            The tile, with cells of any kind.
        voltages : (batch, rows) or (rows,) array_like
            Driver voltages [V].
        current_gradient : (batch, columns) or (columns,) array_like
            Derivative of the scalar with respect to the column currents at these voltages [1/A].

        Returns
        -------
        Gradient
            Derivatives with respect to every conductance and every voltage (:mod:`circuitmem.engine.adjoint`).

        Raises
        ------
        ValidationError
            If a shape is wrong or an element is not finite.
        """
        batch = tile.input_voltages(voltages)
        shape = (*np.shape(voltages)[:-1], tile.spec.columns)
        wanted = finite_array("current_gradient", current_gradient, shape=shape).reshape(len(batch), tile.spec.columns)

        def nodes(part: slice) -> tuple[Floats, Floats]:
            solution = self._solve(tile, batch[part], plan_nodes(tile, self._method), voltages=True)
            return solution.word_line_voltage, solution.bit_line_voltage

        found = gradient_of_ideal(tile, batch, wanted) if self._method is None else None
        found = found or adjoint_gradient(tile, nodes, wanted, self._tolerance, self.threads)
        return found if np.ndim(voltages) == 2 else Gradient(found.conductance, found.voltages[0])

    def offset_current(self, tile: Tile, sense_voltage: ArrayLike) -> Floats:
        """Return the column currents, (columns,) A, that voltages at the virtual grounds drive through the tile.

        All drivers are at 0 V; the currents of a read add to these. A positive voltage drives current out of the
        virtual ground, so its column current is negative.

        Parameters
        ----------
        tile : Tile
            A tile with linear cells.
        sense_voltage : (columns,) array_like
            Voltage at each column's virtual grounds, beyond the sense resistance as seen from the tile [V].

        Raises
        ------
        ValidationError
            If the shape is wrong, an element is not finite, or the cells are not linear.
        """
        check_linear([tile])
        volts = finite_array("sense_voltage", sense_voltage, shape=(tile.spec.columns,))
        return np.asarray(-self.solve(turned_tile(tile), volts[::-1]).driver_current[::-1])

    def settling_time(
        self, tile: Tile, voltages: ArrayLike | None = None, *, amplifier: TiaSpec | None = None
    ) -> Settling:
        """Estimate how long a read takes to settle after its drivers step from 0 V.

        Parameters
        ----------
        tile : Tile
            A tile with linear cells; its lines have the capacitance that its specification says.
        voltages : (rows,) array_like, optional
            Driver voltages after the step [V]; 1 V on every line when left out.
        amplifier : TiaSpec, optional
            The amplifiers of the columns, if their gain-bandwidth is to be included; the tile's sense resistance must
            equal their input resistance.

        Returns
        -------
        Settling
            Elmore delays of lines and outputs, and the error that remains at a given time
            (:mod:`circuitmem.engine.settling`).

        Raises
        ------
        ValidationError
            If the shape is wrong, an element is not finite, the cells are not linear, or the amplifier does not belong
            to the tile.
        """
        volts = tile.one_input(np.ones(tile.spec.rows) if voltages is None else voltages)
        if amplifier is not None and amplifier.input_resistance != tile.spec.sense_resistance:
            raise ValidationError("amplifier", "must have the tile's sense resistance", amplifier.input_resistance)
        return settle(tile, volts, amplifier)

    def transfer_matrix(self, tile: Tile, dtype: DTypeLike | None = None) -> NDArray[Any]:
        """Return W, (columns, rows) S, with ``read(tile, v) == v @ W.T``.

        Columns of W that belong to dead drivers are 0.

        Parameters
        ----------
        tile : Tile
            A tile with linear cells.
        dtype : {float64, float32}, optional
            Precision of the computation; that of the engine when left out.

        Raises
        ------
        ValidationError
            If the cells are not linear.
        """
        return np.asarray(self.transfer([tile], dtype).matrix[0])

    def transfer(self, tiles: Sequence[Tile], dtype: DTypeLike | None = None) -> Transfer:
        """Return the transfer matrices of tiles of one shape.

        Parameters
        ----------
        tiles : sequence of Tile
            At least one tile; all of the same rows and columns.
        dtype : {float64, float32}, optional
            Precision of the computation; that of the engine when left out.

        Raises
        ------
        ValidationError
            If there is no tile, their shapes differ, or their cells are not linear.
        """
        check_linear(tiles)
        cells, wires = np.stack([tile.mesh.conductance for tile in tiles]), [tile.wires for tile in tiles]
        alike = all(own is given for pair in wires for own, given in zip(pair, wires[0], strict=True))
        lines = wires[0] if alike else [np.stack(each) for each in zip(*wires, strict=True)]
        dtype = PRECISION[self.precision] if dtype is None else dtype
        matrix, admittance = transfer_stack(cells, *lines, dtype=dtype, threads=self.threads)
        for index, tile in enumerate(tiles):
            if tile.defects.bridges:
                self._add_bridges(tile, matrix[index], admittance[index])
            silence_dead_drivers(tile, matrix[index], admittance[index])
        return Transfer(matrix, admittance)

    def update_transfer(
        self,
        tile: Tile,
        matrix: Floats,
        input_admittance: Floats,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        change: Floats,
    ) -> tuple[Floats, Floats]:
        """Return the transfer matrix and input admittance of a tile after a few cells have changed.

        Each change acts like a conductance in parallel with its cell. It costs one solution per changed cell and a
        correction whose rank is the number of these cells (Woodbury). The result is exact to rounding errors as long
        as no cell has grown by orders of magnitude.

        Parameters
        ----------
        tile : Tile
            The tile as it is now: linear cells, no bridges, no cut lines.
        matrix : (columns, rows) ndarray
            Its transfer matrix before the change [S].
        input_admittance : (rows, rows) ndarray
            Its input admittance before the change [S].
        rows, columns : (cells,) ndarray of int
            Indices of the changed cells, each cell once.
        change : (cells,) ndarray
            Increase of their effective conductance [S]; not 0.
        """
        index = np.arange(len(rows))
        injection = np.zeros((len(rows), 2, *tile.spec.shape))
        injection[index, 0, rows, columns], injection[index, 1, rows, columns] = -1.0, 1.0
        dipoles = self._run(tile, np.zeros((len(rows), tile.spec.rows)), injection, voltages=True)
        assert dipoles.word is not None
        assert dipoles.bit is not None
        seen = (dipoles.bit - dipoles.word)[:, rows, columns]
        driver = dipoles.driver_current
        if tile.defects.dead_drivers is not None:
            driver = np.where(tile.defects.dead_drivers, 0.0, driver)
        with one_blas_thread():
            # The dipoles are solved in the changed tile, so Woodbury's formula leads from the new matrices to the old
            # ones; here it is solved for the new ones.
            current = np.linalg.solve(0.5 * (seen + seen.T) - np.diag(1.0 / change), driver)
            return matrix - dipoles.column_current.T @ current, input_admittance - driver.T @ current

    def _solve(
        self, tile: Tile, batch: Floats, plan: Plan, *, voltages: bool, estimate: Floats | None = None
    ) -> Solution:
        try:
            return self._answer(tile, batch, plan, voltages=voltages, estimate=estimate)
        except ConvergenceError:
            check_steepness(tile, batch)
            raise

    def _answer(
        self, tile: Tile, batch: Floats, plan: Plan, *, voltages: bool, estimate: Floats | None = None
    ) -> Solution:
        if plan.method == "direct":
            return solve_directly(tile, batch, self._tolerance)
        solution = self._run(tile, batch, None, voltages=voltages or plan.superposed_bridges, estimate=estimate)
        column, driver, word, bit = solution.column_current, solution.driver_current, solution.word, solution.bit
        if plan.superposed_bridges and word is not None and bit is not None:
            drops, error = bridge_drops(tile, word, bit), solution.residual * np.abs(batch).max(axis=1, initial=0.0)
            added = superpose(tile, self._dipoles(tile), drops, column, driver, error)
            if added is None:
                return solve_directly(tile, batch, self._tolerance)
            column, driver = added.column, added.driver
            word = word + np.einsum("kb,kij->bij", added.share, added.word)
            bit = bit + np.einsum("kb,kij->bij", added.share, added.bit)
        nothing = np.empty((0, *tile.spec.shape))
        power = np.asarray((batch * driver).sum(axis=1))
        return Solution(column, driver, nothing if word is None else word, nothing if bit is None else bit, power)

    def _add_bridges(self, tile: Tile, matrix: Floats, admittance: Floats) -> None:
        """Add bridges to a transfer matrix and an input admittance, in place."""
        added = None
        if plan_nodes(tile).superposed_bridges:
            # By reciprocity a driver's current for a dipole is the dipole's voltage per volt on that driver.
            added = superpose(tile, self._dipoles(tile), None, matrix.T, admittance)
        if added is None:
            solution = solve_directly(tile, np.eye(tile.spec.rows), self._tolerance)
            matrix[:] = solution.column_current.T
            admittance[:] = 0.5 * (solution.driver_current + solution.driver_current.T)
        else:
            matrix[:], admittance[:] = added.column.T, added.driver

    def _dipoles(self, tile: Tile) -> MeshSolution | None:
        """Solve the tile without bridges for 1 A from the first to the second node of each bridge, outside the tile."""
        injection = dipoles_of_bridges(tile)
        try:
            return self._run(tile, np.zeros((len(injection), tile.spec.rows)), injection, voltages=True)
        except ConvergenceError:
            return None

    def _run(
        self,
        tile: Tile,
        batch: Floats,
        injection: Floats | None,
        *,
        voltages: bool,
        estimate: Floats | None = None,
    ) -> MeshSolution:
        cell, mesh = tile.spec.cell, tile.mesh
        how: Any = {
            "estimate": estimate,
            "tolerance": self._tolerance,
            "threads": self.threads,
            "voltages": voltages,
        }
        if isinstance(cell, SinhCell):
            return solve_mesh_sinh(*mesh, batch, cell.a, **how)
        if isinstance(cell, SelectorCell):
            return solve_mesh_selector(*mesh, batch, cell.leak, cell.bend, **how)
        return solve_mesh(*mesh, batch, injection=injection, **how)


def _nodes(start: Solution, shape: tuple[int, ...], batch: int) -> Floats:
    """Return the node voltages of a solution as the kernels take them, (batch, 2, rows, columns) V."""
    if not isinstance(start, Solution) or start.word_line_voltage.shape != shape:
        raise ValidationError("start", "must be a solution for the same number of voltages, of a tile of this shape")
    lines = start.word_line_voltage, start.bit_line_voltage
    return np.stack([line.reshape(batch, *shape[-2:]) for line in lines], axis=1)
