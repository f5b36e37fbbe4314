// SPDX-License-Identifier: MIT
// The other opinion on the mathematics: GPT-2, LLaMA, Mistral and Qwen2 in plain double precision, one token at a time, written
// from the definitions that Hugging Face publishes (modeling_gpt2, modeling_llama, modeling_mistral, modeling_qwen2,
// modeling_rope_utils) and sharing nothing with the engine. A model is the object of a config.json and a Map from tensor names,
// without `transformer.` or `model.` in front, to {shape, data}.

const sum = (xs) => xs.reduce((a, b) => a + b, 0);
const add = (a, b) => a.map((x, i) => x + b[i]);

// y = x W^T + b, W [out, in]: torch's Linear.
function linear(x, weight, bias) {
    const [rows, cols] = weight.shape;
    const y = new Float64Array(rows);
    for (let r = 0; r < rows; r++) {
        let dot = bias ? bias.data[r] : 0;
        for (let c = 0; c < cols; c++) dot += weight.data[r * cols + c] * x[c];
        y[r] = dot;
    }
    return y;
}

// y = x W + b, W [in, out]: GPT-2's Conv1D.
function conv1d(x, weight, bias) {
    const [rows, cols] = weight.shape;
    const y = Float64Array.from(bias.data);
    for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) y[c] += x[r] * weight.data[r * cols + c];
    return y;
}

function layerNorm(x, weight, bias, eps) {
    const mean = sum(x) / x.length;
    const variance = sum(x.map((v) => (v - mean) ** 2)) / x.length;
    return x.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * weight.data[i] + bias.data[i]);
}

function rmsNorm(x, weight, eps) {
    const scale = 1 / Math.sqrt(sum(x.map((v) => v * v)) / x.length + eps);
    return x.map((v, i) => weight.data[i] * v * scale);
}

const geluNew = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const silu = (x) => x / (1 + Math.exp(-x));

// One query's heads over the keys and values of positions first..last of `past`; heads share keys in groups.
function attend(q, past, first, heads, kvHeads, headDim) {
    const out = new Float64Array(heads * headDim);
    for (let h = 0; h < heads; h++) {
        const kv = Math.floor(h / (heads / kvHeads)) * headDim;
        const scores = [];
        for (let p = first; p < past.length; p++) {
            let dot = 0;
            for (let i = 0; i < headDim; i++) dot += q[h * headDim + i] * past[p].k[kv + i];
            scores.push(dot / Math.sqrt(headDim));
        }
        const most = Math.max(...scores);
        const weights = scores.map((s) => Math.exp(s - most));
        const total = sum(weights);
        for (let p = first; p < past.length; p++)
            for (let i = 0; i < headDim; i++) out[h * headDim + i] += (weights[p - first] / total) * past[p].v[kv + i];
    }
    return out;
}

// --- GPT-2 -----------------------------------------------------------------------------------------------------------------

function gpt2(config, tensors) {
    const { n_embd: width, n_head: heads, n_layer: layers } = config;
    const eps = config.layer_norm_epsilon ?? 1e-5;
    const get = (name) => tensors.get(name);
    const head = get(config.tie_word_embeddings === false ? "lm_head.weight" : "wte.weight");
    const row = (t, i) => t.data.slice(i * width, (i + 1) * width);

    return (token, position, pasts) => {
        let x = add(row(get("wte.weight"), token), row(get("wpe.weight"), position));
        for (let l = 0; l < layers; l++) {
            const t = (name) => get(`h.${l}.${name}`);
            const qkv = conv1d(
                layerNorm(x, t("ln_1.weight"), t("ln_1.bias"), eps),
                t("attn.c_attn.weight"),
                t("attn.c_attn.bias"),
            );
            pasts[l].push({ k: qkv.slice(width, 2 * width), v: qkv.slice(2 * width) });
            const mixed = attend(qkv, pasts[l], 0, heads, heads, width / heads);
            x = add(x, conv1d(mixed, t("attn.c_proj.weight"), t("attn.c_proj.bias")));
            const normed = layerNorm(x, t("ln_2.weight"), t("ln_2.bias"), eps);
            const hidden = conv1d(normed, t("mlp.c_fc.weight"), t("mlp.c_fc.bias")).map(geluNew);
            x = add(x, conv1d(hidden, t("mlp.c_proj.weight"), t("mlp.c_proj.bias")));
        }
        return linear(layerNorm(x, get("ln_f.weight"), get("ln_f.bias"), eps), head);
    };
}

// --- LLaMA, Mistral, Qwen2 --------------------------------------------------------------------------------------------------

export const headDimOf = (c) => c.head_dim ?? c.hidden_size / c.num_attention_heads;
export const kvHeadsOf = (c) => c.num_key_value_heads ?? (c.model_type === "mistral" ? 8 : c.num_attention_heads);
export const epsOf = (c) => c.rms_norm_eps ?? 1e-6;
export const ropeOf = (c) => c.rope_parameters ?? c.rope_scaling ?? {};
export const ropeThetaOf = (c) => c.rope_parameters?.rope_theta ?? c.rope_theta ?? 10000;
export const ropeTypeOf = (c) => ropeOf(c).rope_type ?? ropeOf(c).type ?? "default";

// Positions a layer sees, itself included: Infinity without a window. layer_types is the newer way to say which layers.
export function windowOf(c, layer) {
    const window = (c.sliding_window === undefined ? 4096 : c.sliding_window) ?? Infinity;
    if (c.model_type === "mistral") return window;
    if (c.model_type !== "qwen2" || !c.use_sliding_window) return Infinity;
    const slides = c.layer_types ? c.layer_types[layer] === "sliding_attention" : layer >= (c.max_window_layers ?? 28);
    return slides ? window : Infinity;
}

// What each rotary frequency is divided by: llama3 keeps the fast ones, scales the slow ones, and blends between.
export function ropeDivisors(c) {
    const dim = headDimOf(c);
    const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = ropeOf(c);
    return Array.from({ length: dim / 2 }, (_, i) => {
        if (ropeTypeOf(c) === "default") return 1;
        if (ropeTypeOf(c) === "linear") return factor;
        const wavelength = 2 * Math.PI * ropeThetaOf(c) ** ((2 * i) / dim);
        if (wavelength < context / high) return 1;
        if (wavelength > context / low) return factor;
        const smooth = (context / wavelength - low) / (high - low);
        return 1 / ((1 - smooth) / factor + smooth);
    });
}

// Rotates pairs (i, i + headDim / 2) of every head.
function rotate(x, position, frequencies) {
    const half = frequencies.length;
    const y = Float64Array.from(x);
    for (let at = 0; at < x.length; at += 2 * half) {
        for (let i = 0; i < half; i++) {
            const [cos, sin] = [Math.cos(position * frequencies[i]), Math.sin(position * frequencies[i])];
            y[at + i] = x[at + i] * cos - x[at + half + i] * sin;
            y[at + half + i] = x[at + half + i] * cos + x[at + i] * sin;
        }
    }
    return y;
}

function llama(config, tensors) {
    const { hidden_size: width, num_attention_heads: heads, num_hidden_layers: layers } = config;
    const [headDim, kvHeads, eps] = [headDimOf(config), kvHeadsOf(config), epsOf(config)];
    const frequencies = ropeDivisors(config).map((d, i) => ropeThetaOf(config) ** ((-2 * i) / headDim) / d);
    const get = (name) => tensors.get(name);
    const embed = get("embed_tokens.weight");
    const head = config.tie_word_embeddings ? embed : get("lm_head.weight");

    return (token, position, pasts) => {
        let x = embed.data.slice(token * width, (token + 1) * width);
        for (let l = 0; l < layers; l++) {
            const project = (name, input) => linear(input, get(`layers.${l}.${name}.weight`), get(`layers.${l}.${name}.bias`));
            let normed = rmsNorm(x, get(`layers.${l}.input_layernorm.weight`), eps);
            const q = rotate(project("self_attn.q_proj", normed), position, frequencies);
            const k = rotate(project("self_attn.k_proj", normed), position, frequencies);
            pasts[l].push({ k, v: project("self_attn.v_proj", normed) });
            const first = Math.max(0, position + 1 - windowOf(config, l));
            x = add(x, project("self_attn.o_proj", attend(q, pasts[l], first, heads, kvHeads, headDim)));
            normed = rmsNorm(x, get(`layers.${l}.post_attention_layernorm.weight`), eps);
            const up = project("mlp.up_proj", normed);
            const hidden = project("mlp.gate_proj", normed).map((g, i) => silu(g) * up[i]);
            x = add(x, project("mlp.down_proj", hidden));
        }
        return linear(rmsNorm(x, get("norm.weight"), eps), head);
    };
}

// --- what the test compares with --------------------------------------------------------------------------------------------

export const largest = (xs) => xs.indexOf(xs.reduce((a, b) => Math.max(a, b), -Infinity));

// Logits of every position of the prompt, then `steps` greedy tokens with the logits after each but the last.
export function continueGreedily(config, tensors, prompt, steps) {
    const step = (config.model_type === "gpt2" ? gpt2 : llama)(config, tensors);
    const pasts = Array.from({ length: config.n_layer ?? config.num_hidden_layers }, () => []);
    const logits = prompt.map((token, position) => step(token, position, pasts));
    const greedy = [largest(logits.at(-1))];
    const decode = [];
    while (greedy.length < steps) {
        decode.push(step(greedy.at(-1), prompt.length + decode.length, pasts));
        greedy.push(largest(decode.at(-1)));
    }
    return { logits, greedy, decode };
}
