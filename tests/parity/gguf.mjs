// SPDX-License-Identifier: MIT
// The same model as a GGUF version 3 file, with the conventions of llama.cpp's convert_hf_to_gguf.py: its names of tensors and
// keys; Conv1D weights transposed; rows of q and k of arch `llama` (biases too) re-ordered from halves to pairs; vectors in
// F32; llama3 rope scaling as the tensor rope_freqs.weight; a small tokenizer, since every converted file has one.
import { writeFileSync } from "node:fs";
import { store } from "./numbers.mjs";
import { epsOf, headDimOf, kvHeadsOf, ropeDivisors, ropeOf, ropeThetaOf, ropeTypeOf, windowOf } from "./transformer.mjs";

const kinds = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };
const types = { F32: 0, F16: 1, Q8_0: 8, BF16: 30 };
const fileTypes = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 };

// --- the container ----------------------------------------------------------------------------------------------------------

const number = (bytes, write, x) => {
    const b = Buffer.alloc(bytes);
    b[write](x);
    return b;
};
const u32 = (x) => number(4, "writeUInt32LE", x);
const u64 = (x) => number(8, "writeBigUInt64LE", BigInt(x));
const string = (s) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)]);

const encoders = {
    u32,
    string,
    i32: (x) => number(4, "writeInt32LE", x),
    f32: (x) => number(4, "writeFloatLE", x),
    bool: (x) => Buffer.from([x ? 1 : 0]),
    array: ([kind, items]) => Buffer.concat([u32(kinds[kind]), u64(items.length), ...items.map(encoders[kind])]),
};

// keys: [[name, kind, value]]; parts: [{name, dtype, shape, bytes}], shape as in Hugging Face, so slowest first.
export function container(keys, parts, alignment = 32) {
    const pad = (b) => Buffer.concat([b, Buffer.alloc((alignment - (b.length % alignment)) % alignment)]);
    const head = [Buffer.from("GGUF"), u32(3), u64(parts.length), u64(keys.length)];
    for (const [name, kind, value] of keys) head.push(string(name), u32(kinds[kind]), encoders[kind](value));
    const data = [];
    let at = 0;
    for (const { name, dtype, shape, bytes } of parts) {
        head.push(string(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(types[dtype]), u64(at));
        data.push(pad(bytes));
        at += data.at(-1).length;
    }
    return Buffer.concat([pad(Buffer.concat(head)), ...data]);
}

// --- tensors ----------------------------------------------------------------------------------------------------------------

const names = [
    [/^wte\./, "token_embd."],
    [/^wpe\./, "position_embd."],
    [/^ln_f\./, "output_norm."],
    [/^lm_head\./, "output."],
    [/^embed_tokens\./, "token_embd."],
    [/^norm\./, "output_norm."],
    [/^(?:h|layers)\.(\d+)\./, "blk.$1."],
    [/\.(?:ln_1|input_layernorm)\./, ".attn_norm."],
    [/\.(?:ln_2|post_attention_layernorm)\./, ".ffn_norm."],
    [/\.attn\.c_attn\./, ".attn_qkv."],
    [/\.attn\.c_proj\./, ".attn_output."],
    [/\.mlp\.c_fc\./, ".ffn_up."],
    [/\.mlp\.c_proj\./, ".ffn_down."],
    [/\.self_attn\.([qkv])_proj\./, ".attn_$1."],
    [/\.self_attn\.o_proj\./, ".attn_output."],
    [/\.mlp\.(gate|up|down)_proj\./, ".ffn_$1."],
];
const rename = (name) => names.reduce((s, [from, to]) => s.replace(from, to), name);

export function transpose({ shape: [rows, cols], data }) {
    return { shape: [cols, rows], data: data.map((_, i) => data[(i % rows) * cols + Math.floor(i / rows)]) };
}

// Rows of each head from [first half, second half] to pairs of one row of each: row 2i + s takes row s dim/2 + i.
function pairRows({ shape, data }, heads) {
    const [dim, width] = [shape[0] / heads, shape[1] ?? 1];
    const out = new Float64Array(data.length);
    for (let r = 0; r < shape[0]; r++) {
        const [head, i] = [Math.floor(r / dim), r % dim];
        const from = head * dim + (i % 2) * (dim / 2) + Math.floor(i / 2);
        out.set(data.subarray(from * width, (from + 1) * width), r * width);
    }
    return { shape, data: out };
}

export const isConv1d = (name) => /\.(c_attn|c_proj|c_fc)\.weight$/.test(name);

function convert(config, name, tensor) {
    const pairs = ["llama", "mistral"].includes(config.model_type) && /self_attn\.([qk])_proj/.exec(name);
    if (isConv1d(name)) return transpose(tensor);
    if (pairs) return pairRows(tensor, pairs[1] === "q" ? config.num_attention_heads : kvHeadsOf(config));
    return tensor;
}

function tensorParts(config, tensors, dtype) {
    const parts = [];
    for (const [name, tensor] of tensors) {
        const { shape, data } = convert(config, name, tensor);
        const type = shape.length === 1 || name === "wpe.weight" ? "F32" : dtype;
        parts.push({ name: rename(name), dtype: type, shape, bytes: store(type, Float64Array.from(data)) });
    }
    if (ropeTypeOf(config) === "llama3") {
        const divisors = Float64Array.from(ropeDivisors(config));
        parts.push({ name: "rope_freqs.weight", dtype: "F32", shape: [divisors.length], bytes: store("F32", divisors) });
    }
    return parts;
}

// --- keys -------------------------------------------------------------------------------------------------------------------

function shapeKeys(c) {
    if (c.model_type === "gpt2")
        return [
            ["gpt2.block_count", "u32", c.n_layer],
            ["gpt2.context_length", "u32", c.n_positions],
            ["gpt2.embedding_length", "u32", c.n_embd],
            ["gpt2.feed_forward_length", "u32", c.n_inner ?? 4 * c.n_embd],
            ["gpt2.attention.head_count", "u32", c.n_head],
            ["gpt2.attention.layer_norm_epsilon", "f32", c.layer_norm_epsilon],
        ];
    const arch = c.model_type === "qwen2" ? "qwen2" : "llama";
    const keys = [
        ["block_count", "u32", c.num_hidden_layers],
        ["context_length", "u32", c.max_position_embeddings],
        ["embedding_length", "u32", c.hidden_size],
        ["feed_forward_length", "u32", c.intermediate_size],
        ["attention.head_count", "u32", c.num_attention_heads],
        ["attention.head_count_kv", "u32", kvHeadsOf(c)],
        ["rope.freq_base", "f32", ropeThetaOf(c)],
        ["attention.layer_norm_rms_epsilon", "f32", epsOf(c)],
    ];
    if (arch === "llama") keys.push(["vocab_size", "u32", c.vocab_size], ["rope.dimension_count", "u32", headDimOf(c)]);
    if (c.head_dim) keys.push(["attention.key_length", "u32", c.head_dim], ["attention.value_length", "u32", c.head_dim]);
    if (windowOf(c, 0) !== Infinity) keys.push(["attention.sliding_window", "u32", windowOf(c, 0)]);
    if (ropeTypeOf(c) === "linear")
        keys.push(["rope.scaling.type", "string", "linear"], ["rope.scaling.factor", "f32", ropeOf(c).factor]);
    return keys.map(([name, kind, value]) => [`${arch}.${name}`, kind, value]);
}

// GPT-2 spells a byte as a printable character: itself where it is one, else the next from U+0100 on.
export const printable = (() => {
    const own = (b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    let next = 256;
    return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(own(b) ? b : next++));
})();

function bytePairKeys(vocab, pre) {
    const merges = ["t h", "th e", "Ġ the"];
    const tokens = [...printable, ...merges.map((m) => m.replace(" ", ""))];
    const types = Array(tokens.length).fill(1);
    while (tokens.length < vocab) types.push(5), tokens.push(`[PAD${tokens.length}]`);
    return [
        ["tokenizer.ggml.model", "string", "gpt2"],
        ["tokenizer.ggml.pre", "string", pre],
        ["tokenizer.ggml.tokens", "array", ["string", tokens]],
        ["tokenizer.ggml.token_type", "array", ["i32", types]],
        ["tokenizer.ggml.merges", "array", ["string", merges]],
    ];
}

function sentencePieceKeys(vocab) {
    const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
    const tokens = ["<unk>", "<s>", "</s>", ...bytes, "▁", "t", "h", "e", "th", "the", "▁the"];
    const types = [2, 3, 3, ...bytes.map(() => 6)];
    while (types.length < tokens.length) types.push(1);
    while (tokens.length < vocab) types.push(1), tokens.push(`▁word${tokens.length}`);
    return [
        ["tokenizer.ggml.model", "string", "llama"],
        ["tokenizer.ggml.pre", "string", "default"],
        ["tokenizer.ggml.tokens", "array", ["string", tokens]],
        ["tokenizer.ggml.scores", "array", ["f32", tokens.map((_, i) => (types[i] === 1 ? -i : 0))]],
        ["tokenizer.ggml.token_type", "array", ["i32", types]],
        ["tokenizer.ggml.bos_token_id", "u32", 1],
        ["tokenizer.ggml.eos_token_id", "u32", 2],
        ["tokenizer.ggml.unknown_token_id", "u32", 0],
        ["tokenizer.ggml.add_bos_token", "bool", true],
    ];
}

function tokenizerKeys(c) {
    if (c.model_type === "gpt2") return bytePairKeys(c.vocab_size, "gpt-2");
    if (c.model_type === "qwen2") return bytePairKeys(c.vocab_size, "qwen2");
    return ropeTypeOf(c) === "llama3" ? bytePairKeys(c.vocab_size, "llama-bpe") : sentencePieceKeys(c.vocab_size);
}

// dtype: of the matrices. copyHead: output.weight beside a tied token_embd.weight, as older converters of GPT-2 wrote it.
export function writeGguf(file, name, config, tensors, { dtype, alignment, copyHead }) {
    const parts = tensorParts(config, tensors, dtype);
    if (copyHead) parts.push({ ...parts.find((p) => p.name === "token_embd.weight"), name: "output.weight" });
    const keys = [
        ["general.architecture", "string", { gpt2: "gpt2", qwen2: "qwen2" }[config.model_type] ?? "llama"],
        ["general.name", "string", name],
        ["general.file_type", "u32", fileTypes[dtype]],
        ["general.quantization_version", "u32", 2],
        ...(alignment ? [["general.alignment", "u32", alignment]] : []),
        ...shapeKeys(config),
        ...tokenizerKeys(config),
    ];
    writeFileSync(file, container(keys, parts, alignment));
}
