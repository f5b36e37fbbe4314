#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a test program and passes its TAP on: cmocka before 1.1.7 says "not ok" of a test that is skipped, and prove believes it.
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$@" >"$out"
status=$?
sed 's/^not \(ok .*# SKIP\)/\1/' "$out"
exit $status
