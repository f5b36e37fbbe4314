/* SPDX-License-Identifier: MIT
 * The efficiency's interval comes from the repetitions, each compared with the roofs of its own moment; the margin's is the
 * widest that the roofs' rounds allow. On a machine that drifts they are wide, and then the verdict is honest about it.
 *
 * Residency: analytic bytes assume that nothing stays in cache. When counters say that far fewer came from memory the sentence
 * says so; when only analytic bytes are known, the sign of it is an efficiency above 100 %. */
#include "verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

static const double efficient = 0.5;
static const double resident = 0.5; /* counted / analytic bytes below this: the working set stays in cache */

enum { ALL_OPEN = 1u << VERDICT_COMPUTE | 1u << VERDICT_BANDWIDTH | 1u << VERDICT_OVERHEAD };

static const char *const kind_names[VERDICT_COUNT] = {
    [VERDICT_UNKNOWN] = "unknown",         [VERDICT_COMPUTE] = "compute-bound", [VERDICT_BANDWIDTH] = "bandwidth-bound",
    [VERDICT_OVERHEAD] = "overhead-bound", [VERDICT_RIDGE] = "at the ridge",
};

const char *verdict_kind_name(enum verdict_kind k)
{
    return kind_names[k];
}

static void say(struct verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct verdict *v, const char *fmt, ...)
{
    size_t n = strlen(v->sentence);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(v->sentence + n, sizeof v->sentence - n, fmt, ap);
    va_end(ap);
}

/* What is missing for a verdict, or NULL. */
static const char *missing(const struct verdict_input *in)
{
    if (!(in->seconds > 0))
        return "no timed repetition";
    if (!(in->flops > 0) || !(in->bytes > 0))
        return "its FLOPs or bytes are not known";
    if (!(in->compute.value > 0))
        return "no compute roof was measured";
    if (!(in->bandwidth.value > 0))
        return "no bandwidth roof was measured";
    if (!(in->efficiency > 0))
        return "no repetition could be compared with a roof";
    return NULL;
}

double verdict_roof_seconds(double flops, double bytes, double peak, double bandwidth)
{
    return peak > 0 && bandwidth > 0 ? fmax(flops / peak, bytes / bandwidth) : NAN;
}

/* "reaches 81 % [78, 84] of" */
static void say_efficiency(struct verdict *v)
{
    say(v, "%.0f %%", 100 * v->efficiency);
    if (isfinite(v->efficiency_lo))
        say(v, " [%.0f, %.0f]", 100 * v->efficiency_lo, 100 * v->efficiency_hi);
}

static void say_roof(struct verdict *v, const struct verdict_roof *roof, const char *unit)
{
    char b[NUMBER_TEXT];

    say(v, "the %s roof (%s %s)", roof->name, number_text(b, roof->value / 1e9, 3), unit);
}

static void say_verdict(struct verdict *v, const struct verdict_input *in, double margin_lo, double margin_hi)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT], c[NUMBER_TEXT];

    say(v, "%s is %s: ", in->phase, kind_names[v->kind]);
    if (v->kind == VERDICT_OVERHEAD) {
        say(v, "it takes %sx the time that either roof explains (%s ms measured", number_text(a, 1 / v->efficiency, 2),
            number_text(b, in->seconds * 1e3, 3));
        say(v, ", %s ms at ", number_text(a, v->compute_s * 1e3, 2));
        say_roof(v, &in->compute, "GFLOP/s");
        say(v, ", %s ms at ", number_text(a, v->memory_s * 1e3, 2));
        say_roof(v, &in->bandwidth, "GB/s");
        say(v, ")");
        return;
    }
    say(v, "%s FLOP/byte is %sx the ridge (%s)", number_text(a, v->ai, 3), number_text(b, v->margin, 2),
        number_text(c, v->ridge, 2));
    if (v->kind == VERDICT_RIDGE)
        say(v, ", anywhere from %sx to %sx given the roofs' spread", number_text(a, margin_lo, 2),
            number_text(b, margin_hi, 2));
    say(v, ", and it reaches ");
    say_efficiency(v);
    say(v, " of ");
    if (v->compute_s >= v->memory_s)
        say_roof(v, &in->compute, "GFLOP/s");
    else
        say_roof(v, &in->bandwidth, "GB/s");
}

static void say_doubts(struct verdict *v, const struct verdict_input *in)
{
    if (v->efficiency > VERDICT_EFFICIENCY_MAX)
        say(v, "; that is above its roof: the roof or the count is wrong, or the data stays in cache");
    if (in->counted && in->bytes < resident * in->analytic_bytes)
        say(v, "; the working set stays in cache: %.0f %% of its bytes came from memory", 100 * in->bytes / in->analytic_bytes);
}

static unsigned open_kinds(const struct verdict *v, double margin_lo, double margin_hi)
{
    unsigned open = 0;

    if (!isfinite(v->efficiency_lo) || v->efficiency_lo > VERDICT_EFFICIENCY_MAX)
        return ALL_OPEN;
    if (v->efficiency_hi >= efficient && margin_hi >= 1)
        open |= 1u << VERDICT_COMPUTE;
    if (v->efficiency_hi >= efficient && margin_lo <= 1)
        open |= 1u << VERDICT_BANDWIDTH;
    if (v->efficiency_lo < efficient)
        open |= 1u << VERDICT_OVERHEAD;
    return open;
}

void verdict_decide(struct verdict *out, const struct verdict_input *in)
{
    const struct verdict_roof *c = &in->compute, *b = &in->bandwidth;
    const char *lacking = missing(in);

    *out = (struct verdict){.possible = ALL_OPEN, .counted = in->counted};
    out->ai = in->bytes > 0 ? in->flops / in->bytes : NAN;
    out->flop_rate = in->seconds > 0 ? in->flops / in->seconds : NAN;
    out->byte_rate = in->seconds > 0 ? in->bytes / in->seconds : NAN;
    out->compute_s = c->value > 0 ? in->flops / c->value : NAN;
    out->memory_s = b->value > 0 ? in->bytes / b->value : NAN;
    out->ridge = c->value > 0 && b->value > 0 ? c->value / b->value : NAN;
    out->margin = out->ai / out->ridge;
    out->efficiency = out->efficiency_lo = out->efficiency_hi = NAN;
    if (lacking) {
        say(out, "%s has no verdict: %s", in->phase, lacking);
        return;
    }
    double margin_lo = out->ai / (c->hi / b->lo), margin_hi = out->ai / (c->lo / b->hi);
    out->efficiency = in->efficiency;
    out->efficiency_lo = in->efficiency_lo;
    out->efficiency_hi = in->efficiency_hi;
    if (out->efficiency < efficient)
        out->kind = VERDICT_OVERHEAD;
    else if (margin_lo <= 1 && margin_hi >= 1)
        out->kind = VERDICT_RIDGE;
    else
        out->kind = out->margin > 1 ? VERDICT_COMPUTE : VERDICT_BANDWIDTH;
    out->possible = open_kinds(out, margin_lo, margin_hi);
    say_verdict(out, in, margin_lo, margin_hi);
    say_doubts(out, in);
}
