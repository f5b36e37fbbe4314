#!/bin/sh
# SPDX-License-Identifier: MIT
# The rules that a machine can check. Each failing line names the file; exit 1 when there is any.
set -u
bad=0
say() { echo "lint: $*"; bad=1; }
sources=$(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' '*.cu' '*.cuh' | xargs ls -d 2>/dev/null)

# A room includes by name through its -I list only.
found=$(grep -nE '#include "\.\./' $sources) && say "an include climbs out of its room:
$found"

# Workers come from the team (engine/base/team.h), lest another region change its pool; loading a file may have regions of its own.
found=$(printf '%s\n' $sources | grep -vE '^engine/(base/team\.c|formats/)' | xargs grep -nE '#pragma omp (parallel|for)') && say "a region beside team_run:
$found"

# Every file of ours says its licence.
for f in $sources $(git ls-files --cached --others --exclude-standard '*.S' '*.sh' '*.mjs' '*.py' '*.sql' '*.css' Makefile .ci/deps .ci/run | xargs ls -d 2>/dev/null); do
    head -3 "$f" | grep -q 'SPDX-License-Identifier: MIT' || say "$f: no SPDX line at its top"
done

# Files stay readable in one sitting.
for f in $sources; do
    n=$(wc -l < "$f")
    [ "$n" -le 620 ] || say "$f: $n lines; split it (600 is the aim)"
done

# Functions: 70 lines is the hard limit (a function body runs from a '{' to a '}' in the first column).
awk 'FNR == 1 { open = 0 }
     /^\{/ { open = FNR }
     /^\}/ { if (open && FNR - open > 70) { print "lint: " FILENAME ":" open ": a function of " FNR - open " lines; 70 is the limit"; bad = 1 } open = 0 }
     END { exit bad }' $sources || bad=1

# One version of the tools decides, since versions differ in what they lay out and find.
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    found=$(clang-format --dry-run -Werror $sources 2>&1 | grep -E 'error:' | cut -d: -f1 | sort -u)
    [ -z "$found" ] || say "clang-format -i these:
$found"
else
    echo "lint: layout not checked: clang-format 14 is not installed here"
fi

# Tests are left to the compilers and sanitizers: the analyser does not know that a failed assertion jumps away.
if clang-tidy --version 2>/dev/null | grep -q 'version 14\.'; then
    flags="-std=c11 -D_GNU_SOURCE -DHAVE_PAPI=0 -DISA=base -DBENCH_VERSION=\\\"lint\\\" -Itests -Isuites -Iengine -Iengine/base -Iprobes -Iprobes/roofs -Ireport $(pkg-config --cflags yaml-0.1 jansson libpcre2-8 hwloc sqlite3 libutf8proc libcrypto) $(pkg-config --cflags openblas 2>/dev/null)"
    plugin='^(engine/backends|probes)/cuda/' cshim=$(mktemp -d)
    : >"$cshim/string" # for a header of CUPTI's, which the Makefile tells of
    toolkit=${CUDA_HOME:-/usr/local/cuda}/include
    tidy() { xargs -P2 -n8 sh -c 'clang-tidy --quiet "$@" -- '"$1"' 2>/dev/null' sh 2>/dev/null | grep -E '(warning|error):'; }
    found=$({ printf '%s\n' $sources | grep '\.c$' | grep -vE "^tests/|$plugin" | tidy "$flags"
        [ ! -f "$toolkit/cublasLt.h" ] || printf '%s\n' $sources | grep '\.c$' | grep -E "$plugin" |
            tidy "$flags -Iengine/backends/cuda -Iprobes/cuda -I$cshim -isystem $toolkit"; } | sort -u)
    rm -rf "$cshim"
    [ -z "$found" ] || say "clang-tidy:
$found"
else
    echo "lint: mistakes not looked for: clang-tidy 14 is not installed here"
fi
[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
