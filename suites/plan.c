/* SPDX-License-Identifier: MIT
 * From a suite to trials on this machine: the model in every dtype that the cells name, the prompt's tokens, and what each
 * trial should cost. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ceilings.h"
#include "clock.h"
#include "run.h"
#include "text.h"

const struct model_config *plan_config(const struct plan *p)
{
    return model_config(p->model[0].model);
}

/* --- cells that cannot be computed -----------------------------------------------------------------------------------------
 */

/* By these axes a backend may refuse a cell. */
static const enum axis judged[] = {AXIS_DTYPE, AXIS_GEMM, AXIS_KV_DTYPE, AXIS_ATTENTION};
enum { JUDGED = sizeof judged / sizeof *judged };

static const char *refusal(const char *backend, const struct cell *c)
{
    return backend_refusal(backend, (enum dtype)c->value[AXIS_DTYPE], (enum gemm)c->value[AXIS_GEMM],
                           (enum dtype)c->value[AXIS_KV_DTYPE], (enum attention)c->value[AXIS_ATTENTION]);
}

static struct cell usual_cell(void)
{
    struct cell c;

    for (int a = 0; a < AXIS_COUNT; a++)
        c.value[a] = axes[a].usual;
    return c;
}

/* "dtype=q8_0": the value that is refused by itself; or, where they only do not go together, all that are not usual. */
static void name_refused(const char *backend, const struct cell *c, char *what, size_t size)
{
    char word[AXIS_TEXT];
    size_t n = 0;

    for (int i = 0; i < JUDGED; i++) {
        struct cell alone = usual_cell();
        alone.value[judged[i]] = c->value[judged[i]];
        if (!refusal(backend, &alone))
            continue;
        snprintf(what, size, "%s=%s", axes[judged[i]].name, axis_text(judged[i], c->value[judged[i]], word));
        return;
    }
    for (int i = 0; i < JUDGED && n < size; i++)
        if (c->value[judged[i]] != axes[judged[i]].usual)
            n += (size_t)snprintf(what + n, size - n, "%s%s=%s", n ? " " : "", axes[judged[i]].name,
                                  axis_text(judged[i], c->value[judged[i]], word));
}

static void note_left_out(struct plan *p, const char *backend, const struct cell *c, const char *why)
{
    struct left_out *new = &p->left_out[p->left_outs];

    if (p->left_outs == LEFT_OUT_MAX)
        return;
    name_refused(backend, c, new->what, sizeof new->what);
    snprintf(new->why, sizeof new->why, "%s", why);
    for (int i = 0; i < p->left_outs; i++)
        if (strcmp(p->left_out[i].what, new->what) == 0)
            return;
    p->left_outs++;
}

/* A suite asks more than one backend can: what is left is run. */
static int leave_out(struct plan *p, const char *backend, struct cell *cells, int *count, struct err *e)
{
    int kept = 0;

    for (int i = 0; i < *count; i++) {
        const char *why = refusal(backend, &cells[i]);
        if (why)
            note_left_out(p, backend, &cells[i], why);
        else
            cells[kept++] = cells[i];
    }
    *count = kept;
    return kept > 0 ? 0 : err_set(e, ERR_USAGE, "%s: %s: %s", p->suite.path, p->left_out[0].what, p->left_out[0].why);
}

/* --- models ----------------------------------------------------------------------------------------------------------------
 */

const struct plan_model *plan_find_model(const struct plan *p, enum dtype d, enum gemm g)
{
    for (int i = 0; i < p->models; i++)
        if (p->model[i].dtype == d && p->model[i].gemm == g)
            return &p->model[i];
    return NULL;
}

static int list_models(struct plan *p, const struct cell *cells, int count, struct err *e)
{
    for (int i = 0; i < count; i++) {
        const enum dtype dtype = (enum dtype)cells[i].value[AXIS_DTYPE];
        const enum gemm gemm = (enum gemm)cells[i].value[AXIS_GEMM];
        if (plan_find_model(p, dtype, gemm))
            continue;
        if (p->models == MODELS_MAX)
            return err_set(e, ERR_USAGE, "%s: more than %d models in memory; shorten matrix.dtype", p->suite.path, MODELS_MAX);
        p->model[p->models++] = (struct plan_model){.dtype = dtype, .gemm = gemm};
    }
    return 0;
}

int plan_open_model(const struct plan *p, const struct run_options *o, struct plan_model *m, bool plan_only, struct err *e)
{
    const struct model_args args = {
        .source = o->model ? o->model : p->suite.model,
        .backend = o->backend,
        .device = o->device,
        .threads = p->team.threads,
        .dtype = m->dtype,
        .gemm = m->gemm,
        .seed = o->seed,
        .plan_only = plan_only,
    };

    return model_open(&m->model, &args, e);
}

/* What a process may still take of the host; 0: not known. */
static double host_bytes(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (double)kib * 1024;
}

static double available_bytes(const struct model *m)
{
    return model_info(m)->on_device ? model_available_bytes(m) : host_bytes();
}

static void add_model(struct text *each, double *sum, const struct model_config *c, enum dtype d, const char *why)
{
    const double wanted = (double)config_parameters(c) * dtype_block_bytes(d) / dtype_block(d);
    char bytes[16];

    text_printf(each, "%s%s %s%s", *sum > 0 ? ", " : "", axes[AXIS_DTYPE].words[d], text_bytes(bytes, sizeof bytes, wanted),
                why);
    *sum += wanted;
}

/* Memory is given before it is touched: a system that has too little for all the models would end the process while loading.
 * So shapes come first. */
static int check_memory(const struct plan *p, const struct run_options *o, struct err *e)
{
    struct plan_model shapes = p->model[0];
    struct text each = {0};
    double sum = 0;
    char have[16], wanted[16];
    int code = plan_open_model(p, o, &shapes, true, e);

    if (code < 0)
        return code;
    const double available = available_bytes(shapes.model);
    for (int i = 0; i < p->models; i++)
        add_model(&each, &sum, model_config(shapes.model), p->model[i].dtype, "");
    if (p->suite.accuracy && !plan_find_model(p, DTYPE_F32, GEMM_OWN))
        add_model(&each, &sum, model_config(shapes.model), DTYPE_F32, " for measure.accuracy");
    if (available > 0 && sum > available)
        code = err_set(e, ERR_MEMORY, "%s: %s in memory together: %s; %s are available; shorten matrix.dtype", p->suite.path,
                       text_bytes(wanted, sizeof wanted, sum), each.data, text_bytes(have, sizeof have, available));
    text_free(&each);
    model_close(shapes.model);
    return code;
}

static int open_models(struct plan *p, const struct run_options *o, bool plan_only, struct err *e)
{
    const bool several = p->models > 1 || p->suite.accuracy;
    int code = several && !plan_only ? check_memory(p, o, e) : 0;

    for (int i = 0; code == 0 && i < p->models; i++)
        code = plan_open_model(p, o, &p->model[i], plan_only, e);
    p->device = code == 0 && model_info(p->model[0].model)->on_device ? o->device : -1;
    return code;
}

/* --- the prompt ------------------------------------------------------------------------------------------------------------
 */

/* Without a tokenizer every byte of the prompt stands for one token: the work is the same, the words are not. */
static int bytes_as_tokens(struct plan *p, struct err *e)
{
    const char *text = p->suite.prompt;
    int vocab = plan_config(p)->vocab;

    p->prompt_len = strlen(text);
    p->prompt_ids = malloc(p->prompt_len * sizeof *p->prompt_ids);
    if (!p->prompt_ids)
        return err_set(e, ERR_MEMORY, "prompt: out of memory");
    for (size_t i = 0; i < p->prompt_len; i++)
        p->prompt_ids[i] = (unsigned char)text[i] % vocab;
    return 0;
}

static int tokenize_prompt(struct plan *p, struct err *e)
{
    uint64_t start = clock_ns();
    int code = model_tokenize(p->model[0].model, p->suite.prompt, &p->prompt_ids, &p->prompt_len, e);

    p->tokenize_ns = clock_ns() - start;
    if (code == ERR_ABSENT)
        code = bytes_as_tokens(p, e);
    if (code < 0)
        return err_wrap(e, "%s: workload.prompt", p->suite.path);
    if (p->prompt_len == 0)
        return err_set(e, ERR_USAGE, "%s: workload.prompt: it has no tokens", p->suite.path);
    return 0;
}

void plan_prompt(const struct plan *p, int32_t *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = p->prompt_ids[(size_t)i % p->prompt_len];
}

/* --- trials ----------------------------------------------------------------------------------------------------------------
 */

/* What `text` and `all` are here. A GPU's passes are not computed by threads; nothing is launched on a CPU. */
static int resolve(const struct plan *p, struct cell *c, struct err *e)
{
    int *threads = &c->value[AXIS_THREADS];

    if (p->device >= 0)
        *threads = 0;
    else
        c->value[AXIS_LAUNCH] = axes[AXIS_LAUNCH].usual;
    if (*threads > p->team.threads)
        return err_set(e, ERR_USAGE, "%s: threads %d: this run has %d; take fewer, or more with --threads", p->suite.path,
                       *threads, p->team.threads);
    if (*threads == 0)
        *threads = p->team.threads;
    if (c->value[AXIS_PROMPT_TOKENS] == 0)
        c->value[AXIS_PROMPT_TOKENS] = (int)p->prompt_len;
    return 0;
}

static int make_prompt(const struct plan *p, struct trial *t, struct err *e)
{
    int tokens = t->cell.value[AXIS_PROMPT_TOKENS], batch = t->cell.value[AXIS_BATCH];

    t->prompt = malloc((size_t)batch * (size_t)tokens * sizeof *t->prompt);
    if (!t->prompt)
        return err_set(e, ERR_MEMORY, "%s: out of memory for its prompt", t->label);
    for (int i = 0; i < batch; i++)
        plan_prompt(p, t->prompt + (size_t)i * (size_t)tokens, tokens);
    return 0;
}

/* Cache and lengths always; any other axis where it is not as usual. */
static void name_trial(const struct plan *p, struct trial *t)
{
    const int *value = t->cell.value;
    char word[AXIS_TEXT];
    size_t n = (size_t)snprintf(t->label, sizeof t->label, "kv_cache=%s prompt=%d new=%d",
                                axis_text(AXIS_KV_CACHE, value[AXIS_KV_CACHE], word), value[AXIS_PROMPT_TOKENS],
                                value[AXIS_NEW_TOKENS]);

    for (int a = 0; a < AXIS_COUNT; a++) {
        const int usual = a == AXIS_THREADS ? p->team.threads : axes[a].usual;
        if (a == AXIS_KV_CACHE || a == AXIS_PROMPT_TOKENS || a == AXIS_NEW_TOKENS || value[a] == usual)
            continue;
        n += (size_t)snprintf(t->label + n, sizeof t->label - n, " %s=%s", axes[a].name,
                              axis_text((enum axis)a, value[a], word));
    }
}

static int add_trial(struct plan *p, const struct cell *cell, uint64_t seed, struct err *e)
{
    struct trial *t = &p->trial[p->trials++];
    const struct model_config *c = plan_config(p);
    const int positions = cell->value[AXIS_PROMPT_TOKENS] + cell->value[AXIS_NEW_TOKENS] - 1; /* the last is never read */

    t->cell = *cell;
    t->model = plan_find_model(p, (enum dtype)cell->value[AXIS_DTYPE], (enum gemm)cell->value[AXIS_GEMM])->model;
    suite_sampling(&p->suite, cell, seed, &t->sampling);
    t->rows = cell->value[AXIS_BATCH] * (t->sampling.beams > 1 ? t->sampling.beams : 1);
    name_trial(p, t);
    if (positions > c->context)
        return err_set(e, ERR_USAGE, "%s: %s needs %d positions, %s has %d", p->suite.path, t->label, positions, c->name,
                       c->context);
    t->total_ns = calloc((size_t)p->suite.repetitions_max, sizeof *t->total_ns);
    if (!t->total_ns)
        return err_set(e, ERR_MEMORY, "%s: out of memory", t->label);
    return make_prompt(p, t, e);
}

/* Two cells can become one once `text` and `all` are numbers. */
static bool is_repeated(const struct plan *p, const struct cell *cell)
{
    for (int i = 0; i < p->trials; i++)
        if (memcmp(&p->trial[i].cell, cell, sizeof *cell) == 0)
            return true;
    return false;
}

static int add_trials(struct plan *p, struct cell *cells, int count, uint64_t seed, struct err *e)
{
    int code = 0;

    for (int i = 0; code == 0 && i < count; i++) {
        code = resolve(p, &cells[i], e);
        if (code == 0 && !is_repeated(p, &cells[i]))
            code = add_trial(p, &cells[i], seed, e);
    }
    return code;
}

int plan_open(struct plan *p, const struct run_options *o, bool plan_only, struct err *e)
{
    struct cell cells[TRIALS_MAX];
    int count = 0, code = suite_read(&p->suite, o->suite, o->overrides, o->quick, e);

    if (code == 0)
        code = suite_cells(&p->suite, cells, TRIALS_MAX, &count, e);
    if (code == 0)
        code = leave_out(p, o->backend, cells, &count, e);
    if (code == 0)
        code = team_start(&p->team, o->threads, o->cpus, e);
    if (code == 0)
        code = list_models(p, cells, count, e);
    if (code == 0)
        code = open_models(p, o, plan_only, e);
    if (code == 0)
        code = tokenize_prompt(p, e);
    return code == 0 ? add_trials(p, cells, count, o->seed, e) : code;
}

void plan_close(struct plan *p)
{
    for (int i = 0; i < p->trials; i++) {
        free(p->trial[i].prompt);
        free(p->trial[i].total_ns);
    }
    free(p->prompt_ids);
    for (int i = 0; i < p->models; i++)
        model_close(p->model[i].model);
    suite_free(&p->suite);
}

/* --- what it should cost ---------------------------------------------------------------------------------------------------
 */

struct pass_shape plan_step_shape(const struct trial *t, int step)
{
    const int *value = t->cell.value;
    struct pass_shape shape = work_step_shape(t->rows, value[AXIS_PROMPT_TOKENS], step, value[AXIS_KV_CACHE]);

    shape.dtype = (enum dtype)value[AXIS_DTYPE];
    shape.kv_dtype = (enum dtype)value[AXIS_KV_DTYPE];
    return shape;
}

/* Work of all steps of one execution, and its time if every step ran at its roof. */
static struct work trial_work(const struct trial *t, double flops_roof, double bytes_roof, double *ns)
{
    struct work sum = {0};

    *ns = 0;
    for (int step = 0; step < t->cell.value[AXIS_NEW_TOKENS]; step++) {
        struct pass_shape shape = plan_step_shape(t, step);
        struct work w = work_of_pass(model_config(t->model), &shape);
        work_add(&sum, &w, 1);
        *ns += work_roof_ns(&w, flops_roof, bytes_roof);
    }
    return sum;
}

enum { PLAN_ROOF_MS = 40 };

static const struct {
    const char *unit;
    double scale;
} roof_units[] = {[ROOF_COMPUTE] = {"Gop/s", 1e9}, [ROOF_BANDWIDTH] = {"GB/s", 1e9}, [ROOF_LAUNCH] = {"kernels/ms", 1e3}};

/* "2 threads", "GPU 0": who computes. */
static const char *print_who(char buf[32], const struct plan *p, int threads)
{
    if (p->device >= 0)
        snprintf(buf, 32, "GPU %d", p->device);
    else
        snprintf(buf, 32, "%d thread%s", threads, threads == 1 ? "" : "s");
    return buf;
}

static void print_roofs(const struct ceilings *c, FILE *out)
{
    char who[32];

    for (int s = 0; s < c->sets; s++) {
        const struct ceiling_set *set = &c->set[s];
        const char *between = ":";
        fprintf(out, "roofs now, %s", print_who(who, c->plan, set->threads));
        for (int i = 0; i < roof_count; i++) {
            const struct roof_spec *spec = &roof_specs[i];
            if (set->value[i] <= 0 || (spec->kind == ROOF_BANDWIDTH && !spec->bracket))
                continue;
            fprintf(out, "%s %s %.1f %s", between, spec->name, set->value[i] / roof_units[spec->kind].scale,
                    roof_units[spec->kind].unit);
            between = ",";
        }
        fputc('\n', out);
    }
}

static void print_left_out(const struct plan *p, FILE *out)
{
    for (int i = 0; i < p->left_outs; i++)
        fprintf(out, "left out: %s: %s\n", p->left_out[i].what, p->left_out[i].why);
}

int plan_print(struct plan *p, FILE *out, struct err *e)
{
    struct ceilings ceilings;
    double flops_roof, bytes_roof, ns, total = 0;
    char who[32];
    int code = ceilings_open(&ceilings, p, PLAN_ROOF_MS, e), widest = 0;

    if (code == 0)
        code = ceilings_take(&ceilings, NULL, NULL, e);
    if (code < 0)
        goto out;
    fprintf(out, "%s: %s\n%s, %s\n", p->suite.name, p->suite.question, plan_config(p)->name,
            print_who(who, p, p->team.threads));
    print_roofs(&ceilings, out);
    print_left_out(p, out);
    for (int i = 0; i < p->trials; i++)
        widest = strlen(p->trial[i].label) > (size_t)widest ? (int)strlen(p->trial[i].label) : widest;
    fprintf(out, "\n%-*s %12s %12s %14s\n", widest, "trial", "GFLOP", "GB", "ms at the roof");
    for (int i = 0; i < p->trials; i++) {
        ceilings_of(&ceilings, &p->trial[i], &flops_roof, &bytes_roof);
        struct work w = trial_work(&p->trial[i], flops_roof, bytes_roof, &ns);
        fprintf(out, "%-*s %12.2f %12.2f %14.1f\n", widest, p->trial[i].label, w.flops / 1e9, work_bytes(&w) / 1e9, ns / 1e6);
        total += ns;
    }
    fprintf(
        out,
        "\n%d trials, %.1f s a round at the roof; %d to %d rounds and %d of warm-up, %g s at most, then the counting passes\n",
        p->trials, total / 1e9, p->suite.repetitions_min, p->suite.repetitions_max, p->suite.warmup, p->suite.budget_s);
out:
    ceilings_close(&ceilings);
    return code;
}
