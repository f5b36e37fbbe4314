/* SPDX-License-Identifier: MIT
 * What stands around the trials: the run's row, claims, caches, what is left out, roofs, predictions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "caches.h"
#include "clock.h"
#include "gpu.h"
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

/* "float32, bfloat16": each once, in the order of the plan. */
static void list_dtypes(const struct plan *p, struct text *out)
{
    for (int i = 0; i < p->models; i++) {
        bool first = true;
        for (int k = 0; k < i; k++)
            first &= p->model[k].dtype != p->model[i].dtype;
        if (first)
            text_printf(out, "%s%s", i ? ", " : "", model_info(p->model[i].model)->dtype);
    }
}

int setup_add_run(struct runner *r, struct err *e)
{
    const struct plan *p = r->plan;
    const struct model_config *c = plan_config(p);
    const struct model_info *info = model_info(p->model[0].model);
    struct text ids = {0}, dtypes = {0};

    for (size_t i = 0; i < p->prompt_len; i++)
        text_printf(&ids, "%s%d", i ? ", " : "[", (int)p->prompt_ids[i]);
    text_puts(&ids, "]");
    list_dtypes(p, &dtypes);
    struct store_run row = {
        .suite = p->suite.name,
        .question = p->suite.question,
        .suite_yaml = p->suite.yaml.data,
        .command = r->options->command,
        .model = c->name,
        .arch = c->arch,
        .dtype = dtypes.data,
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
    text_free(&dtypes);
    return code;
}

/* Hashed here, so that it is no part of the time that loading took. */
int setup_add_files(struct runner *r, struct err *e)
{
    const char *path;
    int code = 0;

    for (int i = 0; code == 0 && (path = model_file(r->plan->model[0].model, i)); i++) {
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

/* Weights and cached keys and values that fit are not read from the GPU's memory. */
static int add_gpu_cache(struct runner *r, struct err *e)
{
    const struct gpu_plugin *gpu = gpu_plugin(e);
    struct gpu_facts facts;
    int code = gpu ? gpu->facts(r->plan->device, &facts, e) : ERR_ABSENT;

    return code == 0 && facts.l2_bytes ? store_add_cache(r->store, r->run, "l2", (int64_t)facts.l2_bytes, e) : code;
}

int setup_add_caches(struct runner *r, struct err *e)
{
    struct caches c;
    int threads = r->plan->team.threads, code = 0;

    if (r->plan->device >= 0)
        return add_gpu_cache(r, e);
    caches_find(&c);
    if (c.l2)
        code = store_add_cache(r->store, r->run, "l2", (int64_t)c.l2 * threads, e);
    if (code == 0 && c.l3)
        code = store_add_cache(r->store, r->run, "l3", (int64_t)caches_last_level(&c, threads), e);
    return code;
}

int setup_add_left_out(struct runner *r, struct err *e)
{
    const struct plan *p = r->plan;
    int code = 0;

    for (int i = 0; code == 0 && i < p->left_outs; i++) {
        char note[sizeof p->left_out->what + sizeof p->left_out->why + 16];
        snprintf(note, sizeof note, "left out: %s: %s", p->left_out[i].what, p->left_out[i].why);
        progress_tell(&r->progress, note);
        code = store_add_absent(r->store, r->run, p->left_out[i].what, p->left_out[i].why, e);
    }
    return code;
}

int setup_add_claims(struct runner *r, struct err *e)
{
    const struct plan *p = r->plan;
    const struct cell counts = {.value = {[AXIS_PROMPT_TOKENS] = (int)p->prompt_len, [AXIS_THREADS] = p->team.threads}};
    int code = 0;

    for (int i = 0; code == 0 && i < p->suite.claims; i++) {
        char *json = suite_claim_resolved(&p->suite.claim[i], &counts);
        code = json ? store_add_claim(r->store, r->run, i, json, e) : err_set(e, ERR_MEMORY, "expect: out of memory");
        free(json);
    }
    return code;
}

/* --- roofs -----------------------------------------------------------------------------------------------------------------
 */

/* What one number of threads lacks is said once, unless the whole team lacks it too. */
static int store_absent_roof(struct runner *r, const struct ceiling_set *set, const struct roof_spec *spec, struct err *e)
{
    const struct ceiling_set *team = &r->ceilings.set[0];
    char what[48];

    if (r->ceilings.round > 0 || (set != team && team->value[spec - roof_specs] <= 0))
        return 0;
    snprintf(what, sizeof what, set == team ? "%s" : "%s, threads %d", spec->name, set->threads);
    return store_add_absent(r->store, r->run, what, e->text, e);
}

static const char *const kinds[] = {[ROOF_COMPUTE] = "compute", [ROOF_BANDWIDTH] = "bandwidth", [ROOF_LAUNCH] = "launch"};

static int store_roof(void *ctx, const struct ceiling_set *set, const struct roof_spec *spec, const struct roof *roof,
                      struct err *e)
{
    struct runner *r = ctx;

    if (*r->interrupted)
        return err_set(e, ERR_INTERRUPTED, "interrupted while measuring roofs");
    if (!roof)
        return store_absent_roof(r, set, spec, e);
    const struct store_roof row = {
        .name = spec->name,
        .kind = kinds[spec->kind],
        .level = spec->level,
        .how = roof->how,
        .threads = set->threads,
        .round = r->ceilings.round,
        .repetitions = roof->repetitions,
        .value = roof->value,
        .work = roof->work,
        .at_ns = (int64_t)(clock_ns() - r->start_ns),
        .wall_ns = (int64_t)roof->wall_ns,
    };
    return store_add_roof(r->store, r->run, &row, e);
}

int setup_take_roofs(struct runner *r, struct err *e)
{
    const uint64_t start = clock_ns();
    char note[64];

    snprintf(note, sizeof note, "measuring roofs, round %d", r->ceilings.round);
    progress_note(&r->progress, note);
    int code = ceilings_take(&r->ceilings, store_roof, r, e);
    r->roofs_at_ns = clock_ns();
    r->roofs_ns = r->roofs_at_ns - start;
    return code;
}

/* --- trials and their predictions ------------------------------------------------------------------------------------------
 */

/* A step's work by op, layers summed; or that of a stretch of steps. */
static int store_ops(struct runner *r, const struct trial *t, struct store_span span, struct err *e)
{
    const struct model_config *c = plan_config(r->plan);
    int code = 0;

    for (int op = 0; code == 0 && op < OP_COUNT; op++) {
        struct work sum = {0};
        for (int i = 0; i < span.steps; i++) {
            struct pass_shape shape = plan_step_shape(t, span.step + i);
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
    double flops_roof, bytes_roof;

    ceilings_of(&r->ceilings, t, &flops_roof, &bytes_roof);
    for (int step = 0; code == 0 && step < steps; step++) {
        struct pass_shape shape = plan_step_shape(t, step);
        struct work w = work_of_pass(plan_config(r->plan), &shape);
        double roof_ns = work_roof_ns(&w, flops_roof, bytes_roof);
        struct store_prediction row = {step, w.flops, w.weight_bytes, w.kv_read_bytes, w.kv_write_bytes, roof_ns};
        t->predicted_ns += roof_ns;
        code = store_add_prediction(r->store, t->id, &row, e);
    }
    return code == 0 ? store_spans(r, t, e) : code;
}

/* Of the cache that holds the whole sequence. */
static int64_t kv_bytes(const struct plan *p, const struct trial *t)
{
    const int *value = t->cell.value;
    int positions = value[AXIS_PROMPT_TOKENS] + value[AXIS_NEW_TOKENS] - 1;

    return (int64_t)config_kv_bytes(plan_config(p), t->rows, positions, dtype_block_bytes((enum dtype)value[AXIS_KV_DTYPE]));
}

int setup_add_trials(struct runner *r, struct err *e)
{
    int code = store_begin(r->store, e);

    for (int i = 0; code == 0 && i < r->plan->trials; i++) {
        struct trial *t = &r->plan->trial[i];
        const struct model_info *info = model_info(t->model);
        bool greedy = t->cell.value[AXIS_STRATEGY] == STRATEGY_GREEDY;
        char about[160];
        struct store_trial row = {
            .ordinal = i,
            .rows = t->rows,
            .sampling = greedy ? NULL : sampling_about(&t->sampling, about, sizeof about),
            .arithmetic = info->arithmetic,
            .attention_arithmetic = model_attention_arithmetic(t->model, (enum dtype)t->cell.value[AXIS_KV_DTYPE]),
            .weight_bytes = (int64_t)info->weight_bytes,
            .kv_bytes_allocated = -1,
            .kv_bytes_formula = kv_bytes(r->plan, t),
        };
        memcpy(row.axis, t->cell.value, sizeof row.axis);
        code = store_add_trial(r->store, r->run, &row, &t->id, e);
        if (code == 0)
            code = store_predictions(r, t, e);
    }
    return code == 0 ? store_commit(r->store, e) : code;
}
