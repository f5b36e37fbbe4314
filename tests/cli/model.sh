#!/bin/sh
# SPDX-License-Identifier: MIT
# `bench model`: what a model is; presets written as files, read back, and the same.
. tests/cli/tap.inc
card() {
    "$bench" model "$1" --json >"$tmp/card.json"
    shift
    field "$tmp/card.json" "$@"
}
shapes() { card "$1" config | sed 's/"norm_eps":[0-9.e-]*,//'; } # GGUF keeps epsilon as a float32
ids() { "$bench" inspect "$@" --threads 1 --json >"$tmp/ids.json" && field "$tmp/ids.json" generated.ids; }

code "a preset is described" 0 "$bench" model tiny-llama
like "its attention" 'attention +6 heads, 2 for keys and values, head_dim 10' "$out"
like "its parameters by part" 'MLP +84,780 +339,120 +51\.2 %' "$out"
like "its cache by formula" '2 x 3 layers x 2 kv_heads x 10 head_dim x 4 bytes = 480 bytes a token' "$out"
for m in tiny-gpt2 tiny-llama distilgpt2 llama-3-8b; do
    parameters=$(card $m parameters)
    is "$m: the parts add up to the whole, four bytes a parameter" "$((4 * parameters)) $((4 * parameters))" \
        "$(sqlite3 :memory: "SELECT sum(value) FROM json_each(readfile('$tmp/card.json'), '\$.part_bytes')") $(field "$tmp/card.json" bytes)"
done
is "llama-3-8b has its published parameters" 8030261248 "$parameters"
is "and 256 KiB of float32 cache a token" $((2 * 32 * 8 * 128 * 4)) "$(field "$tmp/card.json" kv_bytes_per_token)"
is "a head of its own has bytes" $((128256 * 4096 * 4)) "$(field "$tmp/card.json" part_bytes.head)"
is "a tied one has none" 0 "$(card distilgpt2 part_bytes.head)"
like "end of text is spelled" "eos +50256 '<\|endoftext\|>'" "$("$bench" model distilgpt2)"

rope=tests/data/reference/llama-rope3
code "a folder of transformers is described" 0 "$bench" model $rope
like "its scaling" 'llama3 scaling by 8' "$out"
is "its files are hashed" "$(sha256sum $rope/model.safetensors | cut -d' ' -f1)" "$(card $rope 'files[1].sha256')"
is "and sized" "$(stat -c %s $rope/config.json)" "$(field "$tmp/card.json" 'files[0].bytes')"
is "its tensors are stored in F32" F32 "$(field "$tmp/card.json" stored)"

# Written, read back: the same numbers, so the same tokens.
for m in tiny-gpt2 tiny-llama; do
    tokens='48 25 13 198 32 25'
    code "$m is written as a folder" 0 "$bench" model --write "$tmp/$m" --preset $m --seed 7
    like "$m: what was written is described" "Hugging Face: $tmp/$m" "$out"
    code "$m is written as GGUF" 0 "$bench" model --write "$tmp/$m.gguf" --preset $m --seed 7
    like "$m: that too" "GGUF: $tmp/$m.gguf" "$out"
    expected=$(ids $m --seed 7 --tokens "$tokens")
    like "$m: the preset runs" '^\[[0-9]+,' "$expected"
    is "$m: the folder gives the preset's tokens" "$expected" "$(ids "$tmp/$m" --tokens "$tokens")"
    is "$m: the GGUF file does" "$expected" "$(ids "$tmp/$m.gguf" --tokens "$tokens")"
    parameters=$(card $m parameters)
    is "$m: both have its parameters" "$parameters $parameters" "$(card "$tmp/$m" parameters) $(card "$tmp/$m.gguf" parameters)"
    is "$m: and its shapes" "$(shapes "$tmp/$m")" "$(shapes "$tmp/$m.gguf")"
done
expected=$(ids tiny-gpt2 --seed 7 --steps 3)
is "the tokenizer goes into the folder" "$expected" "$(ids "$tmp/tiny-gpt2" --steps 3)"
is "and into the GGUF file" "$expected" "$(ids "$tmp/tiny-gpt2.gguf" --steps 3)"
"$bench" model --write "$tmp/again.gguf" --preset tiny-llama --seed 7 >/dev/null
is "the same seed writes the same bytes" "$(sha256sum <"$tmp/tiny-llama.gguf")" "$(sha256sum <"$tmp/again.gguf")"
"$bench" model --write "$tmp/again.gguf" --preset tiny-llama --seed 8 >/dev/null
is "another seed writes others" other "$([ "$(sha256sum <"$tmp/tiny-llama.gguf")" = "$(sha256sum <"$tmp/again.gguf")" ] && echo same || echo other)"
for d in f16 bf16; do
    code "$d is written as a folder" 0 "$bench" model --write "$tmp/$d" --preset tiny-llama --dtype $d
    code "$d is written as GGUF" 0 "$bench" model --write "$tmp/$d.gguf" --preset tiny-llama --dtype $d
    is "$d: both give the same tokens" "$(ids "$tmp/$d" --tokens '3 2 1')" "$(ids "$tmp/$d.gguf" --tokens '3 2 1')"
done
is "half the bytes are stored" $((2 * 165720)) "$(card "$tmp/bf16" stored_bytes)"
code "blocks are written where the widths fit them" 0 "$bench" model --write "$tmp/q8.gguf" --preset tiny-gpt2 --dtype q8_0
like "and said" 'stored as Q8_0 ' "$out"
code "and run" 0 "$bench" inspect "$tmp/q8.gguf" --steps 2

code "a place that cannot be written is an error" 1 "$bench" model --write /proc/no/x.gguf --preset tiny-llama
like "in a sentence that names it" '^bench: /proc/no' "$out"
code "nor can this folder" 1 "$bench" model --write /proc/no/x --preset tiny-llama
is "of one line" 1 "$(printf '%s\n' "$out" | wc -l)"
code "a full disk is an error" 1 sh -c "trap '' XFSZ; ulimit -f 100; exec $bench model --write $tmp/full.gguf --preset tiny-gpt2"
code "a file that is not there is an error" 1 "$bench" model "$tmp/none.gguf"
like "that names it" "^bench: .*$tmp/none.gguf" "$out"
echo "this is no model" >"$tmp/foreign.gguf"
code "a file that is no model is an error" 1 "$bench" model "$tmp/foreign.gguf"
is "of one line, too" 1 "$(printf '%s\n' "$out" | wc -l)"
code "a preset that does not exist is usage" 2 "$bench" model distilgpt3
like "with the nearest name" 'distilgpt2' "$out"
code "--write without a preset is usage" 2 "$bench" model --write "$tmp/x"
code "a preset without --write is usage" 2 "$bench" model --preset tiny-llama
code "a dtype that cannot be written is usage" 2 "$bench" model --write "$tmp/x.gguf" --preset tiny-gpt2 --dtype q4_k
like "and those that can are listed" 'F32, F16, BF16, Q8_0, Q4_0' "$out"
code "blocks in a folder are usage" 2 "$bench" model --write "$tmp/x" --preset tiny-gpt2 --dtype q8_0
code "no model is usage" 2 "$bench" model
finish
