// SPDX-License-Identifier: MIT
// A Hugging Face folder: config.json with model.safetensors, or with shards and their index. The format is 8 bytes of
// little-endian header length, a JSON header padded with spaces, the tensors back to back.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

// parts: [{name, dtype, shape, bytes}]
export function file(parts) {
    const header = { __metadata__: { format: "pt" } };
    let at = 0;
    for (const { name, dtype, shape, bytes } of parts) {
        header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
        at += bytes.length;
    }
    let text = JSON.stringify(header);
    text += " ".repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    return Buffer.concat([length, Buffer.from(text), ...parts.map((p) => p.bytes)]);
}

export function writeFolder(dir, config, parts, shards) {
    mkdirSync(dir, { recursive: true });
    writeFileSync(path.join(dir, "config.json"), JSON.stringify(config, null, 2));
    if (shards === 1) {
        writeFileSync(path.join(dir, "model.safetensors"), file(parts));
        return;
    }
    const weightMap = {};
    for (let s = 0; s < shards; s++) {
        const name = `model-${String(s + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
        const mine = parts.filter((_, i) => i % shards === s);
        mine.forEach((p) => (weightMap[p.name] = name));
        writeFileSync(path.join(dir, name), file(mine));
    }
    const total = parts.reduce((n, p) => n + p.bytes.length, 0);
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    writeFileSync(path.join(dir, "model.safetensors.index.json"), JSON.stringify(index));
}
