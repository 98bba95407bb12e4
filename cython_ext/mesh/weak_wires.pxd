"""Batches of vectors on tiles whose lines hang together weakly: what such a tile is, and which thread does what.

``line_relaxation.pxd`` solves one of them.
"""

from cython.parallel cimport parallel, prange, threadid
from libc.math cimport INFINITY, fabs
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from mesh.ladder cimport take_square
from simd.vectors cimport LANES, splat, transpose, vec
from simd.threads cimport Barrier, meet, team_size
from mesh.line_relaxation cimport (
    STRIP_GROUPS, TIED, State, Weak, load_tile, load_weak, sharpen_weak, solve_weak, state_size, take_state, take_weak,
    weak_size,
)


cdef inline void voltages_of(Weak* t, State* k, Py_ssize_t block, double* word, double* bit) noexcept nogil:
    """Work out the node voltages of a block of word lines, (rows, columns) V each: bit lines x + z."""
    cdef vec* g = t.g + block * t.width
    cdef vec* tt = t.word_t + block * t.width
    cdef vec* ohms = t.word_ohms + block * t.word_step
    cdef vec* x = k.x + block * t.width
    cdef vec* flow = k.flow + block * t.width
    cdef vec carry = splat(0.0)
    cdef Py_ssize_t j
    for j in range(t.width - 1, -1, -1):
        x[j] = x[j] + k.z[block * t.width + j]
        carry = tt[j] * carry + tt[j] * (g[j] * x[j])
        flow[j] = carry
    carry = k.source[block]
    for j in range(t.width):
        carry = tt[j] * carry + ohms[j] * flow[j]
        flow[j] = carry
    store_block(t, flow, block, word)
    store_block(t, x, block, bit)


cdef inline void store_block(Weak* t, vec* words, Py_ssize_t block, double* out) noexcept nogil:
    cdef Py_ssize_t group, l, j, i
    cdef vec tile[LANES]
    for group in range(t.groups):
        take_square(words + group * LANES, tile)
        for l in range(min(<Py_ssize_t> LANES, t.rows - block * LANES)):
            i = block * LANES + l
            for j in range(min(<Py_ssize_t> LANES, t.columns - group * LANES)):
                out[i * t.columns + group * LANES + j] = (<double*> tile)[l * LANES + j]


cdef struct Batch:
    Py_ssize_t batch
    const double* voltage  # (batch, rows)
    const double* estimate  # (batch, 2, rows, columns), or NULL
    double* word  # (batch, rows, columns), or NULL
    double* bit
    double* column
    double* driver
    int* count
    double* error
    double tolerance
    double settled  # largest error of a terminal's current, relative to the largest of its kind
    int max_iterations


cdef inline void weak_vector(
    Weak* t, State* k, vec* y, Batch* all_, Py_ssize_t b, int member, int members, Barrier* barrier
) noexcept nogil:
    """Solve vector ``b`` of a batch."""
    cdef Py_ssize_t i, group, l, cells = t.rows * t.columns
    cdef double scale = 0.0, largest_column, largest_driver
    cdef bint warm
    for i in range(t.rows):
        scale = max(scale, fabs(all_.voltage[b * t.rows + i]))
    warm = all_.estimate != NULL and scale > 0.0
    for i in range(member * t.blocks // members * t.width, (member + 1) * t.blocks // members * t.width):
        k.x[i] = splat(0.0)
        k.p[i] = splat(0.0)
    for i in range(member * t.blocks // members, (member + 1) * t.blocks // members if warm else 0):
        for group in range(t.groups):
            load_tile(t, all_.estimate + (2 * b + 1) * cells, i, group, k.x + i * t.width + group * LANES)
            transpose(k.x + i * t.width + group * LANES)
    if member == 0:
        for i in range(t.blocks * LANES):
            (<double*> k.source)[i] = all_.voltage[b * t.rows + i] if i < t.rows else 0.0
    meet(barrier, members)
    solve_weak(t, k, y, scale, warm, all_.tolerance, all_.max_iterations, member, members, barrier)
    if all_.word != NULL:
        for i in range(member * t.blocks // members, (member + 1) * t.blocks // members):
            voltages_of(t, k, i, all_.word + b * cells, all_.bit + b * cells)
    if member == 0:
        all_.count[b], all_.error[b] = k.iterations, k.error
        largest_column = largest_driver = 0.0
        for i in range(t.columns):
            all_.column[b * t.columns + i] = k.columns[i]
            largest_column = max(largest_column, fabs(k.columns[i]))
        for i in range(t.rows):
            all_.driver[b * t.rows + i] = k.drivers[i]
            largest_driver = max(largest_driver, fabs(k.drivers[i]))
        # What small currents need goes beyond this, and is left to other means.
        if (k.error * scale * t.column_sight > all_.settled * largest_column
                or k.error * scale * t.driver_sight > all_.settled * largest_driver):
            all_.error[b] = INFINITY
    meet(barrier, members)


cdef inline bint reaches(const double* numbers, Py_ssize_t count) noexcept nogil:
    """Say whether all numbers are finite."""
    cdef Py_ssize_t i
    cdef bint yes = True
    for i in range(count):
        yes = yes and numbers[i] < INFINITY
    return yes


cdef inline int weakly(
    const double* conductance, const double* word, const double* bit, Py_ssize_t rows, Py_ssize_t columns,
    Batch* all_, int workers, int team
) noexcept nogil:
    """Solve a batch on a tile of linear cells, whose arguments are those of ``_mesh.solve``, if this is the way for it.

    ``workers`` threads take a vector each; or, if ``team`` is more than 1, so many take one vector after the other.
    Returns 1 if all vectors are solved, 0 if the tile is not driven on the left only and sensed at the bottom only, has
    cuts, or hangs together too strongly, and -1 if there is no memory.
    """
    cdef Weak t
    cdef Barrier barrier
    cdef Py_ssize_t i, o, b, room, per
    cdef bint same_words = True, same_bits = True
    cdef State* states
    cdef void* memory
    cdef vec* place
    cdef State* k
    cdef int n = max(workers, team), member
    for i in range(rows):
        if word[i * (columns + 1) + columns] < INFINITY or not reaches(word + i * (columns + 1), columns):
            return 0
        same_words = same_words and memcmp(word, word + i * (columns + 1), columns * sizeof(double)) == 0
    for i in range(columns):
        if bit[i] < INFINITY:
            return 0
    for i in range(1, rows + 1):
        if not reaches(bit + i * columns, columns):
            return 0
        same_bits = same_bits and memcmp(bit + i * columns, bit + i * columns + 1, (columns - 1) * sizeof(double)) == 0
    t.rows, t.columns = rows, columns
    t.blocks, t.groups = (rows + LANES - 1) // LANES, (columns + LANES - 1) // LANES
    t.strips, t.width = (t.groups + STRIP_GROUPS - 1) // STRIP_GROUPS, t.groups * LANES
    t.size = t.blocks * t.width
    per = t.blocks * LANES * STRIP_GROUPS
    room = weak_size(t.blocks, t.groups, same_words, same_bits) + workers * state_size(&t) + n * per + 1
    memory = malloc(room * sizeof(vec))
    states = <State*> malloc(workers * sizeof(State))
    if memory == NULL or states == NULL:
        free(memory)
        free(states)
        return -1
    place = <vec*> ((<uintptr_t> memory + sizeof(vec) - 1) & ~(<uintptr_t> sizeof(vec) - 1))
    take_weak(place, &t, same_words, same_bits)
    place += weak_size(t.blocks, t.groups, same_words, same_bits)
    for i in range(workers):
        take_state(place, &t, &states[i])
        place += state_size(&t)
    load_weak(&t, conductance, word, bit)
    if t.tied * TIED < 1.0:
        sharpen_weak(&t, states, place)
    if not t.tied * TIED >= 1.0:
        free(memory)
        free(states)
        return 0
    if team > 1:
        barrier.arrived = barrier.turn = 0
        with parallel(num_threads=team):
            weak_team(&t, states, place + threadid() * per, all_, threadid(), team_size(), &barrier)
    else:
        for b in prange(all_.batch, num_threads=workers, schedule="dynamic", chunksize=1):
            weak_vector(&t, states + threadid(), place + threadid() * per, all_, b, 0, 1, NULL)
    free(memory)
    free(states)
    for b in range(all_.batch):
        if not all_.error[b] <= all_.tolerance:
            return 0
    return 1


cdef inline void weak_team(
    Weak* t, State* k, vec* y, Batch* all_, int member, int members, Barrier* barrier
) noexcept nogil:
    cdef Py_ssize_t b
    for b in range(all_.batch):
        weak_vector(t, k, y, all_, b, member, members, barrier)
