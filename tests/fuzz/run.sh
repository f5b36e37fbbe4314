#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one target on its seeds and beyond: sh tests/fuzz/run.sh TARGET FOLDER [libFuzzer's options ...]. What is new goes to
# FOLDER/corpus, inputs that fail to FOLDER/failed-*. A size that a file merely claims must not be believed: an allocation of
# 256 MB fails.
set -eu
target=$1 folder=$2
shift 2
program=build/fuzz/tests/fuzz/fuzz_$target seeds=tests/fuzz/corpus/$target
if [ ! -x "$program" ]; then
    echo "fuzz: no target '$target'; with clang's libFuzzer there are:$(cd tests/fuzz/corpus && printf ' %s' */ | tr -d /)" >&2
    exit 2
fi
mkdir -p "$folder/corpus"
OMP_NUM_THREADS=1 UBSAN_OPTIONS=print_stacktrace=1 exec "$program" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 \
    -artifact_prefix="$folder/failed-" -dict="$seeds.dict" -print_final_stats=1 "$@" "$folder/corpus" "$seeds"
