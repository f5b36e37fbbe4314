/* SPDX-License-Identifier: MIT
 * What a smaller dtype costs in accuracy: the logits of every position of a prompt, in one pass of each kind that the trials
 * run, against those of the same model with everything in float32. Before anything is timed. */
#include <math.h>
#include <stdlib.h>

#include "runner.h"

enum { POSITIONS = 128 };

/* By these axes logits differ; the usual value of each is float32's own. */
static const enum axis kinds[] = {AXIS_DTYPE, AXIS_GEMM, AXIS_KV_DTYPE, AXIS_ATTENTION};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool same_kind(const struct trial *a, const struct trial *b)
{
    for (int i = 0; i < KINDS; i++)
        if (a->cell.value[kinds[i]] != b->cell.value[kinds[i]])
            return false;
    return true;
}

/* A session of the kind that the cell says, after one pass that kept all logits. */
static int open_pass(struct session **s, struct model *m, const struct cell *c, const int32_t *prompt, int n, struct err *e)
{
    const struct session_args args = {
        .batch = 1,
        .capacity = n,
        .kv_dtype = (enum dtype)c->value[AXIS_KV_DTYPE],
        .attention = (enum attention)c->value[AXIS_ATTENTION],
        .kv_cache = true,
        .all_logits = true,
        .ignore_eos = true,
    };
    int code = session_open(s, m, &args, e);

    return code == 0 ? session_prefill(*s, prompt, n, e) : code;
}

static int largest(const float *x, int n)
{
    int at = 0;

    for (int i = 1; i < n; i++)
        if (x[i] > x[at])
            at = i;
    return at;
}

static struct store_accuracy compare(const float *logits, const float *truth, int positions, int vocab)
{
    const size_t n = (size_t)positions * (size_t)vocab;
    struct store_accuracy a = {.positions = positions};
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)logits[i] - (double)truth[i]);
        a.max_error = fmax(a.max_error, error);
        a.mean_error += error / (double)n;
        sum += (double)truth[i];
        squares += (double)truth[i] * (double)truth[i];
    }
    a.spread = sqrt(fmax(0, squares / (double)n - sum / (double)n * (sum / (double)n)));
    for (int p = 0; p < positions; p++) {
        const size_t row = (size_t)p * (size_t)vocab;
        a.top1 += largest(logits + row, vocab) == largest(truth + row, vocab);
    }
    a.top1 /= positions;
    return a;
}

/* One kind, stored with each of its trials. */
static int measure(struct runner *r, const struct trial *t, struct session *truth, const int32_t *prompt, int n, struct err *e)
{
    const struct plan *p = r->plan;
    struct session *s = NULL;
    int code = open_pass(&s, t->model, &t->cell, prompt, n, e);
    const float *logits = code == 0 ? session_logits(s) : NULL, *true_logits = session_logits(truth);

    if (code == 0 && !(logits && true_logits))
        code = err_set(e, ERR_MEMORY, "out of memory for a copy of the logits");
    if (code < 0)
        goto out;
    const struct store_accuracy a = compare(logits, true_logits, n, plan_config(p)->vocab);
    for (int i = 0; code == 0 && i < p->trials; i++)
        if (same_kind(&p->trial[i], t))
            code = store_add_accuracy(r->store, p->trial[i].id, &a, e);
out:
    session_close(s);
    return code;
}

static bool is_first(const struct plan *p, int trial)
{
    for (int i = 0; i < trial; i++)
        if (same_kind(&p->trial[i], &p->trial[trial]))
            return false;
    return true;
}

static int compare_kinds(struct runner *r, struct model *reference, struct err *e)
{
    static const struct cell usual = {.value = {0}}; /* f32, own, f32, flash */
    const struct plan *p = r->plan;
    const int n = plan_config(p)->context < POSITIONS ? plan_config(p)->context : POSITIONS;
    struct session *truth = NULL;
    int32_t prompt[POSITIONS];

    plan_prompt(p, prompt, n);
    int code = open_pass(&truth, reference, &usual, prompt, n, e);
    for (int i = 0; code == 0 && i < p->trials; i++) {
        if (is_first(p, i))
            code = measure(r, &p->trial[i], truth, prompt, n, e);
        if (code == 0 && *r->interrupted)
            code = err_set(e, ERR_INTERRUPTED, "interrupted while comparing logits");
    }
    session_close(truth);
    return code;
}

int run_accuracy(struct runner *r, struct err *e)
{
    struct plan_model own = {.dtype = DTYPE_F32, .gemm = GEMM_OWN};
    const struct plan_model *reference = plan_find_model(r->plan, own.dtype, own.gemm);
    int code = 0;

    progress_note(&r->progress, "comparing logits with float32");
    if (!reference) {
        code = plan_open_model(r->plan, r->options, &own, false, e);
        reference = &own;
    }
    if (code == 0)
        code = compare_kinds(r, reference->model, e);
    model_close(own.model);
    return code;
}
