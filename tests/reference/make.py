#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Hugging Face transformers answers, in the form that the tests read.

    python3 tests/reference/make.py FOLDER ...              answers of the models that are there: FOLDER/expected.json
    python3 tests/reference/make.py --new SEED FOLDER ...   first makes weights and prompts for each FOLDER/config.json

Where an expected.json is there already, the largest difference of a logit is printed before it is replaced.
"""
import json
import math
import sys
from pathlib import Path

GREEDY = 12  # tokens of a continuation
PROMPTS = (1, 7, 23)  # tokens of the prompts


def libraries():
    """Imported here, so that the words above can be read without them."""
    try:
        import torch
        import transformers
    except ImportError as why:
        sys.exit(f"make.py: {why.name} is not installed; this needs torch and transformers: pip install torch transformers")
    torch.set_num_threads(1)
    return torch, transformers


def make_model(folder, seed):
    """Random weights at which logits spread by about 2.5, where a fresh model's would all be near 0."""
    torch, transformers = libraries()
    torch.manual_seed(seed)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(config, torch_dtype=torch.float32)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
            else:
                p.normal_(0.0, 2.5 / math.sqrt(config.hidden_size))
    model.save_pretrained(folder, safe_serialization=True)
    prompts = [torch.randint(config.vocab_size, (n,)).tolist() for n in PROMPTS]
    (folder / "prompts.json").write_text(json.dumps(prompts))


def digits(rows):
    return [[float(f"{x:.9g}") for x in row] for row in rows.tolist()]


def answer(torch, model, tokens):
    """Logits of every position, then greedy tokens, with the cache and without."""
    ids = torch.tensor([tokens])
    out = model(ids, use_cache=True)
    logits, past, decode = out.logits[0], out.past_key_values, []
    cached = [int(logits[-1].argmax())]
    while len(cached) < GREEDY:
        out = model(torch.tensor([cached[-1:]]), past_key_values=past, use_cache=True)
        past = out.past_key_values
        decode.append(out.logits[0, -1])
        cached.append(int(decode[-1].argmax()))
    recomputed = []
    while len(recomputed) < GREEDY:
        out = model(torch.tensor([tokens + recomputed]), use_cache=False)
        recomputed.append(int(out.logits[0, -1].argmax()))
    return {
        "tokens": tokens,
        "greedy_with_cache": cached,
        "greedy_without_cache": recomputed,
        "logits": digits(logits),
        "decode_logits": digits(torch.stack(decode)),
    }


def compare(old, new):
    off = max(
        abs(x - y)
        for a, b in zip(old["prompts"], new["prompts"])
        for row, other in zip(a["logits"], b["logits"])
        for x, y in zip(row, other)
    )
    same = all(a["greedy_with_cache"] == b["greedy_with_cache"] for a, b in zip(old["prompts"], new["prompts"]))
    return f"logits differ by at most {off:.1e} from what was there, greedy tokens {'are the same' if same else 'DIFFER'}"


def answer_model(folder):
    torch, transformers = libraries()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, torch_dtype=torch.float32, attn_implementation="eager"
    ).eval()
    expected = folder / "expected.json"
    old = json.loads(expected.read_text()) if expected.exists() else None
    written = folder / "prompts.json"
    prompts = json.loads(written.read_text()) if written.exists() else [p["tokens"] for p in old["prompts"]]
    with torch.no_grad():
        answers = [answer(torch, model, tokens) for tokens in prompts]
    new = {
        "name": folder.name,
        "model_type": model.config.model_type,
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
        "prompts": answers,
    }
    expected.write_text(json.dumps(new))
    print(f"{folder}: {compare(old, new) if old else 'written'}")


def main(words):
    seed = None
    if words[:1] == ["--new"] and len(words) > 2 and words[1].isdigit():
        seed, words = int(words[1]), words[2:]
    if not words or words[0].startswith("-"):
        sys.exit(__doc__)
    for folder in map(Path, words):
        if seed is not None:
            make_model(folder, seed)
        answer_model(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
