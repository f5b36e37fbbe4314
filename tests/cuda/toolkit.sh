#!/bin/sh
# SPDX-License-Identifier: MIT
# The plug-in for GPUs as it was built, and the program without it.
. tests/cli/tap.inc

plugin=$(dirname "$bench")/libbench_cuda.so
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -E "$2"; }

is "the program itself needs no library of CUDA's" "" "$(needed "$bench" 'cuda|cublas|cupti|nvidia|nvml')"
is "where a bundle brings libraries, it looks there first" 1 "$(readelf -d "$bench" | grep -c 'RPATH.*\[\$ORIGIN/lib\]')"
mkdir "$tmp/alone" && cp "$bench" "$tmp/alone/"
code "without the plug-in --backend cuda fails" 1 "$tmp/alone/bench" run suites/kvcache_on_off --quick --backend cuda --db "$tmp/x.db"
like "it says that this build has no plug-in, and what would make one" 'libbench_cuda.so.*CUDA' "$out"
is "and nothing is left behind" "" "$(ls "$tmp"/x.db* 2>/dev/null)"

if [ ! -f "$plugin" ]; then
    skip "there is no CUDA toolkit, 12.8 or newer, here: the plug-in for GPUs is neither compiled nor tested"
else
    is "the plug-in shows its two tables and nothing else" "bench_cuda_backend bench_cuda_probes" \
        "$(nm -D --defined-only "$plugin" | awk '$2 != "A" { print $3 }' | sort | xargs)"
    is "it is linked with cublasLt, and with neither the driver nor CUPTI" "libcublasLt.so" \
        "$(needed "$plugin" 'cuda|cublas|cupti|nvidia|nvml' | sed 's/\.so\..*/.so/' | xargs)"
fi
finish
