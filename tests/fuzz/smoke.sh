#!/bin/sh
# SPDX-License-Identifier: MIT
# Every target on its seeds and the same thousand mutations each time; a TAP line for each. `make fuzz` looks further.
set -u
RUNS=1000
programs=$(ls build/fuzz/tests/fuzz/fuzz_* 2>/dev/null | grep -v '\.[od]$')
[ -n "$programs" ] || { echo "1..0 # SKIP clang's libFuzzer is not installed"; exit 0; }
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

n=0 bad=0
for program in $programs; do
    target=${program##*/fuzz_} n=$((n + 1)) verdict=ok
    if ! sh tests/fuzz/run.sh "$target" "$TMPDIR/$target" -runs=$RUNS -seed=1 >"$TMPDIR/log" 2>&1; then
        verdict='not ok' bad=1
        grep -vE '^(#|INFO)' "$TMPDIR/log" | head -30 | sed 's/^/# /'
        for input in "$TMPDIR/$target"/failed-*; do
            [ -e "$input" ] && cp "$input" build/fuzz/ && echo "# kept: build/fuzz/${input##*/}"
        done
    fi
    echo "$verdict $n - $target withstands its seeds and what $RUNS mutations make of them"
done
echo "1..$n"
exit $bad
