// SPDX-License-Identifier: MIT
// The models to compare: each row is a config.json as the family's authors would have written it, and how its files are stored.
// A key that is missing here is missing in the file, so that a reader's defaults are tested too.

const gpt2 = (rest) => ({
    config: {
        activation_function: "gelu_new",
        architectures: ["GPT2LMHeadModel"],
        bos_token_id: 300,
        eos_token_id: 300,
        layer_norm_epsilon: 1e-5,
        model_type: "gpt2",
        n_ctx: 64,
        n_embd: 64,
        n_head: 4,
        n_layer: 2,
        n_positions: 64,
        scale_attn_weights: true,
        vocab_size: 301,
        ...rest,
    },
});

const rotary = (model_type, architecture) => (rest) => ({
    config: {
        architectures: [architecture],
        bos_token_id: 1,
        eos_token_id: 2,
        hidden_act: "silu",
        hidden_size: 64,
        intermediate_size: 96,
        max_position_embeddings: 128,
        model_type,
        num_attention_heads: 4,
        num_hidden_layers: 2,
        rms_norm_eps: 1e-5,
        vocab_size: 290,
        ...rest,
    },
});
const llama = rotary("llama", "LlamaForCausalLM");
const mistral = rotary("mistral", "MistralForCausalLM");
const qwen2 = rotary("qwen2", "Qwen2ForCausalLM");

const windowed = { use_sliding_window: true, sliding_window: 6 };
const llama3 = { factor: 8, high_freq_factor: 4, low_freq_factor: 1, original_max_position_embeddings: 64 };

// hf: F32 | F16 | BF16. gguf: the type of its matrices, or null where that format cannot say what the config says.
// vectors: the type of norms and biases in the folder, where it is not hf. Defaults: F32, one shard, the family's prefix.
export const variants = {
    "gpt2-tied": { ...gpt2({}), copyHead: true },
    "gpt2-untied-f16": { ...gpt2({ tie_word_embeddings: false, n_head: 2 }), hf: "F16", gguf: "F16" },
    "gpt2-inner-q8": { ...gpt2({ n_inner: 96, n_layer: 3 }), gguf: "Q8_0" },
    "gpt2-hub-names": { ...gpt2({ n_embd: 40, n_head: 5, n_inner: null }), prefix: "", buffers: "F32" },
    "gpt2-sharded-bf16": { ...gpt2({ n_head: 1 }), hf: "BF16", gguf: "BF16", shards: 3, buffers: "U8" },

    "llama-defaults": llama({ rms_norm_eps: undefined }),
    "llama-mha-q8": { ...llama({ num_key_value_heads: 4, rope_theta: 10000 }), gguf: "Q8_0" },
    "llama-gqa-f16": { ...llama({ num_attention_heads: 8, num_key_value_heads: 2 }), hf: "F16", gguf: "F16" },
    "llama-mqa-sharded": { ...llama({ num_key_value_heads: 1 }), hf: "BF16", gguf: "BF16", shards: 2, alignment: 64 },
    "llama-norms-f32": { ...llama({ attention_bias: true, torch_dtype: "float16" }), hf: "F16", vectors: "F32", gguf: "F16" },
    "llama-wide-heads": llama({ hidden_size: 40, head_dim: 24, num_key_value_heads: 2, eos_token_id: [2, 5, 7] }),
    "llama-narrow-heads": llama({ head_dim: 8, num_key_value_heads: 2, attention_bias: true }),
    "llama-attention-bias": llama({ num_key_value_heads: 2, attention_bias: true }),
    "llama-mlp-bias": llama({ mlp_bias: true }),
    "llama-every-bias-3-heads": llama({ hidden_size: 48, num_attention_heads: 3, attention_bias: true, mlp_bias: true }),
    "llama-5-heads": llama({ hidden_size: 50, num_attention_heads: 5, num_key_value_heads: 5, intermediate_size: 77 }),
    "llama-linear": llama({ rope_scaling: { type: "linear", factor: 4 } }),
    "llama-linear-new-words": llama({ rope_parameters: { rope_type: "linear", factor: 2.5, rope_theta: 20000 } }),
    "llama-llama3": llama({ rope_scaling: { rope_type: "llama3", ...llama3 }, num_key_value_heads: 2 }),
    "llama-llama3-new-words": llama({ rope_parameters: { rope_type: "llama3", rope_theta: 500000, ...llama3 }, head_dim: 32 }),
    "llama-tied-theta-1e6": llama({ rope_theta: 1e6, rms_norm_eps: 1e-6, tie_word_embeddings: true, rope_scaling: null }),
    "llama-body-names": { ...llama({ tie_word_embeddings: true }), prefix: "", buffers: "F32" },

    "mistral-window": mistral({ num_key_value_heads: 2, sliding_window: 5 }),
    "mistral-window-of-one": mistral({ num_key_value_heads: 4, sliding_window: 1 }),
    "mistral-no-window": mistral({ num_key_value_heads: 2, sliding_window: null, rope_theta: 1e6, head_dim: 16 }),
    "mistral-window-unsaid": mistral({ num_attention_heads: 8, head_dim: null }), // 4096, and 8 heads for keys

    "qwen2-tied": qwen2({ num_key_value_heads: 2, tie_word_embeddings: true, rope_theta: 1e6, rms_norm_eps: 1e-6 }),
    "qwen2-window-unused": qwen2({ num_key_value_heads: 4, use_sliding_window: false, sliding_window: 4, max_window_layers: 1 }),
    "qwen2-window": {
        ...qwen2({ num_hidden_layers: 3, num_key_value_heads: 2, ...windowed, max_window_layers: 1 }),
        gguf: null,
    },
    "qwen2-window-new-words": {
        ...qwen2({
            ...windowed,
            dtype: "float32",
            layer_types: ["full_attention", "sliding_attention"],
            num_key_value_heads: 2,
            rope_parameters: { rope_theta: 1e6, rope_type: "default" },
        }),
        gguf: null,
    },
    "qwen2-f16-sharded": { ...qwen2({ num_key_value_heads: 1 }), hf: "F16", gguf: "F16", shards: 2 },
    "qwen2-3-heads-q8": { ...qwen2({ hidden_size: 96, num_attention_heads: 3, num_key_value_heads: 3 }), gguf: "Q8_0" },
};
