#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a test program and passes its TAP on. Of a test that is skipped cmocka says its name, before 1.1.7 with "not ok", which
# prove believes; the line that the test said before is the reason.
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$@" >"$out"
status=$?
awk '/^(not )?ok [0-9]+ # SKIP / {
         sub(/^not /, "")
         at = index($0, "# SKIP ")
         if (said != "") $0 = substr($0, 1, at - 1) "- " substr($0, at + 7) " # SKIP " said
     }
     { print; said = /^(ok|not ok|#|[0-9]+\.\.)/ ? "" : $0 }' "$out"
exit $status
