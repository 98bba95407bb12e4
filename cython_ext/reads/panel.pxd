"""Panels of vectors read through a packed matrix, from DAC codes to ADC codes: what ``reads`` and ``layers`` share.

Within a panel ROWS vectors at a time, a block, are multiplied by a strip of columns, in registers. Most word lines of
most reads are at rest, at the voltage of code 0: those of other groups, or of dark pixels. What all lines at rest give
is worked out once; each vector adds only what the lines do that it moves. Leaving out a line that no vector of a block
moves changes no bit: it would add 0. Nor does it matter with which others a vector forms a block or a panel.
"""

from cython cimport floating
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from simd.philox cimport normals
from reads.quantise cimport Converters, quantise_by_table, quantise_lanes, quantise_vector
from tree.dense_elimination cimport one, three, two, width
from simd.vectors cimport (
    ROWS, STRIP, VECTOR_BYTES, double_number, double_store, double_transpose, get, lanes, load_numbers, put, spread, wide_d,
    zero,
)

cdef enum:
    AHEAD = 12  # drives whose voltages are fetched ahead: a tile's table is larger than the nearest cache
    PANEL = 64  # vectors that a thread takes at a time: a multiple of ROWS


cdef extern from *:
    """
    #if defined(__GNUC__)
    #define fetch(address) __builtin_prefetch(address)
    #else
    #define fetch(address) ((void)(address))
    #endif
    """
    void fetch(const double*) noexcept nogil


cdef struct Drive:
    int place   # line times lanes of a vector, plus which vector of a block
    int code    # what it is driven with, not 0


cdef struct Drives:
    # Which lines the vectors of some blocks move: the same for all tiles that share their inputs.
    Drive* each       # line by line, ``capacity`` a block
    int* lines        # the lines, rising, ``rows`` a block
    int* drives       # how many drives each block has,
    int* moves        # and how many lines
    Py_ssize_t capacity


cdef struct Read:
    Py_ssize_t batch, rows, columns, strips, row_strips
    const double* voltages
    const int64_t* codes
    const Drives* listed      # instead of codes, or NULL
    const wide_d* matrix       # packed
    const wide_d* admittance   # packed, or NULL
    wide_d* rest               # the voltages of code 0, as many vectors as rows, all lanes the same
    wide_d* rest_currents      # what they give in each column, a vector a strip,
    wide_d* rest_drivers       # and at each driver, a vector a strip
    const double* own         # with ideal wires, instead of the admittance: conductance of each row, or NULL,
    const double* losses      # and what the square of each column's current takes off the power,
    wide_d* lost               # a vector a strip
    int* rest_moved           # the lines whose code 0 is not 0 V, and how many
    int rest_moves
    double* currents
    int64_t* answer
    double* power
    Converters converters


cdef inline void turn_in(const floating* rows, Py_ssize_t count, Py_ssize_t depth, wide_d* out) noexcept nogil:
    """Turn up to as many rows as a vector has lanes: lane i of vector k becomes element k of row i, 0 beyond the last."""
    cdef wide_d tile[ROWS]  # as many as there are lanes
    cdef Py_ssize_t w = lanes(out), i, k = 0
    if count == w:
        while k + w <= depth:
            for i in range(ROWS):
                tile[i] = load_numbers(rows + i * depth + k)
            double_transpose(tile)
            for i in range(ROWS):
                out[k + i] = tile[i]
            k += w
    while k < depth:
        for i in range(w):
            put(out + k, i, rows[i * depth + k] if i < count else 0.0)
        k += 1


cdef inline void pack(const double[:, ::1] matrix, wide_d* packed, Py_ssize_t strip) noexcept nogil:
    """Bring as many rows of the matrix as a vector has lanes into an order in which one vector follows the other."""
    cdef Py_ssize_t w = lanes(packed), first = strip * w, depth = matrix.shape[1]
    turn_in(&matrix[first, 0], min(w, matrix.shape[0] - first), depth, packed + strip * depth)


cdef inline bint take_voltages(Read* r, Py_ssize_t vector, Py_ssize_t count, wide_d* block) noexcept nogil:
    """Fill a block with how far up to ROWS vectors move each line; returns whether a code was out of range."""
    cdef Py_ssize_t i, k
    cdef int64_t code
    cdef const int64_t* codes
    cdef const double* volts
    cdef bint wrong = False
    if r.converters.table == NULL:
        turn_in(r.voltages + vector * r.rows, count, r.rows, block)
        return False
    memset(block, 0, r.rows * VECTOR_BYTES)
    for i in range(count):
        codes = r.codes + (vector + i) * r.rows
        for k in range(r.rows):
            code = codes[k]
            if code != 0:
                if <uint64_t> code >= <uint64_t> r.converters.levels:
                    wrong = True
                    continue
                volts = r.converters.table + k * r.converters.levels
                put(block + k, i, volts[code] - volts[0])
    return wrong


cdef inline void place_voltages(Read* r, const Drive* drive, int drives, wide_d* block) noexcept nogil:
    """As :c:func:`take_voltages`, of codes that are listed."""
    cdef Py_ssize_t w = lanes(block)
    cdef const double* volts
    cdef int k
    memset(block, 0, r.rows * VECTOR_BYTES)
    for k in range(drives):
        if k + AHEAD < drives:
            fetch(r.converters.table + drive[k + AHEAD].place // w * r.converters.levels + drive[k + AHEAD].code)
        volts = r.converters.table + drive[k].place // w * r.converters.levels
        put(block, drive[k].place, volts[drive[k].code] - get(r.rest + drive[k].place // w, 0))


cdef inline int find_moved(const wide_d* block, Py_ssize_t rows, int* moved) noexcept nogil:
    """List the lines that any vector of a block moves; returns how many there are."""
    cdef Py_ssize_t k, i
    cdef int count = 0, any_moves
    for k in range(rows):
        any_moves = 0
        for i in range(lanes(block)):
            any_moves |= get(block + k, i) != 0.0
        moved[count] = <int> k
        count += any_moves
    return count


cdef inline void quantise(
    Read* r, const wide_d* sums, Py_ssize_t row, Py_ssize_t vector, Py_ssize_t column, Py_ssize_t columns,
    const double* noise,
) noexcept nogil:
    """Turn the sums of one vector and strip into codes."""
    cdef Py_ssize_t s, w = lanes(sums)
    cdef int64_t* out = r.answer + vector * r.columns
    cdef const Converters* c = &r.converters
    for s in range((columns + w - 1) // w):
        if r.converters.thresholds != NULL:
            quantise_by_table(
                &r.converters, <const double*> (sums + s * ROWS + row), column + s * w, min(w, columns - s * w),
                noise, out,
            )
            continue
        if columns - s * w >= w:
            quantise_vector(
                <const double*> (sums + s * ROWS + row), c.factor + column + s * w, c.offset + column + s * w,
                c.highest + column + s * w, c.minimum, c.lsb, c.sigma,
                NULL if noise == NULL else noise + column + s * w, out + column + s * w,
            )
        else:
            quantise_lanes(
                &r.converters, <const double*> (sums + s * ROWS + row), column + s * w, columns - s * w, noise, out
            )


cdef inline void keep(
    Read* r, const wide_d* sums, Py_ssize_t row, Py_ssize_t vector, Py_ssize_t column, Py_ssize_t columns
) noexcept nogil:
    """Copy the sums of one vector and strip: they are the currents."""
    cdef Py_ssize_t j, w = lanes(sums), full = columns // w
    cdef double* out = r.currents + vector * r.columns + column
    for j in range(full):
        double_store(out + j * w, sums[j * ROWS + row])
    for j in range(full * w, columns):
        r.currents[vector * r.columns + column + j] = get(sums + (j // w) * ROWS + row, j % w)


cdef inline void add_rows(
    width unused, wide_d** start, const wide_d* block, wide_d** b, const int* moved, int count, wide_d* sums
) noexcept nogil:
    """Set row i of strip k, ``sums[k * ROWS + i]``, to ``start[k]`` plus what the lines do that vector i moves."""
    cdef wide_d c[3 * ROWS]
    cdef wide_d x, y0, y1, y2
    cdef Py_ssize_t i, k
    cdef int t
    for i in range(ROWS):
        c[3 * i] = start[0][0]
        if width is not one:
            c[3 * i + 1] = start[1][0]
        if width is three:
            c[3 * i + 2] = start[2][0]
    for t in range(count):
        k = moved[t]
        y0 = b[0][k]
        if width is not one:
            y1 = b[1][k]
        if width is three:
            y2 = b[2][k]
        for i in range(ROWS):
            x = spread(block + k, i)
            c[3 * i] = c[3 * i] + x * y0
            if width is not one:
                c[3 * i + 1] = c[3 * i + 1] + x * y1
            if width is three:
                c[3 * i + 2] = c[3 * i + 2] + x * y2
    for i in range(ROWS):
        sums[i] = c[3 * i]
        if width is not one:
            sums[ROWS + i] = c[3 * i + 1]
        if width is three:
            sums[2 * ROWS + i] = c[3 * i + 2]


cdef inline void multiply(
    Py_ssize_t strips, wide_d** start, const wide_d* block, wide_d** b, const int* moved, int count, wide_d* sums
) noexcept nogil:
    """Multiply ROWS vectors by up to three strips."""
    if strips == 3:
        add_rows(<three> 0, start, block, b, moved, count, sums)
    elif strips == 2:
        add_rows(<two> 0, start, block, b, moved, count, sums)
    else:
        add_rows(<one> 0, start, block, b, moved, count, sums)


cdef inline void add_power(
    Read* r, const wide_d* block, const int* moved, int moves, Py_ssize_t first, Py_ssize_t count
) noexcept nogil:
    """Work out the power of ROWS vectors that move lines by d: ``(rest + d) @ admittance @ (rest + d)``.

    The admittance is symmetric. Only strips with a line that moves can add anything.
    """
    cdef wide_d sums[3 * ROWS]
    cdef wide_d total[ROWS]
    cdef wide_d* start[3]
    cdef wide_d* b[3]
    cdef Py_ssize_t strips[3]
    cdef wide_d volts
    cdef Py_ssize_t w = lanes(sums), found, s, i, l
    cdef int t
    cdef double power, at_rest = 0.0
    for t in range(r.rest_moves):
        at_rest = at_rest + get(r.rest + r.rest_moved[t], 0) * get(r.rest_drivers, r.rest_moved[t])
    t = 0
    for i in range(ROWS):
        total[i] = zero(sums)
    while t < moves:
        found = 0
        while t < moves and found < STRIP:
            strips[found] = moved[t] // w
            b[found] = <wide_d*> r.admittance + strips[found] * r.rows
            start[found] = r.rest_drivers + strips[found]
            while t < moves and moved[t] // w == strips[found]:
                t += 1
            found += 1
        multiply(found, start, block, b, moved, moves, sums)
        for s in range(found):
            for i in range(ROWS):
                for l in range(w):
                    put(&volts, l, get(block + strips[s] * w + l, i) if strips[s] * w + l < r.rows else 0.0)
                # start counts twice: (rest + d) Y (rest + d) = rest Y rest + (2 Y rest + Y d) d
                total[i] = total[i] + (sums[s * ROWS + i] + start[s][0]) * volts
    for i in range(count):
        power = 0.0
        for l in range(w):
            power = power + get(total + i, l)
        r.power[first + i] = at_rest + power


cdef inline void add_own_power(Read* r, const wide_d* block, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Work out what ROWS vectors would take if all bit lines were at 0 V; a lane is a vector."""
    cdef wide_d total = zero(block)
    cdef wide_d volts
    cdef Py_ssize_t k, i
    for k in range(r.rows):
        volts = r.rest[k] + block[k]
        total = total + double_number(r.own[k]) * volts * volts
    for i in range(count):
        r.power[first + i] = get(&total, i)


cdef inline void take_losses(
    Read* r, const wide_d* sums, Py_ssize_t strip, Py_ssize_t strips, Py_ssize_t count, wide_d* losses
) noexcept nogil:
    """Add up what the bit lines' own voltages take off the power of each of ROWS vectors."""
    cdef Py_ssize_t s, i
    for s in range(strips):
        for i in range(count):
            losses[i] = losses[i] + r.lost[strip + s] * sums[s * ROWS + i] * sums[s * ROWS + i]


cdef inline void set_rest(Read* r) noexcept nogil:
    """Say at what voltages the lines rest."""
    cdef Py_ssize_t k, i
    for k in range(r.rows):
        for i in range(lanes(r.rest)):
            put(r.rest + k, i, 0.0 if r.converters.table == NULL else r.converters.table[k * r.converters.levels])
    r.rest_moves = find_moved(r.rest, r.rows, r.rest_moved)


cdef inline void add_rest(Read* r, const wide_d* strip, wide_d* out) noexcept nogil:
    """Work out what the lines at rest give through a packed strip."""
    cdef wide_d sums[ROWS]
    cdef wide_d nothing = zero(sums)
    cdef wide_d* start[1]
    cdef wide_d* b[1]
    start[0], b[0] = &nothing, <wide_d*> strip
    multiply(1, start, r.rest, b, r.rest_moved, r.rest_moves, sums)
    out[0] = sums[0]


cdef inline bint read_panel(Read* r, Py_ssize_t first, char* memory) noexcept nogil:
    """Read up to PANEL vectors from ``first`` on; returns whether a code was out of range."""
    cdef wide_d* panel = <wide_d*> memory
    cdef double* noise = <double*> (panel + PANEL // ROWS * r.rows)
    cdef int* moved = <int*> (noise + PANEL * (r.columns + 8))
    cdef int moves[PANEL]  # of each block
    cdef wide_d losses[PANEL]
    cdef wide_d sums[3 * ROWS]
    cdef wide_d* start[3]
    cdef wide_d* b[3]
    cdef Py_ssize_t count = min(<Py_ssize_t> PANEL, r.batch - first), w = lanes(panel), strip = 0, strips, block, i
    cdef Py_ssize_t vector, columns, place, blocks = (count + ROWS - 1) // ROWS, l
    cdef double loss
    cdef Converters* c = &r.converters
    cdef bint wrong = False
    for block in range(blocks):
        if r.listed != NULL:
            place_voltages(
                r, r.listed.each + block * r.listed.capacity, r.listed.drives[block], panel + block * r.rows
            )
            moves[block] = r.listed.moves[block]
            continue
        wrong |= take_voltages(
            r, first + block * ROWS, min(<Py_ssize_t> ROWS, count - block * ROWS), panel + block * r.rows
        )
        moves[block] = find_moved(panel + block * r.rows, r.rows, moved + block * r.rows)
    if r.listed != NULL:
        moved = r.listed.lines
    for i in range(count):
        losses[i] = zero(panel)
    if c.normal != NULL:
        place = (c.skip + first) * r.columns
        normals(
            c.key0, c.key1, 1 + place // 8, c.operation, (place % 8 + count * r.columns + 7) // 8, c.normal, noise
        )
        noise = noise + place % 8
    while strip < r.strips:
        strips = min(<Py_ssize_t> STRIP, r.strips - strip)
        columns = min(strips * w, r.columns - strip * w)
        for i in range(strips):
            start[i], b[i] = r.rest_currents + strip + i, <wide_d*> r.matrix + (strip + i) * r.rows
        for block in range(blocks):
            multiply(strips, start, panel + block * r.rows, b, moved + block * r.rows, moves[block], sums)
            if r.own != NULL:
                take_losses(
                    r, sums, strip, strips, min(<Py_ssize_t> ROWS, count - block * ROWS), losses + block * ROWS
                )
            for i in range(min(<Py_ssize_t> ROWS, count - block * ROWS)):
                vector = block * ROWS + i
                if r.answer == NULL:
                    keep(r, sums, i, first + vector, strip * w, columns)
                else:
                    quantise(
                        r, sums, i, first + vector, strip * w, columns,
                        NULL if c.normal == NULL else noise + vector * r.columns,
                    )
        strip += strips
    if r.own != NULL:
        for block in range(blocks):
            add_own_power(
                r, panel + block * r.rows, first + block * ROWS, min(<Py_ssize_t> ROWS, count - block * ROWS)
            )
        for i in range(count):
            loss = 0.0
            for l in range(w):
                loss = loss + get(losses + i, l)
            r.power[first + i] = r.power[first + i] - loss
    elif r.admittance != NULL:
        for block in range(blocks):
            add_power(
                r, panel + block * r.rows, moved + block * r.rows, moves[block], first + block * ROWS,
                min(<Py_ssize_t> ROWS, count - block * ROWS),
            )
    return wrong


cdef inline Py_ssize_t panel_bytes(Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Memory that :c:func:`read_panel` takes."""
    cdef Py_ssize_t size = PANEL * (rows + columns + 8) * 8 + PANEL // ROWS * rows * <Py_ssize_t> sizeof(int)
    return size // 64 * 64 + 64
