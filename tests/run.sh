#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every test of a build folder: sh tests/run.sh build/gcc: the browser, another architecture, the command line and a little
# fuzzing; the plug-in for GPUs, on an emulated one; unit tests twice, the second time under the address and undefined-behaviour
# sanitizers. Last line: 'N passed, N failed, N skipped'.
set -u
build=$1
san=$build-san
tap=$(mktemp -d)
trap 'rm -rf "$tap"' EXIT

export CMOCKA_MESSAGE_OUTPUT=TAP PERL_TEST_HARNESS_DUMP_TAP="$tap"
export BENCH="$PWD/$build/bench"
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1

programs=$(for t in tests/*_test.c; do t=${t%.c}; echo "$build/$t $san/$t"; done)
cuda=$(ls "$build"/tests/cuda/*_test 2>/dev/null)
# The longest first, so that two at a time end together.
# shellcheck disable=SC2086
prove -j2 --timer -e 'sh tests/tap.sh' tests/browser/run.sh tests/cuda/toolkit.sh tests/aarch64/run.sh tests/cli/*.sh tests/fuzz/smoke.sh $cuda $programs
status=$?

find "$tap" -type f -exec cat {} + | awk -v status=$status '
    /^(not )?ok/ && /# *SKIP/ { skipped++; sub(/^.*# *SKIP */, ""); reason[$0] = 1; next }
    /^ok/ { passed++ }
    /^not ok/ { failed++ }
    END {
        if (status && !failed) failed = 1        # a crash or a hang has no "not ok" line
        for (r in reason) print "skipped: " r
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    }'
exit $status
