/* SPDX-License-Identifier: MIT
 * What sessions and passes do with a backend on a device, shown by a stand-in: the reference with the words of a device. Its
 * decode step is shown to it once, hooks run only around ops in parts, angles are handed over, and a closing session is told.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "engine_private.h"
#include "team.h"

enum { LAUNCHES = 17 };

/* What the stand-in was asked, since the last fixture. */
static struct {
    int recorded, walked, forgotten, put;
    struct pass step;
    const float *x; /* of the session that closed */
    struct err failure;
} seen;

static int count_launches(const struct backend *b)
{
    (void)b;
    return LAUNCHES;
}

static int note_record(struct backend *b, const struct pass *step, void (*pass)(void *ctx, int worker), void *ctx,
                       struct err *e)
{
    (void)b;
    seen.recorded++;
    seen.step = *step;
    (void)pass, (void)ctx;
    return seen.failure.code < 0 ? err_set(e, seen.failure.code, "%s", seen.failure.text) : 0;
}

static void note_together(struct backend *b, const struct pass *p, void (*pass)(void *ctx, int worker), void *ctx)
{
    (void)b, (void)p;
    seen.walked++;
    pass(ctx, 0);
}

static void note_forget(struct backend *b, const struct pass *p)
{
    (void)b;
    seen.forgotten++;
    seen.x = p->x;
}

static void note_put(struct backend *b, void *to, const void *host, size_t bytes)
{
    seen.put++;
    host_put(b, to, host, bytes);
}

static struct model *model;
static struct backend_ops device;

static int open_model(void **state)
{
    struct model_args a = {.source = "tiny-llama", .backend = "ref", .threads = 1, .seed = 3};
    struct team team;

    (void)state;
    if (team_start(&team, 1, NULL, NULL) < 0 || model_open(&model, &a, NULL) < 0)
        return -1;
    device = *model->backend->ops;
    device.launches = count_launches;
    device.record = note_record;
    device.together = note_together;
    device.forget = note_forget;
    device.put = note_put;
    model->backend->ops = &device;
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    model_close(model);
    return 0;
}

static int forget_all(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    return 0;
}

static struct session *opened(struct session_args a)
{
    struct session *s = NULL;
    struct err e = {0};

    a.batch = 2;
    a.capacity = 6;
    a.ignore_eos = true;
    if (session_open(&s, model, &a, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

static const int32_t prompt[] = {5, 17, 230, 4, 99, 17};

/* --- recording ---------------------------------------------------------------------------------------------------------------
 */

static void the_decode_step_of_a_session_is_shown_once_when_it_opens(void **state)
{
    struct session *s = opened((struct session_args){.kv_cache = true, .attention = ATTENTION_NAIVE});

    (void)state;
    assert_int_equal(seen.recorded, 1);
    assert_int_equal(seen.step.batch, 2);
    assert_int_equal(seen.step.tokens, 1);
    assert_int_equal(seen.step.past, 0);
    assert_int_equal(seen.step.launch, LAUNCH_GRAPH);
    assert_int_equal(seen.step.attention, ATTENTION_NAIVE);
    assert_null(seen.step.ids);
    assert_non_null(seen.step.x);
    assert_non_null(seen.step.chosen);
    assert_true(seen.step.kv.kept);
    assert_int_equal(session_prefill(s, prompt, 3, NULL), 0);
    assert_int_equal(session_decode(s, NULL), 0);
    assert_int_equal(seen.recorded, 1);
    assert_int_equal(seen.walked, 2);
    session_close(s);
}

static void steps_that_are_launched_one_by_one_or_in_parts_or_grow_are_not_shown(void **state)
{
    (void)state;
    session_close(opened((struct session_args){.kv_cache = true, .launch = LAUNCH_EAGER}));
    session_close(opened((struct session_args){.kv_cache = true, .hooks.parts = true}));
    session_close(opened((struct session_args){.kv_cache = false}));
    assert_int_equal(seen.recorded, 0);
}

static void a_session_whose_step_cannot_be_recorded_does_not_open(void **state)
{
    struct session_args a = {.batch = 1, .capacity = 6, .kv_cache = true};
    struct session *s = NULL;
    struct err e = {0};

    (void)state;
    err_set(&seen.failure, ERR_IO, "no graph today");
    assert_int_equal(session_open(&s, model, &a, &e), ERR_IO);
    assert_string_equal(e.text, "no graph today");
    assert_null(s);
    assert_int_equal(seen.forgotten, 1);
}

/* --- passes ------------------------------------------------------------------------------------------------------------------
 */

static void note_op(void *ctx, enum op op, int layer)
{
    (void)layer;
    ((int *)ctx)[op]++;
}

static void hooks_run_only_where_the_pass_is_in_parts(void **state)
{
    (void)state;
    for (int parts = 0; parts < 2; parts++) {
        int begun[OP_COUNT] = {0}, ended[OP_COUNT] = {0};
        struct session *s = opened((struct session_args){
            .kv_cache = true, .hooks = {.ctx = begun, .op_begin = note_op, .op_end = NULL, .parts = parts}});
        assert_int_equal(session_prefill(s, prompt, 3, NULL), 0);
        assert_int_equal(begun[OP_EMBED], parts);
        assert_int_equal(begun[OP_MLP], parts * model->config.layers);
        assert_int_equal(begun[OP_SAMPLE], parts);
        assert_int_equal(ended[OP_EMBED], 0);
        session_close(s);
    }
}

static void what_the_host_chooses_is_timed_by_the_host(void **state)
{
    int begun[OP_COUNT] = {0};
    struct session *s = opened(
        (struct session_args){.kv_cache = true, .sampling = {.temperature = 1}, .hooks = {.ctx = begun, .op_begin = note_op}});

    (void)state;
    assert_null(seen.step.chosen);
    assert_int_equal(session_prefill(s, prompt, 3, NULL), 0);
    assert_int_equal(begun[OP_SAMPLE], 1);
    assert_int_equal(begun[OP_EMBED], 0);
    session_close(s);
}

static void launches_are_the_backends_count_and_none_on_a_host(void **state)
{
    struct session *s = opened((struct session_args){.kv_cache = true});

    (void)state;
    assert_int_equal(session_launches(s), LAUNCHES);
    device.launches = NULL;
    assert_int_equal(session_launches(s), 0);
    device.launches = count_launches;
    session_close(s);
}

/* --- sessions ----------------------------------------------------------------------------------------------------------------
 */

static void angles_are_handed_over_and_a_closing_session_is_told(void **state)
{
    struct session *s = opened((struct session_args){.kv_cache = true});

    (void)state;
    assert_int_equal(seen.put, 2); /* cosines and sines */
    assert_int_equal(seen.forgotten, 0);
    session_close(s);
    assert_int_equal(seen.forgotten, 1);
    assert_ptr_equal(seen.x, seen.step.x);
}

static void threads_are_no_limit_where_a_device_computes(void **state)
{
    struct session_args a = {.batch = 1, .capacity = 6, .threads = 1000, .kv_cache = true};
    struct session *s = NULL;

    (void)state;
    device.launches = NULL;
    assert_int_equal(session_open(&s, model, &a, NULL), ERR_USAGE);
    device.launches = count_launches;
    assert_int_equal(session_open(&s, model, &a, NULL), 0);
    session_close(s);
}

#define IT(test) cmocka_unit_test_setup(test, forget_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IT(the_decode_step_of_a_session_is_shown_once_when_it_opens),
        IT(steps_that_are_launched_one_by_one_or_in_parts_or_grow_are_not_shown),
        IT(a_session_whose_step_cannot_be_recorded_does_not_open),
        IT(hooks_run_only_where_the_pass_is_in_parts),
        IT(what_the_host_chooses_is_timed_by_the_host),
        IT(launches_are_the_backends_count_and_none_on_a_host),
        IT(angles_are_handed_over_and_a_closing_session_is_told),
        IT(threads_are_no_limit_where_a_device_computes),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
