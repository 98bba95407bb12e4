"""From column currents to the codes of ADCs."""

from libc.math cimport rint
from libc.stdint cimport int64_t, uint64_t

from simd.vectors cimport wide_d

cdef extern from *:
    """
    /* As many channels as a vector has lanes, as quantise_lanes does it: within the range adding and taking off 2^52
       rounds to integers, ties to even. */
    static inline void quantise_vector(
        const double *current, const double *factor, const double *offset, const double *highest, double minimum,
        double lsb, double sigma, const double *noise, int64_t *out
    ) {
        typedef int64_t whole __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(8)));
        wide_d steps = double_load(current) * double_load(factor) + double_load(offset), top = double_load(highest);
        if (noise) steps = steps + sigma * double_load(noise);
        steps = (steps - minimum) / lsb;
        steps = (wide_d)((steps > (wide_d){0}) & (double_mask)steps);
        steps = double_choose(steps < top, steps, top);
        steps = (steps + 0x1p52) - 0x1p52;
        *(whole *)out = __builtin_convertvector(steps, whole);
    }
    """
    void quantise_vector(
        const double*, const double*, const double*, const double*, double, double, double, const double*, int64_t*
    ) noexcept nogil


cdef struct Converters:
    const double* table    # DAC voltages, (rows, levels); NULL if voltages are given, and currents wanted
    Py_ssize_t levels
    const double* factor   # of each channel: volts at the quantiser per ampere,
    const double* offset   # and volts at no current,
    const double* highest  # and its highest code
    double minimum, lsb, sigma
    const double* thresholds  # ascending, in LSB above the minimum, (columns, codes - 1); NULL: half-way between codes
    Py_ssize_t steps       # how many there are of each channel
    const double* normal   # the table of normal numbers; NULL without noise
    uint64_t key0, key1, operation
    Py_ssize_t skip        # vectors of this operation that were read before


cdef inline int64_t pass_thresholds(const double* thresholds, Py_ssize_t top, double steps) noexcept nogil:
    """Count the thresholds that ``steps`` has reached, from where they would be without errors: that is near."""
    cdef double near = rint(steps)
    near = near if near > 0.0 else 0.0
    cdef Py_ssize_t code = <Py_ssize_t> (near if near < <double> top else <double> top)
    while code < top and thresholds[code] <= steps:
        code += 1
    while code > 0 and thresholds[code - 1] > steps:
        code -= 1
    return code


cdef inline void quantise_by_table(
    const Converters* c, const double* current, Py_ssize_t column, Py_ssize_t count, const double* noise, int64_t* out
) noexcept nogil:
    """As ``quantise_lanes``, with thresholds of each channel's own."""
    cdef Py_ssize_t j, top
    cdef double steps
    for j in range(count):
        steps = current[j] * c.factor[column + j] + c.offset[column + j]
        if noise != NULL:
            steps = steps + c.sigma * noise[column + j]
        steps = (steps - c.minimum) / c.lsb
        top = min(c.steps, <Py_ssize_t> c.highest[column + j])
        out[column + j] = pass_thresholds(c.thresholds + (column + j) * c.steps, top, steps)


cdef inline void quantise_lanes(
    const Converters* c, const double* current, Py_ssize_t column, Py_ssize_t count, const double* noise, int64_t* out
) noexcept nogil:
    cdef Py_ssize_t j
    cdef double steps, top
    for j in range(count):
        steps = current[j] * c.factor[column + j] + c.offset[column + j]
        if noise != NULL:
            steps = steps + c.sigma * noise[column + j]
        steps = rint((steps - c.minimum) / c.lsb)
        top = c.highest[column + j]
        steps = steps if steps > 0.0 else 0.0
        out[column + j] = <int64_t> (steps if steps < top else top)
