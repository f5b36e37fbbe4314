#!/bin/sh
# SPDX-License-Identifier: MIT
# Death and full disks: what was measured stays, and one sentence says what happened.
. tests/cli/tap.inc

# Starts a run that would last minutes, waits for its first finished executions, sends it a signal.
interrupted_run() {
    : >"$tmp/out" # the one before is not to be taken for this one
    "$bench" run suites/kvcache_on_off --model tiny-gpt2 --db "$tmp/$1" --set measure.roof_ms=1 --set measure.target=0.0000001 \
        --set 'measure.repetitions={min: 900, max: 900}' --set measure.budget_s=600 >"$tmp/out" 2>&1 &
    pid=$!
    for _ in $(seq 1200); do
        [ "$(grep -c '^trial' "$tmp/out")" -ge 3 ] && break
        sleep 0.1
    done
    kill "-$2" $pid
    wait $pid 2>/dev/null # or the shell says "Killed"
    status=$?
}

interrupted_run killed.db KILL
is "kill -9 ends it" 137 $status
like "finished executions are kept" '^([3-9]|[0-9]{2,})$' "$(sqlite3 "$tmp/killed.db" 'SELECT count(*) FROM repetition')"
is "no execution is half there" 0 "$(sqlite3 "$tmp/killed.db" 'SELECT count(*) FROM repetition r JOIN trial t ON t.id = r.trial
    WHERE (SELECT count(*) FROM step WHERE repetition = r.id) <> iif(r.pass = '"'"'bare'"'"', 0, t.new_tokens)')"
is "the database is sound" ok "$(sqlite3 "$tmp/killed.db" 'PRAGMA integrity_check')"
like "list shows the run as unfinished" 'unfinished' "$("$bench" list --db "$tmp/killed.db")"
code "show works on what is there" 0 "$bench" show --db "$tmp/killed.db"
code "report works on what is there" 0 "$bench" report --db "$tmp/killed.db" -o "$tmp/k.html"
code "record works on what is there" 0 "$bench" record --db "$tmp/killed.db" -o "$tmp/k.md"

interrupted_run stopped.db INT
is "Ctrl-C fails" 1 $status
like "Ctrl-C says so and what is kept" 'interrupted in .* what was measured is kept: bench show 1' "$(tr '\n' ' ' <"$tmp/out")"
is "the run is marked" interrupted "$(sqlite3 "$tmp/stopped.db" 'SELECT outcome FROM run')"

quick_run full.db >/dev/null 2>&1
code "a full disk is one sentence and an error" 1 sh -c "trap '' XFSZ; ulimit -f 400; exec $bench run suites/kvcache_on_off --quick --model tiny-gpt2 \
    --db $tmp/full.db --report $tmp/f.html --record $tmp/f.md"
like "the sentence names the file" "bench: .*(full.db|f.html)" "$out"
is "the earlier run is still whole" held "$(sqlite3 "$tmp/full.db" 'SELECT outcome FROM run WHERE id = 1')"
is "the database is still sound" ok "$(sqlite3 "$tmp/full.db" 'PRAGMA integrity_check')"

echo "this is not a database" >"$tmp/foreign.db"
code "a foreign file is refused" 1 quick_run foreign.db
like "a foreign file is named" 'foreign.db' "$out"
is "a foreign file is untouched" "this is not a database" "$(cat "$tmp/foreign.db")"
code "a folder that cannot be made is an error" 1 "$bench" run suites/kvcache_on_off --quick --model tiny-gpt2 --db /proc/no/x.db
code "a report that cannot be written is an error" 1 quick_run late.db --report /proc/no.html
is "but the run is kept" held "$(sqlite3 "$tmp/late.db" 'SELECT outcome FROM run')"
finish
