/* SPDX-License-Identifier: MIT
 * What L2 is asked for while a product of a decode step ends: the beginning of the weights that come next, shared out among
 * warps, whose shares must leave nothing out and run past nothing. A request changes no result, so only the emulation sees it.
 */
#include <map>

#include "device_room.h"

extern "C" {
#include "engine.h"
#include "linked_plugin.h"
}

enum { LINE = 128, ROWS_MOST = 4, L2_PART = (1 << 20) / 4 /* of the emulated device */ };

static std::map<const char *, int> asked;

static void note(const void *at)
{
    asked[(const char *)at]++;
}

static int be_told(void **)
{
    asked.clear();
    emu_machine.asked = note;
    return 0;
}

static int put_back(void **)
{
    emu_machine.asked = NULL;
    return 0;
}

/* Each line of the first bytes from `at` on, once. */
static void assert_asked_for(const void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LINE)
        assert_int_equal(asked[(const char *)at + i], 1);
}

static size_t lines(size_t bytes)
{
    return (bytes + LINE - 1) / LINE;
}

static void multiply(int rows, int cols, int w_rows, enum dtype dtype, const struct gpu_norm *norm, const struct matrix *next)
{
    numbers x(DTYPE_F32, random_floats((size_t)(rows * cols), 1)), y(DTYPE_F32, (size_t)(rows * w_rows));
    random_matrix w(dtype, w_rows, cols);

    asked.clear();
    assert_int_equal(launch_decode_product(NULL, y.floats(), x.floats(), norm, &w.m, NULL, rows, false, next), cudaSuccess);
}

static void the_weights_that_come_next_are_asked_for_once_line_by_line(void **)
{
    in_both_orders([] {
        for (int rows = 1; rows <= ROWS_MOST; rows++)
            for (int w_rows : {1, random_int(2, 63), 64, random_int(65, 300)}) {
                random_matrix next(random_dtype(), random_int(1, 40), 8 * random_int(1, 30));
                size_t bytes = (size_t)next.m.rows * next.m.row_bytes;
                multiply(rows, 8 * random_int(1, 300), w_rows, random_dtype(), NULL, &next.m);
                assert_asked_for(next.m.data, bytes);
                assert_int_equal(asked.size(), lines(bytes));
            }
    });
}

static void no_more_is_asked_for_than_a_quarter_of_l2(void **)
{
    random_matrix next(DTYPE_F32, 70, 1024);

    multiply(1, 64, 70, DTYPE_BF16, NULL, &next.m);
    assert_asked_for(next.m.data, L2_PART);
    assert_int_equal(asked.size(), lines(L2_PART));
}

static void the_norm_before_a_product_is_asked_for_too(void **)
{
    for (int kind = NORM_LAYER; kind <= NORM_RMS; kind++) {
        random_norm norm((enum norm_kind)kind, 1000);
        multiply(1, 1000, 9, DTYPE_F16, &norm.norm, NULL);
        assert_asked_for(norm.norm.weight, 4000);
        if (norm.norm.bias)
            assert_asked_for(norm.norm.bias, 4000);
        assert_int_equal(asked.size(), lines(4000) * (norm.norm.bias ? 2 : 1));
    }
}

static void where_nothing_comes_next_or_more_rows_are_computed_nothing_is_asked_for(void **)
{
    random_matrix next(DTYPE_BF16, 9, 64);

    multiply(2, 64, 70, DTYPE_BF16, NULL, NULL);
    assert_true(asked.empty());
    multiply(ROWS_MOST + 1, 64, 70, DTYPE_BF16, NULL, &next.m);
    assert_true(asked.empty());
}

static void note_nothing(void *, enum op, int)
{
}

/* Of one decode step that is handed over op by op. */
static size_t lines_of_a_step(const struct model *m, bool in_parts)
{
    static const int32_t prompt[3] = {1, 2, 3};
    struct session_args args = {};
    struct session *s = NULL;

    args.batch = 1, args.capacity = 8, args.kv_cache = args.ignore_eos = true, args.launch = LAUNCH_EAGER;
    args.hooks.op_begin = note_nothing, args.hooks.parts = in_parts;
    assert_int_equal(session_open(&s, (struct model *)m, &args, NULL), 0);
    assert_int_equal(session_prefill(s, prompt, 3, NULL), 0);
    asked.clear();
    assert_int_equal(session_decode(s, NULL), 0);
    session_close(s);
    return asked.size();
}

/* Each op's bytes and time are then its own. */
static void a_pass_in_parts_asks_for_norms_alone(void **)
{
    struct model_args args = {};
    struct model *m = NULL;
    struct err e = {};

    args.source = "tiny-gpt2", args.backend = "cuda", args.threads = 1, args.seed = 1;
    if (model_open(&m, &args, &e) < 0)
        fail_msg("%s", e.text);
    const struct model_config *c = model_config(m);
    size_t norms = (2 * c->layers + 1) * 2 * lines(c->d_model * sizeof(float));
    assert_int_equal(lines_of_a_step(m, true), norms);
    assert_true(lines_of_a_step(m, false) > 2 * norms);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_weights_that_come_next_are_asked_for_once_line_by_line),
        cmocka_unit_test(no_more_is_asked_for_than_a_quarter_of_l2),
        cmocka_unit_test(the_norm_before_a_product_is_asked_for_too),
        cmocka_unit_test(where_nothing_comes_next_or_more_rows_are_computed_nothing_is_asked_for),
        cmocka_unit_test(a_pass_in_parts_asks_for_norms_alone),
    };
    return cmocka_run_group_tests(tests, be_told, put_back);
}
