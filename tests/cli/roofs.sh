#!/bin/sh
# SPDX-License-Identifier: MIT
# `bench roofs`: a table a level, the same as JSON, another tool beside ours, and what it refuses.
. tests/cli/tap.inc

code "a quick survey of one thread" 0 "$bench" roofs --quick --threads 1
table=$out
for level in L1 DRAM; do like "$level has its table" "^$level: [0-9.]+ [kMG]?B$" "$table"; done
is "every level reads with small and with huge pages" "$(printf '%s\n' "$table" | grep -cE '^(L1|L2|L3|DRAM): ')" \
    "$(printf '%s\n' "$table" | grep -cE '^  read +huge +[0-9.]+ ')"
like "a figure has best, median, spread and rounds" '^  read +huge +[0-9.e+]+ +[0-9.e+]+ +[0-9.]+% +[0-9.e+]+\.\.[0-9.e+]+ ' "$table"
like "arithmetic has its own" '^  f32 128-bit +[0-9.]+ ' "$table"
like "the library's product too" '^  f32 gemm +[0-9.]+ ' "$table"
like "what pages were obtained is said" '^huge pages asked for: ([0-9]+ % of the memory is on huge pages|what was obtained)' "$table"
like "what a plain store reads is said" 'moves 2x' "$table"
like "theory is called theory" '^theory, not roofs$' "$table"

BENCH_ISA=base "$bench" roofs --quick --json >"$tmp/roofs.json"
is "JSON says what it is, and at which level" 'bench-roofs/1|base' "$(field "$tmp/roofs.json" format isa)"
cells() { sqlite3 :memory: "SELECT $1 FROM json_each(readfile('$tmp/roofs.json'), '\$.cells') AS c WHERE $2"; }
is "every cell has a figure or a reason" 0 "$(cells 'count(*)' "NOT ifnull(value->>'best' > 0, 0) AND NOT ifnull(length(value->>'absent') > 0, 0)")"
is "best and median are in order" 0 "$(cells 'count(*)' "value->>'unit' <> 'ns' AND value->>'best' < value->>'median'")"
is "a latency is better when smaller" 0 "$(cells 'count(*)' "value->>'unit' = 'ns' AND value->>'best' > value->>'median'")"
is "wide arithmetic is absent below its level, with a sentence" 1 \
    "$(cells 'count(*)' "value->>'name' = 'int8 512-bit' AND value->>'threads' = 1 AND value->>'absent' LIKE '%level base%'")"
is "a plain copy says what the memory moves" 1.5 "$(cells "DISTINCT value->>'moved_if_owned_first'" "value->>'name' = 'copy' AND value->>'level' = 'DRAM'")"
is "each round is kept" 2 "$(cells "DISTINCT json_array_length(value->'rounds')" "value->>'best' > 0")"

# A peer that prints what STREAM does, and touches as much memory.
cat >"$tmp/peer" <<'P'
echo "STREAM version 5.10
This system uses 8 bytes per array element.
Array size = 1000000 (elements), Offset = 0 (elements)
Copy:           10000.0     0.0016     0.0016     0.0016
Triad:          12000.0     0.0020     0.0020     0.0020"
P
code "a peer is measured in turn with ours" 0 "$bench" roofs --quick --threads 1 --peer "sh $tmp/peer"
is "both figures, three rounds each" 6 "$(printf '%s\n' "$out" | grep -cE '^  [1-3] +1[02]\.00 +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$')"
like "with the ratio" '^  ours / peer: median [0-9.]+ \([0-9.]+\.\.[0-9.]+\): ((not )?within 5 %|rounds differ too much to tell); roof / peer: [0-9.]+$' "$out"
"$bench" roofs --quick --threads 1 --json --peer "sh $tmp/peer" >"$tmp/peer.json"
is "and as JSON" 'bench-roofs-peer/1|STREAM|Triad|12.0' "$(field "$tmp/peer.json" format tool 'figures[1].name' 'figures[1].rounds[2].peer')"
is "whether they agree is true, false, or not to be told" 2 "$(sqlite3 :memory: \
    "SELECT count(*) FROM json_each(readfile('$tmp/peer.json'), '\$.figures') AS f
     WHERE json_type(f.value, '\$.within_5_percent') IN ('true', 'false', 'null')")"
if command -v likwid-bench >/dev/null; then
    code "likwid-bench is understood" 0 "$bench" roofs --quick --threads 1 --peer 'likwid-bench -t load_sse -w S0:20kB:1 -i 20000'
    like "and compared with reading" 'likwid-bench load_sse, 1 thread, means' "$out"
else
    skip "likwid-bench is not installed"
fi

code "a peer that says something else is an error" 1 "$bench" roofs --peer 'echo hello'
like "and is quoted" "^bench: --peer: this is neither likwid-bench's output nor STREAM's: hello$" "$out"
code "a peer that fails is an error" 1 "$bench" roofs --peer 'exit 7'
like "with its exit code" "'exit 7' ended with exit code 7" "$out"
code "more threads than CPUs are usage" 2 "$bench" roofs --threads 4000
code "CPUs that are none are usage" 2 "$bench" roofs --cpus one
code "no threads are usage" 2 "$bench" roofs --threads 0
code "a number that is none is usage" 2 "$bench" roofs --threads two
code "arguments are usage" 2 "$bench" roofs dram
code "an unknown level is usage" 2 env BENCH_ISA=mmx "$bench" roofs
finish
