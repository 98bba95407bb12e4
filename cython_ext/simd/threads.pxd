"""Whether the C compiler was asked for OpenMP, when threads pay, and how a team of them keeps step."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #include <sched.h>
    #define HAS_OPENMP 1
    static inline int team_size(void) { return omp_get_num_threads(); }
    #else
    #define HAS_OPENMP 0
    static inline int team_size(void) { return 1; }
    #endif

    /* Cells for each thread of a team, from which on it pays to solve one vector together, and multiplications for which
       it does not pay to wake other threads. Where races are looked for, threads get all the work there is. */
    #ifdef __SANITIZE_THREAD__
    #define TEAM 1024
    #define SMALL 1024
    #else
    #define TEAM 131072
    #define SMALL 2097152
    #endif

    typedef struct { int arrived, turn; } Barrier;

    /* Wait for the other members of a team. Within a solution they meet every few microseconds: to sleep would take longer.
       Where a processor is shared, the one that waits soon lets others run. */
    static inline void meet(Barrier *b, int members) {
    #ifdef _OPENMP
        if (members == 1) return;
        int turn = __atomic_load_n(&b->turn, __ATOMIC_RELAXED);
        if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == members) {
            __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&b->turn, turn + 1, __ATOMIC_RELEASE);
            return;
        }
        for (int tries = 0; __atomic_load_n(&b->turn, __ATOMIC_ACQUIRE) == turn; tries++) {
            if (tries > 2000) sched_yield();
    #if defined(__x86_64__) || defined(__i386__)
            else __builtin_ia32_pause();
    #endif
        }
    #endif
    }
    """
    enum: HAS_OPENMP
    ctypedef struct Barrier:
        int arrived
        int turn
    int team_size() noexcept nogil  # how many threads work in this parallel region
    void meet(Barrier*, int) noexcept nogil
    enum: TEAM
    enum: SMALL
