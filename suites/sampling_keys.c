/* SPDX-License-Identifier: MIT
 * The one list of sampling settings that people can name. Ranges are not here: sampling_check knows them, and which settings
 * exclude each other. */
#include "sampling_keys.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int expected(const struct sampling_key *k, const char *value, struct err *e)
{
    return err_set(e, ERR_USAGE, "%s '%.40s': expected a %snumber", k->name, value, k->integer ? "whole " : "");
}

int sampling_key_set(struct sampling *s, const struct sampling_key *k, const char *value, struct err *e)
{
    char *at = (char *)s + k->offset, *end;

    errno = 0;
    if (k->integer) {
        long n = strtol(value, &end, 10);
        if (errno || end == value || *end || n < INT_MIN || n > INT_MAX)
            return expected(k, value, e);
        memcpy(at, &(int){(int)n}, sizeof(int));
    } else {
        double x = strtod(value, &end);
        if (errno || end == value || *end || !isfinite(x))
            return expected(k, value, e);
        memcpy(at, &x, sizeof x);
    }
    return 0;
}

const struct sampling_key sampling_keys[] = {
    {"temperature", offsetof(struct sampling, temperature), false, "Divide logits by this and draw; 0: take the largest"},
    {"top_k", offsetof(struct sampling, top_k), true, "Draw from the N largest logits only; 0: off"},
    {"top_p", offsetof(struct sampling, top_p), false, "Draw from the likeliest that add up to this probability; 1: off"},
    {"min_p", offsetof(struct sampling, min_p), false,
     "Draw from those with at least N times the likeliest's probability; 0: off"},
    {"repetition_penalty", offsetof(struct sampling, repetition_penalty), false,
     "Make tokens already seen less likely; 1: off"},
    {"beams", offsetof(struct sampling, beams), true, "Beam search with N sequences; 1: off"},
    {"length_alpha", offsetof(struct sampling, length_alpha), false,
     "Beams: exponent of the length penalty ((min_length + n) / (min_length + 1)) ^ alpha"},
    {"min_length", offsetof(struct sampling, min_length), false, "Beams: min_length of the length penalty"},
    {0},
};
