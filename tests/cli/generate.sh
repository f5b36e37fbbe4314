#!/bin/sh
# SPDX-License-Identifier: MIT
# `bench generate`: text on stdout, facts on stderr, ways to end.
. tests/cli/tap.inc
# One thread: these models are too small for two to meet in time on a busy machine.
generate() { "$bench" generate "$@" --threads 1 2>"$tmp/err"; }
as_json() { generate "$@" --json >"$tmp/g.json"; }
one() { field "$tmp/g.json" "$@"; }

text=$(generate tiny-gpt2 --prompt Hello --max-new-tokens 12)
is "it succeeds" 0 $?
like "one line says what it took" '^12 tokens, ended by max_new_tokens; prefill of 1 token [0-9.]+ ms; 11 decode steps [0-9.]+ ms, [0-9.]+ tokens/s$' "$(cat "$tmp/err")"
is "and it is one line" 1 "$(wc -l <"$tmp/err")"
as_json tiny-gpt2 --prompt Hello --max-new-tokens 12
is "the streamed text is the whole text" "$text" "$(one text)"
"$bench" inspect tiny-gpt2 --prompt Hello --steps 12 --json >"$tmp/i.json"
is "the ids are those that inspect sees" "$(field "$tmp/i.json" generated.ids)" "$(one ids)"

middle=$(printf '%s' "$text" | cut -c10-13)
is "a stop text ends it and is left out" "$(printf '%s' "${text%%"$middle"*}")" \
    "$(generate tiny-gpt2 --prompt Hello --max-new-tokens 12 --stop 'never said' --stop "$middle")"
like "and is named" 'ended by stop text' "$(cat "$tmp/err")"
as_json tiny-gpt2 --prompt Hello --stop "$middle"
is "JSON names it too" 'stop text' "$(one ended_by)"

draw() { as_json tiny-gpt2 --prompt Hello --max-new-tokens 8 --temperature 0.8 --top-p 0.9 --repetition-penalty 1.2 "$@" && one ids; }
is "draws of one seed are the same" "$(draw --seed 3)" "$(draw --seed 3)"
like "the settings are in the document" 'temperature 0.8.*seed 3' "$(one sampling)"
code "beams search" 0 "$bench" generate tiny-gpt2 --prompt Hello --max-new-tokens 6 --beams 3 --length-alpha 1.2
code "weights in another dtype generate" 0 "$bench" generate tiny-gpt2 --prompt Hello --max-new-tokens 4 --threads 1 --dtype q8_0
code "a dtype that does not exist is usage" 2 "$bench" generate tiny-gpt2 --prompt Hello --dtype q5_1
like "and all that do are named" '--dtype q5_1: expected one of f32, f16, bf16, q8_0, q4_0' "$out"
code "ids without a tokenizer go in and out" 0 "$bench" generate tiny-llama --tokens '4 5 6' --max-new-tokens 3
like "as ids" '<[0-9]+><[0-9]+>' "$out"

# Ctrl-C once the first text is there.
"$bench" generate tiny-gpt2 --backend ref --prompt Hello --max-new-tokens 1000 >"$tmp/text" 2>"$tmp/err" &
pid=$!
for _ in $(seq 100); do
    [ -s "$tmp/text" ] && break
    sleep 0.1
done
kill -INT $pid
wait $pid
is "Ctrl-C is a failure" 1 $?
like "with what was there" '^[0-9]{1,3} tokens?, ended by an interrupt; prefill' "$(cat "$tmp/err")"
like "and a sentence" '^bench: .*interrupted' "$(cat "$tmp/err")"
like "the text is there up to it" '^ ?[^ ]' "$(cat "$tmp/text")"

code "without a prompt it is usage" 2 "$bench" generate tiny-gpt2
like "and both ways are named" '--prompt TEXT, or --tokens' "$out"
code "an empty stop text is usage" 2 "$bench" generate tiny-gpt2 --prompt a --stop ''
code "more tokens than positions are usage" 2 "$bench" generate tiny-gpt2 --prompt a --max-new-tokens 5000
code "no tokens are usage" 2 "$bench" generate tiny-gpt2 --prompt a --max-new-tokens 0
code "two models are usage" 2 "$bench" generate tiny-gpt2 tiny-llama --prompt a
code "a model that is not there is an error" 1 "$bench" generate "$tmp/none.gguf" --prompt a
like "that names it" "$tmp/none.gguf" "$out"
finish
