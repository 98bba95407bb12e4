"""Tiles whose lines hang together weakly: word lines and bit lines solved in turns, alone or by a team of threads.

One turn solves every word line for the bit-line voltages x given, and then every bit line for the word lines so found:
``x -> N x + c``. All numbers in it are positive, and none is subtracted, so x differs from the solution by at most
``max|N x + c - x| / tied``, where ``tied`` (1 - the largest a turn can leave of an error) says how well wires tie the
nodes to their terminals. Conjugate gradients find the x of which a turn makes the same again,

    z = N x + c - x        p = z + beta p        x += alpha p        z -= alpha (p - N p)

and a last turn from x gives the answer and the bound. In the inner product of the bit lines' matrix A,
``(p, p) = (z, z) + beta^2 (p', p')`` and ``(p, N p) = sum p g w``, where w is the answer of the word lines to p, so that A
is never needed, and an iteration reads or writes 13 numbers a cell.

Word lines are taken block by block and bit lines strip by strip, each by one thread, and what they add up is kept apart
for each: so the bits do not depend on how many threads there are. Layouts are those of ``ladder.pxd``; padding consists
of open cells on ideal wires.
"""

from libc.math cimport INFINITY, isfinite

from mesh.ladder cimport take_square, tied, turns_are_bounded
from simd.vectors cimport LANES, larger, largest, magnitude, reciprocal, smaller, smallest, splat, total, transpose, vec
from simd.threads cimport Barrier, meet

cdef extern from *:
    """
    #define PROVED 0.25  /* Conjugate gradients go on until z is so much smaller than what a last turn has to prove. */
    """
    double PROVED

cdef enum:
    STRIP_GROUPS = 4  # groups of columns whose bit lines are taken together: independent recursions, nearest cache
    TIED = 64  # amplification (1 / tied) up to which rounding errors let a turn prove 1e-13
    LAST = 8  # turns after conjugate gradients, each of which makes an error smaller, before other means are tried


cdef struct Weak:
    Py_ssize_t rows, columns, blocks, groups, strips, width, size
    vec* g  # conductance of the cells, word layout
    vec* word_t  # how the voltage of the node before divides, word layout
    vec* bit_t  # bit layout
    vec* word_ohms  # resistance of the segment before a node: of each block, or (step 0) the same for all
    Py_ssize_t word_step
    vec* bit_ohms  # resistance of the segment after a node, steps from row to row and from group to group
    Py_ssize_t bit_row, bit_group
    vec* admittance  # of a line seen from its driver, one vector a block
    double tied
    double column_sight  # largest conductance of a bit line seen from its sense amplifier
    double driver_sight  # of a word line, from its driver


cdef struct State:
    vec* source  # voltage of the drivers, one vector a block
    vec* x  # word layout, as all that follow
    vec* p
    vec* z
    vec* flow  # current of each cell into its bit line, bit lines at 0 V
    double* along  # of each block: sum of p times flow
    double* across  # of each strip: sum of flow times the bit lines' answer to it
    double* high  # of each strip: largest z
    double* drivers  # current out of each driver, bit lines at x
    double* columns  # current into each sense amplifier
    int iterations
    double error


cdef inline Py_ssize_t weak_size(Py_ssize_t blocks, Py_ssize_t groups, bint same_words, bint same_bits) noexcept nogil:
    """How many vectors :func:`take_weak` takes."""
    cdef Py_ssize_t size = blocks * groups * LANES
    return 3 * size + (groups * LANES if same_words else size) + (blocks * LANES if same_bits else size) + blocks


cdef inline void take_weak(vec* memory, Weak* t, bint same_words, bint same_bits) noexcept nogil:
    t.g, t.word_t, t.bit_t = memory, memory + t.size, memory + 2 * t.size
    t.word_ohms = memory + 3 * t.size
    t.word_step = 0 if same_words else t.width
    t.bit_ohms = t.word_ohms + (t.width if same_words else t.size)
    t.bit_row, t.bit_group = 1 if same_bits else t.groups, 0 if same_bits else 1
    t.admittance = t.bit_ohms + (t.blocks * LANES if same_bits else t.size)


cdef inline Py_ssize_t state_size(Weak* t) noexcept nogil:
    """How many vectors :func:`take_state` takes."""
    return 4 * t.size + 2 * t.blocks + t.groups + (t.blocks + 2 * t.strips) // LANES + 1


cdef inline void take_state(vec* memory, Weak* t, State* k) noexcept nogil:
    k.x, k.p, k.z, k.flow = memory, memory + t.size, memory + 2 * t.size, memory + 3 * t.size
    k.source = memory + 4 * t.size
    k.drivers = <double*> (k.source + t.blocks)
    k.columns = <double*> (k.source + 2 * t.blocks)
    k.along = <double*> (k.source + 2 * t.blocks + t.groups)
    k.across = k.along + t.blocks
    k.high = k.across + t.strips


cdef inline void load_weak(Weak* t, const double* conductance, const double* word, const double* bit) noexcept nogil:
    """Prepare a tile; segments as in ``circuitmem.tile.Mesh``, driven on the left, sensed at the bottom, none of them cut.

    The first step of a ladder (see ``ladder.pxd``): what a node shares with the one before it.
    """
    cdef Py_ssize_t block, group, strip, i, j, l, e, o, first, words = t.blocks if t.word_step else 1
    cdef Py_ssize_t bits = t.groups if t.bit_group else 1
    cdef vec tile[LANES]
    cdef vec arriving[STRIP_GROUPS]
    cdef vec left[STRIP_GROUPS]
    cdef vec y, part, low_word = splat(1.0), low_bit = splat(1.0), one = splat(1.0), seen = splat(0.0)
    cdef double* numbers
    for block in range(words):
        for j in range(t.width):
            for l in range(LANES):
                i = block * LANES + l
                if t.word_step == 0:
                    i = 0
                numbers = <double*> (t.word_ohms + block * t.word_step + j)
                numbers[l] = word[i * (t.columns + 1) + j] if i < t.rows and j < t.columns else 0.0
    for i in range(t.blocks * LANES):
        for group in range(bits):
            numbers = <double*> (t.bit_ohms + i * t.bit_row + group * t.bit_group)
            for l in range(LANES):
                j = group * LANES + l if t.bit_group else 0
                numbers[l] = bit[(i + 1) * t.columns + j] if i < t.rows and j < t.columns else 0.0
    # Bit lines from the top; each row of the conductances is loaded once, and turned into word layout on the way.
    for strip in range(t.strips):
        first = strip * STRIP_GROUPS
        for group in range(min(<Py_ssize_t> STRIP_GROUPS, t.groups - first)):
            arriving[group], left[group] = splat(0.0), one
        for block in range(t.blocks):
            for group in range(min(<Py_ssize_t> STRIP_GROUPS, t.groups - first)):
                load_tile(t, conductance, block, first + group, tile)
                y, part = arriving[group], left[group]
                for l in range(LANES):
                    i = block * LANES + l
                    e = i * t.bit_row + (first + group) * t.bit_group
                    o = i * t.groups + first + group
                    y = tile[l] + y
                    t.bit_t[o] = one / (one + t.bit_ohms[e] * y)
                    y = y * t.bit_t[o]
                    part = part * t.bit_t[o]
                arriving[group], left[group] = y, part
                transpose(tile)
                for l in range(LANES):
                    t.g[block * t.width + (first + group) * LANES + l] = tile[l]
        for group in range(min(<Py_ssize_t> STRIP_GROUPS, t.groups - first)):
            low_bit = smaller(low_bit, left[group])
            seen = larger(seen, arriving[group])
    for strip in range((t.blocks + STRIP_GROUPS - 1) // STRIP_GROUPS):
        first = strip * STRIP_GROUPS
        for block in range(min(<Py_ssize_t> STRIP_GROUPS, t.blocks - first)):
            arriving[block], left[block] = splat(0.0), one
        for j in range(t.width - 1, -1, -1):
            for block in range(min(<Py_ssize_t> STRIP_GROUPS, t.blocks - first)):
                o = (first + block) * t.width + j
                y = t.g[o] + arriving[block]
                t.word_t[o] = one / (one + t.word_ohms[(first + block) * t.word_step + j] * y)
                arriving[block] = y * t.word_t[o]
                left[block] = left[block] * t.word_t[o]
        for block in range(min(<Py_ssize_t> STRIP_GROUPS, t.blocks - first)):
            t.admittance[first + block] = arriving[block]
            low_word = smaller(low_word, left[block])
    t.column_sight, seen = largest(seen), splat(0.0)
    for block in range(t.blocks):
        seen = larger(seen, t.admittance[block])
    t.driver_sight = largest(seen)
    # A line whose cells see 1 V keeps at least ``left`` of the 0 V of its terminal everywhere.
    t.tied = tied(smallest(low_word), smallest(low_bit))


cdef inline void load_tile(Weak* t, const double* rows, Py_ssize_t block, Py_ssize_t group, vec* tile) noexcept nogil:
    """Load LANES times LANES cells; what is beyond the edge is open."""
    cdef Py_ssize_t l, i, j
    for l in range(LANES):
        i = block * LANES + l
        for j in range(LANES):
            (<double*> tile)[l * LANES + j] = (
                rows[i * t.columns + group * LANES + j] if i < t.rows and group * LANES + j < t.columns else 0.0
            )


cdef inline void words_answer(Weak* t, State* k, Py_ssize_t block, double alpha, double beta) noexcept nogil:
    """Make the last step ``alpha p`` and the next direction p, and find the current of the cells for p."""
    cdef vec* g = t.g + block * t.width
    cdef vec* tt = t.word_t + block * t.width
    cdef vec* ohms = t.word_ohms + block * t.word_step
    cdef vec* x = k.x + block * t.width
    cdef vec* p = k.p + block * t.width
    cdef vec* z = k.z + block * t.width
    cdef vec* flow = k.flow + block * t.width
    cdef vec p_, sum_ = splat(0.0), carry = splat(0.0), step = splat(alpha), turn = splat(beta)
    cdef Py_ssize_t j
    for j in range(t.width - 1, -1, -1):
        p_ = p[j]
        x[j] = x[j] + step * p_
        p_ = z[j] + turn * p_
        p[j] = p_
        carry = tt[j] * carry + tt[j] * (g[j] * p_)
        flow[j] = carry
    carry = splat(0.0)
    for j in range(t.width):
        carry = tt[j] * carry + ohms[j] * flow[j]
        p_ = g[j] * carry
        flow[j] = p_
        sum_ = sum_ + p[j] * p_
    k.along[block] = total(sum_)


cdef inline void words_now(Weak* t, State* k, Py_ssize_t block, double alpha) noexcept nogil:
    """Make the last step ``alpha p``, and find the current of the cells for x and the drivers' voltages."""
    cdef vec* g = t.g + block * t.width
    cdef vec* tt = t.word_t + block * t.width
    cdef vec* ohms = t.word_ohms + block * t.word_step
    cdef vec* x = k.x + block * t.width
    cdef vec* p = k.p + block * t.width
    cdef vec* flow = k.flow + block * t.width
    cdef vec value, carry = splat(0.0), step = splat(alpha)
    cdef Py_ssize_t j
    for j in range(t.width - 1, -1, -1):
        value = x[j] + step * p[j]
        x[j] = value
        carry = tt[j] * carry + tt[j] * (g[j] * value)
        flow[j] = carry
    (<vec*> k.drivers)[block] = t.admittance[block] * k.source[block] - carry
    carry = k.source[block]
    for j in range(t.width):
        carry = tt[j] * carry + ohms[j] * flow[j]
        flow[j] = g[j] * carry


cdef inline void bits_answer(Weak* t, State* k, Py_ssize_t strip, vec* y, bint fresh, double alpha) noexcept nogil:
    """Solve the bit lines of a strip for the current of the cells; z becomes ``answer - x``, or falls by ``p - answer``.

    ``fresh`` says which: the answer to x, or to p. ``y`` has room for the strip.
    """
    cdef Py_ssize_t first = strip * STRIP_GROUPS, count = min(<Py_ssize_t> STRIP_GROUPS, t.groups - strip * STRIP_GROUPS)
    cdef Py_ssize_t block, group, l, o, e, i
    cdef vec tile[LANES]
    cdef vec carry[STRIP_GROUPS]
    cdef vec down, part, across = splat(0.0), high = splat(0.0), step = splat(alpha)
    for group in range(count):
        carry[group] = splat(0.0)
    for block in range(t.blocks):
        for group in range(count):
            take_square(k.flow + block * t.width + (first + group) * LANES, tile)
            down = carry[group]
            for l in range(LANES):
                i = block * LANES + l
                o = i * t.groups + first + group
                e = i * t.bit_row + (first + group) * t.bit_group
                part = tile[l] + down
                down = t.bit_t[o] * down + t.bit_t[o] * tile[l]
                y[i * STRIP_GROUPS + group] = t.bit_ohms[e] * down
                across = across + y[i * STRIP_GROUPS + group] * part
            carry[group] = down
    for group in range(count):
        (<vec*> k.columns)[first + group] = carry[group]
        carry[group] = splat(0.0)
    for block in range(t.blocks - 1, -1, -1):
        for group in range(count):
            down = carry[group]
            for l in range(LANES - 1, -1, -1):
                i = block * LANES + l
                down = t.bit_t[i * t.groups + first + group] * down + y[i * STRIP_GROUPS + group]
                tile[l] = down
            carry[group] = down
            transpose(tile)
            o = block * t.width + (first + group) * LANES
            for l in range(LANES):
                if fresh:
                    down = tile[l] - k.x[o + l]
                else:
                    down = k.z[o + l] - step * (k.p[o + l] - tile[l])
                k.z[o + l] = down
                high = larger(high, magnitude(down))
    k.across[strip] = total(across)
    k.high[strip] = largest(high)


cdef inline void sharpen_weak(Weak* t, State* k, vec* y) noexcept nogil:
    """Find a better bound than that of the weakest ties, if there is one that is good enough."""
    cdef double sum_ = 1.0, now
    cdef Py_ssize_t o, i
    for o in range(t.size):
        k.x[o] = k.p[o] = splat(0.0)
        k.z[o] = splat(1.0)
    while sum_ < TIED:
        for i in range(t.blocks):
            words_answer(t, k, i, 0.0, 0.0)
        now = 0.0
        for i in range(t.strips):
            bits_answer(t, k, i, y, True, 0.0)
            now = max(now, k.high[i])
        if turns_are_bounded(sum_, now, TIED):
            t.tied = (1.0 - now) / sum_
            return
        sum_ += now


cdef inline void energy(Weak* t, State* k, Py_ssize_t strip) noexcept nogil:
    """Work out (z, z) from the law of every wire and cell: what is dissipated if the bit lines have the voltages z."""
    cdef Py_ssize_t first = strip * STRIP_GROUPS, block, group, l, o, i
    cdef vec tile[LANES]
    cdef vec below[STRIP_GROUPS]
    cdef vec step, sum_ = splat(0.0)
    for group in range(STRIP_GROUPS):
        below[group] = splat(0.0)
    for block in range(t.blocks - 1, -1, -1):
        for group in range(min(<Py_ssize_t> STRIP_GROUPS, t.groups - first)):
            o = block * t.width + (first + group) * LANES
            for l in range(LANES):
                tile[l] = k.z[o + l]
                sum_ = sum_ + t.g[o + l] * tile[l] * tile[l]
            transpose(tile)
            for l in range(LANES - 1, -1, -1):
                i = block * LANES + l
                step = tile[l] - below[group]
                below[group] = tile[l]
                sum_ = sum_ + step * step * reciprocal(t.bit_ohms[i * t.bit_row + (first + group) * t.bit_group])
    k.across[strip] = total(sum_)


cdef inline void solve_weak(
    Weak* t, State* k, vec* y, double scale, bint warm, double tolerance, int max_iterations, int member, int members,
    Barrier* barrier
) noexcept nogil:
    """Solve one vector; each member of a team of threads makes this call, with its own ``y``.

    At first p = 0, and so is x unless the start is ``warm``; ``scale`` is the largest voltage of a driver. ``k.error``
    becomes a bound on the largest error relative to the largest voltage, more than the tolerance if there is no success.
    The bit lines are then x + z.
    """
    cdef Py_ssize_t i
    cdef double goal = tolerance * scale * t.tied, alpha = 0.0, beta = 0.0, rho, before, norm, along, across, high
    cdef int iterations = 0, turns = 0
    while True:
        for i in range(member * t.blocks // members, (member + 1) * t.blocks // members):
            words_now(t, k, i, alpha)
        meet(barrier, members)
        for i in range(member * t.strips // members, (member + 1) * t.strips // members):
            bits_answer(t, k, i, y, True, 0.0)
        meet(barrier, members)
        high = across = 0.0
        for i in range(t.strips):
            high = max(high, k.high[i])
            across += k.across[i]
        if ((turns > 0 or warm) and high <= goal) or turns > LAST or iterations >= max_iterations or not isfinite(high):
            break
        alpha = 1.0  # from now on x becomes x + z, unless something better is known
        if warm and turns == 0:
            for i in range(member * t.strips // members, (member + 1) * t.strips // members):
                energy(t, k, i)
            meet(barrier, members)
            across = 0.0
            for i in range(t.strips):
                across += k.across[i]
            meet(barrier, members)
        norm, rho, beta = across, across, 0.0  # from x = 0 this is what the bit lines took up
        while turns == 0 and high > PROVED * goal and iterations < max_iterations and rho > 0.0:
            for i in range(member * t.blocks // members, (member + 1) * t.blocks // members):
                words_answer(t, k, i, alpha if iterations > 0 else 0.0, beta)
            meet(barrier, members)
            along = 0.0
            for i in range(t.blocks):
                along += k.along[i]
            alpha = rho / (norm - along)
            for i in range(member * t.strips // members, (member + 1) * t.strips // members):
                bits_answer(t, k, i, y, False, alpha)
            meet(barrier, members)
            high = across = 0.0
            for i in range(t.strips):
                high = max(high, k.high[i])
                across += k.across[i]
            iterations += 1
            before = rho
            rho = alpha * alpha * (norm - 2.0 * along + across) - rho
            beta = rho / before
            norm = rho + beta * beta * norm
        if turns > 0:
            for i in range(member * t.blocks // members, (member + 1) * t.blocks // members):
                take_answer(t, k, i)
            iterations += 1
        turns += 1
    if member == 0:
        k.iterations = iterations
        k.error = 0.0
        if scale > 0.0:
            k.error = high / (t.tied * scale) if isfinite(high) else INFINITY


cdef inline void take_answer(Weak* t, State* k, Py_ssize_t block) noexcept nogil:
    """Let the next step be one to x + z."""
    cdef Py_ssize_t o
    for o in range(block * t.width, (block + 1) * t.width):
        k.p[o] = k.z[o]
