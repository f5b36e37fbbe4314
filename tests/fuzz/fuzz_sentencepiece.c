/* SPDX-License-Identifier: MIT
 * tokenizer.model in a folder. The parser is libsentencepiece's; what is looked for here is what this project makes of its
 * answers. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    if (fuzz_taken(tokenizer_open_dir(&t, fuzz_put_in_folder("tokenizer.model", data, size), &e), &e)) {
        fuzz_text(t);
        tokenizer_close(t);
    }
    return 0;
}
