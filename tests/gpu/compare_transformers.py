#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same shapes through transformers and torch.compile, and through bench, in turn on the same GPU in the same hour.

    python3 tests/gpu/compare_transformers.py [--bench ./bench] [--model tinyllama-1.1b] [--prompt 512] [--new 64] [--rounds 3]

Both have random bf16 weights of the preset's shape, a bf16 cache that holds prompt and answer, batch 1, greedy choice. Theirs:
LlamaForCausalLM with a static cache, the decode step under torch.compile(mode="reduce-overhead", fullgraph=True), prefill once
eager and once compiled (the faster counts), attention by torch's scaled_dot_product_attention. Times are medians between two
synchronisations; compiling and capturing come before them. Needs torch with CUDA and transformers; nothing else of the project does.
"""
import argparse
import inspect
import json
import statistics
import subprocess
import sys
import tempfile
import time


def shape_of(bench, preset):
    """What `bench model` knows of the preset."""
    text = subprocess.run([bench, "model", preset, "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(text)["config"]


def build(shape):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape["vocab"],
        hidden_size=shape["d_model"],
        intermediate_size=shape["d_ff"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        head_dim=shape["head_dim"],
        max_position_embeddings=shape["context"],
        attn_implementation="sdpa",
        use_cache=True,
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return model.eval().requires_grad_(False)


def new_cache(model, length):
    """StaticCache's arguments differ between versions of transformers."""
    import torch
    from transformers import StaticCache

    known = inspect.signature(StaticCache.__init__).parameters
    wanted = {"config": model.config, "max_batch_size": 1, "max_cache_len": length, "device": "cuda", "dtype": torch.bfloat16}
    return StaticCache(**{k: v for k, v in wanted.items() if k in known})


def forward(model, ids, cache, first):
    import torch

    wanted = {"cache_position": torch.arange(first, first + ids.shape[1], device="cuda")}
    known = inspect.signature(model.forward).parameters
    extra = {k: v for k, v in wanted.items() if k in known}
    position_ids = torch.arange(first, first + ids.shape[1], device="cuda")[None]
    return model(ids, past_key_values=cache, position_ids=position_ids, use_cache=True, logits_to_keep=1, **extra)


def timed(work):
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3, result


class Theirs:
    def __init__(self, shape, prompt, new):
        import torch

        self.torch, self.prompt, self.new = torch, prompt, new
        self.model = build(shape)
        self.cache = new_cache(self.model, prompt + new)
        self.ids = torch.randint(0, shape["vocab"], (1, prompt), device="cuda")

        def step(ids, position, cache):
            known = inspect.signature(self.model.forward).parameters
            extra = {"cache_position": position} if "cache_position" in known else {}
            out = self.model(ids, past_key_values=cache, position_ids=position[None], use_cache=True, **extra)
            return out.logits[:, -1].argmax(-1, keepdim=True)

        self.step = torch.compile(step, mode="reduce-overhead", fullgraph=True)
        self.prefills = {"eager": lambda: forward(self.model, self.ids, self.cache, 0).logits[:, -1].argmax(-1, keepdim=True)}
        self.prefills["compiled"] = torch.compile(self.prefills["eager"])

    def run(self):
        """Milliseconds of prefill (the faster of the two), and of the median decode step."""
        prefill = {}
        for name, work in self.prefills.items():
            self.cache.reset()
            try:
                prefill[name], token = timed(work)
            except Exception as why:  # compiling prefill is not supported by every version: eager is then what counts
                print(f"  prefill {name}: {why}", file=sys.stderr)
        steps = []
        for i in range(self.new - 1):
            position = self.torch.tensor([self.prompt + i], device="cuda")
            self.torch.compiler.cudagraph_mark_step_begin()
            ms, token = timed(lambda: self.step(token.clone(), position, self.cache))
            steps.append(ms)
        return min(prefill.values()), statistics.median(steps)


def ours(bench, preset, prompt, new):
    with tempfile.TemporaryDirectory() as folder:
        db = folder + "/x.db"
        command = [bench, "run", "suites/gpu_limits", "--backend", "cuda", "--model", preset, "--db", db]
        command += ["--report", folder + "/x.html", "--record", folder + "/x.md", "--probe", "clock", "--set", "expect=[]"]
        command += ["--set", "matrix={prompt_tokens: [%d]}" % prompt, "--set", "workload.new_tokens=%d" % new]
        command += ["--set", "measure.budget_s=10", "--set", "measure.roof_ms=50"]
        subprocess.run(command, check=True, capture_output=True)
        shown = subprocess.run([bench, "show", "last", "--json", "--db", db], check=True, capture_output=True, text=True)
    trial = json.loads(shown.stdout)["trials"][0]
    return trial["prefill"]["ms"]["median"], trial["decode"]["ms"]["median"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="./bench")
    parser.add_argument("--model", default="tinyllama-1.1b")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    import torch
    import transformers

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, transformers {transformers.__version__}")
    theirs = Theirs(shape_of(a.bench, a.model), a.prompt, a.new)
    for _ in range(3):  # compiling, capturing
        theirs.run()
    rows = []
    for i in range(a.rounds):
        rows.append((*theirs.run(), *ours(a.bench, a.model, a.prompt, a.new)))
        print("round %d: prefill %.3f against %.3f ms, decode step %.4f against %.4f ms" % (i + 1, rows[-1][0], rows[-1][2], rows[-1][1], rows[-1][3]))
    for what, t, o in (("prefill", 0, 2), ("decode step", 1, 3)):
        ratios = sorted(r[t] / r[o] for r in rows)
        print(f"{a.model}, prompt {a.prompt}: {what}: theirs / ours {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
