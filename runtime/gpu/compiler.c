/* Threads that create pipelines while the callers go on. */
#include <signal.h>
#include <unistd.h>

#include "gpu/internal.h"

void compiler_init(compiler *c)
{
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, NULL);
    /* Whoever waits for a pipeline creates as well. */
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    c->max_threads = cpus <= 2 ? 1 : cpus > COMPILER_MAX_THREADS ? COMPILER_MAX_THREADS : (uint32_t)cpus - 1;
}

void compiler_deinit(compiler *c)
{
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
}

/* Under the lock. */
static void append(compiler *c, gpu_pipeline *p)
{
    p->state = PIPELINE_QUEUED;
    p->next_queued = NULL;
    *(c->last ? &c->last->next_queued : &c->first) = p;
    c->last = p;
    c->n_queued++;
}

/* Takes the first of the queue, NULL when there is none. Under the lock. */
static gpu_pipeline *take(compiler *c)
{
    gpu_pipeline *p = c->first;
    if (!p)
        return NULL;
    c->first = p->next_queued;
    if (!c->first)
        c->last = NULL;
    c->n_queued--;
    p->state = PIPELINE_CREATING;
    return p;
}

/* Creates a pipeline that was taken. Releases the lock in between. */
static vkdlm_status create(gpu_device *d, gpu_pipeline *p, vkdlm_error *err)
{
    compiler *c = &d->compiler;
    pthread_mutex_unlock(&c->lock);
    vkdlm_status status = pipeline_compile(d, p, err);
    pthread_mutex_lock(&c->lock);
    p->state = status ? PIPELINE_FAILED : PIPELINE_READY;
    atomic_store_explicit(&p->ready, !status, memory_order_release);
    pthread_cond_broadcast(&c->done);
    return status;
}

static void *run_thread(void *argument)
{
    gpu_device *d = argument;
    compiler *c = &d->compiler;
    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        gpu_pipeline *p = take(c);
        if (p) {
            create(d, p, NULL); /* whoever needs it tries again and tells why it fails */
            continue;
        }
        c->n_idle++;
        pthread_cond_wait(&c->work, &c->lock);
        c->n_idle--;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Without a thread the pipelines are created by those who wait for them. Under the lock. */
static void add_thread(gpu_device *d)
{
    compiler *c = &d->compiler;
    sigset_t all, before;
    sigfillset(&all);
    /* The program's signals are for its own threads. */
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return;
    if (pthread_create(&c->threads[c->n_threads], NULL, run_thread, d) == 0)
        c->n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void compiler_add(gpu_device *d, gpu_pipeline *p)
{
    compiler *c = &d->compiler;
    pthread_mutex_lock(&c->lock);
    append(c, p);
    if (c->n_queued > c->n_idle && c->n_threads < c->max_threads)
        add_thread(d);
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

vkdlm_status compiler_wait(gpu_device *d, gpu_pipeline *p, vkdlm_error *err)
{
    if (atomic_load_explicit(&p->ready, memory_order_acquire))
        return VKDLM_OK;
    compiler *c = &d->compiler;
    vkdlm_status status = VKDLM_OK;
    pthread_mutex_lock(&c->lock);
    while (p->state != PIPELINE_READY && !status) {
        gpu_pipeline *other = take(c);
        if (other) {
            create(d, other, NULL);
        } else if (p->state == PIPELINE_FAILED) {
            p->state = PIPELINE_CREATING;
            status = create(d, p, err);
        } else {
            pthread_cond_wait(&c->done, &c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}

void compiler_stop(gpu_device *d)
{
    compiler *c = &d->compiler;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 0; i < c->n_threads; i++)
        pthread_join(c->threads[i], NULL);
    c->n_threads = 0;
}
