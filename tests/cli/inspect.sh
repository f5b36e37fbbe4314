#!/bin/sh
# SPDX-License-Identifier: MIT
# `bench inspect`: the lesson about prefill and decode, with its shapes; the same as JSON; what it refuses.
. tests/cli/tap.inc
prompt='Q: Explain why batching improves GPU utilization.
A:'
# One thread: these models are too small for two to meet in time on a busy machine.
inspect() { "$bench" inspect "$@" --threads 1; }
ids() { inspect "$@" --json >"$tmp/ids.json" && field "$tmp/ids.json" generated.ids; }

# distilgpt2 with the default prompt and as many steps as the lesson takes.
code "distilgpt2 is looked into" 0 "$bench" inspect distilgpt2 --layers --values
lesson=$out
like "the prompt is shown as one line" "^prompt: 'Q: Explain why batching improves GPU utilization.\\\\nA:'$" "$lesson"
like "13 tokens go in" '^input_ids.shape: \(1, 13\) ' "$lesson"
peer=$(printf 'gpt2 %s\n' "$(printf '%s' "$prompt" | od -An -tx1 | tr -d ' \n')" >"$tmp/peer" && node tests/tokenizer_peer.mjs "$tmp/peer")
is "the ids are js-tiktoken's" "input_ids: [$(printf '%s' "$peer" | sed 's/ /, /g')]" "$(printf '%s\n' "$lesson" | grep '^input_ids:')"
like "each id has its piece" "^ +48  'Q' +25  ':' +48605  ' Explain' +1521  ' why'$" "$lesson"
like "prefill gives logits for every position" '^logits.shape: \(1, 13, 50257\) ' "$lesson"
like "the cache has six layers" '^layers in the KV cache: 6$' "$lesson"
is "K and V of every layer have the lesson's shape" 12 "$(printf '%s\n' "$lesson" | grep -cE '^layer[0-5] [KV]\.shape: \(1, 12, 13, 64\)')"
is "nine decode steps give logits for one position" 9 "$(printf '%s\n' "$lesson" | grep -c '^logits.shape: (1, 1, 50257)$')"
is "the cache grows by one position a step" \
    "$(printf '(1, 12, %d, 64) ' 14 15 16 17 18 19 20 21 22)" \
    "$(printf '%s\n' "$lesson" | sed -n 's/^layer0 K.shape: \(.*\)  seq_len.*/\1/p' | tr '\n' ' ')"
is "each choice has its five candidates" 50 "$(printf '%s\n' "$lesson" | grep -cE "^ +[0-9]+  ['\"].*['\"] +-?[0-9]+\.[0-9]{4} +0\.[0-9]{6}$")"
like "the formula is spelled with its numbers" '2 \(K, V\) x 6 layers x 1 batch x 12 kv_heads x 22 seq_len x 64 head_dim x 4 bytes' "$lesson"
like "the formula is right" '= 811,008 bytes \(811 kB\)' "$lesson"
like "what is allocated is what the formula says" '^allocated:  811,008 bytes for 22 positions, as the formula says$' "$lesson"
is "every pass has its time" 10 "$(printf '%s\n' "$lesson" | grep -cE '^(prefill|decode step [0-9]) +[0-9]+ +[0-9.]+ +[0-9.]+$')"
is "--values shows ten" 9 "$(printf '%s\n' "$lesson" | grep '^K\[layer 0, head 0, token 0, :10\]: \[' | tr -cd , | wc -c | awk '{print $1 - 3}')"

inspect tiny-gpt2 --steps 3 --top 4 --values --json >"$tmp/a.json"
one() { field "$tmp/a.json" "$@"; }
is "JSON says what it is" bench-inspect/1 "$(one format)"
is "the prompt is the lesson's" "$prompt" "$(one input.prompt)"
is "the same ids" "[$(printf '%s' "$peer" | tr ' ' ,)]" "$(one input.ids)"
is "pieces join to the prompt" "$prompt" "$(sqlite3 :memory: "SELECT group_concat(value, '') FROM json_each(readfile('$tmp/a.json'), '\$.input.pieces')")"
is "prefill's logits" '[1,13,50257]' "$(one 'steps[0].logits_shape')"
is "a decode step's logits" '[1,1,50257]' "$(one 'steps[2].logits_shape')"
is "K after prefill" '[1,4,13,16]' "$(one 'steps[0].k_shape')"
is "V after the second decode step" '[1,4,15,16]' "$(one 'steps[2].v_shape')"
is "a step reads what the one before chose" "$(one 'steps[1].chosen.id')" "$(one 'steps[2].input_ids[0]')"
is "greedy takes the first candidate" "$(one 'steps[0].candidates[0]' 'steps[1].candidates[0]')" "$(one 'steps[0].chosen' 'steps[1].chosen')"
is "as many candidates as --top, logits falling, probabilities of one softmax" true "$(node -e '
    const ok = JSON.parse(require("fs").readFileSync(process.argv[1])).steps.every(s => s.candidates.length === 4 &&
        s.candidates.every((c, i, all) => i === 0 || (c.logit <= all[i - 1].logit &&
            Math.abs(Math.log(all[i - 1].probability / c.probability) - (all[i - 1].logit - c.logit)) < 1e-5)));
    console.log(ok)' "$tmp/a.json")"
is "formula and allocation agree" "$(one kv.formula_bytes)" "$(one kv.allocated_bytes)"
is "kv bytes are counted from the shapes" $((2 * 2 * 1 * 4 * 15 * 16 * 4)) "$(one kv.formula_bytes)"
is "ten values of K" 10 "$(items "$tmp/a.json" first_key)"
inspect tiny-llama --tokens 7 --steps 1 --top 1000000 --json >"$tmp/all.json"
is "--top stops at the vocabulary, whose probabilities add up to one" '431|1.0' "$(sqlite3 :memory: \
    "SELECT count(*), round(sum(value->>'probability'), 6) FROM json_each(readfile('$tmp/all.json'), '\$.steps[0].candidates')")"

code "grouped heads show as the heads of K" 0 "$bench" inspect tiny-llama --tokens '1 2 3' --steps 2
like "2 of 6" '^layer0 K.shape: \(1, 2, 3, 10\) ' "$out"
like "and are explained" '6 query heads share 2 key/value heads: 3 to each' "$out"
is "the same seed gives the same tokens" "$(ids tiny-gpt2 --seed 5)" "$(ids tiny-gpt2 --seed 5)"
is "another seed gives others" other "$([ "$(ids tiny-gpt2 --seed 5)" = "$(ids tiny-gpt2 --seed 6)" ] && echo same || echo other)"
is "draws of one seed are the same, whoever computes" "$(ids tiny-llama --tokens '5 6 7' --temperature 0.9 --top-k 50)" \
    "$(ids tiny-llama --tokens '5 6 7' --temperature 0.9 --top-k 50 --backend ref --threads 1)"
is "drawing is not greedy" other "$([ "$(ids tiny-gpt2)" = "$(ids tiny-gpt2 --temperature 3)" ] && echo same || echo other)"
like "a choice that is no candidate has its own numbers" '^chosen: [0-9]+ .* +\(logit -?[0-9.]+, probability 0\.[0-9]+\)$' \
    "$("$bench" inspect tiny-gpt2 --top 1 --temperature 3)"
code "a model of transformers is looked into by ids" 0 "$bench" inspect tests/data/reference/llama-mha --tokens 1,2,3 --steps 2

code "a text for a model without a tokenizer is refused" 2 "$bench" inspect tiny-llama --prompt Hello
like "and --tokens is named" '^bench: tiny-llama has no tokenizer .*--tokens' "$out"
code "without a model it is usage" 2 "$bench" inspect
like "and asks which" 'which model' "$out"
code "a prompt said twice is usage" 2 "$bench" inspect tiny-gpt2 --prompt a --tokens 1
code "ids that are none are usage" 2 "$bench" inspect tiny-llama --tokens '1 2x'
is "and are shown" "bench: --tokens: expected ids with spaces between, got '2x'" "$out"
code "ids beyond the vocabulary are usage" 2 "$bench" inspect tiny-llama --tokens '1 431'
is "and the range is named" "bench: --tokens: 431 is not an id of this model: 0 to 430" "$out"
code "an id that fits in no integer is usage" 2 "$bench" inspect tiny-llama --tokens 99999999999999999999
code "no ids at all are usage" 2 "$bench" inspect tiny-llama --tokens ' , '
code "a prompt without tokens is usage" 2 "$bench" inspect tiny-gpt2 --prompt ''
code "more steps than positions are usage" 2 "$bench" inspect tiny-gpt2 --steps 1013
is "and the sum is shown" "bench: 13 tokens of prompt and 1013 steps need 1025 positions, tiny-gpt2 has 1024" "$out"
code "no steps are usage" 2 "$bench" inspect tiny-gpt2 --steps 0
code "beams are for generate" 2 "$bench" inspect tiny-gpt2 --beams 2
code "a sampling setting out of range is usage" 2 "$bench" inspect tiny-gpt2 --top-p 2
code "one that is no number is usage" 2 "$bench" inspect tiny-gpt2 --top-k many
like "and is named" "top_k 'many': expected a whole number" "$out"
code "weights in another dtype are looked into" 0 "$bench" inspect tiny-gpt2 --threads 1 --dtype bf16 --steps 2
like "and named" 'bfloat16' "$out"
code "a backend that does not exist is usage" 2 "$bench" inspect tiny-gpt2 --backend gpu
code "a folder that does not exist is an error" 1 "$bench" inspect "$tmp/none/"
like "in one sentence that names it" "^bench: [^\n]*$tmp/none" "$out"
is "of one line" 1 "$(printf '%s\n' "$out" | wc -l)"
finish
