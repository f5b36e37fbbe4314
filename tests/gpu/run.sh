#!/bin/sh
# SPDX-License-Identifier: MIT
# The plug-in on a real GPU: sh tests/gpu/run.sh build/gcc (make check-gpu), or the folder of an unpacked bundle (make bundle). Needs a
# driver, CUDA's cublasLt, and for counters its CUPTI. What tells most comes first: the device, kernels, models, probes, roofs, speed,
# bad accesses. With OUT=FOLDER all that was said, the run's database, report and record stay there. Last line: 'N passed, N failed, N skipped'.
set -u
build=$(cd "$1" && pwd) || exit 2
keep=${OUT:+$(mkdir -p "$OUT" && cd "$OUT" && pwd)}
cd "$(dirname "$0")/../.." || exit 2
. tests/gpu/lines.inc
keep=${keep:-$tmp}
export log="$keep/check.log"
db=$keep/check.db
rm -f "$log" "$db"

bench=$build/bench
run_ask() { ask "$db" "$1"; }
why_absent() { run_ask "SELECT coalesce(group_concat(why, '; '), 'not measured') FROM (SELECT DISTINCT why FROM absent WHERE what IN ($1))"; }

# near NAME GOT WANTED SHARE WHAT: within that share; "" is what was not measured, because one of WHAT is absent.
near() {
    if [ -z "$2" ] || [ -z "$3" ]; then skip "$1: $(why_absent "$5")"
    elif awk -v g="$2" -v w="$3" -v s="$4" 'BEGIN { r = w ? g / w : 0; exit !(r > 1 - s && r < 1 + s) }'; then
        ok "$1: $(awk -v g="$2" -v w="$3" 'BEGIN { printf "%.4f of it", g / w }')"
    else fail "$1" "got $2, wanted $3 within $4"; fi
}
more() { # NAME A B: A > B
    if [ -z "$2" ] || [ -z "$3" ]; then skip "$1: one of the two was not measured"
    elif awk -v a="$2" -v b="$3" 'BEGIN { exit !(a > b) }'; then ok "$1: $(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.2fx", a / b }')"
    else fail "$1" "$2 is not more than $3"; fi
}

# --- the device ----------------------------------------------------------------------------------------------------------------
timeout -k 5 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv 2>/dev/null
if watch 60 "$bench" generate tiny-gpt2 --tokens '1 2 3' --max-new-tokens 2 --backend cuda; then ok "a tiny model goes on from its prompt"
elif ls /dev/nvidia[0-9]* /dev/dxg 2>/dev/null | grep -q .; then fail "there is a GPU, and the backend cuda does not run on it" "$(cat "$out")"
else
    skip "no GPU to check: $(head -1 "$out")"
    finish
fi
watch 30 "$bench" doctor
sed -n '/^gpu/,/^$/p' "$out"

# --- kernels against loops in double precision, then models against the reference on the CPU -------------------------------------
export CMOCKA_MESSAGE_OUTPUT=TAP
kernels_and_models='elementwise decode attention_decode attention_prefill synthesize matmul backend'
for name in $kernels_and_models; do
    if watch "$([ $name = backend ] && echo 100 || echo 30)" "$build/tests/gpu/${name}_test"; then
        ok "$name: $(grep -c '^ok' "$out") tests on the device"
    else fail "$name: $(grep -c '^ok' "$out") tests passed, and not" "$(grep -vE '^(ok|1\.\.)' "$out" | head -12)"; fi
done
unset CMOCKA_MESSAGE_OUTPUT

# --- probes, in a run with all of them -------------------------------------------------------------------------------------------
watch 120 "$bench" run tests/gpu/check.yaml --backend cuda --db "$db" --report "$keep/check.html" --record "$keep/check.md"
ran=$?
case $ran in
0 | 3)
    ok "a run with every probe is done"
    sed -n '/^run /,/^what measuring costs/p' "$out"
    ;;
*) fail "a run with every probe ends with exit code $ran" "$(tail -15 "$out")" ;;
esac

median() { # of a reading in a phase of the graph trial: METRIC PHASE PASS
    run_ask "WITH v AS (SELECT g.value FROM reading g JOIN repetition r ON r.id = g.repetition JOIN trial t ON t.id = r.trial
                 JOIN step s USING (repetition, step)
                 WHERE t.launch = 'graph' AND g.metric = '$1' AND s.phase = '$2' AND r.pass LIKE '$3' AND g.value IS NOT NULL ORDER BY g.value)
             SELECT value FROM v LIMIT 1 OFFSET (SELECT count(*) / 2 FROM v)"
}
of_an_execution() { # bytes read in one of the graph trial's, in the mean: VALUE TABLE PASS
    run_ask "SELECT avg(bytes) FROM (SELECT sum($1) AS bytes FROM $2 JOIN repetition r ON r.id = repetition JOIN trial t ON t.id = r.trial
             WHERE t.launch = 'graph' AND r.pass LIKE '$3' GROUP BY repetition)"
}
predicted() { run_ask "SELECT avg($1) FROM prediction p JOIN trial t ON t.id = p.trial WHERE t.launch = 'graph' AND p.phase = '$2'"; }
roof() { run_ask "SELECT max(value) FROM roof WHERE name = '$1'"; }

judge_counters() {
    run_ask "SELECT '     calibration of ' || metric || ' on ' || kernel || ': ' || coalesce(measured / expected, 'nothing') ||
                 ' of arithmetic, limit ' || rel_limit || iif(accepted, '', ', refused: ' || why) FROM calibration"
    refused=$(run_ask "SELECT group_concat(DISTINCT metric) FROM calibration WHERE accepted = 0 AND probe LIKE 'cupti%'
                       AND metric NOT IN (SELECT metric FROM calibration WHERE accepted = 1)")
    if [ "$(run_ask "SELECT count(*) FROM calibration WHERE probe LIKE 'cupti%'")" = 0 ]; then skip "counters are not calibrated: $(why_absent "'cupti'")"
    elif [ -z "$refused" ]; then ok "counters agree with known work"
    else fail "some counters do not agree with known work: $refused"; fi
}

judge_probes() {
    judge_counters
    near "a decode step reads the bytes that it must" "$(median dram_read_bytes decode 'cupti:%')" "$(predicted 'p.weight_bytes + p.kv_read_bytes' decode)" 0.10 "'cupti', 'dram_read_bytes'"
    near "prefill's tensor cores compute what the products need" "$(median flops_tensor prefill 'cupti:%')" "$(predicted p.flops prefill)" 0.15 "'cupti', 'flops_tensor'"
    near "the trace shows exactly what was launched" "$(median kernels decode trace)" \
        "$(run_ask "SELECT max(s.launches) FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial WHERE t.launch = 'graph' AND s.phase = 'decode' AND r.pass = 'trace'")" 0.0001 "'trace'"
    near "sampled bytes are those that were counted" "$(of_an_execution read_bytes sample pm)" "$(of_an_execution "iif(metric = 'dram_read_bytes', value, 0)" reading cupti:traffic)" 0.10 "'pm', 'cupti'"
    kinds=$(run_ask "SELECT count(DISTINCT tokens_hash) FROM repetition")
    if [ "$kinds" = 1 ]; then ok "every execution of every pass chose the same tokens"
    else fail "executions chose different tokens: $kinds kinds"; fi
}

if [ "$sqlite" = none ]; then skip "what probes say in the run: there is no sqlite3 to ask its database with"
elif [ $ran -eq 0 ] || [ $ran -eq 3 ]; then judge_probes; fi

# --- roofs -----------------------------------------------------------------------------------------------------------------------
if watch 60 "$bench" roofs --device 0 --quick; then
    ok "every roof is taken, twice"
    cat "$out"
else fail "bench roofs --device 0 --quick" "$(tail -15 "$out")"; fi

judge_speed() {
    more "L2 is read faster than memory" "$(roof 'l2 read')" "$(roof 'dram read')"
    more "products in bf16 are faster than in tf32" "$(roof 'bf16 gemm')" "$(roof 'tf32 gemm')"
    more "products in tf32 are faster than in f32" "$(roof 'tf32 gemm')" "$(roof 'f32 gemm')"
    more "a kernel in a graph costs less than one by itself" "$(roof 'launch graph')" "$(roof 'launch eager')"
    # Against what was measured before on this kind of GPU.
    gpu=$(run_ask "SELECT value FROM machine WHERE key = 'GPU'")
    step_ms=$(run_ask "SELECT min(s.wall_ns) / 1e6 FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial
                       WHERE t.launch = 'graph' AND s.phase = 'decode' AND r.pass = 'time' AND r.warmup = 0")
    share=$(awk -v b="$(predicted 'p.weight_bytes + p.kv_read_bytes' decode)" -v r="$(roof 'dram read')" -v ms="$step_ms" 'BEGIN { if (r && ms) printf "%.3f", b / r * 1e3 / ms }')
    echo "     the fastest decode step reaches ${share:-?} of the read roof"
    before=$(sed -n "s/^$gpu: //p" tests/gpu/baseline.txt 2>/dev/null)
    if [ -z "$before" ]; then skip "no decode share was recorded for $gpu in tests/gpu/baseline.txt: nothing to compare with"
    else more "decode is no slower than it was ($before of the read roof, less 0.03)" "$share" "$(awk -v b="$before" 'BEGIN { print b - 0.03 }')"; fi
}

if [ "$sqlite" != none ] && [ "$(run_ask 'SELECT count(*) FROM roof' 2>/dev/null || echo 0)" != 0 ]; then judge_speed; fi

# --- bad accesses ----------------------------------------------------------------------------------------------------------------
sh tests/gpu/sanitize.sh "$build" 45 >"$tmp/lines"
sed '$d' "$tmp/lines"
passed=$((passed + $(grep -c '^ok ' "$tmp/lines"))) failed=$((failed + $(grep -c '^FAIL ' "$tmp/lines"))) skipped=$((skipped + $(grep -c '^skip ' "$tmp/lines")))

[ $failed -eq 0 ] || dmesg 2>/dev/null | grep -i 'xid' | tail -5
finish
