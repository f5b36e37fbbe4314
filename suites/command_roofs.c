/* SPDX-License-Identifier: MIT
 * `bench roofs`: the machine's ceilings as one table a level, or as JSON; or beside another tool's benchmark; or a
 * GPU's. */
#include <argp.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "peer.h"
#include "progress.h"
#include "roofs_gpu.h"
#include "stats.h"
#include "survey.h"
#include "team.h"
#include "text.h"
#include "theory.h"
#include "version.h"
#include "witness.h"

enum { ROUNDS = 3, ROUND_MS = 30, QUICK_ROUNDS = 2, QUICK_MS = 5, PEER_ROUNDS = 5, QUICK_PEER_ROUNDS = 3, GPU_MS = 150 };
static const double drift_limit = 0.1, busy_limit = 0.1, peer_limit = 0.05;

struct roofs_arguments {
    int threads, device; /* device: -1: the CPU */
    bool json, quick;
    const char *peer, *cpus;
};

struct roofs_result {
    struct survey survey;
    struct team team;
    struct theory_line theory[THEORY_LINES];
    struct witness seen[SURVEY_ROUNDS_MAX]; /* around each round */
    double seconds;
};

enum { KEY_THREADS = 256, KEY_CPUS, KEY_JSON, KEY_QUICK, KEY_PEER, KEY_DEVICE };

static const struct argp_option options[] = {
    {"threads", KEY_THREADS, "N", 0, "All the threads to use (default: one for each core); one alone is measured too", 0},
    {"cpus", KEY_CPUS, "LIST", 0, "Only these CPUs, a worker each: 0,2-3", 0},
    {"device", KEY_DEVICE, "N", 0, "Of an NVIDIA GPU, from 0, instead of the CPU: memory, L2, products by type, launches", 0},
    {"quick", KEY_QUICK, 0, 0, "Seconds instead of half a minute: fewer repetitions and rounds", 0},
    {"json", KEY_JSON, 0, 0, "All of it as one JSON document", 0},
    {"peer", KEY_PEER, "COMMAND", 0,
     "Run COMMAND (likwid-bench or STREAM) in turn with our corresponding measurement, and print both", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct roofs_arguments *a = state->input;
    char *end;
    long n;

    switch (key) {
    case KEY_DEVICE:
        n = strtol(arg, &end, 10);
        if (*end || end == arg || n < 0 || n > 255)
            argp_error(state, "--device %s: expected the number of a GPU, from 0", arg);
        a->device = (int)n;
        break;
    case KEY_THREADS:
        n = strtol(arg, &end, 10);
        if (*end || end == arg || n < 1 || n > 4096)
            argp_error(state, "--threads %s: expected a whole number from 1 on", arg);
        a->threads = (int)n;
        break;
    case KEY_CPUS:
        a->cpus = arg;
        break;
    case KEY_JSON:
        a->json = true;
        break;
    case KEY_QUICK:
        a->quick = true;
        break;
    case KEY_PEER:
        a->peer = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s': bench roofs takes options only", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* --- one survey ------------------------------------------------------------------------------------------------------------
 */

static double value_of(const struct survey_cell *c, double rate)
{
    return c->kind == SURVEY_LATENCY ? 1e9 / rate : rate / 1e9;
}

static const char *unit_of(const struct survey_cell *c)
{
    static const char *const unit[] = {[SURVEY_STREAM] = "GB/s",
                                       [SURVEY_COMPUTE] = "GFLOP/s",
                                       [SURVEY_PRODUCT] = "GFLOP/s",
                                       [SURVEY_LATENCY] = "ns",
                                       [SURVEY_CLOCK] = "GHz"};

    return c->kind == SURVEY_COMPUTE && strcmp(c->dtype, "int8") == 0 ? "Gop/s" : unit[c->kind];
}

static const char *pages_name(enum roof_pages pages)
{
    return pages == ROOF_PAGES_HUGE ? "huge" : "small";
}

static const char *name_of(const struct survey_cell *c, char *buf, size_t size)
{
    static const char *const kind[] = {[SURVEY_PRODUCT] = "gemm", [SURVEY_LATENCY] = "latency", [SURVEY_CLOCK] = "clock"};

    if (c->kind == SURVEY_STREAM)
        snprintf(buf, size, "%s", survey_op_name(c->op, c->bypass));
    else if (c->kind == SURVEY_COMPUTE)
        snprintf(buf, size, "%s %s", c->dtype, survey_width_name(c->bits));
    else
        snprintf(buf, size, "%s%s", c->kind == SURVEY_PRODUCT ? "f32 " : "", kind[c->kind]);
    return buf;
}

static void note_progress(struct progress *p, const struct survey *s, int round, const struct survey_cell *c)
{
    char note[96], name[32];

    snprintf(note, sizeof note, "round %d of %d: %s %s, %d thread%s", round + 1, s->rounds,
             c->kind == SURVEY_STREAM || c->kind == SURVEY_LATENCY ? survey_level_name(c->level) : "registers",
             name_of(c, name, sizeof name), c->threads, c->threads == 1 ? "" : "s");
    progress_note(p, note);
}

static int take_survey(struct roofs_result *r, const struct roofs_arguments *a, struct err *e)
{
    struct progress progress;
    struct witness_mark mark;
    struct survey *s = &r->survey;
    int code = survey_open(s, r->team.threads, a->quick ? QUICK_ROUNDS : ROUNDS, a->quick ? QUICK_MS : ROUND_MS, e);

    if (code < 0)
        return code;
    progress_open(&progress, isatty(STDERR_FILENO) ? stderr : NULL);
    for (int round = 0; round < s->rounds; round++) {
        witness_begin(&mark);
        for (int i = 0; i < s->count; i++) {
            note_progress(&progress, s, round, &s->cell[i]);
            survey_measure(s, i, round);
        }
        witness_end(&mark, &r->seen[round]);
    }
    progress_close(&progress);
    survey_conclude(s);
    double hz = 0;
    for (int i = 0; i < s->count; i++)
        if (s->cell[i].kind == SURVEY_CLOCK)
            hz = s->cell[i].best;
    theory_read(r->theory, hz, "");
    return 0;
}

/* --- on the terminal -------------------------------------------------------------------------------------------------------
 */

static const struct survey_cell *find(const struct survey *s, const struct survey_cell *like, int threads)
{
    for (int i = 0; i < s->count; i++) {
        const struct survey_cell *c = &s->cell[i];
        if (c->kind == like->kind && c->level == like->level && c->op == like->op && c->bypass == like->bypass &&
            c->pages == like->pages && c->dtype == like->dtype && (!c->dtype || c->bits == like->bits) && c->threads == threads)
            return c;
    }
    return NULL;
}

/* Best, median, half the middle's width, and from the worst to the best round. */
static void print_figure(const struct survey_cell *c)
{
    char rounds[32];
    double least = c->best;

    if (c->absent[0] || c->repetitions == 0) {
        printf("  %9s %38s", "absent", "");
        return;
    }
    for (int i = 0; i < SURVEY_ROUNDS_MAX; i++)
        if (c->round[i].best > 0 && c->round[i].best < least)
            least = c->round[i].best;
    snprintf(rounds, sizeof rounds, "%.4g..%.4g", value_of(c, least), value_of(c, c->best));
    printf("  %9.4g %9.4g %5.1f%% %17s %c%c", value_of(c, c->best), value_of(c, c->median),
           (c->quartile_high - c->quartile_low) / c->median * 100, rounds, c->drift > drift_limit ? '~' : ' ',
           c->disturbed ? '!' : ' ');
}

static void print_row(const struct survey *s, const struct survey_cell *c, const char *pages)
{
    char name[32];

    printf("  %-14s %-6s", name_of(c, name, sizeof name), pages);
    print_figure(c);
    const struct survey_cell *all = s->threads > 1 ? find(s, c, s->threads) : NULL;
    if (all)
        print_figure(all);
    putchar('\n');
}

static void print_head(const struct survey *s, const char *title, const char *unit)
{
    printf("\n%s\n  %-14s %-6s", title, unit, "");
    for (int i = 0, threads = 1; i < (s->threads > 1 ? 2 : 1); i++, threads = s->threads)
        printf("  %9s %9s %6s %17s %2s", threads == 1 ? "1 thread" : "all", "median", "spread", "rounds", "");
    putchar('\n');
}

static void print_level(const struct survey *s, enum roof_level level)
{
    char title[160], one[16], each[16], *at = title;
    const char *small = sysconf(_SC_PAGESIZE) == 4096 ? "4 KiB" : "small";
    bool begun = false;

    for (int kind = SURVEY_STREAM; kind <= SURVEY_LATENCY; kind++)
        for (int i = 0; i < s->count; i++) {
            const struct survey_cell *c = &s->cell[i];
            if ((int)c->kind != kind || c->level != level || c->threads != 1 ||
                (kind != SURVEY_STREAM && kind != SURVEY_LATENCY))
                continue;
            if (!begun) {
                const struct survey_cell *all = find(s, c, s->threads);
                at += sprintf(at, "%s: %s", survey_level_name(level), text_bytes(one, sizeof one, (double)c->set_bytes));
                if (s->threads > 1 && all)
                    sprintf(at, " for one thread, %s each for %d", text_bytes(each, sizeof each, (double)all->set_bytes),
                            s->threads);
                print_head(s, title, "GB/s");
                begun = true;
            }
            print_row(s, c, c->pages == ROOF_PAGES_HUGE ? "huge" : small);
        }
}

static void print_arithmetic(const struct survey *s)
{
    print_head(s, "registers: a multiply-add is 2; gemm: each thread its own matrices", "GFLOP/s");
    for (int i = 0; i < s->count; i++) {
        const struct survey_cell *c = &s->cell[i];
        if ((c->kind == SURVEY_COMPUTE || c->kind == SURVEY_PRODUCT || c->kind == SURVEY_CLOCK) && c->threads == 1)
            print_row(s, c, c->kind == SURVEY_CLOCK ? "GHz" : "");
    }
}

static void print_absent(const struct survey *s)
{
    for (int i = 0; i < s->count; i++) {
        const struct survey_cell *c = &s->cell[i];
        if (c->absent[0] && (i == 0 || strcmp(c->absent, s->cell[i - 1].absent) != 0))
            printf("absent: %s\n", c->absent);
    }
}

static void print_pages(const struct roof_area *a)
{
    printf("%s pages asked for: ", a->asked == ROOF_PAGES_HUGE ? "huge" : "small");
    if (a->huge_share < 0)
        printf("what was obtained cannot be read here\n");
    else
        printf("%.0f %% of the memory is on huge pages (AnonHugePages)\n", a->huge_share * 100);
}

/* One line a round: what may explain its figures. */
static void print_witness(const struct roofs_result *r)
{
    putchar('\n');
    for (int i = 0; i < r->survey.rounds; i++) {
        const struct witness *w = &r->seen[i];
        printf("round %d: ", i + 1);
        if (w->other_busy >= 0)
            printf("other processes used %.2f CPUs%s, ", w->other_busy, w->other_busy > busy_limit ? " !" : "");
        if (w->steal_ticks >= 0)
            printf("%lld ticks stolen, ", (long long)w->steal_ticks);
        printf("%lld involuntary switches\n", (long long)w->switches_involuntary);
    }
}

static void print_survey(const struct roofs_result *r)
{
    const struct survey *s = &r->survey;

    printf("roofs: level %s, %d thread%s on CPUs %s%s%s, %d rounds, %.0f s\n", isa_name(s->isa), s->threads,
           s->threads == 1 ? "" : "s", r->team.cpus, r->team.pinned ? "" : " (could not be pinned)",
           r->team.shares_cores ? " (some share a core)" : "", s->rounds, r->seconds);
    for (int pages = 0; pages < ROOF_PAGES; pages++)
        print_pages(&s->area[pages]);
    for (int level = 0; level < ROOF_LEVELS; level++)
        print_level(s, (enum roof_level)level);
    print_arithmetic(s);
    printf(
        "\nBest of all repetitions; median and spread (middle half / median) over all; worst..best round. Bytes are those the\n"
        "program names. A line that is stored plainly is read first where the CPU must own it: the memory then moves %.3gx\n"
        "the bytes of write, %.3gx of copy, %.3gx of triad. nt: non-temporal stores, which are not. latency: ns a load.\n"
        "~ rounds differ by more than %.0f %%   ! something else ran on our CPUs meanwhile (involuntary switches)\n",
        survey_traffic(ROOF_WRITE), survey_traffic(ROOF_COPY), survey_traffic(ROOF_TRIAD), drift_limit * 100);
    print_witness(r);
    print_absent(s);
    printf("\ntheory, not roofs\n");
    for (int i = 0; i < THEORY_LINES; i++)
        printf("  %-32s %s\n", r->theory[i].what, r->theory[i].text);
}

/* --- as JSON ---------------------------------------------------------------------------------------------------------------
 */

static json_t *number(double x)
{
    json_t *n = json_real(x); /* NULL for what is no number */

    return n ? n : json_null();
}

static json_t *json_of_rounds(const struct survey *s, const struct survey_cell *c)
{
    json_t *list = json_array();

    for (int i = 0; i < s->rounds; i++)
        json_array_append_new(list, json_pack("{s:o, s:I}", "best", number(value_of(c, c->round[i].best)), "switches",
                                              (json_int_t)c->round[i].switches));
    return list;
}

static json_t *json_of_cell(const struct survey *s, const struct survey_cell *c)
{
    char name[32];
    const bool levelled = c->kind == SURVEY_STREAM || c->kind == SURVEY_LATENCY;
    json_t *o = json_pack("{s:s, s:s, s:s, s:i}", "level", levelled ? survey_level_name(c->level) : "registers", "name",
                          name_of(c, name, sizeof name), "unit", unit_of(c), "threads", c->threads);

    if (levelled)
        json_object_set_new(o, "pages", json_string(pages_name(c->pages)));
    if (c->absent[0] || c->repetitions == 0) {
        json_object_set_new(o, "absent", json_string(c->absent));
        return o;
    }
    const double low = value_of(c, c->quartile_low), high = value_of(c, c->quartile_high);
    json_t *figures =
        json_pack("{s:o, s:o, s:[o, o], s:i, s:o, s:o, s:b, s:b, s:s}", "best", number(value_of(c, c->best)), "median",
                  number(value_of(c, c->median)), "quartiles", number(low < high ? low : high), number(low < high ? high : low),
                  "repetitions", c->repetitions, "rounds", json_of_rounds(s, c), "drift", number(c->drift), "drifted",
                  c->drift > drift_limit, "disturbed", c->disturbed, "kernel", c->how);
    json_object_update(o, figures);
    json_decref(figures);
    if (c->set_bytes)
        json_object_set_new(o, "set_bytes", json_integer((json_int_t)c->set_bytes));
    if (c->rows)
        json_object_set_new(o, "rows", json_integer(c->rows));
    if (c->bits)
        json_object_set_new(o, "bits", json_integer(c->bits));
    if (c->kind == SURVEY_STREAM)
        json_object_set_new(o, "moved_if_owned_first", number(c->bypass ? 1 : survey_traffic(c->op)));
    return o;
}

static void print_json(json_t *document)
{
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(document);
}

static json_t *json_of_witness(const struct roofs_result *r)
{
    json_t *list = json_array();

    for (int i = 0; i < r->survey.rounds; i++) {
        const struct witness *w = &r->seen[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:I}", "other_busy",
                                              w->other_busy < 0 ? json_null() : number(w->other_busy), "steal_ticks",
                                              w->steal_ticks < 0 ? json_null() : json_integer((json_int_t)w->steal_ticks),
                                              "switches_involuntary", (json_int_t)w->switches_involuntary));
    }
    return list;
}

static json_t *json_of_theory(const struct roofs_result *r)
{
    json_t *list = json_array();

    for (int i = 0; i < THEORY_LINES; i++) {
        const struct theory_line *l = &r->theory[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "what", l->what, "value",
                                              l->value > 0 ? number(l->value) : json_null(), "text", l->text));
    }
    return list;
}

static void print_survey_json(const struct roofs_result *r)
{
    const struct survey *s = &r->survey;
    json_t *cells = json_array(), *pages = json_array();

    for (int i = 0; i < s->count; i++)
        json_array_append_new(cells, json_of_cell(s, &s->cell[i]));
    for (int i = 0; i < ROOF_PAGES; i++)
        json_array_append_new(pages, json_pack("{s:s, s:o}", "asked", pages_name(s->area[i].asked), "huge_share",
                                               s->area[i].huge_share < 0 ? json_null() : number(s->area[i].huge_share)));
    print_json(json_pack("{s:s, s:s, s:s, s:i, s:s, s:b, s:b, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "format", "bench-roofs/1",
                         "version", bench_version(), "isa", isa_name(s->isa), "threads", s->threads, "cpus", r->team.cpus,
                         "pinned", r->team.pinned, "shares_cores", r->team.shares_cores, "rounds", s->rounds, "budget_ms",
                         s->budget_ms, "seconds", number(r->seconds), "pages", pages, "witness", json_of_witness(r), "cells",
                         cells, "theory", json_of_theory(r)));
}

/* --- beside a peer ---------------------------------------------------------------------------------------------------------
 */

struct ratios {
    double twin[PEER_ROUNDS_MAX], roof[PEER_ROUNDS_MAX]; /* ours / the peer's, round by round */
    double median, least, most;                          /* of the twin */
    double roof_median;
    bool close, told; /* within the limit; told: the rounds agree well enough to say so */
};

static struct ratios ratios_of(const struct peer_comparison *c, int figure)
{
    struct ratios x = {.least = 1e300};

    for (int i = 0; i < c->rounds; i++) {
        const struct peer_round *r = &c->round[figure][i];
        x.twin[i] = r->twin / r->peer;
        x.roof[i] = r->roof / r->peer;
        x.least = x.twin[i] < x.least ? x.twin[i] : x.least;
        x.most = x.twin[i] > x.most ? x.twin[i] : x.most;
    }
    x.median = stats_median(x.twin, c->rounds);
    x.roof_median = stats_median(x.roof, c->rounds);
    x.close = x.median >= 1 - peer_limit && x.median <= 1 + peer_limit;
    x.told = x.most - x.least <= 4 * peer_limit * x.median;
    return x;
}

static void print_peer(const struct peer_comparison *c)
{
    for (int f = 0; f < c->output.count; f++) {
        const struct peer_figure *p = &c->output.figure[f];
        const struct ratios x = ratios_of(c, f);
        printf("%s%s %s, %d thread%s, %s\n  ours: %s\n  roof: %s\n", f ? "\n" : "", c->output.tool, p->name, c->output.threads,
               c->output.threads == 1 ? "" : "s", c->output.best ? "best repetitions" : "means", c->twin[f], c->roof[f]);
        if (p->note)
            printf("  note: %s\n", p->note);
        printf("  %-6s %12s %12s %8s %12s %8s\n", p->dtype ? "GF/s" : "GB/s", "peer", "ours", "ratio", "roof", "ratio");
        for (int i = 0; i < c->rounds; i++)
            printf("  %-6d %12.2f %12.2f %8.3f %12.2f %8.3f\n", i + 1, c->round[f][i].peer / 1e9, c->round[f][i].twin / 1e9,
                   x.twin[i], c->round[f][i].roof / 1e9, x.roof[i]);
        printf("  ours / peer: median %.3f (%.3f..%.3f): %s; roof / peer: %.3f\n", x.median, x.least, x.most,
               !x.told   ? "rounds differ too much to tell"
               : x.close ? "within 5 %"
                         : "not within 5 %",
               x.roof_median);
    }
}

static void print_peer_json(const struct peer_comparison *c, const char *command)
{
    json_t *figures = json_array();

    for (int f = 0; f < c->output.count; f++) {
        const struct peer_figure *p = &c->output.figure[f];
        const struct ratios x = ratios_of(c, f);
        json_t *rounds = json_array();
        for (int i = 0; i < c->rounds; i++)
            json_array_append_new(rounds,
                                  json_pack("{s:o, s:o, s:o}", "peer", number(c->round[f][i].peer / 1e9), "ours",
                                            number(c->round[f][i].twin / 1e9), "roof", number(c->round[f][i].roof / 1e9)));
        json_array_append_new(figures,
                              json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:[o, o], s:o, s:o}", "name", p->name, "unit",
                                        p->dtype ? "GFLOP/s" : "GB/s", "ours", c->twin[f], "roof", c->roof[f], "note", p->note,
                                        "rounds", rounds, "ratio", number(x.median), "ratio_range", number(x.least),
                                        number(x.most), "within_5_percent", x.told ? json_boolean(x.close) : json_null(),
                                        "roof_ratio", number(x.roof_median)));
    }
    print_json(json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o}", "format", "bench-roofs-peer/1", "version", bench_version(),
                         "command", command, "tool", c->output.tool, "threads", c->output.threads, "taken",
                         c->output.best ? "best" : "mean", "figures", figures));
}

static int compare_with_peer(const struct roofs_arguments *a, const struct team *team, const cpu_set_t *cpus, struct err *e)
{
    struct peer_comparison c;
    int code = peer_compare(&c, a->peer, a->quick ? QUICK_PEER_ROUNDS : PEER_ROUNDS, team->threads, cpus, e);

    if (code < 0)
        return code;
    if (a->json)
        print_peer_json(&c, a->peer);
    else
        print_peer(&c);
    return 0;
}

int command_roofs(int argc, char **argv)
{
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "The ceilings of this machine: bandwidth of each cache level and of memory, by operation, page size and threads; "
            "arithmetic by type and vector width; the BLAS library's matrix product; latencies. Each with best, median, "
            "spread, and its drift over rounds.\vBENCH_ISA=base|avx2|avx512|avx512bf16 forces a lower level of our kernels. "
            "For "
            "example: bench roofs --peer 'likwid-bench -t load_avx512 -w S0:1GB:2'"};
    struct roofs_arguments a = {.device = -1};
    struct roofs_result *r = NULL;
    cpu_set_t cpus; /* before the team is pinned */
    struct err e = {0};
    int code = 0;

    argp_parse(&argp, argc, argv, 0, NULL, &a);
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    if (a.device >= 0) {
        code = roofs_gpu_print(a.device, a.quick ? QUICK_ROUNDS : ROUNDS, a.quick ? GPU_MS / 3 : GPU_MS, a.json, &e);
        return code < 0 ? command_fail(&e) : EXIT_HELD;
    }
    if (!(r = calloc(1, sizeof *r)))
        code = err_set(&e, ERR_MEMORY, "out of memory");
    if (code == 0)
        code = team_start(&r->team, a.threads, a.cpus, &e);
    if (code == 0 && a.peer)
        code = compare_with_peer(&a, &r->team, &cpus, &e);
    else if (code == 0) {
        const uint64_t start = clock_ns();
        code = take_survey(r, &a, &e);
        r->seconds = (double)(clock_ns() - start) / 1e9;
        if (code == 0)
            (a.json ? print_survey_json : print_survey)(r);
    }
    if (r)
        survey_close(&r->survey);
    free(r);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
