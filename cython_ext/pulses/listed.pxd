"""The chosen cells of a row: which they are, and their noise; most are not chosen."""

from libc.stdint cimport uint64_t

from simd.philox cimport eight_normals, normals, philox

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* List the chosen cells of a row, rising; returns how many there are. Most are not: eight are skipped at once. */
    static inline Py_ssize_t list_cells(const unsigned char *cells, Py_ssize_t columns, int *found) {
        Py_ssize_t count = 0, j = 0;
        for (; j + 8 <= columns; j += 8) {
            uint64_t eight;
            memcpy(&eight, cells + j, 8);
            if (eight == 0) continue;
            for (int k = 0; k < 8; k++) {
                found[count] = (int)(j + k);
                count += cells[j + k];
            }
        }
        for (; j < columns; j++) {
            found[count] = (int)j;
            count += cells[j];
        }
        return count;
    }
    """
    Py_ssize_t list_cells(const unsigned char*, Py_ssize_t, int*) noexcept nogil


cdef enum:
    FEW = 3  # blocks of noise of a row up to which each is drawn alone


cdef inline void draw_cells(
    const uint64_t* key, uint64_t operation, const double* normal, Py_ssize_t start, Py_ssize_t columns,
    const int* cells, Py_ssize_t count, double* noise
) noexcept nogil:
    """Draw the noise of the chosen cells of a row that begins at place ``start``; of the others any number, or none.

    That of the first cell of the row goes to place ``start % 8``.
    """
    cdef Py_ssize_t first = start // 8, last = (start + columns - 1) // 8
    cdef Py_ssize_t block, before = -1, needed = 0, i, k
    cdef uint64_t raw[4]
    cdef uint64_t words[8]
    for i in range(count):
        block = (start + cells[i]) // 8
        needed += block != before
        before = block
    if needed > FEW:
        normals(key[0], key[1], 1 + first, operation, last - first + 1, normal, noise)
        return
    before = -1
    for i in range(count):
        block = (start + cells[i]) // 8
        if block != before:
            before = block
            philox(key[0], key[1], 1 + block, operation, raw)
            for k in range(4):
                words[2 * k] = raw[k] & <uint64_t> 0xFFFFFFFF
                words[2 * k + 1] = raw[k] >> 32
            eight_normals(words, normal, noise + 8 * (block - first))
