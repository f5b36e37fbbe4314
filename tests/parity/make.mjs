// SPDX-License-Identifier: MIT
// Makes every model of variants.mjs with random weights, and what it must answer:  node tests/parity/make.mjs OUT [NAME ...]
// OUT/NAME/ is a Hugging Face folder with expected.json beside its files, OUT/NAME.gguf the same model; OUT/models.json lists
// the names and whether there is a GGUF file.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { isConv1d, transpose, writeGguf } from "./gguf.mjs";
import { normals, store } from "./numbers.mjs";
import { writeFolder } from "./safetensors.mjs";
import { continueGreedily, headDimOf, kvHeadsOf, largest } from "./transformer.mjs";
import { variants } from "./variants.mjs";

const PROMPTS = [1, 7, 23]; // tokens; the last is longer than every window
const GREEDY = 12;
const MARGIN = 2e-4; // between the two largest logits: more than rounding moves them

// --- shapes -----------------------------------------------------------------------------------------------------------------

function gpt2Shapes(c) {
    const inner = c.n_inner ?? 4 * c.n_embd;
    const shapes = { "wte.weight": [c.vocab_size, c.n_embd], "wpe.weight": [c.n_positions, c.n_embd] };
    const norm = (name) => Object.assign(shapes, { [`${name}.weight`]: [c.n_embd], [`${name}.bias`]: [c.n_embd] });
    const conv = (name, rows, cols) => Object.assign(shapes, { [`${name}.weight`]: [rows, cols], [`${name}.bias`]: [cols] });
    for (let l = 0; l < c.n_layer; l++) {
        norm(`h.${l}.ln_1`);
        conv(`h.${l}.attn.c_attn`, c.n_embd, 3 * c.n_embd);
        conv(`h.${l}.attn.c_proj`, c.n_embd, c.n_embd);
        norm(`h.${l}.ln_2`);
        conv(`h.${l}.mlp.c_fc`, c.n_embd, inner);
        conv(`h.${l}.mlp.c_proj`, inner, c.n_embd);
    }
    norm("ln_f");
    if (c.tie_word_embeddings === false) shapes["lm_head.weight"] = [c.vocab_size, c.n_embd];
    return shapes;
}

function llamaShapes(c) {
    const [width, inner] = [c.hidden_size, c.intermediate_size];
    const [q, kv] = [c.num_attention_heads * headDimOf(c), kvHeadsOf(c) * headDimOf(c)];
    const attention = Boolean(c.attention_bias);
    const shapes = { "embed_tokens.weight": [c.vocab_size, width] };
    const linear = (name, rows, cols, bias) => {
        shapes[`${name}.weight`] = [rows, cols];
        if (bias) shapes[`${name}.bias`] = [rows];
    };
    for (let l = 0; l < c.num_hidden_layers; l++) {
        const at = `layers.${l}`;
        shapes[`${at}.input_layernorm.weight`] = [width];
        for (const [name, rows] of [["q", q], ["k", kv], ["v", kv]])
            linear(`${at}.self_attn.${name}_proj`, rows, width, attention || c.model_type === "qwen2");
        linear(`${at}.self_attn.o_proj`, width, q, attention);
        shapes[`${at}.post_attention_layernorm.weight`] = [width];
        for (const name of ["gate", "up"]) linear(`${at}.mlp.${name}_proj`, inner, width, c.mlp_bias);
        linear(`${at}.mlp.down_proj`, width, inner, c.mlp_bias);
    }
    shapes["norm.weight"] = [width];
    if (!c.tie_word_embeddings) shapes["lm_head.weight"] = [c.vocab_size, width];
    return shapes;
}

// --- weights ----------------------------------------------------------------------------------------------------------------

// Standard deviation and mean of a tensor's values. Chosen so that every part matters: logits spread by about 2, attention is
// neither flat nor one-hot, and the residual stream is small enough for the epsilon of a norm to be seen. With a tied head the
// layers speak louder than the embedding, which would otherwise answer every token with itself.
function spread(name, shape, tied) {
    const bias = name.endsWith("bias");
    const fan = isConv1d(name) ? shape[0] : shape[1];
    if (/(ln_|norm)/.test(name)) return [0.2, bias ? 0 : 1];
    if (/(wte|wpe|embed_tokens)/.test(name)) return [tied ? 0.25 : 0.04, 0];
    if (/(c_proj|o_proj|down_proj)/.test(name)) return [(tied ? 1.5 : 0.08) / (bias ? 4 : Math.sqrt(fan)), 0];
    if (bias) return [0.4, 0];
    return [(name === "lm_head.weight" ? 2 : 1.5) / Math.sqrt(fan), 0];
}

// In place, to values that both files can hold.
function round(name, tensor, { hf, vectors, gguf }) {
    if (tensor.shape.length === 2 && name !== "wpe.weight") {
        if (isConv1d(name)) Object.assign(tensor, transpose(tensor)); // blocks of a quantised type run along the inputs
        store(gguf ?? "F32", tensor.data);
        if (isConv1d(name)) Object.assign(tensor, transpose(tensor));
    }
    store(tensor.shape.length === 1 ? vectors : hf, tensor.data);
}

function makeTensors(config, seed, types) {
    const { normal } = normals(seed);
    const shapes = config.model_type === "gpt2" ? gpt2Shapes(config) : llamaShapes(config);
    const tied = !("lm_head.weight" in shapes);
    const tensors = new Map();
    for (const [name, shape] of Object.entries(shapes)) {
        const [deviation, mean] = spread(name, shape, tied);
        const data = Float64Array.from({ length: shape.reduce((a, b) => a * b) }, () => mean + deviation * normal());
        tensors.set(name, { shape, data });
        round(name, tensors.get(name), types);
    }
    return tensors;
}

// --- files ------------------------------------------------------------------------------------------------------------------

// Constants that older versions of transformers saved with the weights.
function bufferParts(config, dtype) {
    const parts = [];
    const [layers, n] = [config.n_layer ?? config.num_hidden_layers, config.n_positions ?? headDimOf(config) / 2];
    for (let l = 0; l < layers; l++) {
        if (config.model_type === "gpt2") {
            const mask = Float64Array.from({ length: n * n }, (_, i) => (i % n <= Math.floor(i / n) ? 1 : 0));
            const bytes = dtype === "U8" ? Buffer.from(mask) : store(dtype, mask);
            parts.push({ name: `h.${l}.attn.bias`, dtype, shape: [1, 1, n, n], bytes });
            const far = store("F32", Float64Array.of(-1e4));
            parts.push({ name: `h.${l}.attn.masked_bias`, dtype: "F32", shape: [], bytes: far });
        } else {
            const bytes = store(dtype, new Float64Array(n).fill(0.5));
            parts.push({ name: `layers.${l}.self_attn.rotary_emb.inv_freq`, dtype, shape: [n], bytes });
        }
    }
    return parts;
}

function folderParts(config, tensors, { hf, vectors }, { prefix, buffers }) {
    const body = prefix ?? (config.model_type === "gpt2" ? "transformer." : "model.");
    const parts = [...tensors].map(([name, { shape, data }]) => {
        const dtype = shape.length === 1 ? vectors : hf;
        return { name, dtype, shape, bytes: store(dtype, Float64Array.from(data)) };
    });
    if (buffers) parts.push(...bufferParts(config, buffers));
    return parts.map((p) => ({ ...p, name: p.name === "lm_head.weight" ? p.name : body + p.name }));
}

// Null where two tokens come so close that rounding could choose either, or where next to nothing is ever chosen.
function answers(config, tensors, seed) {
    const { uniform } = normals(seed);
    const digits = (rows) => rows.map((row) => Array.from(row, (x) => Number(x.toPrecision(9))));
    const margin = (row) => {
        const first = largest(row);
        return row[first] - row.reduce((most, x, i) => (i === first ? most : Math.max(most, x)), -Infinity);
    };
    const prompts = [];
    for (const length of PROMPTS) {
        const tokens = Array.from({ length }, () => Math.floor(uniform() * config.vocab_size));
        const { logits, greedy, decode } = continueGreedily(config, tensors, tokens, GREEDY);
        if ([logits.at(-1), ...decode].some((row) => margin(row) < MARGIN)) return null;
        prompts.push({ tokens, greedy_with_cache: greedy, logits: digits(logits), decode_logits: digits(decode) });
    }
    return new Set(prompts.flatMap((p) => p.greedy_with_cache)).size < 6 ? null : prompts;
}

export function make(out, name, variant, seed) {
    const { config, hf = "F32", vectors = hf, gguf = "F32", shards = 1, alignment, copyHead } = variant;
    const tensors = makeTensors(config, seed, { hf, vectors, gguf });
    const prompts = answers(config, tensors, seed);
    if (!prompts) return make(out, name, variant, seed + 1);
    const dir = path.join(out, name);
    writeFolder(dir, config, folderParts(config, tensors, { hf, vectors }, variant), shards);
    if (gguf) writeGguf(`${dir}.gguf`, name, config, tensors, { dtype: gguf, alignment, copyHead });
    writeFileSync(path.join(dir, "expected.json"), JSON.stringify({ name, prompts }));
    return { name, gguf: Boolean(gguf) };
}

function main(out, wanted) {
    if (!out) throw new Error("usage: node make.mjs OUT [NAME ...]");
    mkdirSync(out, { recursive: true });
    const names = Object.keys(variants);
    const models = names
        .filter((name) => wanted.length === 0 || wanted.includes(name))
        .map((name) => make(out, name, variants[name], 1000 * (names.indexOf(name) + 1)));
    writeFileSync(path.join(out, "models.json"), JSON.stringify(models));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv[2], process.argv.slice(3));
