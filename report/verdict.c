/* SPDX-License-Identifier: MIT
 * The efficiency's interval comes from the repetitions, each compared with the roofs of its own moment; the margin's is the
 * widest that the roofs' rounds allow. On a machine that drifts they are wide, and then the verdict is honest about it. */
#include "verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

static const double efficient = 0.5;
static const double explained = 0.5; /* of its time, by handing over kernels alone */

static const char *const kind_names[VERDICT_COUNT] = {
    [VERDICT_UNKNOWN] = "unknown",         [VERDICT_COMPUTE] = "compute-bound", [VERDICT_BANDWIDTH] = "bandwidth-bound",
    [VERDICT_OVERHEAD] = "overhead-bound", [VERDICT_LAUNCH] = "launch-bound",   [VERDICT_RIDGE] = "at the ridge",
    [VERDICT_ABOVE] = "above its roof",
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

/* Says what is missing for a verdict; false when nothing is. A roof of another thread count would be no ceiling. */
static bool say_missing(struct verdict *v, const struct verdict_input *in)
{
    const struct verdict_roof *absent = !(in->compute.value > 0)                   ? &in->compute
                                        : !(in->bandwidth.value > 0) && !in->cache ? &in->bandwidth
                                                                                   : NULL;
    const char *why = !(in->seconds > 0)                     ? "no timed repetition"
                      : !(in->flops > 0) || !(in->bytes > 0) ? "its FLOPs or bytes are not known"
                      : !absent && !(in->efficiency > 0)     ? "no repetition could be compared with a roof"
                                                             : NULL;

    if (!why && !absent)
        return false;
    say(v, "%s has no verdict: ", in->phase);
    if (why)
        say(v, "%s", why);
    else
        say(v, "the roof '%s' was not measured", absent->name);
    if (!why && in->threads > 0)
        say(v, " with %d thread%s", in->threads, in->threads == 1 ? "" : "s");
    return true;
}

double verdict_roof_seconds(double flops, double bytes, double peak, double bandwidth)
{
    return peak > 0 && bandwidth > 0 ? fmax(flops / peak, bytes / bandwidth) : NAN;
}

static bool memory_limits(const struct verdict *v)
{
    return v->memory_s > v->compute_s; /* false where there is no bandwidth roof */
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
    const char *prefix;
    double scale = number_scale(roof->value, &prefix);
    char b[NUMBER_TEXT];

    say(v, "the %s roof (%s %s%s)", roof->name, number_text(b, roof->value / scale, 3), prefix, unit);
}

static void say_limit(struct verdict *v, const struct verdict_input *in)
{
    if (memory_limits(v))
        say_roof(v, &in->bandwidth, "B/s");
    else
        say_roof(v, &in->compute, "FLOP/s");
}

/* "5.0 ms at the f32 fma roof (100 GFLOP/s), 100 ms at the dram read roof (10.0 GB/s)" */
static void say_both_roofs(struct verdict *v, const struct verdict_input *in)
{
    char a[NUMBER_TEXT];

    say(v, "%s ms at ", number_text(a, v->compute_s * 1e3, 2));
    say_roof(v, &in->compute, "FLOP/s");
    say(v, ", %s ms at ", number_text(a, v->memory_s * 1e3, 2));
    say_roof(v, &in->bandwidth, "B/s");
}

/* "0.25 ms at the launch graph roof (1.29 us each)" */
static void say_launch_roof(struct verdict *v, const struct verdict_input *in)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT];

    say(v, "%s ms at the %s roof (%s us each)", number_text(a, v->launch_s * 1e3, 2), in->launch.name,
        number_text(b, 1e6 / in->launch.value, 3));
}

static void say_launch(struct verdict *v, const struct verdict_input *in)
{
    char a[NUMBER_TEXT];

    say(v, "it hands over %.0f kernels, which take ", v->launches);
    say_launch_roof(v, in);
    say(v, " of %s ms measured; ", number_text(a, in->seconds * 1e3, 3));
    say_both_roofs(v, in);
}

static void say_overhead(struct verdict *v, const struct verdict_input *in)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT];

    say(v, "it takes %sx the time that either roof explains (%s ms measured, ", number_text(a, 1 / v->efficiency, 2),
        number_text(b, in->seconds * 1e3, 3));
    say_both_roofs(v, in);
    if (isfinite(v->launch_s)) {
        say(v, ", its %.0f kernels ", v->launches);
        say_launch_roof(v, in);
    } else if (v->launch) {
        say(v, "; it hands over %.0f kernels, but the roof '%s' was not measured", v->launches, in->launch.name);
    }
    say(v, ")");
}

static void say_bound(struct verdict *v, const struct verdict_input *in)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT], c[NUMBER_TEXT];

    if (isfinite(v->margin))
        say(v, "%s FLOP/byte is %sx the ridge (%s)", number_text(a, v->ai, 3), number_text(b, v->margin, 2),
            number_text(c, v->ridge, 2));
    if (v->kind == VERDICT_RIDGE)
        say(v, ", anywhere from %sx to %sx given the roofs' spread", number_text(a, v->margin_lo, 2),
            number_text(b, v->margin_hi, 2));
    say(v, "%sit reaches ", isfinite(v->margin) ? ", and " : "");
    say_efficiency(v);
    say(v, " of ");
    say_limit(v, in);
}

/* Why the memory's roof was not the one. */
static void say_cache(struct verdict *v, const struct verdict_input *in)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT];

    if (isfinite(in->from_memory))
        say(v, "; in cache: %.0f %% of its %s MB came from memory", 100 * in->from_memory, number_text(a, in->bytes / 1e6, 3));
    else
        say(v, "; in cache: its %s MB fit into %s (%s MB)", number_text(a, in->bytes / 1e6, 3), in->cache,
            number_text(b, in->cache_bytes / 1e6, 3));
    if (!(in->bandwidth.value > 0))
        say(v, ", of which no read roof was measured");
}

static void say_verdict(struct verdict *v, const struct verdict_input *in)
{
    if (v->kind == VERDICT_UNKNOWN)
        say(v, "%s has no verdict: it is far below the compute roof, and memory is not what it waits for", in->phase);
    else if (v->kind == VERDICT_ABOVE)
        say(v, "%s is above its roof: the roof or the count is wrong: ", in->phase);
    else
        say(v, "%s is %s: ", in->phase, kind_names[v->kind]);
    if (v->kind == VERDICT_OVERHEAD)
        say_overhead(v, in);
    else if (v->kind == VERDICT_LAUNCH)
        say_launch(v, in);
    else if (v->kind != VERDICT_UNKNOWN)
        say_bound(v, in);
    if (in->cache)
        say_cache(v, in);
}

/* The highest round of its roof would not explain it either. */
bool verdict_impossible(double efficiency, double lo, const struct verdict_roof *roof)
{
    double spread = roof->hi > roof->value ? roof->value / roof->hi : 1;

    return isfinite(lo) ? lo * spread > 1 : efficiency * spread > VERDICT_EFFICIENCY_MAX;
}

static enum verdict_kind kind_of(const struct verdict *v, const struct verdict_input *in)
{
    if (verdict_impossible(v->efficiency, v->efficiency_lo, memory_limits(v) ? &in->bandwidth : &in->compute))
        return VERDICT_ABOVE;
    if (!isfinite(v->margin)) /* in a cache without a roof */
        return v->efficiency < efficient ? VERDICT_UNKNOWN : VERDICT_COMPUTE;
    if (v->efficiency < efficient)
        return v->launch_share >= explained ? VERDICT_LAUNCH : VERDICT_OVERHEAD;
    if (v->margin_lo <= 1 && v->margin_hi >= 1)
        return VERDICT_RIDGE;
    return v->margin > 1 ? VERDICT_COMPUTE : VERDICT_BANDWIDTH;
}

static unsigned all_open(const struct verdict *v)
{
    return 1u << VERDICT_COMPUTE | 1u << VERDICT_BANDWIDTH | 1u << VERDICT_OVERHEAD | (v->launch ? 1u << VERDICT_LAUNCH : 0);
}

/* Which of the two is left open by what lies far below both roofs. */
static unsigned open_below(const struct verdict *v)
{
    unsigned open = 0;

    if (!v->launch)
        return 1u << VERDICT_OVERHEAD;
    if (!(v->launch_share_lo >= explained)) /* where it is not known it may be either */
        open |= 1u << VERDICT_OVERHEAD;
    if (!(v->launch_share_hi < explained))
        open |= 1u << VERDICT_LAUNCH;
    return open;
}

static unsigned open_kinds(const struct verdict *v)
{
    unsigned open = 0;

    if (!isfinite(v->efficiency_lo) || !isfinite(v->margin) || v->kind == VERDICT_ABOVE)
        return all_open(v);
    if (v->efficiency_hi >= efficient && v->margin_hi >= 1)
        open |= 1u << VERDICT_COMPUTE;
    if (v->efficiency_hi >= efficient && v->margin_lo <= 1)
        open |= 1u << VERDICT_BANDWIDTH;
    if (v->efficiency_lo < efficient)
        open |= open_below(v);
    return open;
}

void verdict_decide(struct verdict *out, const struct verdict_input *in)
{
    const struct verdict_roof *c = &in->compute, *b = &in->bandwidth;

    *out = (struct verdict){.counted = in->counted, .compute = c->name, .bandwidth = b->name};
    out->ai = in->bytes > 0 ? in->flops / in->bytes : NAN;
    out->flop_rate = in->seconds > 0 ? in->flops / in->seconds : NAN;
    out->byte_rate = in->seconds > 0 ? in->bytes / in->seconds : NAN;
    out->compute_s = c->value > 0 ? in->flops / c->value : NAN;
    out->memory_s = b->value > 0 ? in->bytes / b->value : NAN;
    out->launches = in->launches > 0 ? in->launches : NAN;
    out->launch = in->launches > 0 ? in->launch.name : NULL;
    out->launch_s = out->launch && in->launch.value > 0 ? in->launches / in->launch.value : NAN;
    out->launch_share = out->launch ? in->launch_share : NAN;
    out->launch_share_lo = out->launch ? in->launch_share_lo : NAN;
    out->launch_share_hi = out->launch ? in->launch_share_hi : NAN;
    out->ridge = c->value > 0 && b->value > 0 ? c->value / b->value : NAN;
    out->margin = out->ai / out->ridge;
    out->margin_lo = out->ai / (c->hi / b->lo);
    out->margin_hi = out->ai / (c->lo / b->hi);
    out->efficiency = out->efficiency_lo = out->efficiency_hi = NAN;
    out->possible = all_open(out);
    if (say_missing(out, in))
        return;
    out->efficiency = in->efficiency;
    out->efficiency_lo = in->efficiency_lo;
    out->efficiency_hi = in->efficiency_hi;
    out->roof = memory_limits(out) ? b->name : c->name;
    out->kind = kind_of(out, in);
    out->possible = open_kinds(out);
    say_verdict(out, in);
}
