#include "core/shard/ring_worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/shard/ring.h"

struct job {
    struct job *next;
    struct ring_op *op;
    int32_t result;
};

struct ring_workers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *todo, **todo_tail;
    struct job *finished, **finished_tail;
    bool closing;
    int bell;
    uint32_t thread_count;
    pthread_t threads[];
};

static struct job *job_take(struct ring_workers *w)
{
    struct job *job;

    while (w->todo == NULL && !w->closing) {
        pthread_cond_wait(&w->work, &w->lock);
    }
    job = w->todo;
    if (job != NULL) {
        w->todo = job->next;
        if (w->todo == NULL) {
            w->todo_tail = &w->todo;
        }
        job->next = NULL;
    }
    return job;
}

static void *worker_main(void *arg)
{
    struct ring_workers *w = arg;
    const uint64_t one = 1;
    struct job *job;

    pthread_mutex_lock(&w->lock);
    while ((job = job_take(w)) != NULL) {
        ssize_t rung;

        pthread_mutex_unlock(&w->lock);
        job->result = job->op->work(job->op->ptr);
        pthread_mutex_lock(&w->lock);
        *w->finished_tail = job;
        w->finished_tail = &job->next;
        rung = write(w->bell, &one, sizeof(one));
        (void)rung; /* fails only when the counter is full, and then it rings anyway */
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct ring_workers *ring_workers_open(uint32_t count)
{
    struct ring_workers *w = mem_take_zero(sizeof(*w) + count * sizeof(pthread_t));

    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    w->todo_tail = &w->todo;
    w->finished_tail = &w->finished;
    w->bell = eventfd(0, EFD_CLOEXEC);
    MUST(w->bell >= 0);
    w->thread_count = count;
    for (uint32_t i = 0; i < count; i++) {
        MUST(pthread_create(&w->threads[i], NULL, worker_main, w) == 0);
    }
    return w;
}

void ring_workers_close(struct ring_workers **wp)
{
    struct ring_workers *w = *wp;

    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (uint32_t i = 0; i < w->thread_count; i++) {
        pthread_join(w->threads[i], NULL);
    }
    while (w->finished != NULL) {
        struct job *job = w->finished;

        w->finished = job->next;
        mem_give(job);
    }
    close(w->bell);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    mem_give(w);
    *wp = NULL;
}

int ring_workers_bell(const struct ring_workers *w)
{
    return w->bell;
}

void ring_workers_submit(struct ring_workers *w, struct ring_op *op)
{
    struct job *job = MEM_NEW(struct job);

    job->op = op;
    pthread_mutex_lock(&w->lock);
    *w->todo_tail = job;
    w->todo_tail = &job->next;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

uint32_t ring_workers_collect(struct ring_workers *w, struct ring_op **ops, int32_t *results,
                              uint32_t max)
{
    uint32_t count = 0;

    pthread_mutex_lock(&w->lock);
    while (count < max && w->finished != NULL) {
        struct job *job = w->finished;

        w->finished = job->next;
        if (w->finished == NULL) {
            w->finished_tail = &w->finished;
        }
        ops[count] = job->op;
        results[count++] = job->result;
        mem_give(job);
    }
    pthread_mutex_unlock(&w->lock);
    return count;
}
