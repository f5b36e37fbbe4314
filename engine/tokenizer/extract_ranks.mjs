// SPDX-License-Identifier: MIT
// Writes a vocabulary of the npm package js-tiktoken as a tiktoken-style file, one `base64-bytes rank` a line:
//   node engine/tokenizer/extract_ranks.mjs gpt2 OUT
// Through a temporary file in the same folder, so that OUT is whole or not there.
import { renameSync, rmSync, writeFileSync } from "node:fs";

async function main([name, out]) {
    if (!name || !/^[a-z0-9_]+$/.test(name) || !out)
        throw new Error("usage: node extract_ranks.mjs ENCODING OUT");
    const { default: encoding } = await import(`js-tiktoken/ranks/${name}`);

    // The package packs them as lines of `! first-rank token token ...`, each token having the rank after the one before.
    const lines = [];
    for (const packed of encoding.bpe_ranks.split("\n").filter(Boolean)) {
        const [, first, ...tokens] = packed.split(" ");
        tokens.forEach((token, i) => lines.push(`${token} ${Number(first) + i}\n`));
    }
    const special = Object.keys(encoding.special_tokens).length;
    if (encoding.explicit_n_vocab !== undefined && lines.length + special !== encoding.explicit_n_vocab)
        throw new Error(`${name}: ${lines.length} tokens, expected ${encoding.explicit_n_vocab - special}`);

    const temporary = `${out}.tmp.${process.pid}`;
    try {
        writeFileSync(temporary, lines.join(""));
        renameSync(temporary, out);
    } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
    }
}

main(process.argv.slice(2)).catch((error) => {
    console.error(`extract_ranks.mjs: ${error.message}`);
    process.exitCode = 1;
});
