/* SPDX-License-Identifier: MIT
 * Generation through the engine's door: how it ends, and what sampling and beams make of it. Its text is in
 * generate_text_test.c. */
#include "check.h"

#include <string.h>

#include "beam.h"
#include "generate_room.h"

/* --- how it ends --- */

static void generation_ends_after_max_new_tokens(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 4);

    assert_true(script_text(m, HELLO, ", how are you doing today?", ids) > 4);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_int_equal(g.count, 4);
    assert_memory_equal(g.ids, ids, 4 * sizeof *ids);
    assert_int_equal(g.why, STOP_LENGTH);
    assert_int_equal(g.steps, 3);
    assert_text_is(&g.text, ", how are you");
    assert_text_is(&seen.text, ", how are you");
    assert_int_equal(seen.steps, 4);
    assert_int_equal(seen.heads, 4);
    assert_int_equal(seen.kv_bytes, config_kv_bytes(&m->config, 1, HELLO + 3, 4)); /* the last choice is never read */
    assert_int_equal(g.prefill_ns, seen.ns[0]);
    assert_int_equal(g.decode_ns, seen.ns[1] + seen.ns[2] + seen.ns[3]);
    assert_true(g.prefill_ns > 0 && g.decode_ns > 0);
    forget(&g, &seen);
}

static void one_token_takes_no_decode_step(void **state)
{
    struct generate_args a = {.max_new_tokens = 1};
    struct generated g = generated_by(*state, hello, HELLO, &a);

    assert_int_equal(g.count, 1);
    assert_int_equal(g.steps, 0);
    assert_int_equal(g.decode_ns, 0);
    generated_free(&g);
}

static void an_end_of_sequence_token_ends_generation_and_is_not_text(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 20);
    int n = script_text(m, HELLO, " again and again.", ids);

    ids[n] = m->config.eos[0];
    script(m, HELLO, ids, n + 1);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_int_equal(g.count, n + 1);
    assert_int_equal(g.ids[n], m->config.eos[0]);
    assert_int_equal(g.why, STOP_EOS);
    assert_text_is(&g.text, " again and again.");
    assert_text_is(&seen.text, " again and again.");
    forget(&g, &seen);
}

static void any_of_several_end_of_sequence_tokens_ends_generation(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct generate_args a = {.max_new_tokens = 20};
    int n = script_text(m, HELLO, " one two three four", ids);

    assert_int_equal(n, 4);
    m->config.eos[1] = ids[2];
    m->config.eos_count = 2;
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_int_equal(g.count, 3);
    assert_int_equal(g.why, STOP_EOS);
    assert_text_is(&g.text, " one two");
    generated_free(&g);
}

static void ignoring_it_generation_goes_on_to_max_new_tokens(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct generate_args a = {.max_new_tokens = 6, .ignore_eos = true};
    int n = script_text(m, HELLO, " one two", ids);

    ids[n] = m->config.eos[0];
    memcpy(ids + n + 1, ids, 3 * sizeof *ids); /* " one two<|endoftext|> one two<|endoftext|>" */
    script(m, HELLO, ids, 6);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_int_equal(g.count, 6);
    assert_memory_equal(g.ids, ids, 6 * sizeof *ids);
    assert_int_equal(g.why, STOP_LENGTH);
    assert_text_is(&g.text, " one two one two");
    generated_free(&g);
}

static void a_step_that_says_so_interrupts_and_what_there_is_stays(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 20);
    struct generated g;
    struct err e = {0};

    script_text(m, HELLO, " one two three four", ids);
    seen.interrupt_at = 2;
    assert_int_equal(generate(&g, m, hello, HELLO, &a, &e), ERR_INTERRUPTED);
    assert_string_equal(e.text, "generation was interrupted after 3 tokens");
    assert_int_equal(g.count, 3);
    assert_text_is(&g.text, " one two three");
    assert_text_is(&seen.text, " one two three");
    forget(&g, &seen);
}

static void reasons_have_names(void **state)
{
    (void)state;
    assert_string_equal(stop_reason_name(STOP_LENGTH), "max_new_tokens");
    assert_string_equal(stop_reason_name(STOP_EOS), "eos");
    assert_string_equal(stop_reason_name(STOP_TEXT), "stop text");
}

static void what_cannot_be_generated_is_refused(void **state)
{
    struct model *m = *state;
    struct generated g;
    struct err e = {0};
    static int32_t prompt[1024];

    assert_int_equal(generate(&g, m, prompt, 1020, &(struct generate_args){.max_new_tokens = 5}, &e), ERR_USAGE);
    assert_string_equal(e.text, "tiny-gpt2: 1020 prompt tokens and 5 new ones wanted, its context holds 1024");
    assert_int_equal(generate(&g, m, prompt, 1, &(struct generate_args){.max_new_tokens = INT32_MAX}, &e), ERR_USAGE);
    assert_int_equal(generate(&g, m, prompt, 1020, &(struct generate_args){.max_new_tokens = 4}, &e), 0);
    generated_free(&g);
    assert_int_equal(generate(&g, m, prompt, 1, &(struct generate_args){.max_new_tokens = 0}, &e), ERR_USAGE);
    assert_string_equal(e.text, "max_new_tokens 0: expected 1 or more");
    assert_int_equal(generate(&g, m, prompt, 0, &(struct generate_args){.max_new_tokens = 1}, &e), ERR_USAGE);
    assert_string_equal(e.text, "prompt: expected at least one token");
    struct generate_args empty = {.max_new_tokens = 1, .stop = (const char *const[]){"a", "", NULL}};
    assert_int_equal(generate(&g, m, prompt, 1, &empty, &e), ERR_USAGE);
    assert_string_equal(e.text, "stop text: expected at least one character");
    struct generate_args hot = {.max_new_tokens = 1, .sampling.temperature = -1};
    assert_int_equal(generate(&g, m, prompt, 1, &hot, &e), ERR_USAGE);
    generated_free(&g);
}

/* --- sampling and beams --- */

static void the_same_seed_says_the_same_again_and_another_does_not(void **state)
{
    struct generate_args a = {.max_new_tokens = 20, .sampling = {.temperature = 1, .top_p = 0.9, .seed = 3}};
    struct generated first = generated_by(*state, hello, HELLO, &a), again = generated_by(*state, hello, HELLO, &a);

    a.sampling.seed = 4;
    struct generated other = generated_by(*state, hello, HELLO, &a);
    assert_int_equal(first.count, 20);
    assert_memory_equal(again.ids, first.ids, 20 * sizeof *first.ids);
    assert_memory_not_equal(other.ids, first.ids, 20 * sizeof *first.ids);
    generated_free(&first);
    generated_free(&again);
    generated_free(&other);
}

/* Beam search by its bookkeeping alone: every step runs every beam's whole sequence through a greedy session without a cache.
 */
static int beam_by_hand(struct beam *b, struct model *m, int beams, const int32_t *prompt, int n, int most_steps)
{
    struct session_args args = {.batch = beams, .capacity = n + most_steps};
    struct session *s = NULL;
    int step = 0;
    int32_t row[8][TOKENS_MAX], before[8][TOKENS_MAX], ids[8 * TOKENS_MAX], token[8], parent[8];

    assert_int_equal(session_open(&s, m, &args, NULL), 0);
    for (int i = 0; i < beams; i++)
        memcpy(row[i], prompt, (size_t)n * sizeof *prompt);
    for (; step < most_steps && !beam_finished(b); step++) {
        int length = n + step;
        for (int i = 0; i < beams; i++)
            memcpy(ids + i * length, row[i], (size_t)length * sizeof *ids);
        session_reset(s);
        assert_int_equal(session_prefill(s, ids, length, NULL), 0);
        beam_step(b, session_logits(s), token, parent);
        memcpy(before, row, sizeof row);
        for (int i = 0; i < beams; i++) {
            memcpy(row[i], before[parent[i]], sizeof row[i]);
            row[i][length] = token[i];
        }
    }
    session_close(s);
    return step;
}

enum { STEPS = 24, BEAMS = 3 };

static void assert_beams_are_those_by_hand(struct model *m, bool ignore_eos)
{
    struct seen seen;
    struct generate_args a = watched(&seen, STEPS);
    struct beam *b = NULL;
    int n;

    a.sampling = (struct sampling){.beams = BEAMS, .length_alpha = 1.6, .min_length = 1};
    a.ignore_eos = ignore_eos;
    assert_int_equal(
        beam_open(&b, &a.sampling, m->config.vocab, m->config.eos, ignore_eos ? 0 : m->config.eos_count, STEPS, NULL), 0);
    int steps = beam_by_hand(b, m, BEAMS, hello, HELLO, STEPS);
    const int32_t *best = beam_best(b, &n, NULL);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_int_equal(g.count, n);
    assert_memory_equal(g.ids, best, (size_t)n * sizeof *best);
    assert_int_equal(g.why, ignore_eos ? STOP_LENGTH : STOP_EOS);
    assert_int_equal(seen.pieces_before_the_last_step, 0);
    assert_int_equal(seen.text.len, g.text.len);
    assert_int_equal(seen.steps, steps);
    assert_int_equal(steps == STEPS, ignore_eos);
    forget(&g, &seen);
    beam_close(b);
}

static void beams_say_the_best_sequence_once_it_is_known(void **state)
{
    struct model *m = *state;
    struct generate_args a = {.max_new_tokens = STEPS, .sampling = {.beams = BEAMS}, .ignore_eos = true};

    assert_beams_are_those_by_hand(m, true);
    struct generated g = generated_by(m, hello, HELLO, &a);
    memcpy(m->config.eos, g.ids + 4, EOS_MAX * sizeof *g.ids); /* so that sequences end early */
    m->config.eos_count = EOS_MAX;
    assert_beams_are_those_by_hand(m, false);
    generated_free(&g);
}

static void a_stop_text_cuts_what_beams_found(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct generate_args a = {.max_new_tokens = 4, .sampling = {.beams = 3}, .stop = (const char *const[]){"o th", NULL}};

    assert_int_equal(script_text(m, HELLO, " one two three four", ids), 4);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_text_is(&g.text, " one tw");
    assert_int_equal(g.count, 3);
    assert_int_equal(g.why, STOP_TEXT);
    generated_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_model(generation_ends_after_max_new_tokens),
        on_a_model(one_token_takes_no_decode_step),
        on_a_model(an_end_of_sequence_token_ends_generation_and_is_not_text),
        on_a_model(any_of_several_end_of_sequence_tokens_ends_generation),
        on_a_model(ignoring_it_generation_goes_on_to_max_new_tokens),
        on_a_model(a_step_that_says_so_interrupts_and_what_there_is_stays),
        cmocka_unit_test(reasons_have_names),
        on_a_model(what_cannot_be_generated_is_refused),
        on_a_model(the_same_seed_says_the_same_again_and_another_does_not),
        on_a_model(beams_say_the_best_sequence_once_it_is_known),
        on_a_model(a_stop_text_cuts_what_beams_found),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
