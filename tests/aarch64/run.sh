#!/bin/sh
# SPDX-License-Identifier: MIT
# The engine on another architecture, as TAP: compiled for aarch64 (the base level there is NEON), and the kernels' tests run
# under emulation. Libraries are not wanted for it: `cmocka.h` and `blas.c` of this folder stand for the two that those tests use.
set -u
cd "$(dirname "$0")/../.." || exit 1
cc=aarch64-linux-gnu-gcc
folder=build/aarch64

skip_all() { printf '1..1\nok 1 # SKIP %s\n' "$1"; exit 0; }
command -v $cc >/dev/null || skip_all "no $cc here: the engine is not compiled for aarch64"
echo 'int main(void) { return 0; }' | $cc -fopenmp -static -include stdio.h -x c - -o /dev/null 2>/dev/null ||
    skip_all "$cc has no C library: the engine is not compiled for aarch64"

# Headers of libraries say the same on every machine; they stand after the cross compiler's own.
blas=$(pkg-config --cflags openblas 2>/dev/null || pkg-config --cflags blas-openblas)
host=$(cc -dumpmachine)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! env -u MAKEFLAGS -u MFLAGS make --no-print-directory -j"$(nproc)" CC=$cc PAPI=0 CUDA=0 SAN=0 BUILD=$folder emulated-tests \
    CPPFLAGS="-D_GNU_SOURCE -ffunction-sections -Itests/aarch64 $blas -idirafter /usr/include -idirafter /usr/include/$host" \
    >"$log" 2>&1; then
    printf '1..1\nnot ok 1 - the engine compiles for aarch64\n'
    grep -E 'error|undefined|\*\*\*' "$log" | sed 's/^/# /'
    exit 1
fi
echo "ok 1 - the engine compiles for aarch64"
n=1
for program in "$folder"/tests/emulated/*; do
    n=$((n + 1)) name="$(basename "$program") is right on aarch64"
    if ! command -v qemu-aarch64 >/dev/null; then
        echo "ok $n # SKIP no qemu-aarch64 here: aarch64's kernels are not run"
    elif timeout 300 qemu-aarch64 "$program" >"$log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        grep -v '^ok' "$log" | sed 's/^#* */# /'
    fi
done
echo "1..$n"
