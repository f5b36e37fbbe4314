// SPDX-License-Identifier: MIT
// Writes the seed corpus and the dictionaries:  node tests/fuzz/seeds.mjs
// corpus/<target>/: small files that are right, and files that are wrong in one way each. corpus/<target>.dict: their words.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { container, printable } from "../parity/gguf.mjs";
import { make } from "../parity/make.mjs";
import { file as safetensors } from "../parity/safetensors.mjs";
import { variants } from "../parity/variants.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const suites = path.join(here, "../../suites");
const corpus = path.join(here, "corpus");

const seeds = {};
const seed = (target, name, content) => ((seeds[target] ??= {})[name] = Buffer.from(content));
const json = (value) => JSON.stringify(value);

// --- safetensors ------------------------------------------------------------------------------------------------------------

const tensor = (name, dtype, shape, length) => ({ name, dtype, shape, bytes: Buffer.alloc(length, 0x3c) });

function withHeader(text, data = 24) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, Buffer.from(text), Buffer.alloc(data)]);
}

seed("safetensors", "three_types", safetensors([
    tensor("a", "F32", [2, 3], 24), tensor("b.weight", "F16", [4], 8), tensor("c", "BF16", [2, 1, 2], 8),
]));
seed("safetensors", "scalar_empty_other", safetensors([
    tensor("s", "F32", [], 4), tensor("e", "F16", [0, 7], 0), tensor("mask", "BOOL", [1, 1, 2, 2], 4), tensor("q", "I64", [1], 8),
]));
for (const [name, header, data] of [
    ["no_tensors", "{}", 0],
    ["overlap", '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[3],"data_offsets":[8,20]}}'],
    ["gap", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[20,24]}}'],
    ["past_the_end", '{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'],
    ["product_wraps", '{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,24]}}'],
    ["backwards", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}'],
    ["twice", '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],"data_offsets":[12,24]}}'],
    ["deep", "[".repeat(300)],
    ["negative", '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,24]}}'],
    ["fraction", '{"a":{"dtype":"F32","shape":[6.0],"data_offsets":[0,24]}}'],
]) seed("safetensors", name, withHeader(header, data));
seed("safetensors", "long_header", Buffer.from("ffffffffffffff7f7b7d", "hex"));

// --- config, index ----------------------------------------------------------------------------------------------------------

for (const [name, { config }] of Object.entries(variants)) seed("config", name, json(config));
seed("config", "yarn", json({ ...variants["llama-defaults"].config, rope_scaling: { type: "yarn", factor: 4 } }));
seed("config", "huge", json({ ...variants["llama-defaults"].config, hidden_size: 2147483647, vocab_size: 1e9 }));
seed("config", "quantised", json({ ...variants["qwen2-tied"].config, quantization_config: { bits: 4 } }));
seed("config", "generation", json({ bos_token_id: 1, eos_token_id: [2, 3], temperature: 0.6 }));

seed("index", "whole", json({ metadata: { total_size: 24 }, weight_map: { "wte.weight": "a.safetensors" } }));
seed("index", "no_map", json({ metadata: {} }));
seed("index", "climbs", json({ weight_map: { "wte.weight": "../a.safetensors", x: "/etc/passwd", y: "" } }));
seed("index", "absent", json({ weight_map: { "wte.weight": "a.safetensors", "wpe.weight": "b.safetensors" } }));

// --- GGUF -------------------------------------------------------------------------------------------------------------------

function ggufs() {
    const dir = mkdtempSync(path.join(tmpdir(), "seeds-"));
    const small = { hidden_size: 8, intermediate_size: 4, num_attention_heads: 2, num_hidden_layers: 1, vocab_size: 268 };
    const tiny = { n_embd: 4, n_head: 1, n_inner: 3, n_layer: 1, n_positions: 40, n_ctx: 40, vocab_size: 262 };
    const blocks = { ...small, hidden_size: 32, intermediate_size: 32 };
    const models = {
        gpt2: ["gpt2-untied-f16", tiny],
        llama: ["llama-gqa-f16", { ...small, num_key_value_heads: 1 }],
        llama3: ["llama-llama3", { ...small, num_key_value_heads: 2 }],
        linear: ["llama-linear", { ...small, attention_bias: true }],
        qwen2_q8: ["qwen2-3-heads-q8", { ...blocks, num_key_value_heads: 2 }],
    };
    for (const [name, [like, changes]] of Object.entries(models)) {
        const variant = variants[like];
        const type = { gguf: "F16", ...variant, config: { ...variant.config, ...changes } };
        make(dir, name, type, 1);
        seed("gguf", name, readFileSync(path.join(dir, `${name}.gguf`)));
    }
    rmSync(dir, { recursive: true });
}
ggufs();

const arch = ["general.architecture", "string", "llama"];
const two = container([arch], [tensor("token_embd.weight", "F32", [3, 2], 24)]);
const patched = (at, value) => {
    const copy = Buffer.from(two);
    copy.writeUInt32LE(value, at);
    return copy;
};
seed("gguf", "little", two);
seed("gguf", "version_2", patched(4, 2));
seed("gguf", "version_1", patched(4, 1));
seed("gguf", "many_tensors", patched(12, 0x7fffffff));
seed("gguf", "many_keys", patched(20, 0x7fffffff));
for (const length of [6, 20, 26, 40, 60, 70, 90, 100, 110, 118, 126]) seed("gguf", `cut_${length}`, two.subarray(0, length));
seed("gguf", "arrays", container([arch, ["x.empty", "array", ["u32", []]], ["x", "array", ["array", [["i32", [1, 2]], ["bool", [true]]]]]], []));
seed("gguf", "every_kind", container([["a", "f32", 1.5], ["b", "bool", true], ["c", "i32", -1], ["d", "string", "x"], ["general.alignment", "u32", 64]], []));

// --- tokenizers -------------------------------------------------------------------------------------------------------------

const merges = ["t h", "th e", "Ġ the", "a a", "aa aa"];
const words = [...printable, ...merges.map((m) => m.replace(" ", "")), "<|endoftext|>"];
const vocab = Object.fromEntries(words.map((w, i) => [w, i]));
const added = (content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const split = (Regex) => ({
    type: "Sequence",
    pretokenizers: [
        { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false },
        { ...byteLevel, use_regex: false },
    ],
});
const llama3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const template = (name, id) => ({
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: name, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { [name]: { id: name, ids: [id], tokens: [name] } },
});
const byteLevelFile = (changes, model) => ({
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [added("<|endoftext|>", vocab["<|endoftext|>"])],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", dropout: null, unk_token: null, fuse_unk: false, byte_fallback: false, vocab, merges, ...model },
    ...changes,
});
const pieces = ["<unk>", "<s>", "</s>", ...Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`),
    "▁", "t", "h", "e", "th", "the", "▁the"];
const byteFallbackFile = {
    version: "1.0",
    added_tokens: [added("<unk>", 0), added("<s>", 1), added("</s>", 2)],
    normalizer: { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, { type: "Replace", pattern: { String: " " }, content: "▁" }] },
    pre_tokenizer: null,
    post_processor: template("<s>", 1),
    decoder: {
        type: "Sequence",
        decoders: [
            { type: "Replace", pattern: { String: "▁" }, content: " " },
            { type: "ByteFallback" },
            { type: "Fuse" },
            { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
    },
    model: {
        type: "BPE", dropout: null, unk_token: "<unk>", fuse_unk: true, byte_fallback: true, ignore_merges: false,
        vocab: Object.fromEntries(pieces.map((p, i) => [p, i])), merges: ["t h", "th e", "▁ the"],
    },
};
seed("tokenizer_json", "gpt2", json(byteLevelFile({})));
seed("tokenizer_json", "llama3", json(byteLevelFile(
    { pre_tokenizer: split(llama3), post_processor: { type: "Sequence", processors: [byteLevel, template("<|endoftext|>", vocab["<|endoftext|>"])] } },
    { ignore_merges: true, merges: merges.map((m) => m.split(" ")) },
)));
seed("tokenizer_json", "qwen2", json(byteLevelFile({ normalizer: { type: "NFC" }, pre_tokenizer: split(llama3.replace("{1,3}", "")) })));
seed("tokenizer_json", "llama2", json(byteFallbackFile));
seed("tokenizer_json", "configured", `${json(byteFallbackFile)}\0${json({
    add_bos_token: false, add_eos_token: true, add_prefix_space: false, legacy: true, tokenizer_class: "LlamaTokenizer",
    bos_token: { __type: "AddedToken", content: "<s>" }, eos_token: "</s>",
})}`);
seed("tokenizer_json", "prefix_space", json(byteLevelFile({ pre_tokenizer: { ...byteLevel, add_prefix_space: true } })));
seed("tokenizer_json", "slow_pattern", json(byteLevelFile({ pre_tokenizer: split("(a+)+$|.") })));
seed("tokenizer_json", "wordpiece", json({ model: { type: "WordPiece", vocab: { a: 0 } } }));

const ranks = words.slice(0, 256).map((_, i) => `${Buffer.from([i]).toString("base64")} ${i}\n`).join("");
seed("merges", "gpt2", `${json(vocab)}\0#version: 0.2\n${merges.join("\n")}\n`);
seed("merges", "unknown_side", `${json(vocab)}\0q Q\n`);
seed("merges", "no_bytes", `${json({ a: 0, b: 1, ab: 2 })}\0a b\n`);
seed("merges", "ranks", `${ranks}${Buffer.from("th").toString("base64")} 256\n`);
seed("merges", "bad_ranks", "AA== 0\nAQ 1\n* 2\n");

// A SentencePiece model: protobuf by hand. 1: pieces {1 text, 2 score, 3 type}; 2: trainer {3 kind}; 3: normaliser.
const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
const field = (number, bytes) => Buffer.concat([Buffer.from([number * 8 + 2, ...varint(bytes.length)]), bytes]);
const float = (x) => Buffer.from(new Float32Array([x]).buffer);
function sentencePiece(kind, list) {
    const parts = list.map((piece, i) => {
        const type = i === 0 ? 2 : i < 3 ? 3 : piece.startsWith("<0x") ? 6 : 1;
        const score = Buffer.concat([Buffer.from([0x15]), float(type === 1 ? -i : 0)]);
        return field(1, Buffer.concat([field(1, Buffer.from(piece)), score, Buffer.from([0x18, type])]));
    });
    const trainer = field(2, Buffer.from([0x18, kind, 0x98, 0x02, 1]));
    const normaliser = field(3, Buffer.concat([field(1, Buffer.from("identity")), Buffer.from([0x18, 1, 0x20, 0, 0x28, 1])]));
    return Buffer.concat([...parts, trainer, normaliser]);
}
seed("sentencepiece", "bpe", sentencePiece(2, pieces));
seed("sentencepiece", "unigram", sentencePiece(1, pieces));
seed("sentencepiece", "no_bytes", sentencePiece(2, pieces.filter((p) => !p.startsWith("<0x"))));
seed("sentencepiece", "twice", sentencePiece(2, [...pieces, "the"]));
seed("sentencepiece", "cut", sentencePiece(2, pieces).subarray(0, 100));

// --- suites -----------------------------------------------------------------------------------------------------------------

const head = "question: q?\nmodel: tiny\nworkload:\n  prompt: hi\n";
for (const name of readdirSync(suites).filter((n) => n.endsWith(".yaml"))) seed("suite", name, readFileSync(path.join(suites, name)));
seed("suite", "head", head);
seed("suite", "matrix", `${head}  batch: 2\nmatrix:\n  kv_cache: [on, off]\n  new_tokens: [1, 8]\n  exclude:\n    - {kv_cache: off, new_tokens: 8}\n`);
seed("suite", "quick", `${head}measure:\n  repetitions: {min: 3, max: 5}\nquick:\n  workload.batch: 1\n`);
seed("suite", "anchor", "question: &a q?\nmodel: *a\n");
seed("suite", "twice", "model: a\nmodel: b\n");
seed("suite", "deep", "[".repeat(40));

// --- writing ----------------------------------------------------------------------------------------------------------------

// Words that look like a name, in the order of the alphabet.
function dictionary(files) {
    const text = Object.values(files).map((f) => f.toString("latin1")).join("\n");
    const found = new Set(text.match(/[A-Za-z_][A-Za-z0-9_.]{3,39}/g) ?? []);
    const words = [...found].filter((w) => /[a-z]{3}/.test(w) && !/^word\d/.test(w));
    return words.sort().map((w) => `"${w}"\n`).join("");
}

rmSync(corpus, { recursive: true, force: true });
for (const [target, files] of Object.entries(seeds)) {
    mkdirSync(path.join(corpus, target), { recursive: true });
    for (const [name, content] of Object.entries(files)) writeFileSync(path.join(corpus, target, name), content);
    writeFileSync(path.join(corpus, `${target}.dict`), dictionary(files));
}
