/* SPDX-License-Identifier: MIT
 * Uses a tokenizer that an input turned into: texts of every kind to ids and back. */
#ifndef BENCH_FUZZ_TEXT_H
#define BENCH_FUZZ_TEXT_H

#include "fuzz_room.h"
#include "tokenizer/tokenizer.h"

static inline void fuzz_one_text(const struct tokenizer *t, const char *text, size_t len)
{
    struct text back = {0};
    struct err e = {0};
    int32_t *ids = NULL;
    size_t n = 0;

    if (!fuzz_taken(tokenizer_encode(t, text, len, &ids, &n, &e), &e) ||
        !fuzz_taken(tokenizer_encode_prompt(t, text, len, &ids, &n, &e), &e))
        goto out;
    for (size_t i = 0; i < n; i++) {
        MUST(ids[i] >= 0 && ids[i] < tokenizer_vocab(t));
        MUST(tokenizer_decode(t, ids[i], &back, &e) == 0);
    }
    tokenizer_text(t, ids, n, &back);
out:
    free(ids);
    text_free(&back);
}

static inline void fuzz_text(const struct tokenizer *t)
{
    static const char *const texts[] = {
        "",
        " Hello, world's 1234 <|endoftext|><s></s>\r\n\n\ttabs  and   spaces ",
        "我喜欢攀岩 🧗🏽‍♀️ é e\u0301 \u2028\u00a0",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\xff\xc3(\xe2\x82 \xf0\x9f\x92 broken",
    };
    struct text back = {0};
    struct err e = {0};

    MUST(tokenizer_about(t)[0]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fuzz_one_text(t, texts[i], strlen(texts[i]));
    fuzz_one_text(t, "nul\0inside", 10);
    tokenizer_text(t, (const int32_t[]){-1, 0, tokenizer_vocab(t), INT32_MAX}, 4, &back);
    MUST(tokenizer_decode(t, -1, &back, &e) == ERR_FORMAT);
    MUST(tokenizer_decode(t, tokenizer_vocab(t), &back, &e) == ERR_FORMAT);
    text_free(&back);
}

#endif
