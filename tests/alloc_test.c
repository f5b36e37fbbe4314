/* SPDX-License-Identifier: MIT
 * The measured path takes no memory: from the first prefill on, no thread calls malloc or mmap or one of their like, and no
 * page is touched for the first time, whatever the weights, the cache, attention and the number of workers. The allocator's
 * functions stand in this program, in front of the C library's, and count while a flag is up. */
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine.h"
#include "team.h"

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { THREADS = 2, BATCH = 2, PROMPT = 70, STEPS = 5, ATTEMPTS = 4, FRESH_BYTES = 1 << 20 };

/* --- whoever takes memory --------------------------------------------------------------------------------------------------
 */

static struct team team;
static bool counting;
static long taken;

#if !SANITIZED

static void note(void)
{
    if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
        __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
}

/* The C library's own, behind the names that this program takes. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    note();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    note();
    return __libc_realloc(p, size);
}

void *memalign(size_t alignment, size_t size)
{
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    note();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    note();
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

#endif

/* --- what a run of prefill and decode takes --------------------------------------------------------------------------------
 */

struct cost {
    long taken, faults;
};

static long faults_so_far(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt + u.ru_majflt;
}

static struct cost generate(struct session *s)
{
    int32_t prompt[BATCH * PROMPT];
    int code = 0;

    for (int i = 0; i < BATCH * PROMPT; i++)
        prompt[i] = (i * 7 + i / PROMPT) % 250;
    const long faults = faults_so_far();
    taken = 0;
    counting = true;
    for (int step = 0; step <= STEPS && code == 0; step++)
        code = step == 0 ? session_prefill(s, prompt, PROMPT, NULL) : session_decode(s, NULL);
    counting = false;
    const struct cost cost = {.taken = taken, .faults = faults_so_far() - faults};
    assert_int_equal(code, 0);
    return cost;
}

static struct model *open_model(const char *preset, enum dtype dtype, enum gemm gemm)
{
    const struct model_args a = {
        .source = preset, .backend = "cpu", .threads = team.threads, .dtype = dtype, .gemm = gemm, .seed = 1};
    struct model *m = NULL;
    struct err e = {0};

    if (model_open(&m, &a, &e) < 0)
        fail_msg("%s", e.text);
    return m;
}

static struct cost cost_of_a_session(struct model *m, const struct session_args *a)
{
    struct session *s = NULL;
    struct err e = {0};

    if (session_open(&s, m, a, &e) < 0)
        fail_msg("%s", e.text);
    const struct cost cost = generate(s);
    session_close(s);
    return cost;
}

static struct session_args session_of(int threads)
{
    return (struct session_args){
        .batch = BATCH, .capacity = PROMPT + STEPS + 1, .threads = threads, .kv_cache = true, .ignore_eos = true};
}

/* A session on a model that was opened for it alone: the backend's own memory is fresh too. */
static struct cost cost_of_a_first_session(const char *preset, enum dtype dtype, const struct session_args *a)
{
    struct model *m = open_model(preset, dtype, GEMM_OWN);
    const struct cost cost = cost_of_a_session(m, a);

    model_close(m);
    return cost;
}

/* What the sessions run on: m, or where that is NULL a model of their own each. */
struct subject {
    struct model *m;
    const char *preset;
    enum dtype dtype;
};

static struct cost cost_of(const struct subject *s, const struct session_args *a)
{
    return s->m ? cost_of_a_session(s->m, a) : cost_of_a_first_session(s->preset, s->dtype, a);
}

/* The first session brings in the code; what a second, fresh one takes is the path's own. The kernel may move pages meanwhile,
 * which shows as faults: one session without any of them is proof enough. */
static void assert_takes_nothing(const struct subject *s, const struct session_args *a, const char *what)
{
    struct cost least = cost_of(s, a);

    for (int i = 0; i < ATTEMPTS && (i == 0 || least.faults > 0); i++) {
        const struct cost cost = cost_of(s, a);
        if (cost.taken != 0)
            fail_msg("%s: memory was taken %ld times", what, cost.taken);
        least.faults = i == 0 || cost.faults < least.faults ? cost.faults : least.faults;
    }
    if (least.faults != 0)
        fail_msg("%s: %ld page faults in every session", what, least.faults);
}

static void skip_where_memory_is_not_ours_to_count(void)
{
    if (!SANITIZED)
        return;
    print_message("sanitizers have an allocator of their own, and touch pages of their own\n");
    skip();
}

/* --- the specification -----------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    enum dtype last; /* of those that it can be held in: tiny-llama's rows are no whole blocks */
} presets[] = {{"tiny-gpt2", DTYPE_Q4_0}, {"tiny-llama", DTYPE_BF16}};

static void every_cache_and_attention(const struct subject *s)
{
    for (int threads = 1; threads <= team.threads; threads++)
        for (int kv = DTYPE_F32; kv <= DTYPE_BF16; kv++)
            for (int attention = 0; attention < ATTENTION_COUNT; attention++) {
                struct session_args a = session_of(threads);
                char name[128];
                if (attention == ATTENTION_NAIVE && kv != DTYPE_F32)
                    continue; /* there is no such thing */
                a.kv_dtype = (enum dtype)kv;
                a.attention = (enum attention)attention;
                snprintf(name, sizeof name, "%s, weights %s, cache %s, %s attention, %d threads", s->preset,
                         dtype_name(s->dtype), dtype_name(a.kv_dtype), attention == ATTENTION_FLASH ? "flash" : "naive",
                         threads);
                assert_takes_nothing(s, &a, name);
            }
}

static void prefill_and_decode_take_no_memory_whatever_the_types(void **state)
{
    (void)state;
    skip_where_memory_is_not_ours_to_count();
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        for (int dtype = DTYPE_F32; dtype <= (int)presets[i].last; dtype++) {
            struct subject s = {.preset = presets[i].name, .dtype = (enum dtype)dtype};
            s.m = open_model(s.preset, s.dtype, GEMM_OWN);
            every_cache_and_attention(&s);
            model_close(s.m);
        }
}

static void nor_does_the_first_session_of_a_model(void **state)
{
    (void)state;
    skip_where_memory_is_not_ours_to_count();
    for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++)
        every_cache_and_attention(&(struct subject){.preset = "tiny-llama", .dtype = (enum dtype)dtype});
}

static void nor_do_the_librarys_products(void **state)
{
    (void)state;
    skip_where_memory_is_not_ours_to_count();
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        struct model *m = open_model(presets[i].name, DTYPE_F32, GEMM_OPENBLAS);
        for (int threads = 1; threads <= team.threads; threads++) {
            struct session_args a = session_of(threads);
            assert_takes_nothing(&(struct subject){.m = m}, &a, "OpenBLAS");
        }
        model_close(m);
    }
}

static void nor_do_passes_without_a_cache_and_drawn_tokens(void **state)
{
    (void)state;
    skip_where_memory_is_not_ours_to_count();
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        struct model *m = open_model(presets[i].name, DTYPE_F32, GEMM_OWN);
        struct session_args a = session_of(team.threads);
        a.kv_cache = false;
        assert_takes_nothing(&(struct subject){.m = m}, &a, "no cache");
        a = session_of(team.threads);
        a.sampling = (struct sampling){.temperature = 0.8, .top_k = 40, .top_p = 0.9, .repetition_penalty = 1.1, .seed = 1};
        assert_takes_nothing(&(struct subject){.m = m}, &a, "drawn tokens");
        a = session_of(team.threads);
        a.sampling = (struct sampling){.beams = 3};
        assert_takes_nothing(&(struct subject){.m = m}, &a, "beams");
        model_close(m);
    }
}

/* --- the count itself ------------------------------------------------------------------------------------------------------
 */

static void *volatile kept;

static void take_by_malloc(void *unused, int worker)
{
    (void)unused;
    if (worker != 0)
        return;
    void *p = malloc(24);
    kept = p;
    free(p);
}

static void take_by_mmap(void *unused, int worker)
{
    (void)unused;
    if (worker != 0)
        return;
    volatile char *p = mmap(NULL, FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = 1;
    munmap((void *)(uintptr_t)p, FRESH_BYTES);
}

static void take_in_the_second_worker(void *unused, int worker)
{
    take_by_malloc(unused, worker == 1 ? 0 : 1);
}

static void take_at_the_head(void *take, enum op op, int layer)
{
    (void)layer;
    if (op == OP_HEAD)
        (*(void (*const *)(void *, int))take)(NULL, 0);
}

static void what_is_taken_between_the_ops_is_seen(void **state)
{
    static void (*const ways[])(void *, int) = {take_by_malloc, take_by_mmap};

    (void)state;
    skip_where_memory_is_not_ours_to_count();
    struct model *m = open_model("tiny-llama", DTYPE_F32, GEMM_OWN);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct session_args a = session_of(team.threads);
        a.hooks = (struct engine_hooks){.ctx = (void *)(uintptr_t)&ways[i], .op_begin = take_at_the_head};
        const struct cost cost = cost_of_a_session(m, &a);
        assert_int_equal(cost.taken, STEPS + 1);
        assert_true(ways[i] == take_by_malloc || cost.faults > STEPS);
    }
    model_close(m);
}

static void what_another_thread_takes_is_seen(void **state)
{
    (void)state;
    skip_where_memory_is_not_ours_to_count();
    if (team.threads < 2) {
        print_message("one CPU is allowed here\n");
        skip();
    }
    team_run(team.threads, take_in_the_second_worker, NULL);
    taken = 0;
    counting = true;
    team_run(team.threads, take_in_the_second_worker, NULL);
    counting = false;
    assert_int_equal(taken, 1);
}

static int start_team(void **state)
{
    int most = team_max_threads();

    (void)state;
    return team_start(&team, most < THREADS ? most : THREADS, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_between_the_ops_is_seen),
        cmocka_unit_test(what_another_thread_takes_is_seen),
        cmocka_unit_test(prefill_and_decode_take_no_memory_whatever_the_types),
        cmocka_unit_test(nor_does_the_first_session_of_a_model),
        cmocka_unit_test(nor_do_the_librarys_products),
        cmocka_unit_test(nor_do_passes_without_a_cache_and_drawn_tokens),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
