#!/bin/sh
# SPDX-License-Identifier: MIT
# What the program says when it is asked for help, and when it is asked wrongly.
. tests/cli/tap.inc

code "without a command it prints the commands and fails as usage" 2 "$bench"
like "the commands are listed" '^  run +run a suite' "$out"
code "help is not an error" 0 "$bench" help
code "--version is not an error" 0 "$bench" --version
code "a mistyped command is usage" 2 "$bench" rnu
is "a mistyped command gets the nearest name" "bench: 'rnu' is not a command; did you mean 'run'?; \`bench help\` lists them" "$out"
code "help of a command" 0 "$bench" help run
like "help of a command lists its options" '--dry-run' "$out"
"$bench" help >"$tmp/help"
is "the summaries of all commands begin in one column" 1 "$(sed -n 's/^\(  [a-z]* *\).*/\1/p' "$tmp/help" | awk '{ print length($0) }' | sort -u | wc -l)"
for command in $(sed -n 's/^  \([a-z]*\) .*/\1/p' "$tmp/help"); do
    [ "$command" = help ] || code "$command --help explains it" 0 "$bench" "$command" --help
    [ "$command" = help ] || like "$command --help says how it is used" "^Usage: bench $command " "$out"
done
code "run without a suite is usage" 2 "$bench" run
like "run without a suite asks which" 'which suite' "$out"
code "a suite that does not exist is usage" 2 "$bench" run suites/kvcache_of_on --db "$tmp/x.db"
like "a suite that does not exist is named" 'suites/kvcache_of_on' "$out"
code "a wrong key is refused before anything is made" 2 "$bench" run suites/kvcache_on_off --set workload.btach=2 --db "$tmp/x.db"
like "a wrong key gets the nearest name" "workload.btach.*did you mean" "$out"
is "nothing was made" no "$([ -e "$tmp/x.db" ] && echo yes || echo no)"
code "an unknown model is refused" 2 "$bench" run suites/kvcache_on_off --model distilgpt3 --db "$tmp/x.db"
like "an unknown model gets the nearest name" "distilgpt2" "$out"
code "an unknown backend is refused" 2 "$bench" run suites/kvcache_on_off --backend gpu --db "$tmp/x.db"
code "too many threads are refused" 2 "$bench" run suites/kvcache_on_off --threads 9999 --db "$tmp/x.db"
like "too many threads: the limit is named" 'this process may use 1 to' "$out"
code "a trial with more threads than the run is refused" 2 "$bench" run suites/kvcache_on_off --threads 1 --set 'matrix.threads=[1, 2]' --db "$tmp/x.db"
like "with the remedy" 'threads 2: this run has 1; take fewer, or more with --threads' "$out"
code "CPUs that are not there are refused" 2 "$bench" run suites/kvcache_on_off --cpus 4095 --db "$tmp/x.db"
like "and named" '--cpus 4095: ' "$out"
code "OpenBLAS with rounded weights is refused" 2 "$bench" run suites/kvcache_on_off --set engine.gemm=openblas --set engine.dtype=bf16 --db "$tmp/x.db"
code "a dtype that does not exist is refused" 2 "$bench" run suites/kvcache_on_off --set engine.dtype=fp16 --db "$tmp/x.db"
like "a dtype gets the nearest name" "did you mean 'f16'" "$out"
code "threads that are no number are refused" 2 "$bench" run suites/kvcache_on_off --threads two
code "more tokens than the model has positions are refused" 2 \
    "$bench" run suites/kvcache_on_off --set matrix.new_tokens=4000 --db "$tmp/x.db"
like "the positions are named" 'distilgpt2 has 1024' "$out"
if [ "$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)" -lt 60000000 ]; then
    code "models that are more than the memory are refused before any is loaded" 1 "$bench" run suites/dtype --model llama-2-7b --db "$tmp/x.db"
    like "with what each takes and the remedy" '64.9 GB in memory together: f32 27.0 GB, f16 13.5 GB, .* are available; shorten matrix.dtype' "$out"
else
    skip "this machine has room for five 7B models"
fi
code "show without a database is an error" 1 "$bench" show --db "$tmp/none.db"
like "show without a database names it" 'none.db' "$out"

code "dry-run prints the plan" 0 "$bench" run suites/kvcache_on_off --dry-run
like "the plan has the trial without a cache" 'kv_cache=off prompt=13 new=128' "$out"
is "the plan has ten trials" 10 "$(printf '%s\n' "$out" | grep -c '^kv_cache=')"
finish
