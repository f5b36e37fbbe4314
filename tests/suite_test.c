/* SPDX-License-Identifier: MIT
 * What a suite may say, and the exact sentence for everything it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claims.h"
#include "probe.h"
#include "suite.h"

#define SHIPPED "suites/kvcache_on_off"

/* Four lines that every suite needs; what a case adds stands from line 5. */
#define HEAD "question: q?\nmodel: tiny\nworkload:\n  prompt: hi\n"

struct room {
    char home[4096], folder[4096];
    struct suite suite;
    struct err err;
};

static int open_room(void **state)
{
    struct room *r = calloc(1, sizeof *r);
    const char *tmp = getenv("TMPDIR");

    if (!r || !getcwd(r->home, sizeof r->home))
        return -1;
    snprintf(r->folder, sizeof r->folder, "%s/suite_test_XXXXXX", tmp ? tmp : "/tmp");
    *state = r;
    return mkdtemp(r->folder) ? 0 : -1;
}

static void remove_file(struct room *r, const char *name)
{
    char path[8192];

    snprintf(path, sizeof path, "%s/%s", r->folder, name);
    remove(path);
}

static int close_room(void **state)
{
    struct room *r = *state;
    const char *const left[] = {"x.yaml", "plain", "kvcache.yaml", "folder"};
    int bad = chdir(r->home);

    suite_free(&r->suite);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        remove_file(r, left[i]);
    bad |= rmdir(r->folder);
    free(r);
    return bad;
}

/* Shortened after writing rather than emptied before: some file systems wait for the disk when an emptied file is closed. */
static void write_bytes(const char *path, const char *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(ftruncate(fd, (off_t)n), 0);
    assert_int_equal(close(fd), 0);
}

/* Reads `text` as x.yaml in the room's folder, so that sentences begin with a short name. */
static int read_bytes(struct room *r, const char *text, size_t n, const char *const *overrides, bool quick)
{
    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", text, n);
    suite_free(&r->suite);
    r->err = (struct err){0};
    return suite_read(&r->suite, "x.yaml", overrides, quick, &r->err);
}

static int read_text(struct room *r, const char *text, const char *const *overrides, bool quick)
{
    return read_bytes(r, text, strlen(text), overrides, quick);
}

static void expect_good(struct room *r, int code)
{
    if (code)
        fail_msg("refused: %s", r->err.text);
}

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
    {HEAD "zebra: 1\n", "x.yaml:5:1: zebra: unknown key; expected question, model, workload, matrix, measure, expect or quick"},
    {HEAD "  new_token: 4\n", "x.yaml:5:3: workload.new_token: unknown key; did you mean 'new_tokens'?"},
    {HEAD "matrix:\n  threads: [1, 2]\n", "x.yaml:6:3: matrix.threads: unknown key; expected kv_cache, batch, prompt_tokens, "
                                          "new_tokens, include or exclude"},
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
    {HEAD "matrix: 3\n", "x.yaml:5:9: matrix: expected a mapping, got '3'"},
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
    {HEAD "matrix:\n  exclude: [{batch: [1, 2]}]\n",
     "x.yaml:6:21: matrix.exclude.batch: expected an integer from 1 to 4096, got a list"},
    {HEAD "measure: {probes: []}\n", "x.yaml:5:19: measure.probes: expected at least one value, got an empty list"},
    {HEAD "measure: {probes: [clock, clock]}\n", "x.yaml:5:27: measure.probes: expected different probes, got 'clock' twice"},
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
    {HEAD "expect: [{claim: bounds}]\n", "x.yaml:5:18: expect.claim: expected bound, same_tokens, ratio or exponent, got "
                                         "'bounds'; did you mean 'bound'?"},
    {HEAD "expect: [{claim: bound, phase: decode}]\n", "x.yaml:5:10: expect.is: missing; this key is required"},
    {HEAD "expect: [{claim: bound, phase: warmup, is: compute}]\n",
     "x.yaml:5:32: expect.phase: expected prefill or decode, got 'warmup'"},
    {HEAD "expect: [{claim: bound, phase: decode, is: memory}]\n",
     "x.yaml:5:44: expect.is: expected compute, bandwidth or overhead, got 'memory'"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, when: {batch: 2}}]\n",
     "x.yaml:5:53: expect.when: unknown key; did you mean 'where'?"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: on}]\n",
     "x.yaml:5:60: expect.where: expected a mapping of axis names to values"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: {batch: two}}]\n",
     "x.yaml:5:68: expect.where.batch: expected an integer from 1 to 4096, got 'two'"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: {kvcache: on}}]\n",
     "x.yaml:5:61: expect.where.kvcache: unknown key; did you mean 'kv_cache'?"},
    {HEAD "expect: [{claim: bound, phase: decode, is: compute, where: {prompt_tokens: text}}]\n",
     "x.yaml:5:60: expect.where: expected prompt_tokens as a number; claims match the count that was run, not 'text'"},
    {HEAD "expect: [{claim: same_tokens, across: threads}]\n",
     "x.yaml:5:39: expect.across: expected kv_cache, batch, prompt_tokens or new_tokens, got 'threads'"},
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
    for (int i = 0; i < 17; i++)
        text_puts(&t, "- {claim: same_tokens, across: batch}\n");
    assert_int_equal(read_text(r, t.data, NULL, false), ERR_USAGE);
    assert_string_equal(r->err.text, "x.yaml:6:1: expect: expected at most 16 entries, got 17");
    for (int i = 17; i < 257; i++)
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
    assert_int_equal(s->workload.value[AXIS_KV_CACHE], 1);
    assert_int_equal(s->workload.value[AXIS_BATCH], 1);
    assert_int_equal(s->workload.value[AXIS_PROMPT_TOKENS], 0);
    assert_int_equal(s->workload.value[AXIS_NEW_TOKENS], 16);
    for (int a = 0; a < AXIS_COUNT; a++)
        assert_int_equal(s->axis_len[a], 0);
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

static void every_key_lands_in_its_field(void **state)
{
    struct room *r = *state;
    const struct suite *s = &r->suite;

    expect_good(r,
                read_text(r,
                          "question: caf\xc3\xa9?\nmodel: ./weights\n"
                          "workload: {prompt: \"a\\nb\", kv_cache: No, batch: 3, prompt_tokens: 1048576, new_tokens: 7}\n"
                          "matrix:\n  kv_cache: [false, TRUE]\n  batch: 2\n  prompt_tokens: [text, 5]\n  new_tokens: [9, 8]\n"
                          "  include: [{batch: 4, kv_cache: yes}]\n  exclude: [{prompt_tokens: text}, {new_tokens: 8}]\n"
                          "measure: {probes: [rusage, clock], warmup: 0, repetitions: 4, target: 0.5, budget_s: 1.5, "
                          "roof_ms: 1}\n"
                          "expect: []\nquick: {}\n",
                          NULL, false));
    assert_string_equal(s->question, "caf\xc3\xa9?");
    assert_string_equal(s->model, "./weights");
    assert_string_equal(s->prompt, "a\nb");
    assert_memory_equal(s->workload.value, ((int[]){0, 3, 1048576, 7}), sizeof s->workload.value);
    assert_memory_equal(s->axis_len, ((int[]){2, 1, 2, 2}), sizeof s->axis_len);
    assert_memory_equal(s->axis_value[AXIS_KV_CACHE], ((int[]){0, 1}), 2 * sizeof(int));
    assert_int_equal(s->axis_value[AXIS_BATCH][0], 2);
    assert_memory_equal(s->axis_value[AXIS_PROMPT_TOKENS], ((int[]){0, 5}), 2 * sizeof(int));
    assert_memory_equal(s->axis_value[AXIS_NEW_TOKENS], ((int[]){9, 8}), 2 * sizeof(int));
    assert_int_equal(s->includes, 1);
    assert_memory_equal(s->include[0].named, ((bool[]){true, true, false, false}), sizeof s->include[0].named);
    assert_int_equal(s->include[0].cell.value[AXIS_BATCH], 4);
    assert_int_equal(s->include[0].cell.value[AXIS_KV_CACHE], 1);
    assert_int_equal(s->excludes, 2);
    assert_true(s->exclude[0].named[AXIS_PROMPT_TOKENS]);
    assert_int_equal(s->exclude[1].cell.value[AXIS_NEW_TOKENS], 8);
    assert_int_equal(s->probe_count, 2);
    assert_string_equal(s->probes[0], "rusage");
    assert_string_equal(s->probes[1], "clock");
    assert_int_equal(s->warmup, 0);
    assert_int_equal(s->repetitions_min, 4);
    assert_int_equal(s->repetitions_max, 4);
    assert_float_equal(s->target, 0.5, 0);
    assert_float_equal(s->budget_s, 1.5, 0);
    assert_int_equal(s->roof_ms, 1);
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

    expect_good(r,
                read_text(r,
                          HEAD "expect:\n"
                               "  - {where: {prompt_tokens: 128}, is: compute, phase: prefill, claim: bound}\n"
                               "  - {claim: ratio, metric: bytes, of: {new_tokens: 4, kv_cache: no}, over: {kv_cache: true},\n"
                               "     above: 1.1, grows: off, along: new_tokens}\n"
                               "  - {claim: exponent, metric: flops, along: batch, steeper: {batch: 1}, than: {batch: 2}}\n"
                               "  - {claim: same_tokens, across: kv_cache}\n",
                          NULL, false));
    assert_int_equal(r->suite.claims, 4);
    assert_string_equal(r->suite.claim[0].kind, "bound");
    assert_string_equal(r->suite.claim[0].json,
                        "{\"claim\":\"bound\",\"phase\":\"prefill\",\"is\":\"compute\",\"where\":{\"prompt_tokens\":128}}");
    assert_string_equal(r->suite.claim[1].json,
                        "{\"claim\":\"ratio\",\"metric\":\"bytes\",\"of\":{\"kv_cache\":\"off\",\"new_tokens\":4},"
                        "\"over\":{\"kv_cache\":\"on\"},\"along\":\"new_tokens\",\"above\":1.1,\"grows\":false}");
    assert_string_equal(r->suite.claim[2].json, "{\"claim\":\"exponent\",\"metric\":\"flops\",\"along\":\"batch\","
                                                "\"steeper\":{\"batch\":1},\"than\":{\"batch\":2}}");
    assert_string_equal(r->suite.claim[3].json, "{\"claim\":\"same_tokens\",\"across\":\"kv_cache\"}");
}

static void every_kind_of_claim_fits_its_buffers_at_its_longest(void **state)
{
    struct room *r = *state;
    static const char *const longest[] = {
        [CLAIM_PHASE] = "prefill",
        [CLAIM_BOUND] = "bandwidth",
        [CLAIM_WHERE] = "{kv_cache: off, batch: 4096, prompt_tokens: 1048576, new_tokens: 1048576}",
        [CLAIM_AXIS] = "prompt_tokens",
        [CLAIM_METRIC] = "prefill_ms",
        [CLAIM_NUMBER] = "-1.23456789012345678901234e-300",
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
    assert_int_equal(s->axis_len[AXIS_NEW_TOKENS], 2);
    assert_int_equal(s->axis_value[AXIS_NEW_TOKENS][1], 16);
    assert_int_equal(s->axis_len[AXIS_KV_CACHE], 1);
    assert_int_equal(s->axis_value[AXIS_KV_CACHE][0], 0);
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
        {"workload.batch.x=2", "--set workload.batch.x: unknown key; did you mean 'workload.batch'?"},
        {"zebra=2", "--set zebra: unknown key; expected a dotted key such as 'workload.batch'"},
        {"quick={}", "--set quick: unknown key; expected a dotted key such as 'workload.batch'"},
        {"matrix.kv_cache=[on, maybe]", "--set matrix.kv_cache: expected on or off, got 'maybe'"},
        {"matrix.kv_cache=[on", "--set matrix.kv_cache: while parsing a flow sequence, did not find expected ',' or ']'"},
        {"matrix.kv_cache=\xff", "--set matrix.kv_cache: invalid leading UTF-8 octet"},
        {"matrix={new_tokens: 1, new_tokens: 2}", "--set matrix.new_tokens: duplicate key"},
        {"matrix={zebra: 1}",
         "--set matrix.zebra: unknown key; expected kv_cache, batch, prompt_tokens, new_tokens, include or exclude"},
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
    assert_int_equal(r->suite.workload.value[AXIS_BATCH], 4);
    expect_good(r, read_text(r, text, NULL, true));
    assert_int_equal(r->suite.workload.value[AXIS_BATCH], 2);
    assert_int_equal(r->suite.workload.value[AXIS_NEW_TOKENS], 3);
    expect_good(r, read_text(r, text, (const char *[]){"workload.batch=1", NULL}, true));
    assert_int_equal(r->suite.workload.value[AXIS_BATCH], 1);
    assert_int_equal(r->suite.workload.value[AXIS_NEW_TOKENS], 3);

    expect_good(r, read_text(r, HEAD "quick: {matrix.batch: 2, measure.warmup: 0, expect: []}\n", NULL, true));
    assert_int_equal(r->suite.axis_value[AXIS_BATCH][0], 2);
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
#define IN_A_ROOM(test) cmocka_unit_test_setup_teardown(test, open_room, close_room)
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
        IN_A_ROOM(the_ending_may_be_left_out_and_another_name_taken_as_it_is),
        IN_A_ROOM(the_shortest_suite_gets_the_documented_defaults),
        IN_A_ROOM(every_key_lands_in_its_field),
        IN_A_ROOM(a_byte_order_mark_and_windows_line_ends_do_no_harm),
        IN_A_ROOM(claims_are_kept_as_compact_json_with_normalised_values),
        IN_A_ROOM(every_kind_of_claim_fits_its_buffers_at_its_longest),
        IN_A_ROOM(a_value_from_the_command_line_replaces_or_adds_a_key),
        IN_A_ROOM(a_section_that_the_suite_left_out_is_made_for_a_set_value),
        IN_A_ROOM(a_wrong_set_value_is_named_by_its_key),
        IN_A_ROOM(quick_applies_its_section_and_set_has_the_last_word),
        IN_A_ROOM(the_stored_text_says_what_was_changed),
        IN_A_ROOM(the_shipped_suite_says_what_its_comments_say),
        IN_A_ROOM(every_truncation_of_the_shipped_suite_is_a_suite_or_a_sentence),
        IN_A_ROOM(three_thousand_random_byte_changes_are_each_a_suite_or_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
