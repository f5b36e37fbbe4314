#!/bin/sh
# SPDX-License-Identifier: MIT
# `bench calibrate`: counters held against known work; nothing but the truth where there are none.
. tests/cli/tap.inc

code "it calibrates, counters or not" 0 "$bench" calibrate
like "it says who counts and by which events" 'events +[a-z0-9_]+ \(probes/events/|nothing can be counted here' "$out"
like "it sums up" '[0-9]+ of 11 quantities are counted rightly here|nothing can be counted here' "$out"

code "as JSON too" 0 "$bench" calibrate --json --threads 1
printf '%s' "$out" >"$tmp/c.json"
if [ "$(items "$tmp/c.json" quantities)" -eq 0 ]; then
    skip "the kernel refuses perf events: $(field "$tmp/c.json" no_hardware)"
else
    ask() { sqlite3 :memory: "WITH q AS (SELECT value v FROM json_each(readfile('$tmp/c.json'), '\$.quantities')) SELECT $1"; }
    is "every quantity is there once" "11 11" "$(ask "count(*) || ' ' || count(DISTINCT v->>'quantity') FROM q")"
    is "what is not counted says why" 0 "$(ask "count(*) FROM q WHERE NOT v->>'accepted' AND v->>'why' = ''")"
    is "what is counted has event, source and the cost of a read" 0 \
        "$(ask "count(*) FROM q WHERE v->>'accepted' AND (v->>'event' = '' OR v->>'source' = '' OR v->>'read_ns' IS NULL)")"
    is "a comparison that is right is within its limit" 0 \
        "$(ask "count(*) FROM q, json_each(q.v, '\$.comparisons') c WHERE c.value->>'verdict' = 'right' AND c.value->>'error' > c.value->>'limit'")"
    is "page faults are counted, each one" "1|1" \
        "$(ask "v->>'accepted', abs(v->>'\$.comparisons[0].measured' / v->>'\$.comparisons[0].expected' - 1) < 0.02 FROM q WHERE v->>'quantity' = 'page_faults_minor'")"
fi

code "what this CPU's events see and miss is printed" 0 "$bench" calibrate --events
like "with the cost in counters" 'page_faults_minor +raw +0 counters +software/5/' "$out"
code "a stray word is wrong usage" 2 "$bench" calibrate everything
code "and so is no worker" 2 "$bench" calibrate --threads 0
finish
