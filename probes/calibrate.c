/* SPDX-License-Identifier: MIT
 * Judging one comparison of known and counted work. A reading that cannot be true is refused whatever the limit; a true-looking
 * one is refused when it is further off than its quantity allows. */
#include "calibrate.h"

#include <math.h>
#include <stdio.h>

/* Broken counters were seen to return the true value + 2^47; no bracket of ours reaches half of that. */
static const double absurd = 70368744177664.0; /* 2^46 */

double calibration_limit(enum metric m)
{
    switch (m) {
    case METRIC_DRAM_READ_BYTES:
    case METRIC_DRAM_WRITE_BYTES:
        return 0.05; /* a few lines of the stream stay in the caches, and page walks add some */
    case METRIC_L2_READ_BYTES:
    case METRIC_L3_READ_BYTES:
        return 0.10; /* caches do not replace in perfect order: some lines survive a pass */
    default:
        return 0.02;
    }
}

static const char *impossible(const struct calibration *c)
{
    if (isnan(c->measured))
        return "no reading";
    if (c->measured < 0)
        return "negative";
    if (c->measured == 0 && c->expected != 0)
        return "frozen at 0";
    if (c->measured >= absurd)
        return "2^46 or more: a counter that overflowed";
    return NULL;
}

void calibration_judge(struct calibration *c)
{
    const char *why = impossible(c);
    const double scale = c->expected > 0 ? c->expected : c->work;

    c->why[0] = 0;
    c->accepted = false;
    c->rel_error = isnan(c->measured) ? NAN : fabs(c->measured - c->expected) / scale;
    if (why)
        snprintf(c->why, sizeof c->why, "%s", why);
    else if (!(scale > 0) || isnan(c->expected))
        snprintf(c->why, sizeof c->why, "the kernel's work is not known");
    else if (!(c->rel_error <= c->limit) && c->expected > 0)
        snprintf(c->why, sizeof c->why, "counted %.4g where %.4g was done, %.3g %% off (limit %.3g %%)", c->measured,
                 c->expected, 100 * c->rel_error, 100 * c->limit);
    else if (!(c->rel_error <= c->limit))
        snprintf(c->why, sizeof c->why, "counted %.4g, %.3g %% of work that it must not see (limit %.3g %%)", c->measured,
                 100 * c->rel_error, 100 * c->limit);
    else
        c->accepted = true;
}
