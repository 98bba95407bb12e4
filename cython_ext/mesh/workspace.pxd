"""Where the arrays of the mesh kernel lie: one piece of memory for everything, in whole vectors."""

from libc.math cimport INFINITY

from mesh.residual cimport Solution
from mesh.ladder cimport Ladders, Wires, to_layouts
from simd.vectors cimport reciprocal, vec


cdef inline vec* take(vec** memory, Py_ssize_t count) noexcept nogil:
    memory[0] += count
    return memory[0] - count


cdef inline void take_ladders(vec** memory, Py_ssize_t size, Ladders* c) noexcept nogil:
    c.g = take(memory, size)
    c.word_t = take(memory, size)
    c.word_s = take(memory, size)
    c.word_h = take(memory, size)
    c.bit_t = take(memory, size)
    c.bit_s = take(memory, size)
    c.bit_h = take(memory, size)


cdef inline void take_work(vec** memory, Wires* t, Solution* k, bint own, bint linear) noexcept nogil:
    cdef Py_ssize_t trial = 0 if linear else t.size
    k.front.memory = NULL
    take_ladders(memory, t.size if own else 0, &k.own)
    k.source = take(memory, t.blocks)
    k.carry = take(memory, t.groups)
    k.line = take(memory, t.width)
    k.scratch = take(memory, 3 * max(t.blocks, t.groups))
    k.y = take(memory, t.size)
    k.word_in = take(memory, t.size)
    k.bit_in = take(memory, t.size)
    k.w = take(memory, t.size)
    k.b = take(memory, t.size)
    k.rw = take(memory, t.size)
    k.r = take(memory, t.size)
    k.dw = take(memory, t.size)
    k.db = take(memory, t.size)
    k.q = take(memory, t.size)
    k.p = take(memory, t.size)
    k.ph = take(memory, t.size)
    k.cell = take(memory, t.size)
    k.trial_w = take(memory, trial)
    k.trial_b = take(memory, trial)


cdef inline void take_wires(vec** memory, Wires* t, const double* word, const double* bit) noexcept nogil:
    cdef Py_ssize_t i, j, o
    t.word = take(memory, t.size)
    t.word_inverse = take(memory, t.size)
    t.bit = take(memory, t.size)
    t.bit_inverse = take(memory, t.size)
    t.word_far = take(memory, t.blocks)
    t.word_far_inverse = take(memory, t.blocks)
    t.bit_far = take(memory, t.groups)
    t.bit_far_inverse = take(memory, t.groups)
    # Padded lines are ideal and cut at the far end: their nodes are held by their source (h = 1), at 0 V.
    for i in range(t.lines):
        (<double*> t.word_far)[i] = word[i * (t.columns + 1) + t.columns] if i < t.rows else INFINITY
    for j in range(t.width):
        (<double*> t.bit_far)[j] = bit[j] if j < t.columns else INFINITY
    to_layouts(t, word, t.columns + 1, t.bit, t.word)
    to_layouts(t, bit + t.columns, t.columns, t.bit, t.bit_inverse)
    for o in range(t.blocks):
        t.word_far_inverse[o] = reciprocal(t.word_far[o])
    for o in range(t.groups):
        t.bit_far_inverse[o] = reciprocal(t.bit_far[o])
    for o in range(t.size):
        t.word_inverse[o] = reciprocal(t.word[o])
        t.bit_inverse[o] = reciprocal(t.bit[o])
