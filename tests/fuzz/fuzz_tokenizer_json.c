/* SPDX-License-Identifier: MIT
 * tokenizer.json in a folder, of either kind, and after the input's first NUL byte, if it has one, tokenizer_config.json; the
 * tokenizer is then used. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t first = end ? (size_t)(end - data) : size;
    struct tokenizer *t = NULL;
    struct err e = {0};

    if (end)
        fuzz_put_in_folder("tokenizer_config.json", end + 1, size - first - 1);
    else
        fuzz_put_in_folder("tokenizer_config.json", "{}", 2);
    if (fuzz_taken(tokenizer_open_dir(&t, fuzz_put_in_folder("tokenizer.json", data, first), &e), &e)) {
        fuzz_text(t);
        tokenizer_close(t);
    }
    return 0;
}
