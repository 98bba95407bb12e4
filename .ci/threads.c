/* What GCC calls for OpenMP, over POSIX threads: ThreadSanitizer knows when those begin, wait and end, and nothing of
   libgomp's own means, in whose place this is loaded. Compiled with -DCHECK it is a program too: with the argument
   `race` two threads add to one number, with `clean` each adds to its own, by every kind of loop that the kernels have. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct {
    void (*run)(void *);
    void *data;
    int threads;
    pthread_barrier_t barrier[2]; /* in turns, or who leaves late would seem to follow what others did since */
    pthread_mutex_t lock;
    int inside; /* threads that have begun the present loop */
    long next, end, step, chunk;
} Team;

typedef struct { Team *team; int number, turn; } Member;

static __thread Member here;

int omp_get_num_threads(void) { return here.team ? here.team->threads : 1; }
int omp_get_thread_num(void) { return here.number; }
int omp_get_max_threads(void) { return 4; }
void GOMP_barrier(void) { if (here.team) pthread_barrier_wait(&here.team->barrier[here.turn++ % 2]); }

static void *work(void *member) {
    here = *(Member *)member;
    here.team->run(here.team->data);
    return NULL;
}

static void region(void (*run)(void *), void *data, unsigned threads, long start, long end, long step, long chunk) {
    Team team = {.run = run, .data = data, .threads = threads ? (int)threads : 4,
                 .next = start, .end = end, .step = step, .chunk = chunk};
    Member members[team.threads], before = here;
    pthread_t ids[team.threads];
    for (int i = 0; i < 2; i++) pthread_barrier_init(&team.barrier[i], NULL, team.threads);
    pthread_mutex_init(&team.lock, NULL);
    for (int i = 0; i < team.threads; i++) members[i] = (Member){&team, i, 0};
    for (int i = 1; i < team.threads; i++)
        if (pthread_create(&ids[i], NULL, work, &members[i])) abort();
    work(&members[0]);
    for (int i = 1; i < team.threads; i++) pthread_join(ids[i], NULL);
    here = before;
    for (int i = 0; i < 2; i++) pthread_barrier_destroy(&team.barrier[i]);
    pthread_mutex_destroy(&team.lock);
}

void GOMP_parallel(void (*run)(void *), void *data, unsigned threads, unsigned flags) {
    (void)flags;
    region(run, data, threads, 0, 0, 1, 1);
}

void GOMP_parallel_loop_nonmonotonic_dynamic(void (*run)(void *), void *data, unsigned threads, long start, long end,
                                             long step, long chunk, unsigned flags) {
    (void)flags;
    region(run, data, threads, start, end, step, chunk);
}

bool GOMP_loop_nonmonotonic_dynamic_next(long *start, long *end) {
    Team *t = here.team;
    pthread_mutex_lock(&t->lock);
    long from = t->next, to = from + t->chunk * t->step;
    bool some = t->step > 0 ? from < t->end : from > t->end;
    if (t->step > 0 ? to > t->end : to < t->end) to = t->end;
    if (some) t->next = to;
    pthread_mutex_unlock(&t->lock);
    *start = from, *end = to;
    return some;
}

bool GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long step, long chunk, long *from, long *to) {
    Team *t = here.team;
    pthread_mutex_lock(&t->lock);
    if (t->inside == 0) t->next = start, t->end = end, t->step = step, t->chunk = chunk;
    t->inside = (t->inside + 1) % t->threads;
    pthread_mutex_unlock(&t->lock);
    return GOMP_loop_nonmonotonic_dynamic_next(from, to);
}

/* One loop at a time in a region: each of the kernels' dynamic loops is a region of its own. */
void GOMP_loop_end_nowait(void) {}
void GOMP_loop_end(void) { GOMP_barrier(); }

#ifdef CHECK
#include <stdio.h>
#include <string.h>
int main(int count, char **words) {
    bool race = count > 1 && strcmp(words[1], "race") == 0;
    long sums[2] = {0, 0}, whole[1000];
#pragma omp parallel num_threads(2)
    {
#pragma omp for schedule(static)
        for (int i = 0; i < 1000; i++) whole[i] = i;
#pragma omp for schedule(static)
        for (int i = 0; i < 1000; i++) sums[race ? 0 : omp_get_thread_num()] += whole[999 - i];
    }
#pragma omp parallel for num_threads(2) schedule(dynamic, 1)
    for (int i = 0; i < 1000; i++) sums[race ? 0 : omp_get_thread_num()] += whole[i];
    printf("%ld\n", sums[0] + sums[1]);
    return race || sums[0] + sums[1] == 999000 ? 0 : 1;
}
#endif
