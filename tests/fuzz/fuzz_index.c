/* SPDX-License-Identifier: MIT
 * The index of a sharded model: model.safetensors.index.json beside a config.json and one shard, opened as a model. */
#include "fuzz_room.h"

#include "formats/source.h"

static const char config[] = "{\"model_type\":\"gpt2\",\"architectures\":[\"GPT2LMHeadModel\"],\"n_layer\":1,\"n_embd\":2,"
                             "\"n_head\":1,\"n_positions\":4,\"vocab_size\":3,\"bos_token_id\":0,\"eos_token_id\":0}";
static const char header[] = "{\"wte.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source *s = NULL;
    struct err e = {0};
    char shard[8 + sizeof header - 1 + 24] = {(char)(sizeof header - 1)};

    memcpy(shard + 8, header, sizeof header - 1);
    fuzz_put_in_folder("config.json", config, sizeof config - 1);
    fuzz_put_in_folder("a.safetensors", shard, sizeof shard);
    const char *dir = fuzz_put_in_folder("model.safetensors.index.json", data, size);
    MUST(!fuzz_taken(source_open(&s, dir, 0, &e), &e)); /* the shard holds one tensor of many */
    source_close(s);
    return 0;
}
