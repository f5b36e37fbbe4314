// SPDX-License-Identifier: MIT
// The other opinion: prints js-tiktoken's ids, a line for each line of FILE: `gpt2 HEX` splits with GPT-2's pattern, `llama3 HEX`
// with the one that Llama-3 took over from cl100k, both with GPT-2's vocabulary. HEX is the text in UTF-8.
import { readFileSync } from "node:fs";
import { Tiktoken } from "js-tiktoken/lite";
import cl100k from "js-tiktoken/ranks/cl100k_base";
import gpt2 from "js-tiktoken/ranks/gpt2";

const patterns = { gpt2: gpt2.pat_str, llama3: cl100k.pat_str };
const peer = new Tiktoken(gpt2);
const answers = [];

for (const line of readFileSync(process.argv[2], "latin1").split("\n").filter(Boolean)) {
    const [pattern, hex] = line.split(" ");
    peer.patStr = patterns[pattern];
    answers.push(peer.encode(Buffer.from(hex, "hex").toString("utf8"), [], []).join(" "));
}
console.log(answers.join("\n"));
