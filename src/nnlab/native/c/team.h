/* Threads that work on one call together and meet between its parts. */
#include <pthread.h>
#include <stdatomic.h>

/* Looks at the others' arrival, some tens of microseconds, before a thread goes to sleep: when all have a core to
   themselves the others are never further behind, and when one has not, it gets this one's. */
#define SPINS 2000

typedef struct {
    int64_t size;
    _Atomic int64_t arrived, round, sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t woken;
} Meeting;

static void sleep_until_after(Meeting *meeting, int64_t round) {
    pthread_mutex_lock(&meeting->mutex);
    atomic_fetch_add(&meeting->sleepers, 1);
    while (atomic_load(&meeting->round) == round) pthread_cond_wait(&meeting->woken, &meeting->mutex);
    atomic_fetch_sub(&meeting->sleepers, 1);
    pthread_mutex_unlock(&meeting->mutex);
}

/* Wait until all have come. */
static void meet(Meeting *meeting) {
    if (meeting->size == 1) return;
    int64_t round = atomic_load(&meeting->round);
    if (atomic_fetch_add(&meeting->arrived, 1) + 1 == meeting->size) {
        atomic_store(&meeting->arrived, 0);
        atomic_store(&meeting->round, round + 1);
        if (!atomic_load(&meeting->sleepers)) return; /* whoever falls asleep from now on sees the new round first */
        pthread_mutex_lock(&meeting->mutex);
        pthread_cond_broadcast(&meeting->woken);
        pthread_mutex_unlock(&meeting->mutex);
        return;
    }
    for (int64_t spins = 0; spins < SPINS; spins++) {
        if (atomic_load(&meeting->round) != round) return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    sleep_until_after(meeting, round);
}

/* What is a thread's part of n: [first, last). */
typedef struct {
    int64_t first, last;
} Part;
INLINE Part part_of(int64_t n, int64_t number, int64_t parts) {
    return (Part){n * number / parts, n * (number + 1) / parts};
}
