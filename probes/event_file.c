/* SPDX-License-Identifier: MIT
 * The parser of event files: line by line, one function for each leading word. A line that starts with a number is a term of
 * the candidate above it. What a line lacks is told with the line; what the file lacks, with its last line. */
#include "event_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { LINE_BYTES = 512, WORDS = 20, COUNTERS_MOST = 16, MODEL_MOST = 0xffff };

struct parse {
    struct event_file *out;
    const char *at; /* the line being read, in the caller's text */
    int line;
    struct err *e;
    char copy[LINE_BYTES], rest[LINE_BYTES]; /* the line, cut into words; and uncut behind its first word */
    char *word[WORDS];
    int words;
    bool in_about, in_quantity, has_source;
    enum metric metric;
    int first;                         /* candidates before the current quantity */
    struct event_candidate *candidate; /* the one that terms go to */
    bool seen[METRIC_COUNT];
};

static const char *const layer_names[EVENT_LAYERS] = {[EVENT_PAPI] = "papi", [EVENT_RAW] = "raw"};

const char *event_layer_name(enum event_layer layer)
{
    return layer_names[layer];
}

__attribute__((format(printf, 2, 3))) static int wrong(struct parse *p, const char *fmt, ...)
{
    char sentence[384];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    return err_set(p->e, ERR_FORMAT, "%s:%d: %s", p->out->name, p->line, sentence);
}

/* --- pieces of a line ------------------------------------------------------------------------------------------------------
 */

static bool read_number(const char *word, unsigned long most, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(word, &end, 0);

    *out = (unsigned)n;
    return *word >= '0' && *word <= '9' && !*end && n <= most;
}

/* "0x10" or "0x10-0x1f". */
static bool read_range(char *word, struct event_range *r)
{
    char *dash = strchr(word, '-');

    if (dash)
        *dash = 0;
    bool good = read_number(word, MODEL_MOST, &r->from) && (!dash || read_number(dash + 1, MODEL_MOST, &r->to));
    if (dash)
        *dash = '-';
    else
        r->to = r->from;
    return good && r->from <= r->to;
}

static int read_metric(struct parse *p, const char *word, enum metric *out)
{
    const char *names[METRIC_COUNT];

    for (int i = 0; i < METRIC_COUNT; i++) {
        names[i] = metric_name((enum metric)i);
        if (strcmp(word, names[i]) == 0) {
            *out = (enum metric)i;
            return 0;
        }
    }
    const char *near = text_nearest(word, names, METRIC_COUNT);
    return wrong(p, "no quantity is called '%s'%s%s%s", word, near ? "; did you mean '" : "", near ? near : "",
                 near ? "'?" : "");
}

bool event_raw_parse(struct event_raw *out, const char *event)
{
    const char *slash = strchr(event, '/');
    char *end;

    *out = (struct event_raw){0};
    if (!slash || slash == event || (size_t)(slash - event) >= sizeof out->pmu || slash[1] < '0' || slash[1] > '9')
        return false;
    memcpy(out->pmu, event, (size_t)(slash - event));
    out->config = strtoull(slash + 1, &end, 0);
    if (*end == ',' && end[1] >= '0' && end[1] <= '9')
        out->config1 = strtoull(end + 1, &end, 0);
    return strcmp(end, "/") == 0;
}

/* --- the head of a file ----------------------------------------------------------------------------------------------------
 */

static int read_models(struct parse *p, struct event_cpu *cpu, int word)
{
    for (; word < p->words; word++, cpu->models++) {
        if (cpu->models == EVENT_RANGES)
            return wrong(p, "more than %d ranges of models; write another line", EVENT_RANGES);
        if (!read_range(p->word[word], &cpu->model[cpu->models]))
            return wrong(p, "'%s' is no number or range such as 0x10-0x1f", p->word[word]);
    }
    return 0;
}

static int parse_cpu(struct parse *p)
{
    struct event_cpu *cpu = &p->out->cpu[p->out->cpus];

    if (p->out->cpus == EVENT_CPUS)
        return wrong(p, "more than %d lines of CPUs", EVENT_CPUS);
    p->out->cpus++;
    if (p->words == 2 && strcmp(p->word[1], "any") == 0) {
        cpu->any = true;
        return 0;
    }
    const bool arm = p->words > 1 && strcmp(p->word[1], "arm") == 0;
    if (p->words < 4 || strcmp(p->word[2], arm ? "implementer" : "family") != 0 || !read_range(p->word[3], &cpu->family) ||
        (p->words > 4 && (p->words == 5 || strcmp(p->word[4], arm ? "parts" : "models") != 0)))
        return wrong(p, "a CPU is 'VENDOR family N [models N N-N ...]', 'arm implementer N [parts N ...]' or 'any'");
    if (strlen(p->word[1]) >= sizeof cpu->vendor)
        return wrong(p, "the vendor '%s' is longer than CPUID can say", p->word[1]);
    snprintf(cpu->vendor, sizeof cpu->vendor, "%s", p->word[1]);
    return read_models(p, cpu, 5);
}

static int parse_pmu(struct parse *p)
{
    if (p->out->pmu[0])
        return wrong(p, "a second pmu");
    if (p->words != 2 || strlen(p->word[1]) >= sizeof p->out->pmu)
        return wrong(p, "pmu wants one name of libpfm's, such as amd64_fam19h_zen4");
    snprintf(p->out->pmu, sizeof p->out->pmu, "%s", p->word[1]);
    return 0;
}

static int parse_counters(struct parse *p)
{
    unsigned n;

    if (p->out->counters)
        return wrong(p, "a second number of counters");
    if (p->words != 2 || !read_number(p->word[1], COUNTERS_MOST, &n) || n == 0)
        return wrong(p, "counters wants a number from 1 to %d", COUNTERS_MOST);
    p->out->counters = (int)n;
    return 0;
}

static int parse_apart(struct parse *p)
{
    enum metric *pair = p->out->apart[p->out->aparts];

    if (p->words != 3)
        return wrong(p, "apart wants the two quantities that must not be counted together");
    if (p->out->aparts == EVENT_APART)
        return wrong(p, "more than %d pairs to keep apart", EVENT_APART);
    p->out->aparts++;
    int code = read_metric(p, p->word[1], &pair[0]);
    return code < 0 ? code : read_metric(p, p->word[2], &pair[1]);
}

static int parse_about(struct parse *p)
{
    if (p->out->about)
        return wrong(p, "a second description");
    if (p->words != 1)
        return wrong(p, "the description starts on the line below 'about'");
    p->in_about = true;
    p->out->about = p->at + strcspn(p->at, "\n") + 1;
    return 0;
}

/* --- quantities ------------------------------------------------------------------------------------------------------------
 */

/* "FP_ARITH: 1 x SCALAR + 4 x 4_FLOPS" where all terms are masks of one event. */
static void name_candidate(struct event_candidate *c)
{
    const char *colon = strchr(c->term[0].event, ':');
    size_t shared = colon && colon[1] != ':' ? (size_t)(colon - c->term[0].event) + 1 : 0, n;

    for (int i = 1; i < c->terms; i++)
        if (strncmp(c->term[i].event, c->term[0].event, shared) != 0)
            shared = 0;
    if (c->terms == 1)
        shared = 0;
    n = (size_t)snprintf(c->name, sizeof c->name, "%.*s", (int)shared, c->term[0].event);
    for (int i = 0; i < c->terms && n < sizeof c->name; i++) {
        const struct event_term *t = &c->term[i];
        n += (size_t)snprintf(c->name + n, sizeof c->name - n, "%s", i ? " + " : shared ? " " : "");
        if (n < sizeof c->name && (c->terms > 1 || t->weight != 1))
            n += (size_t)snprintf(c->name + n, sizeof c->name - n, "%g x ", t->weight);
        if (n < sizeof c->name)
            n += (size_t)snprintf(c->name + n, sizeof c->name - n, "%s", t->event + shared);
    }
}

static int finish_candidate(struct parse *p)
{
    if (!p->candidate)
        return 0;
    if (p->candidate->terms == 0)
        return wrong(p, "the candidate above has no events");
    if (!p->has_source)
        return wrong(p, "the candidate above does not say where it comes from");
    name_candidate(p->candidate);
    p->candidate = NULL;
    return 0;
}

static int finish_quantity(struct parse *p)
{
    int code = finish_candidate(p);

    if (code == 0 && p->in_quantity && p->out->candidates == p->first && !p->out->none[p->metric][0])
        return wrong(p, "the quantity above has neither a candidate nor 'none' with the reason");
    return code;
}

static int parse_quantity(struct parse *p)
{
    int code = finish_quantity(p);

    if (code < 0)
        return code;
    if (p->words != 2)
        return wrong(p, "quantity wants one name");
    if ((code = read_metric(p, p->word[1], &p->metric)) < 0)
        return code;
    if (p->seen[p->metric])
        return wrong(p, "a second '%s'", p->word[1]);
    p->seen[p->metric] = p->in_quantity = true;
    p->first = p->out->candidates;
    return 0;
}

static int add_candidate(struct parse *p, enum event_layer layer)
{
    unsigned slots;
    int code = finish_candidate(p);

    if (code < 0)
        return code;
    if (!p->in_quantity)
        return wrong(p, "a candidate outside a quantity");
    if (p->out->none[p->metric][0])
        return wrong(p, "a candidate for a quantity that has none");
    if (p->words != 3 || strcmp(p->word[1], "takes") != 0 || !read_number(p->word[2], COUNTERS_MOST, &slots))
        return wrong(p, "a candidate is '%s takes N', N being the hardware counters it occupies", layer_names[layer]);
    if ((int)slots > p->out->counters)
        return wrong(p, "a candidate of %u counters, where a group has %d", slots, p->out->counters);
    if (p->out->candidates == EVENT_CANDIDATES)
        return wrong(p, "more than %d candidates", EVENT_CANDIDATES);
    p->candidate = &p->out->candidate[p->out->candidates++];
    *p->candidate = (struct event_candidate){.metric = p->metric, .layer = layer, .slots = (int)slots};
    p->has_source = false;
    return 0;
}

static int parse_papi(struct parse *p)
{
    return add_candidate(p, EVENT_PAPI);
}

static int parse_raw(struct parse *p)
{
    return add_candidate(p, EVENT_RAW);
}

static int parse_term(struct parse *p)
{
    struct event_candidate *c = p->candidate;
    struct event_raw raw;
    char *end;

    if (!c)
        return wrong(p, "an event outside a candidate");
    if (c->terms == EVENT_TERMS)
        return wrong(p, "more than %d events in a sum", EVENT_TERMS);
    struct event_term *t = &c->term[c->terms];
    t->weight = strtod(p->word[0], &end);
    if (*end || !(t->weight > 0) || p->words != 3 || strcmp(p->word[1], "x") != 0)
        return wrong(p, "an event is 'WEIGHT x NAME', the weight above 0");
    if (strlen(p->word[2]) >= sizeof t->event)
        return wrong(p, "the event's name is longer than %d characters", EVENT_NAME - 1);
    if (c->layer == EVENT_RAW && !event_raw_parse(&raw, p->word[2]))
        return wrong(p, "a raw event is 'PMU/CONFIG/' or 'PMU/CONFIG,CONFIG1/', such as cpu/0x1f03/");
    snprintf(t->event, sizeof t->event, "%s", p->word[2]);
    c->terms++;
    return 0;
}

static int parse_from(struct parse *p)
{
    if (!p->candidate)
        return wrong(p, "a source outside a candidate");
    if (p->has_source)
        return wrong(p, "a second source");
    if (p->words < 2)
        return wrong(p, "the source is not named");
    if (strlen(p->rest) >= sizeof p->candidate->source)
        return wrong(p, "the source is longer than %zu characters", sizeof p->candidate->source - 1);
    snprintf(p->candidate->source, sizeof p->candidate->source, "%s", p->rest);
    p->has_source = true;
    return 0;
}

static int parse_none(struct parse *p)
{
    if (!p->in_quantity)
        return wrong(p, "'none' outside a quantity");
    char *none = p->out->none[p->metric];
    if (p->out->candidates > p->first || none[0])
        return wrong(p, "'none' must be all that a quantity says");
    if (p->words < 2)
        return wrong(p, "'none' without the reason");
    if (strlen(p->rest) >= sizeof p->out->none[0])
        return wrong(p, "the reason is longer than %zu characters", sizeof p->out->none[0] - 1);
    snprintf(none, sizeof p->out->none[0], "%s", p->rest);
    return 0;
}

/* --- the file --------------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *word;
    int (*parse)(struct parse *p);
} leading[] = {
    {"cpu", parse_cpu},     {"pmu", parse_pmu},           {"counters", parse_counters}, {"apart", parse_apart},
    {"about", parse_about}, {"quantity", parse_quantity}, {"papi", parse_papi},         {"raw", parse_raw},
    {"from", parse_from},   {"none", parse_none},
};
enum { LEADING = sizeof leading / sizeof leading[0] };

static int unknown_word(struct parse *p)
{
    const char *names[LEADING];

    for (size_t i = 0; i < LEADING; i++)
        names[i] = leading[i].word;
    const char *near = text_nearest(p->word[0], names, LEADING);
    return wrong(p, "no line starts with '%s'%s%s%s", p->word[0], near ? "; did you mean '" : "", near ? near : "",
                 near ? "'?" : "");
}

static int cut_line(struct parse *p)
{
    const size_t len = strcspn(p->at, "\n");
    char *save = NULL;

    if (len >= sizeof p->copy)
        return wrong(p, "the line is longer than %d characters", LINE_BYTES - 1);
    snprintf(p->copy, sizeof p->copy, "%.*s", (int)len, p->at);
    const char *rest = p->copy + strspn(p->copy, " \t");
    rest += strcspn(rest, " \t");
    snprintf(p->rest, sizeof p->rest, "%s", rest + strspn(rest, " \t"));
    p->words = 0;
    for (char *w = strtok_r(p->copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        if (p->words == WORDS)
            return 0; /* prose; lists of words are refused by their own lines */
        p->word[p->words++] = w;
    }
    return 0;
}

static int parse_line(struct parse *p)
{
    int code = cut_line(p);

    if (code < 0 || p->words == 0)
        return code;
    if (p->in_about) {
        p->in_about = p->words != 1 || strcmp(p->word[0], "end") != 0;
        if (!p->in_about)
            p->out->about_len = (int)(p->at - p->out->about);
        return 0;
    }
    if (p->word[0][0] == '#')
        return 0;
    for (size_t i = 0; i < LEADING; i++)
        if (strcmp(p->word[0], leading[i].word) == 0)
            return leading[i].parse(p);
    return strchr("0123456789.-+", p->word[0][0]) ? parse_term(p) : unknown_word(p);
}

static int check_whole(struct parse *p)
{
    int code = finish_quantity(p);

    if (code < 0)
        return code;
    if (p->in_about)
        return wrong(p, "the description has no 'end'");
    if (!p->out->about || p->out->about_len == 0)
        return wrong(p, "no description: 'about', text, 'end'");
    if (p->out->cpus == 0)
        return wrong(p, "no line says which CPUs the file is for");
    if (p->out->counters == 0)
        return wrong(p, "no line says how many counters a group may occupy");
    return 0;
}

int event_file_parse(struct event_file *out, const char *name, const char *text, struct err *e)
{
    struct parse p = {.out = out, .e = e};
    int code = 0;

    *out = (struct event_file){.name = name};
    for (const char *at = text; code == 0 && *at; at += *at == '\n') {
        p.at = at;
        p.line++;
        code = parse_line(&p);
        at += strcspn(at, "\n");
    }
    return code < 0 ? code : check_whole(&p);
}

static bool in_range(const struct event_range *r, unsigned n)
{
    return n >= r->from && n <= r->to;
}

static bool cpu_matches(const struct event_cpu *c, const struct cpu_id *cpu)
{
    const bool arm = strcmp(cpu->vendor, "arm") == 0;
    const unsigned model = arm ? cpu->part : cpu->model;
    bool modelled = c->models == 0;

    if (c->any)
        return true;
    for (int i = 0; i < c->models; i++)
        modelled |= in_range(&c->model[i], model);
    return modelled && strcmp(c->vendor, cpu->vendor) == 0 && in_range(&c->family, arm ? cpu->implementer : cpu->family);
}

bool event_file_is_for(const struct event_file *f, const struct cpu_id *cpu)
{
    for (int i = 0; i < f->cpus; i++)
        if (cpu_matches(&f->cpu[i], cpu))
            return true;
    return false;
}
