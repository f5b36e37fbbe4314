#!/bin/sh
# SPDX-License-Identifier: MIT
# What the scripts of this folder and `bench` need, with its libraries, for a machine that has a GPU, CUDA's libraries, and none of this
# project's packages: sh tests/gpu/bundle.sh build/gcc build/bundle.tar.xz. There, in a copy of this tree:
#   tar xf bundle.tar.xz && sh tests/gpu/run.sh bundle
# The C library is that machine's: it must not be older than this one's.
set -eu
build=$1 archive=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
to=$tmp/bundle
mkdir -p "$to/lib" "$to/tests/gpu"
cp "$build/bench" "$build/libbench_cuda.so" "$build/gpt2.tiktoken" "$to/"
cp "$build"/tests/gpu/*_test "$to/tests/gpu/"
ln -s ../../libbench_cuda.so "$to/tests/gpu/libbench_cuda.so"
cp "$(command -v sqlite3)" "$to/" 2>/dev/null || true
for f in "$to/bench" "$to/sqlite3" "$to"/tests/gpu/*_test; do
    [ -f "$f" ] && ldd "$f" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
done | sort -u | grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|lib(cu|nv)[^/]*)\.so' | while read -r library; do
    cp -L "$library" "$to/lib/"
done
strip --strip-debug "$to/bench" "$to/libbench_cuda.so" "$to"/tests/gpu/*_test "$to"/lib/* 2>/dev/null || true
tar -C "$tmp" -cJf "$archive" bundle
ls -lh "$archive" | awk '{ print $NF ": " $5 }'
