// SPDX-License-Identifier: MIT
// The other opinion: prints ids, a line for each line of FILE, where HEX is text in UTF-8. `gpt2 HEX` and `cl100k HEX` are
// js-tiktoken's; `llama3 HEX` splits with the pattern that Llama-3 took over from cl100k and has GPT-2's vocabulary; `nfc HEX`
// is the composed form, each byte as GPT-2's id.
import { readFileSync } from "node:fs";
import { Tiktoken } from "js-tiktoken/lite";
import cl100k from "js-tiktoken/ranks/cl100k_base";
import gpt2 from "js-tiktoken/ranks/gpt2";

const tiktoken = (ranks, pattern) => {
    let peer;
    return (text) => {
        peer ??= Object.assign(new Tiktoken(ranks), { patStr: pattern });
        return peer.encode(text, [], []);
    };
};
const idOfByte = [];
for (const [rank, token] of gpt2.bpe_ranks.split(" ", 258).slice(2).entries())
    idOfByte[Buffer.from(token, "base64")[0]] = rank;
const peers = {
    gpt2: tiktoken(gpt2, gpt2.pat_str),
    llama3: tiktoken(gpt2, cl100k.pat_str),
    cl100k: tiktoken(cl100k, cl100k.pat_str),
    nfc: (text) => [...Buffer.from(text.normalize("NFC"), "utf8")].map((byte) => idOfByte[byte]),
};

const answers = readFileSync(process.argv[2], "latin1").split("\n").filter(Boolean).map((line) => {
    const [peer, hex] = line.split(" ");
    return peers[peer](Buffer.from(hex, "hex").toString("utf8")).join(" ");
});
console.log(answers.join("\n"));
