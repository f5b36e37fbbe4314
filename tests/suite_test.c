/* SPDX-License-Identifier: MIT
 * What a suite may say, and what becomes of it. */
#include "check.h"

#include <dirent.h>

#include "claims.h"
#include "engine.h"
#include "roofs.h"
#include "suite_keys.h"
#include "suite_room.h"

struct wrong {
    const char *text, *sentence;
};

static void the_ending_may_be_left_out_and_another_name_taken_as_it_is(void **state)
{
    struct room *r = *state;

    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", HEAD, strlen(HEAD));
    write_bytes("plain", HEAD, strlen(HEAD));
    expect_good(r, suite_read(&r->suite, "./x", NULL, false, &r->err));
    assert_string_equal(r->suite.path, "./x.yaml");
    assert_string_equal(r->suite.name, "x");
    suite_free(&r->suite);
    expect_good(r, suite_read(&r->suite, "plain", NULL, false, &r->err));
    assert_string_equal(r->suite.path, "plain");
    assert_string_equal(r->suite.name, "plain");
}

/* --- what is read ------------------------------------------------------------------------------------------------------- */

static void the_shortest_suite_gets_the_documented_defaults(void **state)
{
    struct room *r = *state;
    const struct suite *s = &r->suite;

    expect_good(r, read_text(r, HEAD, NULL, false));
    assert_string_equal(s->question, "q?");
    assert_string_equal(s->model, "tiny");
    assert_string_equal(s->prompt, "hi");
    const struct cell usual = {.value = {[AXIS_KV_CACHE] = 1, [AXIS_BATCH] = 1, [AXIS_NEW_TOKENS] = 16}};
    assert_memory_equal(&s->usual, &usual, sizeof usual); /* text, greedy, f32, all threads, own, flash are 0 */
    for (int a = 0; a < AXIS_COUNT; a++)
        assert_int_equal(s->matrix.len[a], 0);
    assert_false(s->accuracy);
    assert_int_equal(s->includes + s->excludes + s->claims, 0);
    assert_int_equal(s->probe_count, 1);
    assert_string_equal(s->probes[0], "clock");
    assert_int_equal(s->warmup, 1);
    assert_int_equal(s->repetitions_min, 5);
    assert_int_equal(s->repetitions_max, 9);
    assert_float_equal(s->target, 0.02, 0);
    assert_float_equal(s->budget_s, 60, 0);
    assert_int_equal(s->roof_ms, 150);
}

static void assert_values(const struct axis_values *v, enum axis a, int n, const int *expected)
{
    assert_int_equal(v->len[a], n);
    assert_memory_equal(v->value[a], expected, (size_t)n * sizeof *expected);
}
#define assert_axis(v, a, ...) assert_values(v, a, sizeof((int[]){__VA_ARGS__}) / sizeof(int), (const int[]){__VA_ARGS__})

static void every_key_lands_in_its_field(void **state)
{
    struct room *r = *state;
    const struct suite *s = &r->suite;

    expect_good(r,
                read_text(r,
                          "question: caf\xc3\xa9?\nmodel: ./weights\n"
                          "workload: {prompt: \"a\\nb\", kv_cache: No, batch: 3, prompt_tokens: 1048576, new_tokens: 7,\n"
                          "  strategy: beam, sampling: {temperature: 0.7, beams: 3, top_k: 9}}\n"
                          "engine: {dtype: q8_0, kv_dtype: bf16, threads: 2, gemm: openblas, attention: naive,\n"
                          "  launch: eager}\n"
                          "matrix:\n  kv_cache: [false, TRUE]\n  batch: 2\n  prompt_tokens: [text, 5]\n  new_tokens: [9, 8]\n"
                          "  strategy: [top_k, sample, greedy]\n  dtype: [q4_0, f32]\n  threads: [1, all]\n"
                          "  launch: [eager, graph]\n"
                          "  include: [{batch: [4, 5], kv_cache: yes}]\n  exclude: [{prompt_tokens: text}, {new_tokens: 8}]\n"
                          "measure: {probes: [rusage, clock], per: op, accuracy: on, warmup: 0, repetitions: 4, target: 0.5,\n"
                          "  budget_s: 1.5, roof_ms: 1}\n"
                          "expect: []\nquick: {}\n",
                          NULL, false));
    assert_string_equal(s->question, "caf\xc3\xa9?");
    assert_string_equal(s->model, "./weights");
    assert_string_equal(s->prompt, "a\nb");
    assert_memory_equal(s->usual.value,
                        ((int[AXIS_COUNT]){0, 3, 1048576, 7, STRATEGY_BEAM, DTYPE_Q8_0, DTYPE_BF16, 2, GEMM_OPENBLAS,
                                           ATTENTION_NAIVE, LAUNCH_EAGER}),
                        sizeof s->usual.value);
    assert_memory_equal(s->matrix.len, ((int[AXIS_COUNT]){2, 1, 2, 2, 3, 2, 0, 2, 0, 0, 2}), sizeof s->matrix.len);
    assert_axis(&s->matrix, AXIS_KV_CACHE, 0, 1);
    assert_axis(&s->matrix, AXIS_BATCH, 2);
    assert_axis(&s->matrix, AXIS_PROMPT_TOKENS, 0, 5);
    assert_axis(&s->matrix, AXIS_NEW_TOKENS, 9, 8);
    assert_axis(&s->matrix, AXIS_STRATEGY, STRATEGY_TOP_K, STRATEGY_SAMPLE, STRATEGY_GREEDY);
    assert_axis(&s->matrix, AXIS_DTYPE, DTYPE_Q4_0, DTYPE_F32);
    assert_axis(&s->matrix, AXIS_THREADS, 1, 0);
    assert_axis(&s->matrix, AXIS_LAUNCH, LAUNCH_EAGER, LAUNCH_GRAPH);
    assert_float_equal(s->sampling.temperature, 0.7, 0);
    assert_int_equal(s->sampling.beams, 3);
    assert_int_equal(s->sampling.top_k, 9);
    assert_int_equal(s->includes, 1);
    assert_memory_equal(s->include[0].len, ((int[AXIS_COUNT]){1, 2}), sizeof s->include[0].len);
    assert_axis(&s->include[0], AXIS_BATCH, 4, 5);
    assert_axis(&s->include[0], AXIS_KV_CACHE, 1);
    assert_int_equal(s->excludes, 2);
    assert_axis(&s->exclude[0], AXIS_PROMPT_TOKENS, 0);
    assert_axis(&s->exclude[1], AXIS_NEW_TOKENS, 8);
    assert_int_equal(s->probe_count, 2);
    assert_string_equal(s->probes[0], "rusage");
    assert_string_equal(s->probes[1], "clock");
    assert_true(s->per_op);
    assert_true(s->accuracy);
    assert_int_equal(s->warmup, 0);
    assert_int_equal(s->repetitions_min, 4);
    assert_int_equal(s->repetitions_max, 4);
    assert_float_equal(s->target, 0.5, 0);
    assert_float_equal(s->budget_s, 1.5, 0);
    assert_int_equal(s->roof_ms, 1);
}

/* Whatever the table of axes says: each has a usual value in its section and values in the matrix, by all its words. */
static void every_axis_is_set_and_varied_by_its_name(void **state)
{
    struct room *r = *state;
    char key[96], set[128], word[AXIS_TEXT];

    for (int a = 0; a < AXIS_COUNT; a++)
        for (int value = axes[a].words || axes[a].zero ? 0 : 1; value < 2; value++) {
            const char *text = axis_text((enum axis)a, value, word);
            snprintf(key, sizeof key, "%s.%s", axes[a].section, axes[a].name);
            assert_true(suite_key_settable(key));
            snprintf(set, sizeof set, "%s=%s", key, text);
            expect_good(r, read_text(r, HEAD, (const char *[]){set, NULL}, false));
            assert_int_equal(r->suite.usual.value[a], value);
            snprintf(set, sizeof set, "matrix.%s=[%s]", axes[a].name, text);
            expect_good(r, read_text(r, HEAD, (const char *[]){set, NULL}, false));
            assert_values(&r->suite.matrix, (enum axis)a, 1, &value);
        }
}

static void a_byte_order_mark_and_windows_line_ends_do_no_harm(void **state)
{
    struct room *r = *state;

    expect_good(r, read_text(r, "\xef\xbb\xbfquestion: q?\r\nmodel: tiny\r\nworkload:\r\n  prompt: hi\r\n", NULL, false));
    assert_string_equal(r->suite.model, "tiny");
}

static void claims_are_kept_as_compact_json_with_normalised_values(void **state)
{
    struct room *r = *state;

    expect_good(
        r, read_text(
               r,
               HEAD
               "expect:\n"
               "  - {where: {prompt_tokens: 128}, is: compute, phase: prefill, claim: bound}\n"
               "  - {claim: ratio, metric: bytes, of: {new_tokens: 4, kv_cache: no}, over: {kv_cache: true, strategy: top_p},\n"
               "     above: 1.1, grows: off, along: new_tokens}\n"
               "  - {claim: exponent, metric: flops, along: batch, steeper: {batch: 1}, than: {batch: 2}}\n"
               "  - {claim: same_tokens, across: kv_cache}\n"
               "  - {claim: efficiency, phase: decode, above: 0.92, roof: dram read, op: attention,\n"
               "     where: {dtype: [bf16, f32], threads: [1, all], batch: [2]}}\n"
               "  - {claim: share, of: rest, phase: decode, below: 0.04}\n"
               "  - {claim: bound, phase: decode, is: launch, where: {launch: eager}}\n",
               NULL, false));
    assert_int_equal(r->suite.claims, 7);
    assert_string_equal(r->suite.claim[0].kind, "bound");
    assert_string_equal(r->suite.claim[0].json,
                        "{\"claim\":\"bound\",\"phase\":\"prefill\",\"is\":\"compute\",\"where\":{\"prompt_tokens\":128}}");
    assert_string_equal(
        r->suite.claim[1].json,
        "{\"claim\":\"ratio\",\"metric\":\"bytes\",\"of\":{\"kv_cache\":\"off\",\"new_tokens\":4},"
        "\"over\":{\"kv_cache\":\"on\",\"strategy\":\"top_p\"},\"along\":\"new_tokens\",\"above\":1.1,\"grows\":false}");
    assert_string_equal(r->suite.claim[2].json, "{\"claim\":\"exponent\",\"metric\":\"flops\",\"along\":\"batch\","
                                                "\"steeper\":{\"batch\":1},\"than\":{\"batch\":2}}");
    assert_string_equal(r->suite.claim[3].json, "{\"claim\":\"same_tokens\",\"across\":\"kv_cache\"}");
    assert_string_equal(r->suite.claim[4].json,
                        "{\"claim\":\"efficiency\",\"phase\":\"decode\",\"above\":0.92,\"op\":\"attention\",\"roof\":\"dram "
                        "read\",\"where\":{\"batch\":2,\"dtype\":[\"bf16\",\"f32\"],\"threads\":[1,\"all\"]}}");
    assert_string_equal(r->suite.claim[6].json,
                        "{\"claim\":\"bound\",\"phase\":\"decode\",\"is\":\"launch\",\"where\":{\"launch\":\"eager\"}}");
    assert_string_equal(r->suite.claim[5].json, "{\"claim\":\"share\",\"of\":\"rest\",\"phase\":\"decode\",\"below\":0.04}");
}

/* Claims match the counts that were run. */
static void text_and_all_in_a_claim_become_what_the_run_counts(void **state)
{
    struct room *r = *state;
    const struct cell counts = {.value = {[AXIS_PROMPT_TOKENS] = 13, [AXIS_THREADS] = 2}};

    expect_good(r, read_text(r,
                             HEAD "expect:\n"
                                  "  - {claim: ratio, metric: bytes, of: {threads: all}, over: {threads: [1, all], batch: 3},\n"
                                  "     above: 1.1}\n"
                                  "  - {claim: faults, below: 1, where: {prompt_tokens: text, dtype: f16}}\n",
                             NULL, false));
    char *ratio = suite_claim_resolved(&r->suite.claim[0], &counts),
         *faults = suite_claim_resolved(&r->suite.claim[1], &counts);
    assert_string_equal(ratio, "{\"claim\":\"ratio\",\"metric\":\"bytes\",\"of\":{\"threads\":2},"
                               "\"over\":{\"batch\":3,\"threads\":[1,2]},\"above\":1.1}");
    assert_string_equal(faults, "{\"claim\":\"faults\",\"below\":1,\"where\":{\"prompt_tokens\":13,\"dtype\":\"f16\"}}");
    free(ratio);
    free(faults);
}

static void every_kind_of_claim_fits_its_buffers_at_its_longest(void **state)
{
    struct room *r = *state;
    static const char all_axes[] =
        "{kv_cache: off, batch: 4096, prompt_tokens: 1048576, new_tokens: 1048576, strategy: greedy, dtype: q8_0, kv_dtype: "
        "bf16, threads: 4096, gemm: openblas, attention: flash}";
    static const char *const longest[] = {
        [CLAIM_PHASE] = "prefill",     [CLAIM_BOUND] = "bandwidth",
        [CLAIM_WHERE] = all_axes,      [CLAIM_AXIS] = "prompt_tokens",
        [CLAIM_METRIC] = "prefill_ms", [CLAIM_OP] = "attention",
        [CLAIM_ROOF] = "dram triad",   [CLAIM_NUMBER] = "-1.23456789012345678901234e-300",
        [CLAIM_FLAG] = "false",
    };

    for (const struct claim_kind *k = claim_kinds; k->name; k++) {
        struct text t = {0};
        text_printf(&t, HEAD "expect:\n  - {claim: %s", k->name);
        for (int i = 0; i < CLAIM_KEYS_MAX && k->key[i].name; i++)
            text_printf(&t, ", %s: %s", k->key[i].name, longest[k->key[i].value]);
        text_puts(&t, "}\n");
        expect_good(r, read_text(r, t.data, NULL, false));
        assert_string_equal(r->suite.claim[0].kind, k->name);
        text_free(&t);
    }
}

/* --- --set and --quick -------------------------------------------------------------------------------------------------- */

static void a_value_from_the_command_line_replaces_or_adds_a_key(void **state)
{
    struct room *r = *state;
    const struct suite *s = &r->suite;

    expect_good(r, read_text(r,
                             HEAD "matrix: {new_tokens: [1, 2, 3]}\nmeasure: {repetitions: {min: 2, max: 3}}\n"
                                  "expect: [{claim: same_tokens, across: kv_cache}]\n",
                             (const char *[]){"matrix.new_tokens=[8, 16]", "matrix.kv_cache=off", "measure.repetitions.max=7",
                                              "measure.probes=[clock, rusage]", "workload.prompt='a: b = c'", "expect=[]",
                                              "model=other", "model=last", NULL},
                             false));
    assert_int_equal(s->matrix.len[AXIS_NEW_TOKENS], 2);
    assert_int_equal(s->matrix.value[AXIS_NEW_TOKENS][1], 16);
    assert_int_equal(s->matrix.len[AXIS_KV_CACHE], 1);
    assert_int_equal(s->matrix.value[AXIS_KV_CACHE][0], 0);
    assert_int_equal(s->repetitions_min, 2);
    assert_int_equal(s->repetitions_max, 7);
    assert_int_equal(s->probe_count, 2);
    assert_string_equal(s->prompt, "a: b = c");
    assert_int_equal(s->claims, 0);
    assert_string_equal(s->model, "last");
}

static void a_section_that_the_suite_left_out_is_made_for_a_set_value(void **state)
{
    struct room *r = *state;

    expect_good(r, read_text(r, HEAD, (const char *[]){"measure.repetitions.min=2", "measure.repetitions.max=2", NULL}, false));
    assert_int_equal(r->suite.repetitions_max, 2);
    assert_int_equal(read_text(r, "question: q?\nmodel: tiny\n", (const char *[]){"workload.batch=2", NULL}, false), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:1:1: workload.prompt: missing; this key is required");
}

static void a_wrong_set_value_is_named_by_its_key(void **state)
{
    struct room *r = *state;
    static const struct wrong wrong[] = {
        {"foo", "--set foo: expected key=value"},
        {"=3", "--set =3: expected key=value"},
        {"", "--set : expected key=value"},
        {"workload.batch=many", "--set workload.batch: expected an integer from 1 to 4096, got 'many'"},
        {"workload.batch=", "--set workload.batch: expected an integer from 1 to 4096, got nothing"},
        {"workload.batch=&a 3", "--set workload.batch: expected no anchors and aliases (& and *); write the value out"},
        {"workload.prompt=Q: why", "--set workload.prompt: expected a text of 1 to 4095 bytes, got a mapping"},
        {"workload.bach=2", "--set workload.bach: unknown key; did you mean 'workload.batch'?"},
        {"new_tokens=2", "--set new_tokens: unknown key; did you mean 'workload.new_tokens'?"},
        {"dtype=bf16", "--set dtype: unknown key; did you mean 'engine.dtype'?"},
        {"workload.threads=2", "--set workload.threads: unknown key; did you mean 'engine.threads'?"},
        {"engine.dtype=bf61", "--set engine.dtype: expected f32, f16, bf16, q8_0 or q4_0, got 'bf61'; did you mean 'bf16'?"},
        {"engine.kv_dtype=q8_0", "--set engine.kv_dtype: expected f32, f16 or bf16, got 'q8_0'"},
        {"engine.threads=0", "--set engine.threads: expected all or an integer from 1 to 4096, got '0'"},
        {"workload.batch.x=2", "--set workload.batch.x: unknown key; did you mean 'workload.batch'?"},
        {"zebra=2", "--set zebra: unknown key; expected a dotted key such as 'workload.batch'"},
        {"quick={}", "--set quick: unknown key; expected a dotted key such as 'workload.batch'"},
        {"matrix.kv_cache=[on, maybe]", "--set matrix.kv_cache: expected on or off, got 'maybe'"},
        {"matrix.kv_cache=[on", "--set matrix.kv_cache: while parsing a flow sequence, did not find expected ',' or ']'"},
        {"matrix.kv_cache=\xff", "--set matrix.kv_cache: invalid leading UTF-8 octet"},
        {"matrix={new_tokens: 1, new_tokens: 2}", "--set matrix.new_tokens: duplicate key"},
        {"matrix={zebra: 1}", "--set matrix.zebra: unknown key; expected kv_cache, batch, prompt_tokens, new_tokens, strategy, "
                              "dtype, kv_dtype, threads, "
                              "gemm, attention, launch, include or exclude"},
        {"measure.repetitions={min: 2}", "--set measure.repetitions.max: missing; this key is required"},
        {"measure.repetitions.min=2",
         "--set measure.repetitions.min: 'repetitions' is one value in this suite; set it as a whole"},
        {"expect=[{claim: same_tokens}]", "--set expect.across: missing; this key is required"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int code = read_text(r, HEAD "measure: {repetitions: 5}\n", (const char *[]){wrong[i].text, NULL}, false);
        assert_string_equal(r->err.text, wrong[i].sentence);
        assert_int_equal(code, ERR_USAGE);
    }
}

static void quick_applies_its_section_and_set_has_the_last_word(void **state)
{
    struct room *r = *state;
    const char *text = HEAD "  batch: 4\n  new_tokens: 9\nquick: {workload.batch: 2, workload.new_tokens: 3}\n";

    expect_good(r, read_text(r, text, NULL, false));
    assert_int_equal(r->suite.usual.value[AXIS_BATCH], 4);
    expect_good(r, read_text(r, text, NULL, true));
    assert_int_equal(r->suite.usual.value[AXIS_BATCH], 2);
    assert_int_equal(r->suite.usual.value[AXIS_NEW_TOKENS], 3);
    expect_good(r, read_text(r, text, (const char *[]){"workload.batch=1", NULL}, true));
    assert_int_equal(r->suite.usual.value[AXIS_BATCH], 1);
    assert_int_equal(r->suite.usual.value[AXIS_NEW_TOKENS], 3);

    expect_good(r, read_text(r, HEAD "quick: {matrix.batch: 2, measure.warmup: 0, expect: []}\n", NULL, true));
    assert_int_equal(r->suite.matrix.value[AXIS_BATCH][0], 2);
    assert_int_equal(r->suite.warmup, 0);

    assert_int_equal(read_text(r, HEAD "quick: {workload.batch: x}\n", NULL, true), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:5:25: workload.batch: expected an integer from 1 to 4096, got 'x'");
    assert_int_equal(read_text(r, HEAD, NULL, true), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml: --quick needs a section 'quick' in the suite");
    assert_int_equal(read_text(r, HEAD "measure: {repetitions: 2}\nquick: {measure.repetitions.min: 1}\n", NULL, true),
                     ERR_USAGE);
    assert_string_equal(
        r->err.text, "x.yaml:6:9: quick.measure.repetitions.min: 'repetitions' is one value in this suite; set it as a whole");
}

static void the_stored_text_says_what_was_changed(void **state)
{
    struct room *r = *state;

    expect_good(r, read_text(r, HEAD "quick: {}", NULL, false));
    assert_string_equal(r->suite.yaml.data, HEAD "quick: {}\n");
    expect_good(r,
                read_text(r, HEAD "quick: {}", (const char *[]){"workload.batch=2", "workload.prompt=\"a\n\nb\"", NULL}, true));
    assert_string_equal(r->suite.yaml.data,
                        HEAD "quick: {}\n# --quick\n# --set workload.batch=2\n# --set workload.prompt=\"a\n# \n# b\"\n");
}

/* --- the shipped suite, whole and broken -------------------------------------------------------------------------------- */

static void the_shipped_suite_says_what_its_comments_say(void **state)
{
    struct room *r = *state;
    const struct suite *s = &r->suite;

    expect_good(r, suite_read(&r->suite, SHIPPED, NULL, false, &r->err));
    assert_string_equal(s->path, SHIPPED ".yaml");
    assert_string_equal(s->name, "kvcache_on_off");
    assert_string_equal(s->model, "distilgpt2");
    assert_string_equal(s->prompt, "Q: Explain why batching improves GPU utilization.\nA:");
    assert_int_equal(s->claims, 7);
    assert_string_equal(s->claim[4].json,
                        "{\"claim\":\"ratio\",\"metric\":\"total_ms\",\"of\":{\"kv_cache\":\"off\"},"
                        "\"over\":{\"kv_cache\":\"on\"},\"along\":\"new_tokens\",\"above\":1,\"grows\":true}");
    suite_free(&r->suite);
    expect_good(r, suite_read(&r->suite, SHIPPED ".yaml", NULL, true, &r->err));
    assert_int_equal(s->claims, 1);
    assert_int_equal(s->repetitions_max, 2);
}

static int is_yaml(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');

    return dot && strcmp(dot, ".yaml") == 0;
}

/* The claims of a suite without ops ask for none. */
static void expect_op_claims_to_have_ops(const struct suite *s)
{
    for (int i = 0; i < s->claims; i++)
        if (!s->per_op && (strcmp(s->claim[i].kind, "share") == 0 || strstr(s->claim[i].json, "\"op\":")))
            fail_msg("%s: a claim about ops, but measure.per is step: %s", s->path, s->claim[i].json);
}

static void every_suite_in_the_folder_is_read_whole_and_quick_and_has_cells(void **state)
{
    struct room *r = *state;
    struct dirent **list = NULL;
    int n = scandir("suites", &list, is_yaml, alphasort);

    assert_true(n >= 7);
    for (int i = 0; i < n; i++) {
        for (int quick = 0; quick < 2; quick++) {
            struct cell cells[TRIALS_MAX];
            char path[512];
            int count = 0;
            snprintf(path, sizeof path, "suites/%s", list[i]->d_name);
            suite_free(&r->suite);
            expect_good(r, suite_read(&r->suite, path, NULL, quick, &r->err));
            expect_good(r, suite_cells(&r->suite, cells, TRIALS_MAX, &count, &r->err));
            assert_true(quick ? count <= 8 : count <= 64); /* minutes, seconds */
            expect_op_claims_to_have_ops(&r->suite);
        }
        free(list[i]);
    }
    free(list);
}

/* Whatever the bytes are: a suite, or one sentence that begins with the file's name. */
static void expect_suite_or_sentence(struct room *r, const char *data, size_t n)
{
    struct cell cells[TRIALS_MAX];
    int count = 0, code = read_bytes(r, data, n, NULL, n % 2);

    if (code == 0) {
        assert_true(r->suite.question[0] && r->suite.model[0] && r->suite.prompt[0]);
        code = suite_cells(&r->suite, cells, TRIALS_MAX, &count, &r->err);
        assert_true(code ? count >= 0 : count > 0);
    }
    if (code) {
        assert_int_equal(r->err.code, code);
        assert_int_equal(strncmp(r->err.text, "x.yaml:", 7), 0);
        assert_true(strlen(r->err.text) > 12);
        assert_null(strchr(r->err.text, '\n'));
    }
}

static void every_truncation_of_the_shipped_suite_is_a_suite_or_a_sentence(void **state)
{
    struct room *r = *state;
    struct text t = {0};

    assert_int_equal(text_read_file(&t, SHIPPED ".yaml", 1 << 20, NULL), 0);
    for (size_t n = 0; n <= t.len; n++)
        expect_suite_or_sentence(r, t.data, n);
    text_free(&t);
}

static void three_thousand_random_byte_changes_are_each_a_suite_or_a_sentence(void **state)
{
    struct room *r = *state;
    struct text t = {0};
    uint64_t random = 20240601;

    assert_int_equal(text_read_file(&t, SHIPPED ".yaml", 1 << 20, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        static const char telling[] = "&*!{}[]:,-#|>'\"%@`?\t\n \0\xff";
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(random >> 33) % t.len;
        char old = t.data[at];
        t.data[at] = i % 2 ? telling[(random >> 20) % (sizeof telling - 1)] : (char)(random >> 24);
        expect_suite_or_sentence(r, t.data, t.len);
        t.data[at] = old;
    }
    text_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_ROOM(the_ending_may_be_left_out_and_another_name_taken_as_it_is),
        IN_A_ROOM(the_shortest_suite_gets_the_documented_defaults),
        IN_A_ROOM(every_key_lands_in_its_field),
        IN_A_ROOM(every_axis_is_set_and_varied_by_its_name),
        IN_A_ROOM(a_byte_order_mark_and_windows_line_ends_do_no_harm),
        IN_A_ROOM(claims_are_kept_as_compact_json_with_normalised_values),
        IN_A_ROOM(text_and_all_in_a_claim_become_what_the_run_counts),
        IN_A_ROOM(every_kind_of_claim_fits_its_buffers_at_its_longest),
        IN_A_ROOM(a_value_from_the_command_line_replaces_or_adds_a_key),
        IN_A_ROOM(a_section_that_the_suite_left_out_is_made_for_a_set_value),
        IN_A_ROOM(a_wrong_set_value_is_named_by_its_key),
        IN_A_ROOM(quick_applies_its_section_and_set_has_the_last_word),
        IN_A_ROOM(the_stored_text_says_what_was_changed),
        IN_A_ROOM(the_shipped_suite_says_what_its_comments_say),
        IN_A_ROOM(every_suite_in_the_folder_is_read_whole_and_quick_and_has_cells),
        IN_A_ROOM(every_truncation_of_the_shipped_suite_is_a_suite_or_a_sentence),
        IN_A_ROOM(three_thousand_random_byte_changes_are_each_a_suite_or_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
