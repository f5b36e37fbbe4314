#!/bin/sh
# SPDX-License-Identifier: MIT
# All that a GPU has to tell, in one command that may be stopped and called again: sh tests/gpu/record.sh build/gcc FOLDER [SECONDS].
# check-gpu, the suites of GPUs, the comparison with transformers, compute-sanitizer; each once, each with a time limit of its own, none
# begun that SECONDS leave no time for. In FOLDER: gpu.db with a report and a record for each suite, the comparison, what was said.
set -u
build=$(cd "$1" && pwd) || exit 2
folder=$(mkdir -p "$2" && cd "$2" && pwd) || exit 2
end=$(($(date +%s) + ${3:-86400}))
cd "$(dirname "$0")/../.." || exit 2
. tests/gpu/lines.inc
db=$folder/gpu.db
touch "$folder/done"

# Checks that came to their last line are done, also where some failed.
is_counted() { tail -1 "$out" | grep -qE '^[0-9]+ passed, '; }

# NAME, seconds that it must have left, seconds after which it is stopped, command. An exit code of 3: done, and some claim did not hold.
step() {
    name=$1 needs=$2 limit=$3
    shift 3
    left=$((end - $(date +%s) - 10))
    if grep -qx "$name" "$folder/done"; then ok "$name was done before"
    elif [ $left -lt "$needs" ]; then skip "$name: $left seconds are left, it is begun with $needs; call this again"
    else
        echo "     $name, at most $((left < limit ? left : limit)) s"
        out=$folder/$name.txt
        watch "$((left < limit ? left : limit))" "$@"
        code=$?
        [ $code -ne 0 ] && [ $code -ne 3 ] && ! is_counted || echo "$name" >>"$folder/done"
        case $code in
        0 | 3) ok "$name is done" ;;
        77 | 127) skip "$name: $(tail -1 "$out")" ;;
        *) fail "$name ends with exit code $code" "$(is_counted && grep '^FAIL' "$out" || tail -5 "$out")" ;;
        esac
    fi
}

suite() { # NAME, the two numbers of a step
    step "$@" "$build/bench" run "suites/$1" --backend cuda --db "$db" --report "$folder/$1.html" --record "$folder/$1.md"
}

steps() {
    step check 150 400 env OUT="$folder" sh tests/gpu/run.sh "$build"
    suite gpu_limits 100 240
    suite graph_vs_eager 60 150
    suite gpu_batch 100 240
    suite kvcache_on_off 100 240
    step compare 200 450 python3 tests/gpu/compare_transformers.py --bench "$build/bench" --json "$folder/compare.json"
    step sanitize 60 300 sh tests/gpu/sanitize.sh "$build" 280
}

# What was seen: for each suite its trials' times, shares of their roofs and verdicts, and its claims; then the comparison.
tell_suite() { # RUN
    "$build/bench" show "$1" --json --db "$db" >"$tmp/run.json" || return
    ask :memory: "
        WITH d(j) AS (SELECT readfile('$tmp/run.json')),
            p(label, phase, j) AS (
                SELECT t.value ->> '\$.label', f.column1, t.value -> ('\$.' || f.column1)
                FROM d, json_each(d.j, '\$.trials') t, (VALUES ('prefill'), ('decode')) f)
        SELECT printf('%s, %s: %s', j ->> '\$.run.suite', j ->> '\$.model.name', j ->> '\$.run.outcome') FROM d
        UNION ALL SELECT printf('  %-7s %10.4f ms  %-24s %-16s %s', phase, j ->> '\$.ms.median',
            coalesce(printf('%.0f %% of ', round(100 * (j ->> '\$.verdict.efficiency'))) || (j ->> '\$.verdict.roof'), ''),
            j ->> '\$.verdict.kind', label) FROM p WHERE j ->> '\$.ms.median' IS NOT NULL
        UNION ALL SELECT printf('  %-10s %s: %s', upper(c.value ->> '\$.result'), c.value ->> '\$.text', c.value ->> '\$.evidence')
            FROM d, json_each(d.j, '\$.claims') c"
}

tell() {
    echo
    [ ! -f "$folder/check.txt" ] || { echo "check-gpu: $(tail -1 "$folder/check.txt")"; grep '^FAIL' "$folder/check.txt" | sed 's/^/  /'; }
    [ ! -f "$folder/sanitize.txt" ] || { echo "compute-sanitizer: $(tail -1 "$folder/sanitize.txt")"; grep '^FAIL' "$folder/sanitize.txt" | sed 's/^/  /'; }
    if [ -f "$db" ] && [ "$sqlite" != none ]; then
        for run in $(ask "$db" "SELECT max(id) FROM run WHERE outcome IN ('held', 'not held') GROUP BY suite ORDER BY 1"); do tell_suite "$run"; done
    fi
    [ ! -f "$folder/compare.txt" ] || grep 'theirs / ours' "$folder/compare.txt"
    echo
}

if ! watch 60 "$build/bench" generate tiny-gpt2 --tokens '1 2 3' --max-new-tokens 2 --backend cuda; then
    fail "nothing was begun: $(head -1 "$out")"
    finish
fi
steps
tell >"$folder/summary.txt" 2>&1
cat "$folder/summary.txt"
finish
