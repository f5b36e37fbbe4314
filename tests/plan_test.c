/* SPDX-License-Identifier: MIT
 * What a suite becomes on a team of a known size with a known model: trials with their names, models opened once each, and what
 * does not fit. Models are opened without their weights. */
#include "check.h"

#include "run.h"
#include "suite_room.h"

static struct plan *plan;

static int start(void **state)
{
    plan = calloc(1, sizeof *plan);
    return plan ? open_room(state) : -1;
}

static int stop(void **state)
{
    plan_close(plan);
    free(plan);
    return close_room(state);
}

/* A plan of the suite's text with a team of one. */
static int open_plan(struct room *r, const char *text)
{
    const struct run_options o = {.suite = "x", .backend = "cpu", .threads = 1, .seed = 1};

    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", text, strlen(text));
    return plan_open(plan, &o, true, &r->err);
}

/* A model without a tokenizer: two bytes are two tokens. */
#define TINY "question: q?\nmodel: tiny-llama\nworkload:\n  prompt: hi\n  new_tokens: 4\n"

static void a_trial_is_named_by_cache_and_lengths_and_by_what_is_not_usual(void **state)
{
    struct room *r = *state;

    expect_good(r, open_plan(r, TINY "matrix:\n  dtype: [f32, f16]\n"
                                     "  include:\n"
                                     "    - {batch: 3, kv_cache: off, prompt_tokens: 7}\n"
                                     "    - {kv_dtype: bf16, strategy: top_k, threads: 1}\n"
                                     "    - {attention: naive, gemm: openblas}\n"));
    assert_int_equal(plan->trials, 5);
    assert_string_equal(plan->trial[0].label, "kv_cache=on prompt=2 new=4");
    assert_string_equal(plan->trial[1].label, "kv_cache=on prompt=2 new=4 dtype=f16");
    assert_string_equal(plan->trial[2].label, "kv_cache=off prompt=7 new=4 batch=3");
    assert_string_equal(plan->trial[3].label, "kv_cache=on prompt=2 new=4 strategy=top_k kv_dtype=bf16"); /* 1 is all */
    assert_string_equal(plan->trial[4].label, "kv_cache=on prompt=2 new=4 gemm=openblas attention=naive");
}

static void the_longest_name_of_a_trial_fits(void **state)
{
    char longest[LABEL_MAX], word[AXIS_TEXT];
    size_t n = strlen("kv_cache=off prompt=1048576 new=1048576");

    (void)state;
    for (int a = AXIS_BATCH; a < AXIS_COUNT; a++) {
        size_t most = axes[a].words ? 0 : strlen(axis_text((enum axis)a, axes[a].most, word));
        for (int i = 0; axes[a].words && axes[a].words[i]; i++)
            most = strlen(axes[a].words[i]) > most ? strlen(axes[a].words[i]) : most;
        if (a != AXIS_PROMPT_TOKENS && a != AXIS_NEW_TOKENS)
            n += strlen(axes[a].name) + 2 + most;
    }
    assert_true(n < sizeof longest);
}

static void each_dtype_and_gemm_is_one_model_however_many_trials_have_it(void **state)
{
    struct room *r = *state;

    expect_good(r, open_plan(r, TINY "matrix:\n  dtype: [bf16, f32]\n  kv_dtype: [f32, f16]\n"
                                     "  include: [{gemm: openblas, prompt_tokens: [4, 5]}]\n"));
    assert_int_equal(plan->trials, 6);
    assert_int_equal(plan->models, 3);
    assert_string_equal(model_info(plan->model[0].model)->dtype, "bfloat16");
    assert_string_equal(model_info(plan->model[1].model)->dtype, "float32");
    assert_ptr_equal(plan->trial[0].model, plan->model[0].model);
    assert_ptr_equal(plan->trial[1].model, plan->model[0].model);
    assert_ptr_equal(plan->trial[2].model, plan->model[1].model);
    assert_ptr_equal(plan->trial[5].model, plan->model[2].model);
    assert_ptr_equal(plan_find_model(plan, DTYPE_F32, GEMM_OPENBLAS), &plan->model[2]);
    assert_null(plan_find_model(plan, DTYPE_Q8_0, GEMM_OWN));
}

static void cells_that_become_one_once_text_and_all_are_numbers_are_run_once(void **state)
{
    struct room *r = *state;

    expect_good(r, open_plan(r, TINY "matrix:\n  prompt_tokens: [text, 2, 3]\n  threads: [all, 1]\n"));
    assert_int_equal(plan->prompt_len, 2);
    assert_int_equal(plan->trials, 2);
    assert_int_equal(plan->trial[0].cell.value[AXIS_PROMPT_TOKENS], 2);
    assert_int_equal(plan->trial[0].cell.value[AXIS_THREADS], 1);
    assert_int_equal(plan->trial[1].cell.value[AXIS_PROMPT_TOKENS], 3);
    assert_int_equal(plan->trial[1].prompt[2], plan->prompt_ids[0]); /* the text again */
}

static void more_threads_than_the_run_has_are_refused_with_the_remedy(void **state)
{
    struct room *r = *state;

    assert_int_equal(open_plan(r, TINY "matrix:\n  threads: [1, 2]\n"), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml: threads 2: this run has 1; take fewer, or more with --threads");
}

static void openblas_with_anything_but_float32_is_refused(void **state)
{
    struct room *r = *state;

    assert_int_equal(open_plan(r, TINY "engine: {dtype: bf16, gemm: openblas}\n"), ERR_USAGE);
    assert_non_null(strstr(r->err.text, "openblas"));
}

static void work_is_counted_in_the_bytes_of_the_trials_dtypes(void **state)
{
    struct room *r = *state;
    struct work step[3];

    expect_good(r, open_plan(r, TINY "matrix:\n  dtype: [f32, bf16]\n  include: [{kv_dtype: f16}]\n"));
    for (int i = 0; i < 3; i++) {
        struct pass_shape shape = plan_step_shape(&plan->trial[i], 1);
        step[i] = work_of_pass(plan_config(plan), &shape);
    }
    assert_true(step[0].flops == step[1].flops && step[0].flops == step[2].flops);
    assert_true(step[1].weight_bytes > 0.5 * step[0].weight_bytes); /* vectors stay float32 */
    assert_true(step[1].weight_bytes < 0.6 * step[0].weight_bytes);
    assert_true(2 * step[2].kv_read_bytes == step[0].kv_read_bytes);
    assert_true(step[2].weight_bytes == step[0].weight_bytes);
}

/* --- backends that cannot do all; whether there is a GPU does not matter, since what it cannot do is asked first --- */

static int open_for_gpu(struct room *r, const char *text)
{
    const struct run_options o = {.suite = "x", .backend = "cuda", .threads = 1, .seed = 1};

    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", text, strlen(text));
    return plan_open(plan, &o, true, &r->err);
}

static void cells_that_the_backend_cannot_compute_are_left_out_and_each_reason_is_told_once(void **state)
{
    struct room *r = *state;

    open_for_gpu(r, TINY "matrix:\n  prompt_tokens: [2, 3]\n  dtype: [f32, q8_0, bf16, q4_0]\n"
                         "  include: [{gemm: openblas}, {gemm: openblas, kv_dtype: f16}]\n");
    assert_int_equal(plan->left_outs, 3);
    assert_string_equal(plan->left_out[0].what, "dtype=q8_0");
    assert_string_equal(plan->left_out[1].what, "dtype=q4_0");
    assert_string_equal(plan->left_out[2].what, "gemm=openblas");
    assert_string_equal(plan->left_out[0].why, backend_refusal("cuda", DTYPE_Q8_0, GEMM_OWN, DTYPE_F32, ATTENTION_FLASH));
    assert_int_equal(plan->models, 2); /* f32 and bf16 are to be opened */
    assert_null(plan_find_model(plan, DTYPE_Q8_0, GEMM_OWN));
}

static void a_suite_of_which_nothing_is_left_is_refused_with_the_reason(void **state)
{
    struct room *r = *state;
    char sentence[512];

    assert_int_equal(open_for_gpu(r, TINY "engine: {dtype: q4_0}\n"), ERR_USAGE);
    snprintf(sentence, sizeof sentence, "x.yaml: dtype=q4_0: %s",
             backend_refusal("cuda", DTYPE_Q4_0, GEMM_OWN, DTYPE_F32, ATTENTION_FLASH));
    assert_string_equal(r->err.text, sentence);
}

static void a_cpu_launches_nothing_so_cells_that_differ_only_in_it_are_one(void **state)
{
    struct room *r = *state;

    expect_good(r, open_plan(r, TINY "engine: {launch: eager}\nmatrix:\n  launch: [eager, graph]\n  dtype: [f32, bf16]\n"));
    assert_int_equal(plan->device, -1);
    assert_int_equal(plan->left_outs, 0);
    assert_int_equal(plan->trials, 2);
    assert_int_equal(plan->trial[0].cell.value[AXIS_LAUNCH], LAUNCH_GRAPH);
    assert_string_equal(plan->trial[0].label, "kv_cache=on prompt=2 new=4");
}

#define PLANNED(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLANNED(a_trial_is_named_by_cache_and_lengths_and_by_what_is_not_usual),
        PLANNED(the_longest_name_of_a_trial_fits),
        PLANNED(each_dtype_and_gemm_is_one_model_however_many_trials_have_it),
        PLANNED(cells_that_become_one_once_text_and_all_are_numbers_are_run_once),
        PLANNED(more_threads_than_the_run_has_are_refused_with_the_remedy),
        PLANNED(openblas_with_anything_but_float32_is_refused),
        PLANNED(work_is_counted_in_the_bytes_of_the_trials_dtypes),
        PLANNED(cells_that_the_backend_cannot_compute_are_left_out_and_each_reason_is_told_once),
        PLANNED(a_suite_of_which_nothing_is_left_is_refused_with_the_reason),
        PLANNED(a_cpu_launches_nothing_so_cells_that_differ_only_in_it_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
