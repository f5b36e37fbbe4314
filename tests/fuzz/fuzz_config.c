/* SPDX-License-Identifier: MIT
 * config.json of a Hugging Face folder. What is accepted must be sane enough to plan the weights of and to reckon with; the
 * input is also read as a generation_config.json. */
#include "fuzz_room.h"

#include "formats/hf.h"

static int count_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    uint64_t *elements = ctx;

    (void)e;
    MUST(slot->name[0] && slot->to.data && slot->to.rows > 0 && slot->to.cols > 0);
    *elements += (uint64_t)slot->to.rows * (uint64_t)slot->to.cols;
    return 0;
}

static void use(const struct model_config *c)
{
    uint64_t elements = 0;
    struct weights w = {0};
    struct err e = {0};

    MUST(config_check(c, &e) == 0);
    MUST(config_kv_bytes(c, 1, c->context, 4) > 0);
    MUST(config_visible(c, c->layers - 1, c->context) >= 1);
    if (fuzz_taken(weights_plan(&w, c, DTYPE_F32, &e), &e)) {
        MUST(weights_visit(&w, c, count_slot, &elements, &e) == 0);
        MUST(elements == config_parameters(c));
    }
    weights_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char plain[] = "{\"model_type\":\"gpt2\",\"architectures\":[\"GPT2LMHeadModel\"]}";
    static struct fuzz_file config, generation;
    struct model_config c = {0};
    struct err e = {0};

    if (fuzz_taken(hf_config_read(&c, fuzz_put(&config, data, size), NULL, &e), &e))
        use(&c);
    fuzz_put(&config, plain, sizeof plain - 1);
    if (fuzz_taken(hf_config_read(&c, config.path, fuzz_put(&generation, data, size), &e), &e))
        use(&c);
    return 0;
}
