#!/bin/sh
# SPDX-License-Identifier: MIT
# `bench doctor`: the screen, the JSON, what a variable costs, and an ordinary user.
. tests/cli/tap.inc

for variable in $(env | grep -E '^(OPENBLAS_|GOTO_|MKL_|G?OMP_|KMP_|MALLOC_|BENCH_|LIBPFM_|PAPI_|GLIBC_TUNABLES=|LD_PRELOAD=)' | cut -d= -f1); do unset "$variable"; done

code "doctor looks at the machine" 0 "$bench" doctor
like "the first line is the grade of the whole" '^[A-D]  overall: the worst of counters, cpu, memory, environment' "$out"
like "each area has its grade and the rule that gave it" '^[A-D]  memory +[a-z].*' "$out"
like "the permission for counters is told" 'perf_event_paranoid' "$out"
is "no line is longer than a screen is wide" 0 "$(printf '%s\n' "$out" | awk 'length($0) > 100' | wc -l)"
like "a bracket's cost is told for each probe" 'us a bracket +null [0-9.]+, clock [0-9.]+, rusage [0-9.]+' "$out"
is "the environment is clean" 1 "$(printf '%s\n' "$out" | grep -c 'none is set that would change a roof')"

"$bench" doctor --json >"$tmp/doctor.json"
is "the JSON has every area" 7 "$(items "$tmp/doctor.json" areas)"
is "the areas' rules come along" "no variable is set that could change a roof" "$(field "$tmp/doctor.json" 'areas[3].rules.A')"
is "a fact names its source" "/proc/meminfo" \
    "$(sqlite3 :memory: "SELECT json_extract(value, '\$.source') FROM json_each(readfile('$tmp/doctor.json'), '\$.facts') WHERE json_extract(value, '\$.fact') = 'memory'")"

code "a figure is a number" 0 "$bench" doctor --figure 'f32 fma'
like "of FLOP/s" '^[0-9.]+e\+[0-9]+$' "$out"
code "a figure that does not exist is usage" 2 "$bench" doctor --figure 'f32 fna'

code "a variable that changes a roof is measured" 0 env BENCH_ISA=base "$bench" doctor
like "with and without it" 'BENCH_ISA +base: f32 fma [0-9.]+ GFLOP/s, [0-9.]+ without it \(.*x [0-9.]+\)' "$(printf '%s\n' "$out" | tr -s '\n ' ' ')"
like "it lowers the grade" '^[BCD] +environment' "$out"
if printf '%s\n' "$out" | grep -qE '^D +environment'; then
    like "and the remedy is a command" '^ +BENCH_ISA +unset BENCH_ISA' "$out"
else
    skip "the cost of BENCH_ISA=base cannot be told here: no wide vectors, or a machine too busy to compare"
fi
code "a variable with a wrong value is told with the reason" 0 env BENCH_ISA=avx5 "$bench" doctor
like "and the words that are right" 'expected base, avx2, avx512 or avx512bf16' "$(printf '%s\n' "$out" | tr -s '\n ' ' ')"

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$bench"; then
    code "an ordinary user gets the same screen" 0 setpriv --reuid=65534 --regid=65534 --clear-groups "$bench" doctor
    like "with every area" '^[A-D]  energy' "$out"
else
    skip "not root, or the program is not to be reached by others: already an ordinary user"
    skip "not root, or the program is not to be reached by others: nothing to compare"
fi
finish
