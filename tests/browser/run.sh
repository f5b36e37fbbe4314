#!/bin/sh
# SPDX-License-Identifier: MIT
# The browser test as TAP for prove. Where BENCH names the program, it first writes a report of a real, short run.
set -eu
cd "$(dirname "$0")/../.."

if [ -z "${BENCH_REPORT:-}" ] && [ -x "${BENCH:-}" ]; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    "$BENCH" run suites/kvcache_on_off --quick --db "$dir/bench.db" --report "$dir/report.html" --record "$dir/record.md" >"$dir/log" 2>&1 ||
        [ $? -eq 3 ] || { cat "$dir/log"; exit 1; } # 3: the claims did not hold, which a short run may well show
    export BENCH_REPORT="$dir/report.html"
fi
node --test --test-reporter=tap tests/browser/
