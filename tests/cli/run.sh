#!/bin/sh
# SPDX-License-Identifier: MIT
# A whole run, small: outputs, exit code, what is in the database, and that everything can be made again from it.
. tests/cli/tap.inc

code "a quick run whose claims hold exits 0" 0 quick_run a.db
like "the summary names the run" 'run +1' "$out"
like "the summary names the report" "report +$tmp/report.html" "$out"
like "the summary names the record" "record +$tmp/record.md" "$out"
like "not on a terminal progress is plain lines" 'trial [0-9]+/[0-9]+ +time: kv_cache=o' "$out"
is "the outcome is stored" held "$(value a.db run.outcome)"
is "the default prompt is really tokenised" '[48,25,48605,1521,15458,278,19575,11362,32121,13,198,32,25]' "$(value a.db run.prompt_ids)"
is "four trials" 4 "$(value a.db trials.length)"
is "trials have their repetitions" 2 "$(value a.db trials.0.repetitions)"
is "tokens of all repetitions agree" true "$(value a.db trials.0.tokens_agree)"
is "the KV cache has the seed's shape" '[1,4,16,16]' "$(value a.db trials.1.kv.shape)"
is "formula and allocation agree with a cache" "$(value a.db trials.1.kv.formula_bytes)" "$(value a.db trials.1.kv.allocated_bytes)"
is "predictions are there for every step" "$(sqlite3 "$tmp/a.db" 'SELECT sum(new_tokens) FROM trial')" \
    "$(sqlite3 "$tmp/a.db" 'SELECT count(*) FROM prediction')"
is "the database is sound" ok "$(sqlite3 "$tmp/a.db" 'PRAGMA integrity_check; PRAGMA foreign_key_check')"
is "every value has a provenance" 0 "$(sqlite3 "$tmp/a.db" "SELECT count(*) FROM reading WHERE provenance = '' OR (value IS NULL) <> (provenance = 'missing')")"
is "a missing value says why" 0 "$(sqlite3 "$tmp/a.db" 'SELECT count(*) FROM reading WHERE value IS NULL AND why IS NULL')"

code "a claim that does not hold exits 3" 3 quick_run a.db \
    --set 'expect=[{claim: ratio, metric: total_ms, of: {kv_cache: off}, over: {kv_cache: on}, above: 1000000}]'
is "and is stored as such" 'not held' "$(value a.db run.outcome)"
code "a suite without claims is held" 0 quick_run a.db --set 'expect=[]' --backend null
code "the reference backend runs the same suite" 0 quick_run a.db --backend ref --set 'matrix.new_tokens=[2, 3]'
code "a LLaMA without a tokenizer runs on bytes as tokens" 0 quick_run a.db --model tiny-llama
code "a Hugging Face folder runs" 0 quick_run a.db --model tests/data/reference/llama-rope3
is "the folder is named in the record of the run" tests/data/reference/llama-rope3 "$(value a.db model.weights)"
code "batches run" 0 quick_run a.db --set workload.batch=3

strategies() {
    "$bench" run suites/sampling --quick --set workload.batch=2 --db "$tmp/s.db" --report "$tmp/s.html" --record "$tmp/s.md" "$@"
}
hashes() { sqlite3 "$tmp/s.db" "SELECT group_concat(DISTINCT strategy || ' ' || tokens_hash) FROM (SELECT * FROM repetition r JOIN trial t
    ON t.id = r.trial WHERE t.run = $1 ORDER BY t.ordinal)"; }
code "a model is written as a GGUF file" 0 "$bench" model --write "$tmp/t.gguf" --preset tiny-llama
code "and as a Hugging Face folder" 0 "$bench" model --write "$tmp/hf" --preset tiny-llama
code "every strategy runs on a preset" 0 strategies --model tiny-llama
code "every strategy runs on a GGUF file" 0 strategies --model "$tmp/t.gguf"
code "every strategy runs on a Hugging Face folder" 0 strategies --model "$tmp/hf"
is "six strategies were run" greedy,sample,top_k,top_p,min_p,beam "$(sqlite3 "$tmp/s.db" 'SELECT group_concat(strategy) FROM trial WHERE run = 1')"
is "a strategy chooses the same tokens in every repetition" 6 "$(hashes 1 | tr , '\n' | wc -l | tr -d ' ')"
is "preset and GGUF file choose the same tokens" "$(hashes 1)" "$(hashes 2)"
is "GGUF file and Hugging Face folder choose the same tokens" "$(hashes 2)" "$(hashes 3)"
is "four beams take four rows of the cache a sequence" '[8,2,55,10]' "$(value s.db trials.5.kv.shape)"
is "what choosing takes is a part of each step" 0 "$(sqlite3 "$tmp/s.db" 'SELECT count(*) FROM step WHERE sample_ns IS NULL OR sample_ns <= 0 OR sample_ns > wall_ns')"
like "the summary says what choosing takes" 'choosing the token: greedy .* of the step; sample \(temperature 0.8' "$out"
is "the file is stored with its hash" "$(sha256sum "$tmp/t.gguf" | cut -d' ' -f1)" "$(sqlite3 "$tmp/s.db" 'SELECT sha256 FROM model_file WHERE run = 2')"
is "and its size" "$(wc -c <"$tmp/t.gguf" | tr -d ' ')" "$(sqlite3 "$tmp/s.db" 'SELECT bytes FROM model_file WHERE run = 2')"
like "the record has the hash in full" "$(sha256sum "$tmp/hf/model.safetensors" | cut -d' ' -f1)" "$(cat "$tmp/s.md")"
like "the record says how the model is stored" 'Model: hf @ float32 \(Hugging Face, stored as F32\)' "$(cat "$tmp/s.md")"
code "another seed draws other tokens" 0 strategies --model "$tmp/hf" --seed 2
is "but greedy and beams draw none" "$(hashes 3 | tr , '\n' | grep -E 'greedy|beam')" "$(hashes 4 | tr , '\n' | grep -E 'greedy|beam')"
like "so sampling differs" 'sample' "$( (hashes 3; hashes 4) | tr , '\n' | grep '^sample' | uniq -u)"

code "a run by op" 0 quick_run o.db --per op
is "every trial had its ops timed, as often as steps" 2 "$(sqlite3 "$tmp/o.db" "SELECT DISTINCT count(*) FROM repetition WHERE pass = 'op:time' GROUP BY trial")"
is "all nine ops were told apart in every pass" 9 "$(sqlite3 "$tmp/o.db" 'SELECT min(n) FROM (SELECT count(DISTINCT op) AS n FROM op_step GROUP BY repetition, step, steps)')"
is "the ops are no more than their step" 0 "$(sqlite3 "$tmp/o.db" 'SELECT count(*) FROM (SELECT repetition AS r, step AS s, sum(wall_ns) AS ns FROM op_step
    WHERE steps = 1 GROUP BY 1, 2) WHERE ns > (SELECT wall_ns FROM step WHERE repetition = r AND step = s)')"
is "decode's sum is more than any of its steps" 0 "$(sqlite3 "$tmp/o.db" 'SELECT count(*) FROM op_step a JOIN op_step b USING (repetition, op, layer)
    WHERE a.steps > 1 AND b.steps = 1 AND b.step > 0 AND a.wall_ns < b.wall_ns')"
is "bare executions stand beside the timed ones" 0 "$(sqlite3 "$tmp/o.db" "SELECT count(*) FROM trial t WHERE 2 > (SELECT count(*) FROM repetition
    WHERE trial = t.id AND pass = 'bare' AND prefill_ns < wall_ns)")"
is "they choose the same tokens" 'true,true,true,true' "$("$bench" show last --json --db "$tmp/o.db" | grep -o '"tokens_agree": [a-z]*' | sed 's/.* //' | paste -sd,)"
like "the summary shows the ops" 'decode by op, kv_cache=on prompt=13 new=4: .* against the timing pass' "$out"
like "and what measuring costs" ' op:time  +[+-].* %' "$out"
like "so does the record" '\| decode \| head \| [0-9.]+' "$(cat "$tmp/record.md")"
is "the model fits into the cache and says so" l3 "$([ -n "$(sqlite3 "$tmp/o.db" "SELECT 1 FROM cache WHERE level = 'l3' AND bytes > 2e7")" ] && value o.db trials.1.decode.verdict.cache || echo l3)"
is "every column of the witness has its place" 1 "$(sqlite3 "$tmp/o.db" 'SELECT count(interrupts) + count(throttled) + count(frequency_hz) + count(sibling_busy) + count(huge_share) + count(remote_share) > 0 FROM repetition')"
code "the command line's probes take the suite's place" 0 quick_run p.db --probe clock --probe rusage
is "so none is absent" '[]' "$(value p.db absent)"
code "an unknown probe is refused" 2 quick_run p.db --probe rusge
like "with the nearest name" "did you mean 'rusage'" "$out"
code "an unknown measure is refused" 2 quick_run p.db --per layer
like "with its place" 'measure.per: expected step or op' "$out"

code "a run over dtypes and numbers of threads, whose claim about them holds" 0 quick_run d.db --set matrix.kv_cache=on \
    --set 'matrix.dtype=[f32, bf16, q8_0]' --set 'matrix.threads=[1, all]' --set measure.accuracy=on \
    --set 'expect=[{claim: ratio, metric: bytes, of: {dtype: f32, threads: all}, over: {dtype: [bf16, q8_0]}, above: 1.5}]'
ask() { sqlite3 "$tmp/d.db" "$1"; }
threads=$(ask 'SELECT threads FROM run')
is "each number of threads was run" "$(printf '1\n%s\n' "$threads" | sort -u)" "$(ask 'SELECT DISTINCT threads FROM trial ORDER BY 1')"
is "the claim names the number, not 'all'" 1 "$(ask "SELECT count(*) FROM claim WHERE spec LIKE '%\"threads\":$threads%'")"
is "the run names its dtypes" 'float32, bfloat16, q8_0' "$(ask 'SELECT dtype FROM run')"
is "each dtype has its bytes in memory" 3 "$(ask 'SELECT count(DISTINCT weight_bytes) FROM trial')"
is "every execution has the memory's roof at its threads before and after it" 0 "$(ask "SELECT count(*) FROM repetition r JOIN trial t ON t.id = r.trial
    WHERE 2 > (SELECT count(DISTINCT at_ns > r.started_ns) FROM roof WHERE name = 'dram read' AND threads = t.threads)")"
is "and those of its arithmetic" 0 "$(ask "SELECT count(*) FROM repetition r JOIN trial t ON t.id = r.trial
    WHERE 2 > (SELECT count(DISTINCT at_ns > r.started_ns) FROM roof WHERE name GLOB t.arithmetic || ' *' AND threads = t.threads)")"
is "roofs that no trial stands on are taken once" 1 "$(ask "SELECT count(DISTINCT round) FROM roof WHERE name IN ('dram copy', 'dram triad', 'l1 read')")"
is "float32 is itself" 0.0 "$(ask "SELECT max(max_error) FROM accuracy JOIN trial ON id = trial WHERE dtype = 'f32'")"
is "what is rounded errs a little" 0 "$(ask "SELECT count(*) FROM accuracy JOIN trial ON id = trial
    WHERE dtype <> 'f32' AND NOT (mean_error > 0 AND mean_error < 0.2 * spread AND max_error >= mean_error AND top1 > 0.5)")"
is "in every trial" "$(ask 'SELECT count(*) FROM trial')" "$(ask 'SELECT count(*) FROM accuracy WHERE positions = 128')"
code "a plan without float32 is compared with it all the same" 0 quick_run d.db --set matrix.kv_cache=on --set engine.dtype=bf16 \
    --set measure.accuracy=on --set 'expect=[]'
is "and is not float32" 0 "$(ask "SELECT count(*) FROM accuracy a JOIN trial t ON t.id = a.trial WHERE t.run = 2 AND NOT (dtype = 'bf16' AND max_error > 0)")"
code "OpenBLAS and the score matrix run too" 0 quick_run d.db --set 'matrix.gemm=[own, openblas]' --set 'matrix.attention=[flash, naive]' \
    --set 'matrix.kv_dtype=[f32, f16]' --set 'matrix.exclude=[{attention: naive, kv_dtype: f16}]' --set 'expect=[{claim: same_tokens, across: attention}]'
is "each as its trials say" 'own,openblas|flash,naive|f32,f16' "$(ask 'SELECT group_concat(DISTINCT gemm), group_concat(DISTINCT attention),
    group_concat(DISTINCT kv_dtype) FROM (SELECT * FROM trial WHERE run = 3 ORDER BY ordinal)')"
is "formula and allocation agree for every cache" 0 "$(ask "SELECT count(*) FROM trial WHERE run = 3 AND kv_cache = 'on' AND kv_bytes_formula <> kv_bytes_allocated")"
first=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' /proc/self/status)
code "a run on one chosen CPU" 0 quick_run d.db --cpus "$first" --set 'expect=[]'
is "has that one" "$first" "$(ask 'SELECT cpus FROM run WHERE id = 4')"

code "list shows all runs" 0 "$bench" list --db "$tmp/a.db"
is "seven runs" 7 "$(printf '%s\n' "$out" | grep -c kvcache_on_off)"
code "report is written again" 0 "$bench" report 1 --db "$tmp/a.db" -o "$tmp/again.html"
like "the report holds its document" '"format":"bench-run/1"' "$(cat "$tmp/again.html")"
is "the report asks for nothing from outside" 0 "$(grep -cE '(src|href)="https?:' "$tmp/again.html")"

sed -i 's/<!-- notes:begin -->/<!-- notes:begin -->\nMy own words, kept./' "$tmp/record.md"
code "the record is filled again" 0 "$bench" record 7 --db "$tmp/a.db" -o "$tmp/record.md"
like "a person's words survive" 'My own words, kept.' "$(cat "$tmp/record.md")"
code "a run that does not exist is refused" 2 "$bench" show 99 --db "$tmp/a.db"
finish
