/* SPDX-License-Identifier: MIT
 * What a model is, without its weights: the numbers of config.json, said once for GPT-2 and LLaMA families. The features are
 * spelled out (norm, position, activation), so that the forward pass asks "which norm?" and never "which model?". */
#ifndef BENCH_CONFIG_H
#define BENCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum norm_kind { NORM_LAYER, NORM_RMS };
enum position_kind { POSITION_LEARNED, POSITION_ROTARY };
enum mlp_kind { MLP_GELU_TANH, MLP_SWIGLU };
enum { EOS_MAX = 8, HEAD_DIM_MAX = 1024 };
enum rope_scaling_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 };

struct rope_scaling {
    enum rope_scaling_kind kind;
    double factor, low_freq_factor, high_freq_factor; /* the last two: llama3 only */
    int original_context;                             /* llama3 only */
};

struct model_config {
    char name[64]; /* preset or the folder's last part */
    char arch[16]; /* "gpt2", "llama", "mistral", "qwen2": for people; code asks for the features below */
    int layers, d_model, heads, kv_heads, head_dim, d_ff, vocab, context;
    enum norm_kind norm;
    enum position_kind position;
    enum mlp_kind mlp;
    bool qkv_bias, out_bias, mlp_bias, tied_head;
    double norm_eps, rope_theta;
    struct rope_scaling rope;
    int window;           /* sliding-window attention: a token sees the last `window` positions, itself included; 0: all */
    int window_first;     /* the first layer that has the window */
    int bos;              /* -1: none */
    int32_t eos[EOS_MAX]; /* any of them ends a text */
    int eos_count;
};

/* Presets with their published shapes. NULL-terminated names in the order of the help. */
extern const char *const config_presets[];

/* ERR_USAGE with the nearest name when there is no such preset. */
int config_preset(struct model_config *out, const char *name, struct err *e);

/* Every number within sane limits and consistent with the others; ERR_FORMAT names the field and what was expected.
 * Call it on any config from a file before memory is taken. */
int config_check(const struct model_config *c, struct err *e);

/* Parameters of the model, the tied head counted once. */
uint64_t config_parameters(const struct model_config *c);

/* Positions that a token of this layer may see, itself included, when `seen` are there. */
int config_visible(const struct model_config *c, int layer, int seen);

/* 2 x layers x batch x kv_heads x tokens x head_dim x bytes per element. */
uint64_t config_kv_bytes(const struct model_config *c, int batch, int tokens, int element_bytes);

#endif
