/* SPDX-License-Identifier: MIT
 * Models of real size on an emulated machine that has the memory and does no work: what the host hands over is within the
 * memory it took, and nothing that a GPU refuses, where counts of elements and bytes pass 2^31 and 2^32. */
#include "linked_plugin.h"

#include <stdlib.h>

#include "engine.h"
#include "team.h"

static const size_t TB = (size_t)1 << 40;

static int be_large(void **state)
{
    struct team team;

    (void)state;
    emu_machine.memory = 8 * TB;
    emu_machine.idle = true;
    return team_start(&team, 1, NULL, NULL);
}

static struct model *model_of(const char *preset, enum dtype dtype)
{
    struct model_args a = {.source = preset, .backend = "cuda", .threads = 1, .seed = 1, .dtype = dtype};
    struct model *m = NULL;
    struct err e = {0};

    if (model_open(&m, &a, &e) < 0)
        fail_msg("%s: %s", preset, e.text);
    return m;
}

/* A prompt that leaves room for two steps, and these. */
static void generate(struct model *m, struct session_args a)
{
    const int prompt = a.capacity - 2;
    int32_t *ids = calloc((size_t)a.batch * (size_t)a.capacity, sizeof *ids);
    struct session *s = NULL;
    struct err e = {0};

    assert_non_null(ids);
    a.ignore_eos = true;
    int code = session_open(&s, m, &a, &e);
    if (code == 0)
        code = session_prefill(s, ids, prompt, &e);
    for (int i = 0; code == 0 && i < 2; i++)
        code = session_decode(s, &e);
    if (code < 0)
        fail_msg("%d x %d: %s", a.batch, a.capacity, e.text);
    session_close(s);
    free(ids);
}

static void a_batch_of_64_fills_the_whole_context(void **state)
{
    static const char *const presets[] = {"llama-3-8b", "llama-2-7b", "gpt2"};

    (void)state;
    for (int i = 0; i < 3; i++)
        for (enum launch l = 0; l < LAUNCH_COUNT; l++) {
            struct model *m = model_of(presets[i], DTYPE_BF16);
            generate(
                m,
                (struct session_args){
                    .batch = 64, .capacity = model_config(m)->context, .kv_dtype = DTYPE_BF16, .launch = l, .kv_cache = true});
            model_close(m);
        }
}

static void logits_of_every_position_pass_2_to_the_32_bytes(void **state)
{
    struct model *m = model_of("llama-3-8b", DTYPE_BF16);

    (void)state;
    generate(m, (struct session_args){.batch = 4, .capacity = 8192, .kv_cache = true, .all_logits = true});
    model_close(m);
}

static void scores_of_every_position_are_written(void **state)
{
    struct model *m = model_of("llama-3-8b", DTYPE_F32);

    (void)state;
    generate(m, (struct session_args){.batch = 2, .capacity = 8192, .kv_cache = true, .attention = ATTENTION_NAIVE});
    model_close(m);
}

static void more_sequences_than_a_grid_has_room_for_are_refused(void **state)
{
    struct session_args a = {.batch = 65535, .capacity = 4, .kv_cache = true};
    struct model *m = model_of("tiny-gpt2", DTYPE_BF16);
    struct session *s = NULL;
    struct err e = {0};

    (void)state;
    generate(m, a);
    a.batch++;
    assert_int_equal(session_open(&s, m, &a, &e), ERR_USAGE);
    assert_string_equal(e.text,
                        "backend cuda: 65536 sequences at a time, 65535 are the most; take a smaller batch or fewer beams");
    assert_null(s);
    model_close(m);
}

/* Kernels of the step ask for different amounts of shared memory beyond 48 KB, in one graph. */
static void a_step_of_eight_sequences_is_replayed(void **state)
{
    struct model *m = model_of("tinyllama-1.1b", DTYPE_BF16);

    (void)state;
    generate(m, (struct session_args){.batch = 8, .capacity = 2048, .kv_dtype = DTYPE_BF16, .kv_cache = true});
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_of_64_fills_the_whole_context),
        cmocka_unit_test(logits_of_every_position_pass_2_to_the_32_bytes),
        cmocka_unit_test(scores_of_every_position_are_written),
        cmocka_unit_test(more_sequences_than_a_grid_has_room_for_are_refused),
        cmocka_unit_test(a_step_of_eight_sequences_is_replayed),
    };

    return cmocka_run_group_tests(tests, be_large, NULL);
}
