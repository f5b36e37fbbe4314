/* SPDX-License-Identifier: MIT
 * A number as a person writes it in a sentence: so many significant digits, no exponent. */
#ifndef BENCH_NUMBER_H
#define BENCH_NUMBER_H

enum { NUMBER_TEXT = 40 };

/* number_text(buf, 24.13, 3) = "24.1", (0.0812, 2) = "0.081", (12345, 3) = "12345"; "-" when not finite. Returns buf. */
const char *number_text(char buf[NUMBER_TEXT], double v, int digits);

/* What a rate is divided by so that it reads well, and the prefix of its unit: 1e9 and "G", from ten thousand of these on 1e12
 * and "T". */
double number_scale(double rate, const char **prefix);

#endif
