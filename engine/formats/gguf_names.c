/* SPDX-License-Identifier: MIT
 * What GGUF calls the tensors that Hugging Face files call otherwise, and the one thing that is stored in another order: the
 * llama architecture's q and k, whose rows lie so that a rotary pair are neighbours. */
#include <stdio.h>
#include <string.h>

#include "gguf.h"

/* Of a layer, without "h.3." or "layers.3." in front, and of the model; ".weight" and ".bias" stay as they are. */
static const struct {
    const char *ours, *gguf;
} names[] = {
    {"wte", "token_embd"},
    {"wpe", "position_embd"},
    {"ln_f", "output_norm"},
    {"ln_1", "attn_norm"},
    {"attn.c_attn", "attn_qkv"},
    {"attn.c_proj", "attn_output"},
    {"ln_2", "ffn_norm"},
    {"mlp.c_fc", "ffn_up"},
    {"mlp.c_proj", "ffn_down"},
    {"embed_tokens", "token_embd"},
    {"norm", "output_norm"},
    {"lm_head", "output"},
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

const char *gguf_arch(const struct model_config *c)
{
    if (c->position == POSITION_LEARNED)
        return "gpt2";
    return strcmp(c->arch, "qwen2") == 0 ? "qwen2" : "llama";
}

void gguf_tensor_name(char out[GGUF_NAME_MAX + 1], const char *slot)
{
    const char *bare = slot, *kind = strrchr(slot, '.');
    char prefix[24] = "";
    int layer, skip = 0;

    if (sscanf(slot, "h.%d.%n", &layer, &skip) == 1 || sscanf(slot, "layers.%d.%n", &layer, &skip) == 1) {
        snprintf(prefix, sizeof prefix, "blk.%d.", layer);
        bare += skip;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i].ours);
        if (bare + n == kind && strncmp(bare, names[i].ours, n) == 0) {
            snprintf(out, GGUF_NAME_MAX + 1, "%s%s%s", prefix, names[i].gguf, kind);
            return;
        }
    }
    snprintf(out, GGUF_NAME_MAX + 1, "%s", slot); /* a tensor that has no place in GGUF is missing under its own name */
}

bool gguf_is_permuted(const struct model_config *c, const char *slot)
{
    return strcmp(gguf_arch(c), "llama") == 0 && (strstr(slot, "self_attn.q_proj.") || strstr(slot, "self_attn.k_proj."));
}

int gguf_row(const struct model_config *c, int stored)
{
    int head = stored / c->head_dim, within = stored % c->head_dim;

    return head * c->head_dim + within % 2 * (c->head_dim / 2) + within / 2;
}
