/* SPDX-License-Identifier: MIT
 * Every roof of the GPU, round after round over the whole table, so that what drifts is seen to. Best is the ceiling; the
 * spread is from the worst to the best round. */
#include "roofs_gpu.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "gpu.h"
#include "roofs.h"
#include "text.h"
#include "version.h"

enum { LINES_MAX = 32 };

struct line {
    struct roof best;
    double least;
    char absent[160]; /* why; "": measured */
};

struct table {
    struct gpu_facts gpu;
    struct line line[LINES_MAX]; /* by roof_specs */
    int rounds;
};

static int measure_round(struct table *t, struct roofs *r, int round, struct err *e)
{
    for (int i = 0; i < roof_count && i < LINES_MAX; i++) {
        struct line *line = &t->line[i];
        struct roof now;
        if (!(roof_specs[i].of & ROOF_OF_GPU) || line->absent[0])
            continue;
        const int code = roofs_measure(r, i, &now, e);
        if (code == ERR_ABSENT)
            snprintf(line->absent, sizeof line->absent, "%.*s", (int)sizeof line->absent - 1, e->text);
        else if (code < 0)
            return code;
        if (code < 0)
            continue;
        line->least = round == 0 || now.value < line->least ? now.value : line->least;
        if (now.value > line->best.value)
            line->best = now;
    }
    return 0;
}

static int measure(struct table *t, int device, int budget_ms, struct err *e)
{
    const struct gpu_plugin *gpu = gpu_plugin(e);
    struct roofs *r = NULL;

    if (!gpu)
        return ERR_ABSENT;
    int code = gpu->facts(device, &t->gpu, e);
    if (code == 0)
        code = roofs_open(&r, device, 1, budget_ms, e);
    for (int round = 0; code == 0 && round < t->rounds; round++)
        code = measure_round(t, r, round, e);
    roofs_close(r);
    return code;
}

static const char *unit_of(const struct roof_spec *s)
{
    static const char *const unit[] = {[ROOF_COMPUTE] = "GFLOP/s", [ROOF_BANDWIDTH] = "GB/s", [ROOF_LAUNCH] = "kernels/ms"};

    return unit[s->kind];
}

static double in_unit(const struct roof_spec *s, double value)
{
    return value / (s->kind == ROOF_LAUNCH ? 1e3 : 1e9);
}

static void print_table(const struct table *t)
{
    char memory[16];

    printf("%s, compute capability %d.%d, %d multiprocessors, %s; best of %d rounds\n\n", t->gpu.name, t->gpu.major,
           t->gpu.minor, t->gpu.sms, text_bytes(memory, sizeof memory, (double)t->gpu.memory_bytes), t->rounds);
    printf("  %-13s %10s %-11s %19s  %s\n", "roof", "best", "", "rounds", "how");
    for (int i = 0; i < roof_count && i < LINES_MAX; i++) {
        const struct roof_spec *s = &roof_specs[i];
        const struct line *line = &t->line[i];
        char rounds[32];
        if (!(s->of & ROOF_OF_GPU))
            continue;
        if (line->absent[0]) {
            printf("  %-13s %10s  %s\n", s->name, "absent", line->absent);
            continue;
        }
        snprintf(rounds, sizeof rounds, "%.5g..%.5g", in_unit(s, line->least), in_unit(s, line->best.value));
        printf("  %-13s %10.5g %-11s %19s  %s\n", s->name, in_unit(s, line->best.value), unit_of(s), rounds, line->best.how);
    }
}

static json_t *line_json(const struct roof_spec *s, const struct line *line)
{
    if (line->absent[0])
        return json_pack("{s:s, s:s}", "name", s->name, "absent", line->absent);
    return json_pack("{s:s, s:s, s:s, s:f, s:[f, f], s:s}", "name", s->name, "level", s->level, "unit",
                     s->kind == ROOF_LAUNCH    ? "kernels/s"
                     : s->kind == ROOF_COMPUTE ? "FLOP/s"
                                               : "B/s",
                     "best", line->best.value, "rounds", line->least, line->best.value, "how", line->best.how);
}

static void print_json(const struct table *t)
{
    json_t *roofs = json_array();
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "format", "bench-roofs-gpu/1", "version", bench_version(), "gpu",
                            t->gpu.name, "pci", t->gpu.pci, "rounds", t->rounds, "roofs", roofs);

    for (int i = 0; i < roof_count && i < LINES_MAX; i++)
        if (roof_specs[i].of & ROOF_OF_GPU)
            json_array_append_new(roofs, line_json(&roof_specs[i], &t->line[i]));
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

int roofs_gpu_print(int device, int rounds, int budget_ms, bool json, struct err *e)
{
    struct table t = {.rounds = rounds};
    const int code = measure(&t, device, budget_ms, e);

    if (code == 0)
        (json ? print_json : print_table)(&t);
    return code;
}
