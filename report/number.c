/* SPDX-License-Identifier: MIT
 * Integers keep all their digits: 12345 tokens is not 12300. */
#include "number.h"

#include <math.h>
#include <stdio.h>

const char *number_text(char buf[NUMBER_TEXT], double v, int digits)
{
    int decimals = 0;

    if (!isfinite(v) || fabs(v) > 1e30) {
        snprintf(buf, NUMBER_TEXT, "-");
        return buf;
    }
    if (v != 0)
        decimals = digits - 1 - (int)floor(log10(fabs(v)));
    /* What rounds up to the next power of ten needs one decimal less: 9.97 with two digits is 10, not 10.0. */
    if (v != 0 && decimals > 0 && round(fabs(v) * pow(10, decimals)) >= pow(10, digits))
        decimals--;
    snprintf(buf, NUMBER_TEXT, "%.*f", decimals < 0 ? 0 : decimals > 9 ? 9 : decimals, v);
    return buf;
}

double number_scale(double rate, const char **prefix)
{
    *prefix = rate >= 1e13 ? "T" : "G";
    return rate >= 1e13 ? 1e12 : 1e9;
}
