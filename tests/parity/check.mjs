// SPDX-License-Identifier: MIT
// Is the other opinion right? Holds transformer.mjs against models saved by Hugging Face transformers with their logits:
//   node tests/parity/check.mjs FOLDER ...
// Exits with 1 where a greedy token differs or a logit is further off than float32 rounding explains.
import { readFileSync } from "node:fs";
import path from "node:path";
import { continueGreedily } from "./transformer.mjs";

const TOLERANCE = 4e-5;
const json = (dir, name) => JSON.parse(readFileSync(path.join(dir, name), "utf8"));

function readF32(file) {
    const bytes = readFileSync(file);
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const { __metadata__, ...header } = JSON.parse(bytes.toString("utf8", 8, start));
    const tensors = new Map();
    for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
        if (dtype !== "F32") throw new Error(`${file}: ${name} is ${dtype}, F32 expected`);
        const data = new Float64Array(shape.reduce((a, b) => a * b, 1));
        for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(start + data_offsets[0] + 4 * i);
        tensors.set(name.replace(/^(transformer|model)\./, ""), { shape, data });
    }
    return tensors;
}

for (const dir of process.argv.slice(2)) {
    const [config, tensors] = [json(dir, "config.json"), readF32(path.join(dir, "model.safetensors"))];
    let off = 0;
    for (const prompt of json(dir, "expected.json").prompts) {
        const { logits, greedy } = continueGreedily(config, tensors, prompt.tokens, prompt.greedy_with_cache.length);
        logits.forEach((row, p) => row.forEach((x, i) => (off = Math.max(off, Math.abs(x - prompt.logits[p][i])))));
        if (String(greedy) !== String(prompt.greedy_with_cache)) off = Infinity;
    }
    console.log(`${dir}: ${off === Infinity ? "other tokens" : `off by ${off.toExponential(1)}`}`);
    if (!(off <= TOLERANCE)) process.exitCode = 1;
}
