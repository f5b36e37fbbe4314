#!/bin/sh
# SPDX-License-Identifier: MIT
# What of the comparison with transformers needs neither a GPU nor torch: arguments, bench's side of it, the arithmetic.
. tests/cli/tap.inc

script=tests/gpu/compare_transformers.py
if ! command -v python3 >/dev/null; then
    skip "the comparison with transformers is in Python, which is not here"
    finish
    exit
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/gpu
py() { python3 -c "import compare_transformers as c
$1"; }

code "too few tokens for a comparison are usage" 2 python3 $script --new 4
like "with the least" '--new is 8 or more' "$out"
if python3 -c 'import torch, transformers' 2>/dev/null; then skip "torch and transformers are here: what is said without them is not to be heard"
else
    code "without torch nothing is compared" 77 python3 $script --bench "$bench"
    is "one line says so" 1 "$(printf '%s\n' "$out" | wc -l | tr -d ' ')"
fi
code "a model that is no llama is refused" 1 py "c.shape_of('$bench', 'tiny-gpt2')"
like "by its family" 'tiny-gpt2 is of the family gpt2' "$out"
code "a program that is not there is no traceback" 1 py "c.shape_of('$tmp/none', 'tiny-llama')"
like "but a sentence" "--bench $tmp/none: No such file" "$out"

code "bench runs the shape that was asked for" 0 py "
a = c.arguments(['--bench', '$bench', '--model', 'tiny-llama', '--prompt', '16', '--new', '8'])
t = c.ours(a, 'cpu')
assert t['prefill'] > t['decode'] > 0, t"
quick_run x.db >/dev/null 2>&1
"$bench" show last --json --db "$tmp/x.db" >"$tmp/x.json"
code "its times are the medians of a step" 0 py "
import json
run = json.load(open('$tmp/x.json'))
first = run['trials'][0]
assert c.times_of(run) == {phase: first[phase]['ms']['median'] for phase in ('prefill', 'decode')}"

code "their fastest way counts, by ratios of its own rounds" 0 py "
r = lambda way, prefill, step, o: {'way': way, 'theirs': {'prefill': prefill, 'decode': step}, 'ours': {'prefill': o, 'decode': o}}
f = c.conclude([r('captured', {'as it is': 9.0, 'captured': 6.0}, 4.0, 2.0), r('captured', {'as it is': 9.0, 'captured': 8.0}, 6.0, 4.0),
                r('reduce-overhead', {}, 3.0, 2.0), r('reduce-overhead', {}, 3.0, 1.5), r('reduce-overhead', {}, 9.0, 3.0)])
assert f['prefill'] == {'way': 'captured', 'theirs': 7.0, 'ours': 3.0, 'ratio': 2.5, 'least': 2.0, 'most': 3.0}, f
assert f['decode'] == {'way': 'reduce-overhead', 'theirs': 3.0, 'ours': 2.0, 'ratio': 2.0, 'least': 1.5, 'most': 3.0}, f
assert c.conclude([]) == {}"
finish
