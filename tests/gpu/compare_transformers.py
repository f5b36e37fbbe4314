#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same shapes through transformers and through bench, in turn on the same GPU in the same hour.

    python3 tests/gpu/compare_transformers.py [--bench ./bench] [--model tinyllama-1.1b] [--prompt 512] [--new 64] [--rounds 3] [--json FILE]

Both have random bf16 weights of the preset's shape, a bf16 cache for prompt and answer, batch 1, the likeliest token. Theirs is
LlamaForCausalLM with torch's scaled_dot_product_attention, in the fastest of three ways, each in a process of its own:
  captured          the model as it is, prompt and decode step each recorded as a CUDA graph
  compiled          the same after torch.compile
  reduce-overhead   torch.compile(mode="reduce-overhead", fullgraph=True), which records graphs itself; the decode step only
A decode step of theirs has a static cache, and leaves token and position on the GPU for the next one; their prompt has a cache
that holds just it, because then attention needs no mask. Times are of single steps between two synchronisations, medians of them;
compiling, recording and warming up come before. Who goes first changes from round to round. A way that this torch or transformers
does not have is left out with its reason; without any the exit code is 77.
"""
import argparse
import inspect
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

WAYS = ("captured", "compiled", "reduce-overhead")
PREFILLS = 5  # a round
SUITE = pathlib.Path(__file__).resolve().parents[2] / "suites/gpu_limits.yaml"


def shape_of(bench, preset):
    """What `bench model` knows of the preset."""
    try:
        done = subprocess.run([bench, "model", preset, "--json"], stdout=subprocess.PIPE, text=True)
    except OSError as why:
        sys.exit(f"--bench {bench}: {why.strerror}; name the program, for example build/gcc/bench")
    if done.returncode:
        sys.exit(done.returncode)
    shape = json.loads(done.stdout)["config"]
    if shape["arch"] != "llama":
        sys.exit(f"{preset} is of the family {shape['arch']}; the comparison is made for llama, for example tinyllama-1.1b")
    return shape


# --- theirs, in a process of its own ------------------------------------------------------------------------------------------


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
        tie_word_embeddings=shape["tied_head"],
        attn_implementation="sdpa",
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    kinds = {f"{p.dtype} on {p.device.type}" for p in model.parameters()}
    if kinds != {"torch.bfloat16 on cuda"}:
        raise RuntimeError(f"this transformers makes parameters of {', '.join(sorted(kinds))} where bf16 on the GPU was asked for")
    return model.eval().requires_grad_(False)


def known(function, **wanted):
    """Those arguments that this version of transformers has."""
    names = inspect.signature(function).parameters
    return {k: v for k, v in wanted.items() if k in names}


def reason(why):
    return f"{type(why).__name__}: {why}".splitlines()[0][:300]


class Theirs:
    def __init__(self, way, shape, prompt, new):
        import torch
        from transformers import DynamicCache, StaticCache

        torch.set_grad_enabled(False)
        torch.set_float32_matmul_precision("high")
        self.torch, self.prompt, self.new, self.model, self.note = torch, prompt, new, build(shape), ""
        self.text = torch.randint(0, shape["vocab"], (1, prompt), device="cuda")
        room = {"max_batch_size": 1, "max_cache_len": prompt + new, "device": "cuda", "dtype": torch.bfloat16}
        self.cache = StaticCache(**known(StaticCache.__init__, config=self.model.config, **room))
        self.ids = torch.zeros((1, 1), dtype=torch.long, device="cuda")
        self.position = torch.zeros((1, 1), dtype=torch.long, device="cuda")
        last = known(self.model.forward, logits_to_keep=1)
        old = bool(known(self.model.forward, cache_position=None))  # newer caches know for themselves how long they are

        def prefill():
            out = self.model(self.text, past_key_values=DynamicCache(), use_cache=True, **last)
            return out.logits[:, -1].argmax(-1, keepdim=True)

        def step():
            where = {"cache_position": self.position[0]} if old else {}
            out = self.model(self.ids, past_key_values=self.cache, position_ids=self.position, use_cache=True, **last, **where)
            self.ids.copy_(out.logits[:, -1].argmax(-1, keepdim=True))
            self.position.add_(1)

        self.begin()  # makes the cache's memory, which must not happen while a graph is recorded
        self.prefills = {}
        if way == "reduce-overhead":
            for t in (self.ids, self.position):  # graphs that torch records may write to what stays where it is, and to nothing else
                torch._dynamo.mark_static_address(t)
            compiled = torch.compile(step, mode="reduce-overhead", fullgraph=True)

            def marked():
                torch.compiler.cudagraph_mark_step_begin()
                compiled()

            self.step = marked
        else:
            if way == "captured":
                self.prefills["as it is"] = prefill
            else:
                prefill, step = torch.compile(prefill), torch.compile(step, fullgraph=True)
            self.step = self.record(step)
            try:
                self.prefills[way] = self.record(prefill)
            except Exception as why:  # the steps count all the same
                self.note = f"prefill cannot be {way}: {reason(why)}"
        for _ in range(2):
            self.run()

    def begin(self):
        """Prompt in the static cache, its answer's first token and place before the first step."""
        torch = self.torch
        self.cache.reset()
        place = torch.arange(self.prompt, device="cuda")
        where = known(self.model.forward, cache_position=place, logits_to_keep=1)
        out = self.model(self.text, past_key_values=self.cache, position_ids=place[None], use_cache=True, **where)
        self.ids.copy_(out.logits[:, -1].argmax(-1, keepdim=True))
        self.position.fill_(self.prompt)

    def record(self, work):
        """A CUDA graph of it, after some runs on another stream, as torch asks for."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay

    def timed(self, work):
        self.torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        self.torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3

    def run(self):
        """Milliseconds: of each way to take the prompt, and of a decode step."""
        found = {name: statistics.median(self.timed(work) for _ in range(PREFILLS)) for name, work in self.prefills.items()}
        self.begin()
        steps = [self.timed(self.step) for _ in range(self.new - 1)]
        return {"prefill": found, "decode": statistics.median(steps)}

    def about(self):
        import transformers

        torch = self.torch
        skips = torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]
        return {
            "gpu": torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "note": self.note + (f"torch left out {skips} graphs" if skips else ""),
        }


def serve(a):
    """One line of JSON when it is ready, one for each line that is read. What libraries print goes elsewhere."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        import torch

        if not torch.cuda.is_available():
            raise RuntimeError("torch sees no GPU")
        theirs = Theirs(a.worker, shape_of(a.bench, a.model), a.prompt, a.new)
        print(json.dumps(theirs.about()), file=answers)
        for _ in sys.stdin:
            print(json.dumps(theirs.run()), file=answers)
    except Exception as why:  # whatever a version of theirs refuses
        print(json.dumps({"why": reason(why)}), file=answers)


class Worker:
    def __init__(self, way, argv):
        command = [sys.executable, __file__, *argv, "--worker", way]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            said = json.loads(line)
        else:
            said = {"why": f"its process ended with code {self.process.wait()}"}
        if "why" in said:
            raise RuntimeError(said["why"])
        return said

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# --- ours ---------------------------------------------------------------------------------------------------------------------


def times_of(document):
    """Milliseconds in the JSON of `bench show`."""
    trial = document["trials"][0]
    return {"prefill": trial["prefill"]["ms"]["median"], "decode": trial["decode"]["ms"]["median"]}


def ours(a, backend="cuda"):
    with tempfile.TemporaryDirectory() as folder:
        db = folder + "/x.db"
        command = [a.bench, "run", str(SUITE), "--backend", backend, "--model", a.model, "--db", db]
        command += ["--report", folder + "/x.html", "--record", folder + "/x.md", "--probe", "clock", "--set", "expect=[]"]
        command += ["--set", "matrix={prompt_tokens: [%d]}" % a.prompt, "--set", "workload.new_tokens=%d" % a.new]
        command += ["--set", "measure.budget_s=10", "--set", "measure.roof_ms=10"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"bench run ends with exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        shown = subprocess.run([a.bench, "show", "last", "--json", "--db", db], check=True, stdout=subprocess.PIPE, text=True)
    return times_of(json.loads(shown.stdout))


# --- both ---------------------------------------------------------------------------------------------------------------------


def conclude(rounds):
    """Their fastest way by its median, and the ratios of its rounds: {phase: {way, theirs, ours, ratio, least, most}}."""
    by_way = {"prefill": {}, "decode": {}}
    for r in rounds:
        for name, ms in r["theirs"]["prefill"].items():
            by_way["prefill"].setdefault(name, []).append((ms, r["ours"]["prefill"]))
        by_way["decode"].setdefault(r["way"], []).append((r["theirs"]["decode"], r["ours"]["decode"]))
    found = {}
    for phase, ways in by_way.items():
        if not ways:
            continue
        way = min(ways, key=lambda w: statistics.median(t for t, _ in ways[w]))
        ratios = sorted(t / o for t, o in ways[way])
        found[phase] = {
            "way": way,
            "theirs": statistics.median(t for t, _ in ways[way]),
            "ours": statistics.median(o for _, o in ways[way]),
            "ratio": statistics.median(ratios),
            "least": ratios[0],
            "most": ratios[-1],
        }
    return found


def one_way(way, a, argv, result):
    worker = Worker(way, argv)
    result["about"][way] = worker.about
    print(f"{way}: {worker.about['gpu']}, torch {worker.about['torch']}, transformers {worker.about['transformers']} {worker.about['note']}")
    for i in range(a.rounds):
        first = "ours" if i % 2 else "theirs"
        o = ours(a) if first == "ours" else None
        t = worker.run()
        o = o or ours(a)
        result["rounds"].append({"way": way, "first": first, "theirs": t, "ours": o})
        took = "".join("; prefill %s %.3f against %.3f ms" % (name, ms, o["prefill"]) for name, ms in t["prefill"].items())
        print("  round %d, %s first: decode step %.4f against %.4f ms%s" % (i + 1, first, t["decode"], o["decode"], took))
    worker.close()


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="./bench")
    parser.add_argument("--model", default="tinyllama-1.1b")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=64, help="at least 8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write what was measured here, too")
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    a = parser.parse_args(argv)
    if a.prompt < 1 or a.new < 8 or a.rounds < 1:
        parser.error("--prompt and --rounds are 1 or more, --new is 8 or more")
    return a


def main(argv):
    a = arguments(argv)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if a.worker:
        return serve(a)
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as why:
        print(f"nothing to compare with: {why}")
        return 77
    shape_of(a.bench, a.model)
    sys.stdout.reconfigure(line_buffering=True)
    result = {"format": "bench-compare/1", "model": a.model, "prompt": a.prompt, "new": a.new, "about": {}, "rounds": [], "left_out": {}}
    for way in WAYS:
        try:
            one_way(way, a, argv, result)
        except (RuntimeError, OSError) as why:
            result["left_out"][way] = str(why)
            print(f"{way} is left out: {why}")
        result["result"] = conclude(result["rounds"])
        if a.json:
            pathlib.Path(a.json).write_text(json.dumps(result, indent=2) + "\n")
    for phase, r in result["result"].items():
        print(
            f"{a.model}, prompt {a.prompt}, {phase}: theirs ({r['way']}) {r['theirs']:.4f} ms, ours {r['ours']:.4f} ms, "
            f"theirs / ours {r['ratio']:.3f} ({r['least']:.3f} to {r['most']:.3f})"
        )
    if not result["rounds"]:
        print("nothing to compare with: " + "; ".join(f"{w}: {why}" for w, why in result["left_out"].items()))
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
