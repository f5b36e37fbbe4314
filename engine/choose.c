/* SPDX-License-Identifier: MIT */
#include "choose.h"

#include <stdlib.h>

static int open_beams(struct chooser *c, const struct sampling *s, const struct model_config *m, int most_tokens,
                      bool ignore_eos, struct err *e)
{
    int code = 0;

    c->beam = calloc((size_t)c->batch, sizeof(struct beam *));
    if (!c->beam)
        return err_set(e, ERR_MEMORY, "session: out of memory for the beams of %d sequences", c->batch);
    for (int i = 0; code == 0 && i < c->batch; i++)
        code = beam_open(&c->beam[i], s, c->vocab, m->eos, ignore_eos ? 0 : m->eos_count, most_tokens, e);
    return code;
}

int chooser_open(struct chooser *c, const struct sampling *s, const struct model_config *m, int batch, int most_tokens,
                 bool ignore_eos, struct err *e)
{
    int code = sampling_check(s, e);

    if (code < 0)
        return code;
    *c = (struct chooser){.batch = batch, .beams = s->beams > 1 ? s->beams : 1, .vocab = m->vocab};
    int rows = batch * c->beams;
    c->token = calloc((size_t)rows, sizeof *c->token);
    c->parent = calloc((size_t)rows, sizeof *c->parent);
    if (!c->token || !c->parent)
        return err_set(e, ERR_MEMORY, "session: out of memory for the choices of %d sequences", rows);
    for (int r = 0; r < rows; r++)
        c->parent[r] = r;
    if (sampling_is_greedy(s))
        return 0;
    if (c->beams > 1)
        return open_beams(c, s, m, most_tokens, ignore_eos, e);
    return sampler_init(&c->sampler, s, m->vocab, batch, e);
}

void chooser_close(struct chooser *c)
{
    for (int i = 0; c->beam && i < c->batch; i++)
        beam_close(c->beam[i]);
    free(c->beam);
    sampler_free(&c->sampler);
    free(c->token);
    free(c->parent);
    *c = (struct chooser){0};
}

void chooser_reset(struct chooser *c)
{
    for (int i = 0; c->beam && i < c->batch; i++)
        beam_reset(c->beam[i]);
    if (c->sampler.draws)
        sampler_reset(&c->sampler);
}

void chooser_step(struct chooser *c, const float *logits, const int32_t *history, size_t stride, int length)
{
    for (int i = 0; i < c->batch; i++) {
        int first = i * c->beams;
        const float *row = logits + (size_t)first * (size_t)c->vocab;
        if (!c->beam) {
            c->token[i] = sampler_choose(&c->sampler, row, history + (size_t)i * stride, length, i);
            continue;
        }
        beam_step(c->beam[i], row, c->token + first, c->parent + first);
        for (int b = 0; b < c->beams; b++)
            c->parent[first + b] += first;
    }
}
