/* SPDX-License-Identifier: MIT
 * The exact sentence for everything that a suite may not say. */
#include "check.h"

#include "claims.h"
#include "probe.h"
#include "suite_room.h"

/* --- sentences ---------------------------------------------------------------------------------------------------------- */

struct wrong {
    const char *text, *sentence;
};

static const struct wrong wrong_shapes[] = {
    {"", "x.yaml:1:1: expected a mapping that begins with a key such as 'question:', got nothing"},
    {"# only a comment\n", "x.yaml:2:1: expected a mapping that begins with a key such as 'question:', got nothing"},
    {"- a\n", "x.yaml:1:1: expected a mapping that begins with a key such as 'question:', got a list"},
    {"just words\n", "x.yaml:1:1: expected a mapping that begins with a key such as 'question:', got 'just words'"},
    {HEAD "matrix: [a\n", "x.yaml:6:1: while parsing a flow sequence at 5:9, did not find expected ',' or ']'"},
    {HEAD "  batch: 1\n bad: 2\n", "x.yaml:6:2: while parsing a block mapping at 1:1, did not find expected key"},
    {HEAD "\tbatch: 1\n", "x.yaml:5:1: while scanning a plain scalar at 4:11, found a tab character that violates indentation"},
    {"a: 1\n  b: 2\n", "x.yaml:2:4: mapping values are not allowed in this context"},
    {"question: \"open\n", "x.yaml:2:1: while scanning a quoted scalar at 1:11, found unexpected end of stream"},
    {HEAD "---\nquestion: again\n", "x.yaml:5:1: expected one document, found a second"},
    {"question: \xff\n", "x.yaml:1:11: invalid leading UTF-8 octet"},
    {"question: caf\xc3\xa9 \xc3(\n", "x.yaml:1:17: invalid trailing UTF-8 octet"},
    {"question: a\xc3", "x.yaml:1:12: incomplete UTF-8 octet sequence"},
    {"question: \"\\0\"\n", "x.yaml:1:11: question: expected a text without NUL bytes"},
    {"question: a\x01\n", "x.yaml:1:12: control characters are not allowed"},
    {"question: &a q?\nmodel: *a\n", "x.yaml:1:11: question: expected no anchors and aliases (& and *); write the value out"},
    {HEAD "matrix: &m {batch: 1}\n", "x.yaml:5:9: matrix: expected no anchors and aliases (& and *); write the value out"},
    {HEAD "expect: &e []\n", "x.yaml:5:9: expect: expected no anchors and aliases (& and *); write the value out"},
    {HEAD "matrix: *m\n", "x.yaml:5:9: matrix: expected no anchors and aliases (& and *); write the value out"},
    {HEAD "  batch: !!int 3\n", "x.yaml:5:10: workload.batch: expected no tags (!); write the value alone"},
    {HEAD "matrix: !!map {batch: 1}\n", "x.yaml:5:9: matrix: expected no tags (!); write the value alone"},
    {HEAD "expect: !mine []\n", "x.yaml:5:9: expect: expected no tags (!); write the value alone"},
    {HEAD "matrix: [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]\n", "x.yaml:5:24: matrix: expected at most 16 levels of nesting"},
    {HEAD "? [matrix]\n: 1\n", "x.yaml:5:3: expected a name of at most 64 bytes as key"},
    {HEAD "matrix: {'': 1}\n", "x.yaml:5:10: matrix: expected a name of at most 64 bytes as key"},
    {HEAD "k23456789k123456789k123456789k123456789k123456789k123456789k12345: 1\n",
     "x.yaml:5:1: expected a name of at most 64 bytes as key"},
};

static const struct wrong wrong_keys[] = {
    {"question: q?\nmodel: tiny\nworkloads: {prompt: hi}\n", "x.yaml:3:1: workloads: unknown key; did you mean 'workload'?"},
    {HEAD "zebra: 1\n",
     "x.yaml:5:1: zebra: unknown key; expected question, model, workload, engine, matrix, measure, expect or quick"},
    {HEAD "  new_token: 4\n", "x.yaml:5:3: workload.new_token: unknown key; did you mean 'new_tokens'?"},
    {HEAD "matrix:\n  model: [a, b]\n",
     "x.yaml:6:3: matrix.model: unknown key; expected kv_cache, batch, prompt_tokens, "
     "new_tokens, strategy, dtype, kv_dtype, threads, gemm, attention, launch, include or exclude"},
    {HEAD "engine:\n  batch: 2\n",
     "x.yaml:6:3: engine.batch: unknown key; expected dtype, kv_dtype, threads, gemm, attention or launch"},
    {HEAD "  dtype: bf16\n", "x.yaml:5:3: workload.dtype: unknown key; expected kv_cache, batch, prompt_tokens, new_tokens, "
                             "strategy, prompt or sampling"},
    {HEAD "  sampling: {top_kk: 3}\n", "x.yaml:5:14: workload.sampling.top_kk: unknown key; did you mean 'top_k'?"},
    {HEAD "  sampling: {seed: 3}\n",
     "x.yaml:5:14: workload.sampling.seed: unknown key; expected temperature, top_k, top_p, min_p, "
     "repetition_penalty, beams, length_alpha or min_length"},
    {HEAD "measure:\n  repetition: 3\n", "x.yaml:6:3: measure.repetition: unknown key; did you mean 'repetitions'?"},
    {HEAD "measure:\n  repetitions: {min: 1, most: 2}\n",
     "x.yaml:6:25: measure.repetitions.most: unknown key; expected min or max"},
    {HEAD "question: again\n", "x.yaml:5:1: question: duplicate key, first given at 1:1"},
    {HEAD "  prompt: again\n", "x.yaml:5:3: workload.prompt: duplicate key, first given at 4:3"},
    {HEAD "expect:\n  - {claim: same_tokens, across: batch, across: batch}\n",
     "x.yaml:6:41: expect.across: duplicate key, first given at 6:26"},
    {"model: tiny\nworkload:\n  prompt: hi\n", "x.yaml:1:1: question: missing; this key is required"},
    {"# a suite\nquestion: q?\nworkload:\n  prompt: hi\n", "x.yaml:2:1: model: missing; this key is required"},
    {"question: q?\nmodel: tiny\n", "x.yaml:1:1: workload: missing; this key is required"},
    {"question: q?\nmodel: tiny\nworkload:\n  batch: 2\n", "x.yaml:4:3: workload.prompt: missing; this key is required"},
    {HEAD "measure: {repetitions: {min: 3}}\n", "x.yaml:5:24: measure.repetitions.max: missing; this key is required"},
    {HEAD "quick:\n  batch: 2\n", "x.yaml:6:3: quick.batch: unknown key; did you mean 'workload.batch'?"},
    {HEAD "quick:\n  matrix.new_token: 2\n",
     "x.yaml:6:3: quick.matrix.new_token: unknown key; did you mean 'matrix.new_tokens'?"},
    {HEAD "quick:\n  quick: {}\n", "x.yaml:6:3: quick.quick: unknown key; expected a dotted key such as 'workload.batch'"},
    {HEAD "quick: 3\n", "x.yaml:5:8: quick: expected a mapping of dotted keys to values, got '3'"},
};

static const struct wrong wrong_values[] = {
    {"question:\nmodel: tiny\n", "x.yaml:1:10: question: expected a text of 1 to 255 bytes, got nothing"},
    {"question: \"two\\nlines\"\n", "x.yaml:1:11: question: expected one line of text, got 'two lines'"},
    {"question: [q]\n", "x.yaml:1:11: question: expected a text of 1 to 255 bytes, got a list"},
    {"question: q?\nmodel: {name: tiny}\n", "x.yaml:2:8: model: expected a text of 1 to 255 bytes, got a mapping"},
    {"workload:\n  prompt: ''\n", "x.yaml:2:11: workload.prompt: expected a text of 1 to 4095 bytes, got nothing"},
    {"workload: hi\n", "x.yaml:1:11: workload: expected a mapping, got 'hi'"},
    {HEAD "  kv_cache: maybe\n", "x.yaml:5:13: workload.kv_cache: expected on or off, got 'maybe'"},
    {HEAD "  kv_cache: [on, off]\n", "x.yaml:5:13: workload.kv_cache: expected on or off, got a list"},
    {HEAD "  batch: 0\n", "x.yaml:5:10: workload.batch: expected an integer from 1 to 4096, got '0'"},
    {HEAD "  batch: 4097\n", "x.yaml:5:10: workload.batch: expected an integer from 1 to 4096, got '4097'"},
    {HEAD "  batch: 2.0\n", "x.yaml:5:10: workload.batch: expected an integer from 1 to 4096, got '2.0'"},
    {HEAD "  batch: 0x10\n", "x.yaml:5:10: workload.batch: expected an integer from 1 to 4096, got '0x10'"},
    {HEAD "  batch: 99999999999999999999999\n",
     "x.yaml:5:10: workload.batch: expected an integer from 1 to 4096, got '99999999999999999999999'"},
    {HEAD "  batch:\n", "x.yaml:5:9: workload.batch: expected an integer from 1 to 4096, got nothing"},
    {HEAD "  prompt_tokens: texts\n",
     "x.yaml:5:18: workload.prompt_tokens: expected text or an integer from 1 to 1048576, got 'texts'"},
    {HEAD "  new_tokens: text\n", "x.yaml:5:15: workload.new_tokens: expected an integer from 1 to 1048576, got 'text'"},
    {HEAD "  new_tokens: 0123456789012345678901234567890123456789x\n",
     "x.yaml:5:15: workload.new_tokens: expected an integer from 1 to 1048576, got "
     "'0123456789012345678901234567890123456789...'"},
    {HEAD "  new_tokens: 012345678901234567890123456789012345678\xc3\xa9\n",
     "x.yaml:5:15: workload.new_tokens: expected an integer from 1 to 1048576, got "
     "'012345678901234567890123456789012345678...'"},
    {HEAD "  strategy: nucleus\n",
     "x.yaml:5:13: workload.strategy: expected greedy, sample, top_k, top_p, min_p or beam, got 'nucleus'"},
    {HEAD "  sampling: 3\n", "x.yaml:5:13: workload.sampling: expected a mapping, got '3'"},
    {HEAD "  sampling: {top_k: many}\n", "x.yaml:5:21: workload.sampling.top_k: expected a whole number, got 'many'"},
    {HEAD "  sampling: {top_k: 2.5}\n", "x.yaml:5:21: workload.sampling.top_k: expected a whole number, got '2.5'"},
    {HEAD "  sampling: {top_p: 0x1}\n", "x.yaml:5:21: workload.sampling.top_p: expected a number, got '0x1'"},
    {HEAD "  sampling: {top_p: [1]}\n", "x.yaml:5:21: workload.sampling.top_p: expected a number, got a list"},
    {HEAD "  sampling: {top_p: 1.5}\n", "x.yaml:5:21: workload.sampling.top_p: top_p 1.5: expected 0 to 1"},
    {HEAD "  sampling: {beams: 65}\n", "x.yaml:5:21: workload.sampling.beams: beams 65: expected 0 to 64"},
    {HEAD "matrix: 3\n", "x.yaml:5:9: matrix: expected a mapping, got '3'"},
    {HEAD "matrix:\n  strategy: [beam, beam]\n", "x.yaml:6:20: matrix.strategy: expected different values, got 'beam' twice"},
    {HEAD "matrix:\n  kv_cache: [on, maybe]\n", "x.yaml:6:18: matrix.kv_cache: expected on or off, got 'maybe'"},
    {HEAD "matrix:\n  kv_cache: [on, yes]\n", "x.yaml:6:18: matrix.kv_cache: expected different values, got 'yes' twice"},
    {HEAD "matrix:\n  batch: []\n", "x.yaml:6:10: matrix.batch: expected at least one value, got an empty list"},
    {HEAD "matrix:\n  batch: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
     "x.yaml:6:10: matrix.batch: expected at most 16 values, got 17"},
    {HEAD "matrix:\n  batch: [[1]]\n", "x.yaml:6:11: matrix.batch: expected an integer from 1 to 4096, got a list"},
    {HEAD "matrix:\n  include: {batch: 2}\n", "x.yaml:6:12: matrix.include: expected a list of mappings, got a mapping"},
    {HEAD "matrix:\n  include: [2]\n", "x.yaml:6:13: matrix.include: expected a mapping, got '2'"},
    {HEAD "matrix:\n  exclude: [{}]\n", "x.yaml:6:13: matrix.exclude: expected a mapping of axis names to values"},
    {HEAD "matrix:\n  include: [{batches: 2}]\n", "x.yaml:6:14: matrix.include.batches: unknown key; did you mean 'batch'?"},
    {HEAD "matrix:\n  exclude: [{batch: [1, [2]]}]\n",
     "x.yaml:6:25: matrix.exclude.batch: expected an integer from 1 to 4096, got a list"},
    {HEAD "matrix:\n  include: [{batch: [1, 1]}]\n",
     "x.yaml:6:25: matrix.include.batch: expected different values, got '1' twice"},
    {HEAD "engine: {dtype: fp16}\n",
     "x.yaml:5:17: engine.dtype: expected f32, f16, bf16, q8_0 or q4_0, got 'fp16'; did you mean 'f16'?"},
    {HEAD "engine: {threads: -1}\n", "x.yaml:5:19: engine.threads: expected all or an integer from 1 to 4096, got '-1'"},
    {HEAD "engine: {gemm: mkl}\n", "x.yaml:5:16: engine.gemm: expected own or openblas, got 'mkl'"},
    {HEAD "measure: {accuracy: 2}\n", "x.yaml:5:21: measure.accuracy: expected on or off, got '2'"},
    {HEAD "measure: {probes: []}\n", "x.yaml:5:19: measure.probes: expected at least one value, got an empty list"},
    {HEAD "measure: {probes: [clock, clock]}\n", "x.yaml:5:27: measure.probes: expected different probes, got 'clock' twice"},
    {HEAD "measure: {per: layer}\n", "x.yaml:5:16: measure.per: expected step or op, got 'layer'"},
    {HEAD "measure: {warmup: -1}\n", "x.yaml:5:19: measure.warmup: expected an integer from 0 to 1000, got '-1'"},
    {HEAD "measure: {warmup: 0.5}\n", "x.yaml:5:19: measure.warmup: expected an integer from 0 to 1000, got '0.5'"},
    {HEAD "measure: {repetitions: many}\n",
     "x.yaml:5:24: measure.repetitions: expected an integer from 1 to 1000 or {min: , max: }, got 'many'"},
    {HEAD "measure: {repetitions: {min: 0, max: 2}}\n",
     "x.yaml:5:30: measure.repetitions.min: expected an integer from 1 to 1000, got '0'"},
    {HEAD "measure: {repetitions: {min: 5, max: 3}}\n",
     "x.yaml:5:24: measure.repetitions: expected min <= max, got min 5 and max 3"},
    {HEAD "measure: {target: 0}\n", "x.yaml:5:19: measure.target: expected a number above 0 and below 1, got '0'"},
    {HEAD "measure: {target: 1}\n", "x.yaml:5:19: measure.target: expected a number above 0 and below 1, got '1'"},
    {HEAD "measure: {target: 2%}\n", "x.yaml:5:19: measure.target: expected a number above 0 and below 1, got '2%'"},
    {HEAD "measure: {budget_s: inf}\n", "x.yaml:5:21: measure.budget_s: expected a number above 0 and below 1e+06, got 'inf'"},
    {HEAD "measure: {roof_ms: 60001}\n", "x.yaml:5:20: measure.roof_ms: expected an integer from 1 to 60000, got '60001'"},
};

static const struct wrong wrong_claims[] = {
    {HEAD "expect: bound\n", "x.yaml:5:9: expect: expected a list of mappings, got 'bound'"},
    {HEAD "expect: [bound]\n", "x.yaml:5:10: expect: expected a mapping, got 'bound'"},
    {HEAD "expect: [{phase: decode}]\n", "x.yaml:5:10: expect.claim: missing; this key is required"},
    {HEAD "expect: [{claim: bounds}]\n",
     "x.yaml:5:18: expect.claim: expected bound, same_tokens, sampling, efficiency, share, faults, ratio or exponent, got "
     "'bounds'; did you mean 'bound'?"},
    {HEAD "expect: [{claim: bound, phase: decode}]\n", "x.yaml:5:10: expect.is: missing; this key is required"},
    {HEAD "expect: [{claim: bound, phase: warmup, is: compute}]\n",
     "x.yaml:5:32: expect.phase: expected prefill or decode, got 'warmup'"},
    {HEAD "expect: [{claim: bound, phase: decode, is: memory}]\n",
     "x.yaml:5:44: expect.is: expected compute, bandwidth, overhead or launch, got 'memory'"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, when: {batch: 2}}]\n",
     "x.yaml:5:53: expect.when: unknown key; did you mean 'where'?"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: on}]\n",
     "x.yaml:5:60: expect.where: expected a mapping of axis names to values"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: {batch: two}}]\n",
     "x.yaml:5:68: expect.where.batch: expected an integer from 1 to 4096, got 'two'"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: {kvcache: on}}]\n",
     "x.yaml:5:61: expect.where.kvcache: unknown key; did you mean 'kv_cache'?"},
    {HEAD "expect: [{claim: same_tokens, across: model}]\n",
     "x.yaml:5:39: expect.across: expected kv_cache, batch, prompt_tokens, new_tokens, strategy, dtype, kv_dtype, threads, "
     "gemm, attention or launch, got 'model'"},
    {HEAD "expect: [{claim: share, of: rests, phase: decode, below: 0.1}]\n",
     "x.yaml:5:29: expect.of: expected embed, norm, qkv, rotary, attention, out, mlp, head, sample or rest, got 'rests'; did "
     "you "
     "mean 'rest'?"},
    {HEAD "expect: [{claim: sampling, where: {strategy: beam}}]\n", "x.yaml:5:10: expect.below: missing; this key is required"},
    {HEAD "expect: [{claim: ratio, metric: flop, of: {batch: 1}, over: {batch: 2}}]\n",
     "x.yaml:5:33: expect.metric: expected total_ms, decode_ms, prefill_ms, flops or bytes, got 'flop'; did you mean 'flops'?"},
    {HEAD "expect: [{claim: ratio, metric: flops, of: {batch: 1}, over: {batch: 2}, above: much}]\n",
     "x.yaml:5:81: expect.above: expected a number, got 'much'"},
    {HEAD "expect: [{claim: ratio, metric: flops, of: {batch: 1}, over: {batch: 2}, grows: 1}]\n",
     "x.yaml:5:81: expect.grows: expected true or false, got '1'"},
};

static void check_sentences(struct room *r, const struct wrong *wrong, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int code = read_text(r, wrong[i].text, NULL, false);
        if (code != ERR_USAGE || strcmp(r->err.text, wrong[i].sentence) != 0)
            fail_msg("suite:\n%s\nexpected (%d): %s\n     got (%d): %s", wrong[i].text, ERR_USAGE, wrong[i].sentence, code,
                     r->err.text);
    }
}

static void a_text_that_is_not_a_plain_tree_is_refused_where_it_stops_being_one(void **state)
{
    check_sentences(*state, wrong_shapes, sizeof wrong_shapes / sizeof *wrong_shapes);
}

static void unknown_duplicate_and_missing_keys_are_named_with_their_line(void **state)
{
    check_sentences(*state, wrong_keys, sizeof wrong_keys / sizeof *wrong_keys);
}

static void a_wrong_value_is_answered_with_what_was_expected(void **state)
{
    check_sentences(*state, wrong_values, sizeof wrong_values / sizeof *wrong_values);
}

static void a_wrong_claim_is_answered_by_the_table_of_claim_kinds(void **state)
{
    check_sentences(*state, wrong_claims, sizeof wrong_claims / sizeof *wrong_claims);
}

static void an_unknown_probe_is_answered_with_all_that_there_are(void **state)
{
    struct room *r = *state;
    struct text sentence = {0};

    text_puts(&sentence, "x.yaml:5:27: measure.probes: expected ");
    for (int i = 0; probes[i]; i++)
        text_printf(&sentence, "%s%s", i == 0 ? "" : probes[i + 1] ? ", " : " or ", probes[i]->name);
    text_puts(&sentence, ", got 'clocks'; did you mean 'clock'?");
    assert_int_equal(read_text(r, HEAD "measure: {probes: [clock, clocks]}\n", NULL, false), ERR_USAGE);
    assert_string_equal(r->err.text, sentence.data);
    text_free(&sentence);
}

static void too_many_entries_are_refused(void **state)
{
    struct room *r = *state;
    struct text t = {0};

    text_puts(&t, HEAD "expect:\n");
    for (int i = 0; i < 49; i++)
        text_puts(&t, "- {claim: same_tokens, across: batch}\n");
    assert_int_equal(read_text(r, t.data, NULL, false), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:6:1: expect: expected at most 48 entries, got 49");
    for (int i = 49; i < 257; i++)
        text_puts(&t, "- {claim: same_tokens, across: batch}\n");
    assert_int_equal(read_text(r, t.data, NULL, false), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:262:3: expect: expected at most 256 entries");
    t.len = 0;
    for (int i = 0; i < 257; i++)
        text_printf(&t, "k%d: 1\n", i);
    assert_int_equal(read_text(r, t.data, NULL, false), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:257:1: expected at most 256 entries");
    text_free(&t);
}

static void a_text_that_fits_exactly_is_taken_and_one_byte_more_is_not(void **state)
{
    struct room *r = *state;
    char text[5000], prompt[4097];

    memset(prompt, 'p', sizeof prompt);
    snprintf(text, sizeof text, "question: q?\nmodel: tiny\nworkload:\n  prompt: %.4095s\n", prompt);
    expect_good(r, read_text(r, text, NULL, false));
    assert_int_equal(strlen(r->suite.prompt), 4095);
    snprintf(text, sizeof text, "question: q?\nmodel: tiny\nworkload:\n  prompt: %.4096s\n", prompt);
    assert_int_equal(read_text(r, text, NULL, false), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:4:11: workload.prompt: expected a text of 1 to 4095 bytes, got "
                                     "'pppppppppppppppppppppppppppppppppppppppp...'");
}

/* --- finding the file --------------------------------------------------------------------------------------------------- */

static void expect_path_error(struct room *r, const char *path, const char *sentence)
{
    suite_free(&r->suite);
    assert_true(suite_read(&r->suite, path, NULL, false, &r->err) < 0);
    assert_string_equal(r->err.text, sentence);
}

static void a_file_that_is_not_there_is_named_with_what_was_tried_and_what_is_near(void **state)
{
    struct room *r = *state;

    assert_int_equal(chdir(r->folder), 0);
    write_bytes("kvcache.yaml", HEAD, strlen(HEAD));
    assert_int_equal(mkdir("folder", 0700), 0);
    expect_path_error(r, "kvcash", "kvcash: no such suite, tried kvcash and kvcash.yaml; did you mean 'kvcache'?");
    expect_path_error(r, "./kvcash.yaml", "./kvcash.yaml: no such suite; did you mean './kvcache'?");
    expect_path_error(r, "zebra", "zebra: no such suite, tried zebra and zebra.yaml");
    expect_path_error(r, "nowhere/kvcache", "nowhere/kvcache: no such suite, tried nowhere/kvcache and nowhere/kvcache.yaml");
    expect_path_error(r, "kvcache.yaml/x.yaml", "kvcache.yaml/x.yaml: no such suite");
    expect_path_error(r, "folder", "folder: expected a suite file, found a folder");
    expect_path_error(r, "/dev/null", "/dev/null: expected a suite file, found something that is not a file");
}

static void paths_and_names_beyond_their_limits_are_refused(void **state)
{
    struct room *r = *state;
    char path[400];

    assert_int_equal(chdir(r->folder), 0);
    memset(path, 'a', sizeof path);
    path[299] = 0;
    expect_path_error(
        r, path, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...: the path of a suite has at most 250 bytes");
    path[250] = 0;
    assert_int_equal(suite_read(&r->suite, path, NULL, false, &r->err), ERR_USAGE);
    assert_non_null(strstr(r->err.text, ": no such suite, tried "));

    snprintf(path, sizeof path, "%.64s.yaml", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
    write_bytes(path, HEAD, strlen(HEAD));
    int code = suite_read(&r->suite, path, NULL, false, &r->err);
    remove(path);
    assert_int_equal(code, ERR_USAGE);
    assert_non_null(strstr(r->err.text, ": the name of a suite has at most 63 bytes"));
}

static void a_file_of_more_than_256_kilobytes_is_not_read(void **state)
{
    struct room *r = *state;
    char *big = malloc(262145);

    assert_non_null(big);
    memset(big, '#', 262145);
    assert_int_equal(read_bytes(r, big, 262145, NULL, false), ERR_FORMAT);
    assert_string_equal(r->err.text, "x.yaml: 262145 bytes, more than the 262144 expected at most");
    assert_int_equal(read_bytes(r, big, 262144, NULL, false), ERR_USAGE);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_ROOM(a_text_that_is_not_a_plain_tree_is_refused_where_it_stops_being_one),
        IN_A_ROOM(unknown_duplicate_and_missing_keys_are_named_with_their_line),
        IN_A_ROOM(a_wrong_value_is_answered_with_what_was_expected),
        IN_A_ROOM(a_wrong_claim_is_answered_by_the_table_of_claim_kinds),
        IN_A_ROOM(an_unknown_probe_is_answered_with_all_that_there_are),
        IN_A_ROOM(too_many_entries_are_refused),
        IN_A_ROOM(a_text_that_fits_exactly_is_taken_and_one_byte_more_is_not),
        IN_A_ROOM(a_file_that_is_not_there_is_named_with_what_was_tried_and_what_is_near),
        IN_A_ROOM(paths_and_names_beyond_their_limits_are_refused),
        IN_A_ROOM(a_file_of_more_than_256_kilobytes_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
