/* SPDX-License-Identifier: MIT
 * vocab.json and merges.txt in a folder, and a file of ranks. The input's first NUL byte ends vocab.json and begins merges.txt;
 * an input without one is read as ranks. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_file ranks;
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    struct tokenizer *t = NULL;
    struct token_list list;
    struct err e = {0};
    int code;

    if (end) {
        fuzz_put_in_folder("merges.txt", end + 1, size - (size_t)(end - data) - 1);
        code = tokenizer_open_dir(&t, fuzz_put_in_folder("vocab.json", data, (size_t)(end - data)), &e);
    } else {
        code = tokenizer_open_ranks(&t, fuzz_put(&ranks, data, size), &e);
    }
    if (fuzz_taken(code, &e)) {
        fuzz_text(t);
        fuzz_taken(tokenizer_list(t, &list, &e), &e);
        tokenizer_close(t);
    }
    return 0;
}
