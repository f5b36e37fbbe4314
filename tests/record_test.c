/* SPDX-License-Identifier: MIT
 * The experiment record: what it says about a run, what survives a refill, what it refuses. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document_room.h"
#include "record.h"
#include "template.h"
#include "text.h"
#include "words.h"

/* The record as it is written; the caller frees. */
static struct text fill(struct fixture *f)
{
    struct text t = {0};

    int code = record_write(f->document, NULL, f->path, &f->err);
    if (code < 0)
        fail_msg("%s", f->err.text);
    assert_int_equal(text_read_file(&t, f->path, 1 << 20, NULL), 0);
    return t;
}

static void write_file(const char *path, const char *bytes)
{
    assert_int_equal(text_write_file(path, bytes, strlen(bytes), NULL), 0);
}

static void assert_says(const struct text *t, const char *words)
{
    if (!strstr(t->data, words))
        fail_msg("the record does not say: %s", words);
}

/* Every line of a table has as many bars that are not escaped as the line above it. */
static void assert_tables_are_tables(const char *record)
{
    int expected = 0;

    for (const char *line = record; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        int bars = 0;
        if (*line != '|') {
            expected = 0;
            continue;
        }
        for (const char *p = line; *p && *p != '\n'; p++) {
            if (*p == '\\')
                p++;
            else
                bars += *p == '|';
        }
        if (expected && bars != expected)
            fail_msg("%d bars instead of %d: %.120s", bars, expected, line);
        expected = bars;
    }
}

static json_t *trial(struct fixture *f, size_t i)
{
    return json_array_get(json_object_get(f->document, "trials"), i);
}

/* --- what it says ----------------------------------------------------------------------------------------------------------
 */

static void the_metrics_block_shows_the_longest_request_with_cache_at_the_texts_own_length(void **state)
{
    struct fixture *f = *state;
    struct text t = fill(f), line = {0};
    char b[WORDS_MAX];

    assert_says(&t, "## Experiment: kvcache_on_off\n");
    assert_says(&t, "Date: 2026-01-31\n");
    assert_says(&t, "Hardware: Sample CPU 9000 (synthetic data), 2 threads on CPU 0,1\n");
    assert_says(&t, "Model: distilgpt2 @ float32\n");
    assert_says(&t, "Prompt: \"Q: Explain why batching improves GPU utilization.\\nA:\"\n");
    assert_says(&t, "Batch policy: single request (batch 1, no waiting window)\n");
    assert_says(&t, "KV Cache: on\n");
    assert_says(&t, "load_model        : 412 ms, peak memory 403 MB\n");
    assert_says(&t, "\n| none: the weights were made, not read | | |\n");
    assert_says(&t, "GPU Utilization   : N/A (CPU only)\n");
    assert_says(&t, "Notes             : trial kv_cache=on prompt=13 new=128, medians of 6 repetitions\n");
    text_printf(&line, "total_generate    : %s\n", words_value(b, words_number_at(trial(f, 3), "total_ms.median"), "ms"));
    assert_says(&t, line.data);
    text_free(&line);
    text_printf(&line, "decode_loop       : %s (127 steps, ",
                words_value(b, words_number_at(trial(f, 3), "decode_loop_ms.median"), "ms"));
    assert_says(&t, line.data);
    text_free(&line);
    text_free(&t);
}

static void the_cache_is_shown_with_its_shape_and_both_sizes(void **state)
{
    struct fixture *f = *state;

    json_object_set_new(json_object_get(trial(f, 3), "kv"), "allocated_bytes", json_integer(5242880));
    struct text t = fill(f);
    assert_says(&t, "(1, 12, 140, 64) = [batch, heads, seq_len, head_dim]; by formula 5160960 bytes, allocated\n5242880 bytes");
    assert_says(&t, "= 9216 numbers = 36864 bytes");
    text_free(&t);
}

static void a_model_from_files_is_shown_with_its_types_speed_and_hashes(void **state)
{
    struct fixture *f = *state;
    json_t *model = json_object_get(f->document, "model");
    const char *hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    json_object_set_new(model, "format", json_string("GGUF"));
    json_object_set_new(model, "stored", json_string("Q4_K 86 %, Q6_K 14 %"));
    json_object_set_new(model, "stored_bytes", json_integer(86200000));
    json_object_set_new(model, "load_bytes_per_s", json_real(2.09e8));
    json_array_append_new(json_object_get(f->document, "model_files"),
                          json_pack("{s:s, s:i, s:s}", "path", "m/a_b|c.gguf", "bytes", 86300001, "sha256", hash));
    struct text t = fill(f);
    assert_tables_are_tables(t.data);
    assert_says(&t, "Model: distilgpt2 @ float32 (GGUF, stored as Q4_K 86 %, Q6_K 14 %)\n");
    assert_says(&t, "load_model        : 412 ms, 86.2 MB stored at 209 MB/s, peak memory 403 MB\n");
    assert_says(&t, "| m/a_b\\|c.gguf | 86300001 | 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef |\n");
    text_free(&t);
}

static void choosing_the_token_has_a_row_for_each_trial(void **state)
{
    struct fixture *f = *state;

    json_object_set_new(trial(f, 0), "sample", json_null());
    struct text t = fill(f);
    assert_says(&t, "| kv_cache=on prompt=13 new=16 | the largest logit | not measured | not measured | not measured |\n");
    assert_says(
        &t, "| kv_cache=on prompt=13 new=64 strategy=top_p | temperature 1, top-p 0.9, seed 1 | 0.613 [0.610, 0.622] | 613 | ");
    assert_says(&t, "| kv_cache=on prompt=13 new=64 strategy=beam | (4, 12, 76, 64) | 11206656 |");
    text_free(&t);
}

static void every_step_has_a_row_with_its_token(void **state)
{
    struct fixture *f = *state;
    struct text t = fill(f);

    assert_says(&t, "| Step | ms | KV seq_len | token |\n|---:|---:|---:|---|\n| 0 (prefill) | ");
    assert_says(&t, " | 13 | \" The\" |\n");
    assert_says(&t, "\n| 127 | ");
    assert_null(strstr(t.data, "\n| 128 | "));
    text_free(&t);
}

static void growth_stands_beside_the_theory(void **state)
{
    struct fixture *f = *state;
    struct text t = fill(f);

    assert_says(&t, "| cache off, prompt 13 | total_ms | timer | ");
    assert_says(&t, " | O(T^2 d^2 + T^3 d) | 2 to 3 |\n");
    text_free(&t);
}

static void work_that_was_not_counted_says_why(void **state)
{
    struct fixture *f = *state;
    struct text t = fill(f);

    assert_says(&t, " | not counted | none | analytic | see 1 |\n");
    assert_says(&t, "\n1. all four readings of papi:bytes were implausible (\\>= 2^46) and thrown away\n");
    assert_null(strstr(t.data, "\n2. "));
    text_free(&t);
}

static void types_have_a_section_only_where_there_is_something_to_tell(void **state)
{
    struct fixture *f = *state;
    struct text t = fill(f);

    assert_null(strstr(t.data, "### Types"));
    text_free(&t);
    json_object_set_new(trial(f, 2), "dtype", json_string("bf16"));
    json_object_set_new(trial(f, 2), "arithmetic", json_string("bf16"));
    json_object_set_new(trial(f, 2), "weight_bytes", json_real(163.8e6));
    t = fill(f);
    assert_says(&t, "| kv_cache=on prompt=13 new=64 | bf16 | 164 MB | bf16 |\n");
    assert_says(&t, "| none | not measured: `measure.accuracy: on` does |");
    assert_tables_are_tables(t.data);
    text_free(&t);
    json_object_set_new(trial(f, 2), "accuracy",
                        json_pack("{s:i, s:f, s:f, s:f, s:f}", "positions", 128, "max_error", 0.5, "mean_error", 0.02, "spread",
                                  2.0, "top1", 0.96875));
    t = fill(f);
    assert_says(&t, "| kv_cache=on prompt=13 new=64 | 0.500 | 25.0 % | 0.0200 | 1.00 % | 96.9 % | 128 |\n");
    assert_says(&t, "| f32 fma | registers | 2 | ");
    text_free(&t);
}

static void the_trial_of_the_block_computes_as_usual_where_one_does(void **state)
{
    struct fixture *f = *state;

    json_object_set_new(trial(f, 3), "dtype", json_string("bf16"));
    struct text t = fill(f);
    assert_says(&t, "Notes             : trial kv_cache=on prompt=13 new=64, ");
    text_free(&t);
}

static void tokens_cannot_break_a_table(void **state)
{
    struct fixture *f = *state;
    json_t *steps = json_object_get(trial(f, 3), "steps");
    const char *const nasty[] = {"a|b", "`", "\n", "\\|", "</script>", "<!-- notes:begin -->", "\t\x01", "*_~$[x](y)&amp;"};

    for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++)
        json_object_set_new(json_array_get(steps, i), "text", json_string(nasty[i]));
    json_object_set_new(trial(f, 3), "text", json_string("|\n<!-- notes:end -->\n```\n"));
    json_object_set_new(json_object_get(f->document, "run"), "prompt", json_string("```\n<!-- notes:begin -->\n```"));
    struct text t = fill(f);
    assert_tables_are_tables(t.data);
    assert_says(&t, "| \"a\\|b\" |\n");
    assert_says(&t, "| \"\\`\" |\n");
    assert_says(&t, "| \"\\\\n\" |\n");
    assert_says(&t, "| \"\\\\\\\\\\|\" |\n");
    assert_says(&t, "| \"\\<!-- notes:begin --\\>\" |\n");
    text_free(&t);
    t = fill(f); /* and it can be filled again */
    text_free(&t);
}

static void an_unfinished_run_gives_a_record_that_says_so(void **state)
{
    struct fixture *f = *state;
    json_t *run = json_object_get(f->document, "run");
    const char *const lists[] = {"trials", "roofs", "calibrations", "overhead", "fits", "claims", "machine", "absent"};

    json_object_set_new(run, "finished", json_null());
    json_object_set_new(run, "outcome", json_null());
    json_object_set_new(run, "load_model_ms", json_null());
    json_object_set_new(f->document, "ridge", json_null());
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        json_object_set_new(f->document, lists[i], json_array());
    struct text t = fill(f);
    assert_says(&t, "This run did not finish: no end was recorded");
    assert_says(&t, "load_model        : not measured\n");
    assert_says(&t, "prefill           : not measured\n");
    assert_says(&t, "KV Cache: no trial was begun\n");
    assert_null(strstr(t.data, "nan"));
    assert_null(strstr(t.data, "(null)"));
    assert_tables_are_tables(t.data);
    text_free(&t);
}

static void a_trial_without_figures_is_not_the_main_one(void **state)
{
    struct fixture *f = *state;

    json_object_set_new(trial(f, 3), "total_ms", json_null());
    struct text t = fill(f);
    assert_says(&t, "Notes             : trial kv_cache=on prompt=13 new=64, ");
    text_free(&t);
}

static void gpu_utilization_of_a_backend_that_is_not_the_cpu_is_not_made_up(void **state)
{
    struct fixture *f = *state;

    json_object_set_new(json_object_get(f->document, "run"), "backend", json_string("elsewhere"));
    struct text t = fill(f);
    assert_says(&t, "GPU Utilization   : not measured\n");
    text_free(&t);
}

static void the_file_is_named_by_date_suite_and_run(void **state)
{
    struct fixture *f = *state;
    char path[128];

    record_default_path(f->document, "experiments", path, sizeof path);
    assert_string_equal(path, "experiments/2026-01-31-kvcache_on_off-7.md");
    json_object_set_new(json_object_get(f->document, "run"), "suite", json_string("../a b"));
    record_default_path(f->document, "experiments", path, sizeof path);
    assert_string_equal(path, "experiments/2026-01-31-.._a_b-7.md");
}

/* --- refilling -------------------------------------------------------------------------------------------------------------
 */

static void notes_survive_a_refill_byte_for_byte(void **state)
{
    static const char notes[] =
        "mine: {{name}} \xe4\xb8\xad\xe6\x96\x87 | `x`\r\n\n  <!-- notes:begin --> not a line of its own\n";
    struct fixture *f = *state;
    struct text first = fill(f), edited = {0}, again;
    char *begin = strstr(first.data, "<!-- notes:begin -->\n") + strlen("<!-- notes:begin -->\n");
    char *end = strstr(first.data, "<!-- notes:end -->");

    text_puts(&edited, "what stands here is rewritten\n<!-- notes:begin -->\n");
    text_puts(&edited, notes);
    text_puts(&edited, "<!-- notes:end -->\n");
    write_file(f->path, edited.data);
    json_object_set_new(json_object_get(f->document, "run"), "load_model_ms", json_real(5));
    again = fill(f);
    assert_says(&again, "load_model        : 5.00 ms, ");
    assert_null(strstr(again.data, "what stands here"));
    char *kept = strstr(again.data, notes);
    assert_non_null(kept);
    assert_memory_equal(kept - strlen("<!-- notes:begin -->\n"), "<!-- notes:begin -->\n", strlen("<!-- notes:begin -->\n"));
    assert_string_equal(kept + strlen(notes), end);
    assert_true(begin < end);
    text_free(&again);
    text_free(&edited);
    text_free(&first);
}

static void a_file_with_broken_markers_is_refused_and_left_as_it_is(void **state)
{
    struct fixture *f = *state;
    const char *const broken[] = {
        "",
        "a letter\n",
        "<!-- notes:begin -->\nx\n",
        "<!-- notes:end -->\nx\n<!-- notes:begin -->\n",
        "<!-- notes:begin -->\nx\n<!-- notes:begin -->\n<!-- notes:end -->\n",
        " <!-- notes:begin -->\nx\n<!-- notes:end -->\n",
    };

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct text after = {0};
        write_file(f->path, broken[i]);
        assert_int_equal(record_write(f->document, NULL, f->path, &f->err), ERR_FORMAT);
        assert_non_null(strstr(f->err.text, f->path));
        assert_non_null(strstr(f->err.text, "not overwritten"));
        assert_int_equal(text_read_file(&after, f->path, 1000, NULL), 0);
        assert_string_equal(after.data, broken[i]);
        text_free(&after);
    }
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    char path[400];

    snprintf(path, sizeof path, "%s/none/record.md", f->dir);
    assert_int_equal(record_write(f->document, NULL, path, &f->err), ERR_IO);
    assert_non_null(strstr(f->err.text, path));
}

/* --- templates -------------------------------------------------------------------------------------------------------------
 */

static void assert_renders(const char *template, const char *expected)
{
    json_t *view = json_pack("{s:s, s:i, s:s, s:[{s:s},{s:s}], s:[], s:b}", "name", "N", "n", 3, "empty", "", "list", "x", "1",
                             "x", "2", "none", "yes", 1);
    struct text out = {0};
    struct err e = {0};
    int code = template_render(&out, "t", template, view, &e);

    assert_string_equal(code < 0 ? e.text : out.data, expected);
    text_free(&out);
    json_decref(view);
}

static void a_template_fills_names_repeats_lists_and_leaves_out_what_is_empty(void **state)
{
    (void)state;
    assert_renders("{{name}} {{n}}", "N 3");
    assert_renders("a\n{{#list}}\n- {{x}} of {{name}}\n{{/list}}\nb\n", "a\n- 1 of N\n- 2 of N\nb\n");
    assert_renders("{{#list}}{{x}},{{/list}}", "1,2,");
    assert_renders("{{#none}}{{whatever}}{{/none}}{{^none}}no rows{{/none}}", "no rows");
    assert_renders("{{^list}}no rows{{/list}}{{#yes}}y{{/yes}}{{#empty}}e{{/empty}}{{^empty}}z{{/empty}}", "yz");
    assert_renders("{{#list}}{{#yes}}{{x}}{{/yes}}{{/list}}", "12");
}

static void a_wrong_template_is_an_error_with_its_line(void **state)
{
    (void)state;
    assert_renders("a\n\n{{prefil}}", "t:3: {{prefil}}: no such name");
    assert_renders("\n{{#list}}\n{{y}}\n{{/list}}", "t:3: {{y}}: no such name");
    assert_renders("{{list}}", "t:1: {{list}}: is a list; write {{#name}} ... {{/name}}");
    assert_renders("x\n{{#list}}{{x}}", "t:2: {{list}}: this section has no end");
    assert_renders("{{#yes}}{{/list}}", "t:1: {{list}}: ends a section that is not open here");
    assert_renders("{{/yes}}", "t:1: {{yes}}: ends a section that is not open here");
    assert_renders("{{name\n}}", "t:1: {{}}: a tag needs a name and its }} on the same line");
    assert_renders("{{nobody", "t:1: {{}}: a tag needs a name and its }} on the same line");
}

static void a_template_of_ones_own_must_hold_the_markers(void **state)
{
    struct fixture *f = *state;
    char own[300];

    snprintf(own, sizeof own, "%s/own.md", f->dir);
    write_file(own, "run {{run}}\n<!-- notes:begin -->\n<!-- notes:end -->\n");
    assert_int_equal(record_write(f->document, own, f->path, &f->err), 0);
    write_file(own, "run {{run}}\n");
    assert_int_equal(record_write(f->document, own, f->path, &f->err), ERR_FORMAT);
    assert_non_null(strstr(f->err.text, own));
    write_file(own, "run\n{{runn}}\n");
    assert_int_equal(record_write(f->document, own, f->path, &f->err), ERR_FORMAT);
    assert_non_null(strstr(f->err.text, "own.md:2: {{runn}}: no such name"));
    unlink(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_metrics_block_shows_the_longest_request_with_cache_at_the_texts_own_length, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_cache_is_shown_with_its_shape_and_both_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_from_files_is_shown_with_its_types_speed_and_hashes, setup, teardown),
        cmocka_unit_test_setup_teardown(choosing_the_token_has_a_row_for_each_trial, setup, teardown),
        cmocka_unit_test_setup_teardown(every_step_has_a_row_with_its_token, setup, teardown),
        cmocka_unit_test_setup_teardown(growth_stands_beside_the_theory, setup, teardown),
        cmocka_unit_test_setup_teardown(work_that_was_not_counted_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(types_have_a_section_only_where_there_is_something_to_tell, setup, teardown),
        cmocka_unit_test_setup_teardown(the_trial_of_the_block_computes_as_usual_where_one_does, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_cannot_break_a_table, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unfinished_run_gives_a_record_that_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trial_without_figures_is_not_the_main_one, setup, teardown),
        cmocka_unit_test_setup_teardown(gpu_utilization_of_a_backend_that_is_not_the_cpu_is_not_made_up, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_is_named_by_date_suite_and_run, setup, teardown),
        cmocka_unit_test_setup_teardown(notes_survive_a_refill_byte_for_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_with_broken_markers_is_refused_and_left_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_named, setup, teardown),
        cmocka_unit_test(a_template_fills_names_repeats_lists_and_leaves_out_what_is_empty),
        cmocka_unit_test(a_wrong_template_is_an_error_with_its_line),
        cmocka_unit_test_setup_teardown(a_template_of_ones_own_must_hold_the_markers, setup, teardown),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
