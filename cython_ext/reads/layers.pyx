"""Reads of all tiles of a layer in one call; ``circuitmem/_kernels/stack_reads.py`` says it in NumPy.

A thread takes a panel of inputs through all tiles that share outputs, one after another, so that their shares are added
in one order, whatever the number of threads. Which lines the inputs move is listed once for all tiles that share them.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid
from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from simd.addresses cimport keep_addresses, keep_numbers
from simd.threads cimport HAS_OPENMP, SMALL
from reads.panel cimport PANEL, Drive, Drives, Read, add_rest, panel_bytes, read_panel, set_rest, turn_in
from simd.rounded cimport add_scaled
from simd.vectors cimport ROWS, VECTOR_BYTES, double_load, get, lanes, put, wide_d, zero

import numpy as np

OPENMP = bool(HAS_OPENMP)

cdef enum:
    CHUNK = 8  # panels whose drives are listed at a time


cdef struct Layer:
    Py_ssize_t tiles, rows, columns, batch, groups, planes, reads
    Py_ssize_t together       # inputs of a panel
    Py_ssize_t grid_rows, grid_columns
    const uint16_t* codes     # of the layer, or of each tile
    Py_ssize_t vector_step, tile_step
    const int32_t* places     # where in a vector of codes each line's is, -1 nowhere: of each tile
    Py_ssize_t alike          # so many tiles in a row have the same inputs
    const double** table      # of each tile
    const double* factor
    const double* offset
    const double* highest
    const double* thresholds
    const uint64_t* keys
    const uint64_t* operations
    Py_ssize_t first
    const double** conductance  # of each tile with ideal wires, and what bit lines are sensed through; else NULL
    const double* sense
    Py_ssize_t sense_step
    const void** matrix        # of each tile, or NULL
    const void** admittance    # of each tile, or NULL
    bint single                # whether both are in single precision
    const double* slope        # of the correction, or NULL: no sums
    const double* constant
    const double* weights
    const int32_t* outputs
    Py_ssize_t sums_step
    double* sums
    uint16_t* answer           # or NULL
    double* power
    int64_t* saturated         # by panel and tile
    double top


cdef struct Own:
    # What a thread works with.
    Read read
    Drives drives
    char* panel
    int64_t* answer     # of a panel,
    double* total       # and its corrected sums, a whole number of vectors for each input
    double* slope
    double* row_sums
    double* losses
    double* factor


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    return (n * 8 + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES // 8


cdef inline Py_ssize_t blocks_of(const Layer* l) noexcept nogil:
    return (l.together * l.planes + ROWS - 1) // ROWS


cdef Py_ssize_t lay_out_drives(const Layer* l, Drives* d, char* memory) noexcept nogil:
    """Give lists for one panel and group their memory; returns how much that is."""
    cdef Py_ssize_t blocks = blocks_of(l), capacity = ((l.rows + l.groups - 1) // l.groups) * ROWS, size
    d.capacity = capacity
    d.each = <Drive*> memory
    size = blocks * capacity * <Py_ssize_t> sizeof(Drive)
    d.lines = <int*> (memory + size)
    size = size + blocks * l.rows * <Py_ssize_t> sizeof(int)
    d.drives = <int*> (memory + size)
    d.moves = d.drives + blocks
    size = size + 2 * blocks * <Py_ssize_t> sizeof(int)
    return (size + 63) // 64 * 64


cdef void list_drives(const Layer* l, Py_ssize_t tile, Py_ssize_t group, Py_ssize_t panel, Drives* d) noexcept nogil:
    """List what one panel of inputs drives the lines of a group with, of a tile and those that are like it."""
    cdef const int32_t* places = l.places + tile * l.rows
    cdef const uint16_t* codes = l.codes + tile * l.tile_step + panel * l.together * l.vector_step
    cdef Py_ssize_t inputs = min(l.together, l.batch - panel * l.together), count = inputs * l.planes
    cdef Py_ssize_t begin = (group * l.rows + l.groups - 1) // l.groups
    cdef Py_ssize_t end = ((group + 1) * l.rows + l.groups - 1) // l.groups, block, i, k, read, width
    cdef Drive* drive
    cdef int* lines
    cdef int drives, moves, before, code
    cdef const uint16_t* column
    for block in range((count + ROWS - 1) // ROWS):
        drive, lines = d.each + block * d.capacity, d.lines + block * l.rows
        drives = moves = 0
        width = min(<Py_ssize_t> ROWS, count - block * ROWS)
        for k in range(begin, end):
            if places[k] < 0:
                continue
            before = drives
            column = codes + places[k]
            for i in range(width):
                read = block * ROWS + i
                if l.planes == 1:
                    code = column[read * l.vector_step]
                else:
                    # Bit-serial: full scale or nothing, lowest bit first.
                    code = column[read // l.planes * l.vector_step]
                    code = ((1 << l.planes) - 1) if (code >> (read % l.planes)) & 1 else 0
                if code != 0:
                    drive[drives].place = <int> (k * ROWS + i)
                    drive[drives].code = code
                    drives += 1
            if drives > before:
                lines[moves] = <int> k
                moves += 1
        d.drives[block], d.moves[block] = drives, moves


cdef inline wide_d part_of(const wide_d* unused, const double* row, Py_ssize_t count) noexcept nogil:
    """Load a vector, 0 beyond ``count`` numbers."""
    cdef wide_d x
    cdef Py_ssize_t j
    if count >= lanes(unused):
        return double_load(row)
    x = zero(unused)
    for j in range(count):
        put(&x, j, row[j])
    return x


cdef void take_ideal(const Layer* l, Py_ssize_t tile, Own* own) noexcept nogil:
    """Pack the conductances of a tile with ideal wires, and work out what its power is made of."""
    cdef Read* r = &own.read
    cdef const double* g = l.conductance[tile]
    cdef const double* sense = l.sense + tile * l.sense_step
    cdef wide_d* packed = <wide_d*> r.matrix
    cdef wide_d* factor = <wide_d*> own.factor
    cdef Py_ssize_t w = lanes(packed), k, s, j
    cdef wide_d total
    for s in range(r.strips):
        factor[s] = zero(packed)
    for k in range(l.rows):
        total = zero(packed)
        for s in range(r.strips):
            packed[s * l.rows + k] = part_of(packed, g + k * l.columns + s * w, l.columns - s * w)
            factor[s] = factor[s] + packed[s * l.rows + k]
            total = total + packed[s * l.rows + k]
        own.row_sums[k] = 0.0
        for j in range(w):
            own.row_sums[k] = own.row_sums[k] + get(&total, j)
    for j in range(l.columns):
        own.factor[j] = 1.0 / (1.0 + sense[j] * own.factor[j])
        own.losses[j] = sense[j] / own.factor[j]
    for s in range(r.strips):
        for k in range(l.rows):
            packed[s * l.rows + k] = packed[s * l.rows + k] * factor[s]
    r.own, r.losses = own.row_sums, own.losses
    for j in range(r.strips * w):
        put(r.lost, j, own.losses[j] if j < l.columns else 0.0)


cdef void take_matrix(const floating* matrix, Py_ssize_t columns, Py_ssize_t rows, wide_d* packed) noexcept nogil:
    """Pack a matrix (columns, rows)."""
    cdef Py_ssize_t w = lanes(packed), s
    for s in range((columns + w - 1) // w):
        turn_in(matrix + s * w * rows, min(w, columns - s * w), rows, packed + s * rows)


cdef void take_matrices(const Layer* l, Py_ssize_t tile, const floating* unused, Read* r) noexcept nogil:
    """Pack the matrices of a tile."""
    take_matrix(<const floating*> l.matrix[tile], l.columns, l.rows, <wide_d*> r.matrix)
    if r.row_strips > 0:
        take_matrix(<const floating*> l.admittance[tile], l.rows, l.rows, <wide_d*> r.admittance)


cdef void take_tile(const Layer* l, Py_ssize_t tile, Own* own) noexcept nogil:
    """Make a thread ready for a tile."""
    cdef Read* r = &own.read
    cdef Py_ssize_t s
    r.converters.table = l.table[tile]
    r.converters.factor = l.factor + tile * l.columns
    r.converters.offset = l.offset + tile * l.columns
    r.converters.highest = l.highest + tile * l.columns
    if l.thresholds != NULL:
        r.converters.thresholds = l.thresholds + tile * l.columns * r.converters.steps
    r.converters.key0, r.converters.key1 = l.keys[2 * tile], l.keys[2 * tile + 1]
    r.converters.operation = l.operations[tile]
    if l.conductance != NULL:
        take_ideal(l, tile, own)
    else:
        if l.single:
            take_matrices(l, tile, <float*> NULL, r)
        else:
            take_matrices(l, tile, <double*> NULL, r)
    set_rest(r)
    for s in range(r.strips):
        add_rest(r, r.matrix + s * l.rows, r.rest_currents + s)
    for s in range(r.row_strips):
        add_rest(r, r.admittance + s * l.rows, r.rest_drivers + s)


cdef void begin_totals(const Layer* l, Py_ssize_t tile, Py_ssize_t inputs, Own* own) noexcept nogil:
    """Begin the sums of a panel with what does not depend on its codes."""
    cdef Py_ssize_t b
    for b in range(inputs):
        memcpy(own.total + b * padded(l.columns), l.constant + tile * l.columns, l.columns * 8)


cdef void add_group(const Layer* l, Py_ssize_t tile, Py_ssize_t group, Py_ssize_t inputs, Own* own) noexcept nogil:
    """Add the corrected codes of a panel's reads of one group."""
    cdef Py_ssize_t b, p
    memcpy(own.slope, l.slope + (group * l.tiles + tile) * l.columns, l.columns * 8)
    for b in range(inputs):
        for p in range(l.planes):
            add_scaled(
                own.answer + (b * l.planes + p) * l.columns, own.slope, l.weights[p], l.columns,
                own.total + b * padded(l.columns),
            )


cdef void add_pairs(const Layer* l, Py_ssize_t tile, Py_ssize_t begin, Py_ssize_t inputs, Own* own) noexcept nogil:
    """Add what the pairs of bit lines of a tile say to the outputs of the layer."""
    cdef const int32_t* outputs = l.outputs + tile * (l.columns // 2)
    cdef Py_ssize_t b, p, run = 0, first = outputs[0]
    cdef double* sums
    cdef const double* total
    while first >= 0 and run < l.columns // 2 and outputs[run] == first + run:
        run += 1
    for b in range(inputs):
        sums, total = l.sums + (begin + b) * l.sums_step, own.total + b * padded(l.columns)
        for p in range(run):  # outputs that follow each other, as most do, are added in vectors
            sums[first + p] = sums[first + p] + (total[2 * p] - total[2 * p + 1])
        for p in range(run, l.columns // 2):
            if outputs[p] >= 0:
                sums[outputs[p]] = sums[outputs[p]] + (total[2 * p] - total[2 * p + 1])


cdef void keep_codes(const Layer* l, Py_ssize_t tile, Py_ssize_t panel, Py_ssize_t start, Py_ssize_t count,
                     const int64_t* found) noexcept nogil:
    """Count the highest codes, and copy all if they are wanted."""
    cdef uint16_t* out
    cdef Py_ssize_t k
    cdef int64_t top = <int64_t> l.top, saturated = 0
    for k in range(count * l.columns):
        saturated += found[k] == top
    l.saturated[panel * l.tiles + tile] += saturated
    if l.answer != NULL:
        out = l.answer + (tile * l.reads + start) * l.columns
        for k in range(count * l.columns):
            out[k] = <uint16_t> found[k]


cdef void read_column(const Layer* l, Py_ssize_t column, Py_ssize_t panel, const Drives* listed, Py_ssize_t panels,
                      Py_ssize_t offset, Own* own) noexcept nogil:
    """Read all tiles of a column of the grid for one panel of inputs, number ``offset`` of ``panels`` listed ones."""
    cdef Py_ssize_t inputs = min(l.together, l.batch - panel * l.together), count = inputs * l.planes
    cdef Py_ssize_t row, tile, group, start
    cdef Read* r = &own.read
    for row in range(l.grid_rows):
        tile = row * l.grid_columns + column
        take_tile(l, tile, own)
        if l.sums != NULL:
            begin_totals(l, tile, inputs, own)
        for group in range(l.groups):
            if listed != NULL:
                r.listed = listed + (tile // l.alike * panels + offset) * l.groups + group
            else:
                list_drives(l, tile, group, panel, &own.drives)
                r.listed = &own.drives
            start = (group * l.batch + panel * l.together) * l.planes
            r.batch, r.answer = count, own.answer
            r.converters.skip = l.first + start
            r.power = l.power + tile * l.reads + start
            read_panel(r, 0, own.panel)
            keep_codes(l, tile, panel, start, count, own.answer)
            if l.sums != NULL:
                add_group(l, tile, group, inputs, own)
        if l.sums != NULL:
            add_pairs(l, tile, panel * l.together, inputs, own)


cdef Py_ssize_t prepare(const Layer* l, const Read* pattern, Own* own, char* memory) noexcept nogil:
    """Give a thread its memory; returns how much that is."""
    cdef Read* r = &own.read
    cdef Py_ssize_t columns = padded(l.columns)
    cdef char* at = memory
    r[0] = pattern[0]
    r.matrix = <wide_d*> at
    at = at + r.strips * l.rows * VECTOR_BYTES
    r.admittance = <wide_d*> at
    at = at + r.row_strips * l.rows * VECTOR_BYTES
    r.rest = <wide_d*> at
    r.rest_currents = r.rest + l.rows
    r.rest_drivers = r.rest_currents + r.strips
    r.lost = r.rest_drivers + r.row_strips
    at = <char*> (r.lost + r.strips)
    own.total = <double*> at
    own.slope = own.total + l.together * columns
    own.factor = own.slope + columns
    own.losses = own.factor + columns
    own.row_sums = own.losses + columns
    own.answer = <int64_t*> (own.row_sums + padded(l.rows))
    at = <char*> (own.answer + padded(PANEL * l.columns + columns))
    r.rest_moved = <int*> at
    at = at + (l.rows * <Py_ssize_t> sizeof(int) + 63) // 64 * 64
    at = at + lay_out_drives(l, &own.drives, at)
    own.panel = at
    at = at + panel_bytes(l.rows, l.columns)
    if r.row_strips == 0:
        r.admittance = NULL
    return (at - memory + 63) // 64 * 64


cdef int run(const Layer* l, const Read* pattern, bint share_lists, int threads) except -1 nogil:
    cdef Own probe
    cdef Drives one
    cdef Own* own
    cdef Drives* listed = NULL
    cdef char* memory
    cdef char* start
    cdef Py_ssize_t size = prepare(l, pattern, &probe, NULL), each = lay_out_drives(l, &one, NULL), k, i, first, now
    cdef Py_ssize_t panels = (l.batch + l.together - 1) // l.together, chunk = min(panels, <Py_ssize_t> CHUNK), lists = 0
    cdef Py_ssize_t sets = l.tiles // l.alike
    if share_lists:
        lists = sets * chunk * l.groups
    own = <Own*> malloc(threads * sizeof(Own))
    memory = <char*> malloc(threads * size + lists * (each + <Py_ssize_t> sizeof(Drives)) + 64)
    if own == NULL or memory == NULL:
        free(own)
        free(memory)
        raise MemoryError("for the reads of a layer")
    start = <char*> ((<uintptr_t> memory + 63) & ~(<uintptr_t> 63))
    memset(start, 0, threads * size)
    for k in range(threads):
        prepare(l, pattern, &own[k], start + k * size)
    start = start + threads * size
    if lists > 0:
        listed = <Drives*> (start + lists * each)
        for k in range(lists):
            lay_out_drives(l, &listed[k], start + k * each)
    first = 0
    while first < panels:
        now = min(chunk, panels - first)
        with parallel(num_threads=threads):
            if lists > 0:
                for i in prange(sets * now * l.groups, schedule="static"):
                    list_drives(
                        l, i // l.groups // now * l.alike, i % l.groups, first + i // l.groups % now, &listed[i]
                    )
            for i in prange(l.grid_columns * now, schedule="dynamic"):
                read_column(l, i // now, first + i % now, listed, now, i % now, &own[threadid()])
        first += now
    free(own)
    free(memory)
    return 0


def read_stack(
    const uint16_t[:, :, ::1] codes, const int32_t[:, ::1] places, Py_ssize_t alike, bint share_lists,
    conductance, const double[:, ::1] sense, matrix, admittance, table, const double[:, ::1] factor,
    const double[:, ::1] offset, const double[:, ::1] highest, double minimum, double lsb, double sigma, double top,
    const double[:, :, ::1] thresholds, const double[:, ::1] normal, const uint64_t[:, ::1] keys,
    const uint64_t[::1] operations, Py_ssize_t first, Py_ssize_t groups, Py_ssize_t planes, grid,
    const double[:, :, ::1] slope, const double[:, ::1] constant, const double[::1] weights,
    const int32_t[:, ::1] outputs, Py_ssize_t output_count, bint keep, int threads,
):
    """Return the ADC codes or None, the sums or None, the power, and how many codes are the highest."""
    cdef Layer l
    cdef Read pattern
    cdef Py_ssize_t w = VECTOR_BYTES // 8
    cdef uintptr_t[:, ::1] addresses = np.zeros((3, factor.shape[0]), dtype=np.uintp)
    memset(&l, 0, sizeof(Layer))
    memset(&pattern, 0, sizeof(Read))
    l.tiles, l.columns, l.rows, l.batch = factor.shape[0], factor.shape[1], places.shape[1], codes.shape[1]
    l.groups, l.planes, l.reads = groups, planes, groups * codes.shape[1] * planes
    l.together = max(1, PANEL // planes)
    l.grid_rows, l.grid_columns = grid
    l.codes, l.vector_step = &codes[0, 0, 0], codes.shape[2]
    l.tile_step = codes.shape[1] * codes.shape[2] if codes.shape[0] > 1 else 0
    l.places, l.alike = &places[0, 0], alike
    l.table = <const double**> &addresses[0, 0]
    kept = [keep_addresses(table, l.tiles, &addresses[0, 0])]
    l.factor, l.offset, l.highest, l.top = &factor[0, 0], &offset[0, 0], &highest[0, 0], top
    l.keys, l.operations, l.first = &keys[0, 0], &operations[0], first
    pattern.rows, pattern.columns, pattern.strips = l.rows, l.columns, (l.columns + w - 1) // w
    pattern.converters.levels = table[0].shape[1]
    pattern.converters.minimum, pattern.converters.lsb, pattern.converters.sigma = minimum, lsb, sigma
    pattern.converters.normal = &normal[0, 0] if sigma > 0.0 else NULL
    if thresholds is not None:
        l.thresholds, pattern.converters.steps = &thresholds[0, 0, 0], thresholds.shape[2]
    if conductance is not None:
        l.conductance, l.sense = <const double**> &addresses[1, 0], &sense[0, 0]
        kept.append(keep_addresses(conductance, l.tiles, &addresses[1, 0]))
        l.sense_step = l.columns if sense.shape[0] > 1 else 0
    else:
        l.single = matrix[0].dtype == np.float32
        if admittance is not None:
            l.admittance, pattern.row_strips = <const void**> &addresses[2, 0], (l.rows + w - 1) // w
        l.matrix = <const void**> &addresses[1, 0]
        for k, each in enumerate((matrix,) if admittance is None else (matrix, admittance)):
            kept.append(
                keep_numbers(<float*> NULL, each, l.tiles, &addresses[1 + k, 0]) if l.single
                else keep_numbers(<double*> NULL, each, l.tiles, &addresses[1 + k, 0])
            )
    power = np.zeros((l.tiles, l.reads))
    cdef double[:, ::1] watts = power
    l.power = &watts[0, 0]
    saturated = np.zeros(((l.batch + l.together - 1) // l.together, l.tiles), dtype=np.int64)
    cdef int64_t[:, ::1] counts = saturated
    l.saturated = &counts[0, 0]
    answer, sums = None, None
    cdef uint16_t[:, :, ::1] to_answer
    cdef double[:, ::1] to_sums
    if keep:
        answer = np.empty((l.tiles, l.reads, l.columns), dtype=np.uint16)
        to_answer = answer
        l.answer = &to_answer[0, 0, 0]
    if slope is not None:
        sums = np.zeros((l.batch, output_count))
        to_sums = sums
        l.sums, l.sums_step = &to_sums[0, 0], output_count
        l.slope, l.constant, l.weights = &slope[0, 0, 0], &constant[0, 0], &weights[0]
        l.outputs = &outputs[0, 0]
    if l.reads * l.tiles * l.rows * l.columns < SMALL:
        threads = 1
    with nogil:
        run(&l, &pattern, share_lists, threads)
    return answer, sums, power, saturated.sum(axis=0)
