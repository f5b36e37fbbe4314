/* SPDX-License-Identifier: MIT
 * Opening a model: what it says of itself in every dtype, and what is refused, whether its weights are loaded or only planned.
 */
#include "check.h"

#include <string.h>

#include "engine.h"
#include "model.h"
#include "team.h"

static struct model *opened(struct model_args a)
{
    struct model *m = NULL;
    struct err e = {0};

    if (model_open(&m, &a, &e) < 0)
        fail_msg("%s", e.text);
    return m;
}

static void refused(struct model_args a, const char *sentence)
{
    struct model *m = NULL;

    for (int plan_only = 0; plan_only < 2; plan_only++) {
        struct err e = {0};
        a.plan_only = plan_only;
        assert_int_equal(model_open(&m, &a, &e), ERR_USAGE);
        assert_string_equal(e.text, sentence);
        assert_null(m);
    }
}

static void a_model_says_in_what_its_weights_are_held_and_computed(void **state)
{
    static const char *const names[] = {"float32", "float16", "bfloat16", "q8_0", "q4_0"};

    (void)state;
    for (enum dtype d = 0; d <= DTYPE_Q4_0; d++) {
        struct model *m = opened((struct model_args){.source = "tiny-gpt2", .backend = "ref", .threads = 1, .dtype = d});
        const struct model_info *info = model_info(m);
        assert_string_equal(info->dtype, names[d]);
        assert_string_equal(info->arithmetic, "f32"); /* the reference decodes */
        assert_string_equal(info->stored, "F32");
        assert_int_equal(info->parameters, config_parameters(model_config(m)));
        assert_int_equal(info->weight_bytes, weights_bytes(model_config(m), d));
        assert_true(info->load_ns > 0);
        model_close(m);
    }
}

static void a_plan_says_the_same_without_loading(void **state)
{
    struct model_args a = {.source = "llama-3-8b", .backend = "null", .threads = 1, .dtype = DTYPE_Q4_0, .plan_only = true};
    struct model *m = opened(a);
    const struct model_info *info = model_info(m);

    (void)state;
    assert_string_equal(info->dtype, "q4_0");
    assert_string_equal(info->arithmetic, "f32");
    assert_int_equal(info->weight_bytes, weights_bytes(model_config(m), DTYPE_Q4_0));
    assert_int_equal(info->load_ns, 0);
    model_close(m);
}

static void a_dtype_whose_blocks_do_not_fit_is_refused(void **state)
{
    (void)state;
    refused(
        (struct model_args){.source = "tiny-llama", .backend = "ref", .threads = 1, .dtype = DTYPE_Q8_0},
        "tiny-llama: dtype q8_0: the rows of embedding, qkv and up have 60 elements, no whole blocks of 32; use f16 or bf16");
    refused((struct model_args){.source = "tiny-gpt2", .backend = "ref", .threads = 1, .dtype = DTYPE_Q6_K},
            "tiny-gpt2: dtype q6_k: weights can be held as f32, f16, bf16, q8_0 or q4_0");
}

static void openblas_takes_float32_only(void **state)
{
    struct model_args a = {.source = "tiny-gpt2", .backend = "ref", .threads = 1, .dtype = DTYPE_BF16, .gemm = GEMM_OPENBLAS};

    (void)state;
    refused(a, "tiny-gpt2: gemm openblas multiplies float32 weights only; for dtype bfloat16 take gemm own");
    a.dtype = DTYPE_F32;
    model_close(opened(a));
}

static int start_team(void **state)
{
    struct team team;

    (void)state;
    return team_start(&team, 1, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_says_in_what_its_weights_are_held_and_computed),
        cmocka_unit_test(a_plan_says_the_same_without_loading),
        cmocka_unit_test(a_dtype_whose_blocks_do_not_fit_is_refused),
        cmocka_unit_test(openblas_takes_float32_only),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
