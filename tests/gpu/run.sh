#!/bin/sh
# SPDX-License-Identifier: MIT
# The plug-in on a real GPU: sh tests/gpu/run.sh build/gcc (make check-gpu), or the folder of an unpacked bundle (make bundle). Needs a
# driver, CUDA's cublasLt, and for counters its CUPTI; reads the results of a run out of its database. Last line: 'N passed, N failed, N skipped'.
set -u
build=$1
bench=$build/bench
passed=0 failed=0 skipped=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

ok() { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1"; shift; [ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/       /'; }
skip() { skipped=$((skipped + 1)); echo "skip $1"; }
finish() { echo "$passed passed, $failed failed, $skipped skipped"; [ $failed -eq 0 ]; exit; }

# A bundle has its libraries with it; CUDA's own are where the toolkit, or a Python package of it, has put them.
folders=$build/lib
for f in /usr/local/cuda/lib64 /usr/local/cuda/extras/CUPTI/lib64 $(python3 -c '
import glob, site, sys
for top in site.getsitepackages() + [p for p in sys.path if p]:
    print(*glob.glob(top + "/nvidia/*/lib"))' 2>/dev/null); do
    [ -d "$f" ] && folders=$folders:$f
done
export LD_LIBRARY_PATH="$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
sqlite=$(command -v "$build/sqlite3" || command -v sqlite3)
ask() { "$sqlite" -noheader "$tmp/x.db" "$1"; }

# near NAME GOT WANTED SHARE: within that share; "" is what was not measured, and absent_why says why.
near() {
    if [ -z "$2" ]; then skip "$1: $(ask "SELECT group_concat(why, '; ') FROM (SELECT DISTINCT why FROM absent)")"
    elif awk -v g="$2" -v w="$3" -v s="$4" 'BEGIN { r = w ? g / w : 0; exit !(r > 1 - s && r < 1 + s) }'; then
        ok "$1: $(awk -v g="$2" -v w="$3" 'BEGIN { printf "%.4f of it", g / w }')"
    else fail "$1" "got $2, wanted $3 within $4"; fi
}
more() { # NAME A B: A > B
    if [ -z "$2" ] || [ -z "$3" ]; then skip "$1: one of the two was not measured"
    elif awk -v a="$2" -v b="$3" 'BEGIN { exit !(a > b) }'; then ok "$1: $(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.1fx", a / b }')"
    else fail "$1" "$2 is not more than $3"; fi
}

# --- is there one --------------------------------------------------------------------------------------------------------------
if ! said=$("$bench" roofs --device 0 --quick 2>&1); then
    skip "no GPU to check: $(echo "$said" | head -1)"
    finish
fi
echo "$said"
"$bench" doctor 2>&1 | sed -n '/^GPU/,/^$/p'

# --- the engine: every dtype and way of launching against the reference on the CPU ---------------------------------------------
for program in "$build"/tests/gpu/*_test; do
    name=$(basename "$program")
    if timeout 100 "$program" >"$tmp/out" 2>&1; then ok "$name: $(grep -c '^ok' "$tmp/out") tests on the device"
    else fail "$name" "$(grep -vE '^ok' "$tmp/out" | head -40)"; fi
done
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -z "$sanitizer" ]; then skip "compute-sanitizer is not here: memory accesses of the kernels are not checked"
elif timeout 100 "$sanitizer" --error-exitcode 9 "$build/tests/gpu/backend_test" >"$tmp/out" 2>&1; then
    ok "compute-sanitizer finds no bad access"
else fail "compute-sanitizer" "$(grep -E '=====|not ok' "$tmp/out" | head -20)"; fi

# --- a run with every probe ----------------------------------------------------------------------------------------------------
"$bench" run tests/gpu/check.yaml --backend cuda --db "$tmp/x.db" --report "$tmp/x.html" --record "$tmp/x.md" >"$tmp/out" 2>&1
code=$?
cat "$tmp/out"
if [ $code -ne 0 ] && [ $code -ne 3 ]; then
    fail "a run with every probe ends with exit code $code"
    finish
fi
ok "a run with every probe is done"

median() { # of a reading in a phase of the graph trial: METRIC PHASE PASS
    ask "WITH v AS (SELECT g.value FROM reading g JOIN repetition r ON r.id = g.repetition JOIN trial t ON t.id = r.trial
             JOIN step s USING (repetition, step)
             WHERE t.launch = 'graph' AND g.metric = '$1' AND s.phase = '$2' AND r.pass LIKE '$3' AND g.value IS NOT NULL ORDER BY g.value)
         SELECT value FROM v LIMIT 1 OFFSET (SELECT count(*) / 2 FROM v)"
}
predicted() { ask "SELECT avg($1) FROM prediction p JOIN trial t ON t.id = p.trial WHERE t.launch = 'graph' AND p.phase = '$2'"; }
roof() { ask "SELECT max(value) FROM roof WHERE name = '$1'"; }

ask "SELECT metric, kernel, coalesce(measured / expected, ''), rel_limit, accepted, why FROM calibration" |
    while IFS='|' read -r metric kernel ratio limit accepted why; do
        echo "     calibration of $metric on $kernel: $ratio of arithmetic, limit $limit, accepted $accepted $why"
    done
case $(ask "SELECT count(*), coalesce(sum(accepted), 0) FROM calibration WHERE probe LIKE 'cupti%'") in
0\|*) skip "counters are not calibrated: $(ask "SELECT group_concat(why, '; ') FROM absent")" ;;
*) case $(ask "SELECT group_concat(DISTINCT metric) FROM calibration WHERE accepted = 0 AND probe LIKE 'cupti%' AND metric NOT IN (SELECT metric FROM calibration WHERE accepted = 1)") in
    '') ok "counters agree with known work" ;;
    *) fail "some counters do not agree with known work" "$(ask "SELECT metric, kernel, measured, expected FROM calibration WHERE accepted = 0")" ;;
    esac ;;
esac
near "a decode step reads the bytes that it must" "$(median dram_read_bytes decode 'cupti:%')" "$(predicted 'p.weight_bytes + p.kv_read_bytes' decode)" 0.10
near "prefill's tensor cores compute what the products need" "$(median flops_tensor prefill 'cupti:%')" "$(predicted p.flops prefill)" 0.15
near "the trace shows exactly what was launched" "$(median kernels decode trace)" \
    "$(ask "SELECT max(s.launches) FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial WHERE t.launch = 'graph' AND s.phase = 'decode' AND r.pass = 'trace'")" 0.0001
near "sampled bytes are those that were counted" "$(ask "SELECT sum(x.read_bytes) FROM sample x JOIN repetition r ON r.id = x.repetition JOIN trial t ON t.id = r.trial WHERE t.launch = 'graph'")" \
    "$(ask "SELECT sum(g.value) FROM reading g JOIN repetition r ON r.id = g.repetition JOIN trial t ON t.id = r.trial WHERE t.launch = 'graph' AND g.metric = 'dram_read_bytes' AND g.probe = 'cupti'")" 0.10
is_same=$(ask "SELECT count(DISTINCT tokens_hash) FROM repetition")
[ "$is_same" = 1 ] && ok "every execution of every pass chose the same tokens" || fail "executions chose different tokens" "$is_same kinds"
more "L2 is read faster than memory" "$(roof 'l2 read')" "$(roof 'dram read')"
more "products in bf16 are faster than in tf32" "$(roof 'bf16 gemm')" "$(roof 'tf32 gemm')"
more "products in tf32 are faster than in f32" "$(roof 'tf32 gemm')" "$(roof 'f32 gemm')"
more "a kernel in a graph costs less than one by itself" "$(roof 'launch graph')" "$(roof 'launch eager')"

# --- against what was measured before on this kind of GPU ----------------------------------------------------------------------
gpu=$(ask "SELECT value FROM machine WHERE key = 'GPU'")
step_ms=$(ask "SELECT min(s.wall_ns) / 1e6 FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial
               WHERE t.launch = 'graph' AND s.phase = 'decode' AND r.pass = 'time' AND r.warmup = 0")
share=$(awk -v b="$(predicted 'p.weight_bytes + p.kv_read_bytes' decode)" -v r="$(roof 'dram read')" -v ms="$step_ms" 'BEGIN { if (r && ms) printf "%.3f", b / r * 1e3 / ms }')
echo "     decode reaches ${share:-?} of the read roof"
before=$(sed -n "s/^$gpu: //p" tests/gpu/baseline.txt 2>/dev/null)
if [ -z "$before" ]; then skip "no decode share was recorded for $gpu in tests/gpu/baseline.txt: nothing to compare with"
else more "decode is no slower than it was ($before of the read roof, less 0.03)" "$share" "$(awk -v b="$before" 'BEGIN { print b - 0.03 }')"; fi
finish
