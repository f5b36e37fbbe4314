/* SPDX-License-Identifier: MIT
 * What stands around the trials: the run's row, claims, probes with their calibration, roofs, predictions. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "caches.h"
#include "calibrate.h"
#include "clock.h"
#include "papi_probe.h"
#include "runner.h"
#include "sha256.h"
#include "version.h"
#include "work.h"

static const char conventions[] = "a multiply-add is 2 FLOPs; matrix products only (norms, activations, softmax and biases are "
                                  "not counted); causal attention "
                                  "counts the scores that are used (half); the head runs for the last position; bytes are "
                                  "weights once a pass, cached keys and "
                                  "values read once, new ones written once; a pass and the cache have a row for each beam, "
                                  "and choosing a token counts as no work";

int setup_add_run(struct runner *r, struct err *e)
{
    const struct plan *p = r->plan;
    const struct model_config *c = model_config(p->model);
    const struct model_info *info = model_info(p->model);
    struct text ids = {0};

    for (size_t i = 0; i < p->prompt_len; i++)
        text_printf(&ids, "%s%d", i ? ", " : "[", (int)p->prompt_ids[i]);
    text_puts(&ids, "]");
    struct store_run row = {
        .suite = p->suite.name,
        .question = p->suite.question,
        .suite_yaml = p->suite.yaml.data,
        .command = r->options->command,
        .model = c->name,
        .arch = c->arch,
        .dtype = info->dtype,
        .weights = info->weights,
        .format = info->format,
        .stored = info->stored,
        .layers = c->layers,
        .d_model = c->d_model,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .d_ff = c->d_ff,
        .vocab = c->vocab,
        .context = c->context,
        .parameters = (int64_t)info->parameters,
        .weight_bytes = (int64_t)info->weight_bytes,
        .stored_bytes = (int64_t)info->stored_bytes,
        .load_peak_bytes = info->peak_bytes ? (int64_t)info->peak_bytes : -1,
        .tokenizer = info->tokenizer,
        .prompt = p->suite.prompt,
        .prompt_tokens = ids.data,
        .backend = r->options->backend,
        .backend_about = info->backend_about,
        .cpus = p->team.cpus,
        .threads = p->team.threads,
        .seed = (int64_t)r->options->seed,
        .load_model_ns = (int64_t)info->load_ns,
        .load_tokenizer_ns = (int64_t)info->tokenizer_ns,
        .tokenize_ns = (int64_t)p->tokenize_ns,
        .version = bench_version(),
        .compiler = bench_compiler(),
        .conventions = conventions,
    };
    int code = store_add_run(r->store, &row, &r->run, e);
    text_free(&ids);
    return code;
}

/* Hashed here, so that it is no part of the time that loading took. */
int setup_add_files(struct runner *r, struct err *e)
{
    const char *path;
    int code = 0;

    for (int i = 0; code == 0 && (path = model_file(r->plan->model, i)); i++) {
        char hash[SHA256_HEX_BYTES], note[160];
        struct stat st;
        snprintf(note, sizeof note, "hashing %s", path);
        progress_note(&r->progress, note);
        code = sha256_file(hash, path, e);
        if (code == 0 && stat(path, &st) < 0)
            code = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        if (code == 0)
            code = store_add_model_file(r->store, r->run, path, st.st_size, hash, e);
        if (code == 0 && *r->interrupted)
            code = err_set(e, ERR_INTERRUPTED, "interrupted after hashing %s", path);
    }
    return code;
}

int setup_add_caches(struct runner *r, struct err *e)
{
    struct caches c;
    int threads = r->plan->team.threads, code = 0;

    caches_find(&c);
    if (c.l2)
        code = store_add_cache(r->store, r->run, "l2", (int64_t)c.l2 * threads, e);
    if (code == 0 && c.l3)
        code = store_add_cache(r->store, r->run, "l3", (int64_t)caches_last_level(&c, threads), e);
    return code;
}

int setup_add_claims(struct runner *r, struct err *e)
{
    int code = 0;

    for (int i = 0; code == 0 && i < r->plan->suite.claims; i++)
        code = store_add_claim(r->store, r->run, i, r->plan->suite.claim[i].json, e);
    return code;
}

/* --- probes ----------------------------------------------------------------------------------------------------------------
 */

static int store_calibrations(struct runner *r, const struct calibration_list *list, struct err *e)
{
    int code = 0;

    for (int i = 0; code == 0 && i < list->count; i++) {
        const struct calibration *c = &list->item[i];
        struct store_calibration row = {
            .metric = metric_name(c->metric),
            .probe = c->probe,
            .event = c->event,
            .kernel = c->kernel,
            .why = c->why,
            .expected = c->expected,
            .measured = c->measured,
            .rel_error = c->rel_error,
            .limit = c->limit,
            .accepted = c->accepted,
        };
        code = store_add_calibration(r->store, r->run, &row, e);
    }
    return code;
}

/* What PAPI was asked for and did not give, and what it gave and how true it was. */
static int store_papi(struct runner *r, const struct probe *p, struct err *e)
{
    const struct papi_quantity *q;
    int n = papi_quantities(p, &q);
    int code = store_calibrations(r, papi_calibrations(p), e);

    for (int i = 0; code == 0 && i < n; i++)
        if (!q[i].accepted)
            code = store_add_absent(r->store, r->run, metric_name(q[i].metric), q[i].why, e);
    if (code == 0)
        code = store_add_machine(r->store, r->run, "counters", papi_pmu(p), "PAPI", e);
    return code;
}

static int open_probe(struct runner *r, const char *name, struct err *e)
{
    const struct probe_ops *ops = probe_find(name, e);
    struct probe_args args = {.threads = r->plan->team.threads};
    struct probe *p = NULL;

    if (!ops)
        return ERR_USAGE;
    if (strcmp(name, "clock") == 0)
        return 0; /* always there */
    int code = ops->open(&p, &args, e);
    if (code == ERR_ABSENT)
        return store_add_absent(r->store, r->run, name, e->text, e);
    if (code < 0)
        return err_wrap(e, "probe %s", name);
    r->probe[r->probes++] = p;
    return strcmp(name, "papi") == 0 ? store_papi(r, p, e) : 0;
}

int setup_open_probes(struct runner *r, struct err *e)
{
    struct probe_args args = {.threads = r->plan->team.threads};
    int code = probe_find("clock", e)->open(&r->clock, &args, e);

    for (int i = 0; code == 0 && i < r->plan->suite.probe_count; i++)
        code = open_probe(r, r->plan->suite.probes[i], e);
    return code;
}

/* --- roofs -----------------------------------------------------------------------------------------------------------------
 */

static int store_roof(struct runner *r, const struct roof *roof, struct err *e)
{
    struct store_roof row = {
        .name = roof->spec->name,
        .kind = roof->spec->kind == ROOF_COMPUTE ? "compute" : "bandwidth",
        .level = roof->spec->level,
        .how = roof->how,
        .threads = r->plan->team.threads,
        .round = r->roof_round,
        .repetitions = roof->repetitions,
        .value = roof->value,
        .work = roof->work,
        .at_ns = (int64_t)(clock_ns() - r->start_ns),
        .wall_ns = (int64_t)roof->wall_ns,
    };

    if (r->roof_round == 0 && strcmp(row.name, "f32 fma") == 0)
        r->flops_roof = roof->value;
    if (r->roof_round == 0 && strcmp(row.name, "dram read") == 0)
        r->bytes_roof = roof->value;
    return store_add_roof(r->store, r->run, &row, e);
}

int setup_take_roofs(struct runner *r, struct err *e)
{
    struct roof roof;
    char note[96];

    for (int i = 0; i < roof_count && !*r->interrupted; i++) {
        if (r->roof_round > 0 && !roof_specs[i].bracket)
            continue;
        snprintf(note, sizeof note, "measuring roofs, round %d: %s", r->roof_round, roof_specs[i].name);
        if (r->progress.terminal || i == 0)
            progress_note(&r->progress, note);
        int code = roofs_measure(r->roofs, i, &roof, e);
        if (code == 0)
            code = store_roof(r, &roof, e);
        else if (code == ERR_ABSENT)
            code = store_add_absent(r->store, r->run, roof_specs[i].name, e->text, e);
        if (code < 0)
            return code;
    }
    r->roof_round++;
    return *r->interrupted ? err_set(e, ERR_INTERRUPTED, "interrupted while measuring roofs") : 0;
}

/* --- trials and their predictions ------------------------------------------------------------------------------------------
 */

/* A step's work by op, layers summed; or that of a stretch of steps. */
static int store_ops(struct runner *r, const struct trial *t, struct store_span span, struct err *e)
{
    const struct model_config *c = model_config(r->plan->model);
    int code = 0;

    for (int op = 0; code == 0 && op < OP_COUNT; op++) {
        struct work sum = {0};
        for (int i = 0; i < span.steps; i++) {
            struct pass_shape shape = work_step_shape(t->rows, t->prompt_tokens, span.step + i, t->cell.value[AXIS_KV_CACHE]);
            struct work w = work_of_op(c, (enum op)op, &shape);
            work_add(&sum, &w, work_op_in_layers((enum op)op) ? c->layers : 1);
        }
        struct store_op row = {span, op_name((enum op)op), sum.flops, work_bytes(&sum), sum.kv_write_bytes};
        code = store_add_op(r->store, t->id, &row, e);
    }
    return code;
}

static int store_spans(struct runner *r, const struct trial *t, struct err *e)
{
    int code = 0;

    for (int i = 0; code == 0 && i < OP_SPAN_COUNT; i++) {
        struct store_span span;
        if (op_span_steps((enum op_span)i, t->cell.value[AXIS_NEW_TOKENS], &span.step, &span.steps))
            code = store_ops(r, t, span, e);
    }
    return code;
}

static int store_predictions(struct runner *r, struct trial *t, struct err *e)
{
    int steps = t->cell.value[AXIS_NEW_TOKENS], code = 0;

    for (int step = 0; code == 0 && step < steps; step++) {
        struct pass_shape shape = work_step_shape(t->rows, t->prompt_tokens, step, t->cell.value[AXIS_KV_CACHE]);
        struct work w = work_of_pass(model_config(r->plan->model), &shape);
        double roof_ns = work_roof_ns(&w, r->flops_roof, r->bytes_roof);
        struct store_prediction row = {step, w.flops, w.weight_bytes, w.kv_read_bytes, w.kv_write_bytes, roof_ns};
        t->predicted_ns += roof_ns;
        code = store_add_prediction(r->store, t->id, &row, e);
    }
    return code == 0 ? store_spans(r, t, e) : code;
}

int setup_add_trials(struct runner *r, struct err *e)
{
    const struct model_config *c = model_config(r->plan->model);
    int code = store_begin(r->store, e);

    for (int i = 0; code == 0 && i < r->plan->trials; i++) {
        struct trial *t = &r->plan->trial[i];
        int new_tokens = t->cell.value[AXIS_NEW_TOKENS], strategy = t->cell.value[AXIS_STRATEGY];
        char about[160];
        struct store_trial row = {
            .ordinal = i,
            .kv_cache = t->cell.value[AXIS_KV_CACHE],
            .batch = t->cell.value[AXIS_BATCH],
            .rows = t->rows,
            .prompt_tokens = t->prompt_tokens,
            .new_tokens = new_tokens,
            .strategy = strategy_names[strategy],
            .sampling = strategy == STRATEGY_GREEDY ? NULL : sampling_about(&t->sampling, about, sizeof about),
            .kv_bytes_allocated = -1,
            .kv_bytes_formula = (int64_t)config_kv_bytes(c, t->rows, t->prompt_tokens + new_tokens - 1),
        };
        code = store_add_trial(r->store, r->run, &row, &t->id, e);
        if (code == 0)
            code = store_predictions(r, t, e);
    }
    return code == 0 ? store_commit(r->store, e) : code;
}
