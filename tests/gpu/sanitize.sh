#!/bin/sh
# SPDX-License-Identifier: MIT
# Kernels and models under CUDA's compute-sanitizer, for as long as there is time: sh tests/gpu/sanitize.sh build/gcc [SECONDS].
# First what most bugs would show in. Library products are watched for bad accesses alone: their races are not ours.
set -u
build=$(cd "$1" && pwd) || exit 2
end=$(($(date +%s) + ${2:-300}))
cd "$(dirname "$0")/../.." || exit 2
. tests/gpu/lines.inc

sanitizer=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" 2>/dev/null)
if [ -z "$sanitizer" ]; then
    skip "compute-sanitizer is not here: memory accesses of the kernels are not checked"
    finish
fi

# It ends with a summary where it could watch at all; where it refuses the GPU or its driver there is none.
check() { # TOOL PROGRAM
    left=$((end - $(date +%s)))
    if [ $left -lt 5 ]; then
        unwatched="$unwatched $1:$2"
        return
    fi
    api=$([ "$1" = memcheck ] && echo "--report-api-errors no") # tests provoke some
    # shellcheck disable=SC2086
    watch $left "$sanitizer" --tool "$1" $api --error-exitcode 9 --print-limit 20 "$build/tests/gpu/${2}_test"
    code=$?
    if [ $code -eq 0 ]; then ok "$1 finds nothing in $2"
    elif [ $code -eq 124 ] || [ $code -eq 137 ]; then unwatched="$unwatched $1:$2"
    elif grep -q SUMMARY "$out"; then fail "$1 of $2" "$(grep -E '=====|^not ok' "$out" | head -20)"
    else
        skip "$1 cannot watch $2 here: $(grep -m1 -E 'rror|not supported' "$out" || tail -1 "$out")"
    fi
}

export CMOCKA_MESSAGE_OUTPUT=TAP
unwatched=
ours='decode attention_decode attention_prefill elementwise'
for name in backend $ours; do check memcheck $name; done
for name in $ours; do check racecheck $name; done
for name in $ours; do check synccheck $name; done
check initcheck backend # kernels' own tests fill all memory first
for name in synthesize matmul; do check memcheck $name; done
[ -z "$unwatched" ] || skip "compute-sanitizer was not done in its time:$unwatched"
finish
