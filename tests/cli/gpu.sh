#!/bin/sh
# SPDX-License-Identifier: MIT
# The backend for GPUs where there is none: one sentence, and nothing half-made. And what a GPU cannot compute, which needs none.
. tests/cli/tap.inc

run() { "$bench" run "$@" --db "$tmp/x.db" --report "$tmp/x.html" --record "$tmp/x.md"; }
lines() { printf '%s\n' "$1" | wc -l | tr -d ' '; }

code "a GPU of a backend that has none is usage" 2 run suites/kvcache_on_off --device 1
like "with the backend that has one" '--device 1: the backend cpu computes on no GPU; take --backend cuda' "$out"
code "so it is for generate" 2 "$bench" generate tiny-gpt2 --prompt a --device 0 --backend ref
code "and for inspect" 2 "$bench" inspect tiny-gpt2 --device 0
code "a GPU is a number" 2 run suites/kvcache_on_off --backend cuda --device one
like "from 0" '--device one: expected a whole number from 0 to' "$out"
code "nor a negative one" 2 run suites/kvcache_on_off --backend cuda --device=-1

code "a suite of which a GPU can compute nothing is usage" 2 run suites/kvcache_on_off --backend cuda --set engine.dtype=q4_0
like "with the reason" 'suites/kvcache_on_off.yaml: dtype=q4_0: .*f32, f16 and bf16' "$out"
code "and so is one for OpenBLAS alone" 2 run suites/kvcache_on_off --backend cuda --set engine.gemm=openblas

if ls /dev/nvidia[0-9]* /dev/dxg 2>/dev/null | grep -q .; then
    skip "there is a GPU, or a driver that knows of one: what is said without is not to be heard here"
else
    for how in "run suites/gpu_limits" "run suites/gpu_limits --dry-run" "run suites/dtype --quick" \
        "generate tiny-gpt2 --prompt a" "inspect tiny-gpt2"; do
        name=$how
        case $how in run*) how="$how --db $tmp/x.db --report $tmp/x.html --record $tmp/x.md" ;; esac
        # shellcheck disable=SC2086
        code "$name fails without a GPU" 1 "$bench" $how --backend cuda
        is "$name says so in one line" 1 "$(lines "$out")"
        like "$name says why" '^bench: backend cuda: ' "$out"
    done
    is "nothing was made" 0 "$(find "$tmp" -type f | wc -l | tr -d ' ')"
    code "check-gpu has nothing to check then" 0 sh tests/gpu/run.sh "$(dirname "$bench")"
    like "says why, and counts it" 'skip no GPU to check: bench: backend cuda: .*0 passed, 0 failed, 1 skipped' "$(printf '%s ' $out)"
    code "and gpu-record begins nothing" 1 sh tests/gpu/record.sh "$(dirname "$bench")" "$tmp/record"
    is "nothing of it is done" "" "$(cat "$tmp/record/done")"
fi

for suite in gpu_limits graph_vs_eager gpu_batch; do
    code "the plan of $suite is printed on a CPU, too" 0 "$bench" run suites/$suite --quick --model tiny-llama --dry-run
    is "$suite has trials" yes "$(printf '%s\n' "$out" | grep -q '^kv_cache=on .*dtype=bf16' && echo yes)"
done
code "a run on a CPU whose arms differ only in how a GPU is launched" 0 run suites/graph_vs_eager --quick --model tiny-llama --set 'expect=[]'
is "has one trial" 1 "$(sqlite3 "$tmp/x.db" 'SELECT count(*) FROM trial')"
is "whose steps were given to no device" 0 "$(sqlite3 "$tmp/x.db" 'SELECT count(launches) FROM step')"
is "and its roofs are the CPU's" 0 "$(sqlite3 "$tmp/x.db" "SELECT count(*) FROM roof WHERE kind = 'launch' OR name = 'bf16 gemm'")"
code "probes that watch a GPU are absent on a CPU" 0 run suites/kvcache_on_off --quick --model tiny-gpt2 --probe nvml --probe cupti --probe trace --probe pm
is "each with its sentence" cupti,nvml,pm,trace "$(sqlite3 "$tmp/x.db" "SELECT group_concat(what) FROM (SELECT what FROM absent WHERE run = 2 AND why LIKE '%GPU%' ORDER BY 1)")"
finish
