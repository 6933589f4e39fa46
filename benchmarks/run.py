"""The course's U-Net against the same network in PyTorch, on this machine's CPU: `make benchmark`.

Expected: a table of milliseconds an image, memory and ratios in about 8 minutes on two cores; leave the
machine alone meanwhile. First both networks are shown to be the same: equal weights give equal logits and
equal losses of two training steps. Then each case (size, precision, training or inference) runs in processes
of its own, one for us and one for each variant of PyTorch, which take turns; the faster variant counts.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import worker

from segcourse.training import environment

HERE = Path(__file__).parent
CPU_INFO = Path("/proc/cpuinfo")
README = HERE.parent / "README.md"
PEER_PYTHON = HERE.parent / ".venv-benchmark" / "bin" / "python"
WIDTHS, PRECISIONS, MODES = (0.25, 1.0), ("fp32", "bf16"), ("training", "inference")
VARIANTS = ("eager", "compile")  # of PyTorch
LOGITS_APART = 1e-4  # in parts of the largest logit
# In parts of the loss, for the first step and the second: Adam's first step makes rounding larger.
LOSSES_APART = (1e-4, 1e-3)
KINDS = {"amx": "amx_bf16", "avx512": "avx512f", "avx2": "avx2"}  # the best first, by their flags
HOPELESS = 1.3  # a variant of PyTorch that is so much slower than the other after warming up is not measured


def processor_kind():
    """What the processor computes with: "amx", "avx512", "avx2" or another. Each has its own results."""
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").lower().partition("_")[0]
    if platform.machine() != "x86_64" or not CPU_INFO.exists():
        return platform.machine()
    flags = CPU_INFO.read_text()
    found = next((k for k, flag in KINDS.items() if flag in flags), "x86_64")
    return allowed if allowed in KINDS else found


class Worker:
    """A process that runs one case of one side and measures when it is told to."""

    def __init__(self, python, script, *arguments):
        self._process = _start(python, script, *arguments)
        hello = self._listen()
        self.about, self.warm_up, self.rounds = hello["about"], hello["warm_up"], []
        self.first_step = hello["first_step_s"]

    def measure(self, seconds):
        self._process.stdin.write(json.dumps({"seconds": seconds}) + "\n")
        self._process.stdin.flush()
        self.rounds.append(self._listen())

    def close(self):
        self._process.communicate()

    def result(self):
        """Milliseconds an image of every round, highest peak memory in MB (None if not known), first step."""
        peaks = [r["peak_mb"] for r in self.rounds if r["peak_mb"]]
        times = [r["ms"] for r in self.rounds]
        return {"ms": times, "peak_mb": max(peaks, default=None), "first_step_s": self.first_step}

    def _listen(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A worker stopped:\n{_errors(self._process)}")
        return json.loads(line)


def _start(python, script, *arguments):
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, read when the process has failed
    process = subprocess.Popen(
        [str(python), HERE / script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
    )
    process.stderr = errors
    return process


def _errors(process):
    process.wait()
    process.stderr.seek(0)
    return process.stderr.read()[-3000:]


def agreement(width, precision):
    """Whether both sides are the same network: the numbers of `peer.agreement`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.npz"
        for python, script in ((sys.executable, "ours.py"), (PEER_PYTHON, "peer.py")):
            process = _start(python, script, width, precision, "reference", path)
            output = process.communicate()[0]
            if process.returncode:
                raise RuntimeError(f"{script} failed:\n{_errors(process)}")
    return json.loads(output)


def check(found):
    """Refuse to compare the speed of networks that differ."""
    scale = found["largest_logit"]
    apart = max(found["logits_apart"], found["fused_logits_apart"]) / scale
    losses = [abs(a / b - 1) for a, b in zip(found["losses"], found["our_losses"], strict=True)]
    if apart > LOGITS_APART or losses[0] > LOSSES_APART[0] or losses[1] > LOSSES_APART[1]:
        raise RuntimeError(f"The two networks differ: {found}.")


def case(width, precision, mode, rounds, seconds):
    """Measure one case: the processes take turns, `rounds` times for so many seconds each."""
    ours = Worker(sys.executable, "ours.py", width, precision, mode, "")
    peers = {v: Worker(PEER_PYTHON, "peer.py", width, precision, mode, v) for v in VARIANTS}
    fastest = min(peer.warm_up for peer in peers.values())
    for variant in [v for v in peers if peers[v].warm_up > HOPELESS * fastest]:
        peers.pop(variant).close()
    for turn in range(rounds):
        workers = [ours, *peers.values()]
        for side in workers if turn % 2 else reversed(workers):
            side.measure(seconds)
    for side in (ours, *peers.values()):
        side.close()
    best = min(peers, key=lambda v: statistics.median(peers[v].result()["ms"]))
    return {
        "width": width,
        "precision": precision,
        "mode": mode,
        "ours": ours.result(),
        "torch": peers[best].result(),
        "torch_variant": best,
        "torch_others": {v: peer.result() for v, peer in peers.items() if v != best},
        "about": {**ours.about, **peers[best].about},
    }


def ratio(row):
    """PyTorch's time divided by ours in each round: (median, least, greatest); above 1 we are faster."""
    ratios = [t / o for o, t in zip(row["ours"]["ms"], row["torch"]["ms"], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def table(results):
    """The results as Markdown."""
    lines = [
        "| weights | precision | | ours, ms an image | PyTorch, ms an image | PyTorch / ours | memory, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["cases"]:
        ours, peer = (statistics.median(row[side]["ms"]) for side in ("ours", "torch"))
        memory = [row[side]["peak_mb"] for side in ("ours", "torch")]
        middle, low, high = ratio(row)
        cells = [
            f"{row['about']['weights'] / 1e6:.1f} M",
            row["precision"],
            row["mode"],
            _time(ours),
            f"{_time(peer)} ({row['torch_variant']})",
            f"**{middle:.2f}** ({low:.2f} to {high:.2f})",
            " and ".join(f"{mb / 1024:.1f}" for mb in memory) if all(memory) else "not known",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(ms):
    return f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def caption(results):
    """On what the results were measured."""
    found = results["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return f"Measured on {found['cores']} cores of {found['cpu']} ({packages}):"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--widths", type=float, nargs="*", default=WIDTHS, help="1 is the paper's 31 M weights"
    )
    parser.add_argument("--precisions", nargs="*", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each process (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn (default: 1)")
    parser.add_argument("--add", action="store_true", help="keep what --out holds of other cases")
    parser.add_argument(
        "--out", type=Path, default=HERE / f"unet-{processor_kind()}.json", help="the JSON file to write"
    )
    options = parser.parse_args()
    same = {}
    for width, precision in itertools.product(options.widths, options.precisions):
        found = same[f"{width} {precision}"] = agreement(width, precision)
        if precision == "fp32":
            check(found)
        print(f"width {width} {precision}: logits up to {found['largest_logit']:.1f}, "
              f"at most {found['logits_apart']:.1g} apart", flush=True)  # fmt: skip
    cases = []
    for width, precision, mode in itertools.product(options.widths, options.precisions, options.modes):
        cases.append(case(width, precision, mode, options.rounds, options.seconds))
        print(table({"cases": cases[-1:]}).splitlines()[-1], flush=True)
    results = {"environment": environment(), "settings": settings(options), "agreement": same, "cases": cases}
    if options.add and options.out.exists():
        results = added(json.loads(options.out.read_text()), results)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print("\n" + table(results))
    README.write_text(shown(README.read_text(), options.out.name, results))


def added(old, new):
    """The old results with the new ones in their place; both must be of one machine and one setting."""
    if any(old[key] != new[key] for key in ("environment", "settings")):
        raise RuntimeError("The stored results are of another machine or other settings: measure all cases.")
    fresh = {_key(row): row for row in new["cases"]}
    cases = [fresh.pop(_key(row), row) for row in old["cases"]] + list(fresh.values())
    return {**new, "agreement": old["agreement"] | new["agreement"], "cases": cases}


def _key(row):
    return row["width"], row["precision"], row["mode"]


def shown(text, name, results):
    """The README's text with these results in the place of those it shows of the file `name`."""
    return replaced(text, name, caption(results), table(results))


def replaced(text, mark, *paragraphs):
    """A page with these paragraphs in the place of those between `mark` and an end, if it has the mark."""
    begin, end = f"<!-- benchmarks/{mark} -->", "<!-- end -->"
    before, found, rest = text.partition(begin)
    inside = "\n\n".join(paragraphs)
    return f"{before}{begin}\n{inside}\n\n{end}{rest.partition(end)[2]}" if found else text


def settings(options):
    return {
        "batch": [worker.BATCH, worker.HEIGHT, worker.WIDTH, 3],
        "classes": worker.CLASSES,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "instruction_set": os.environ.get("ONEDNN_MAX_CPU_ISA", "all that the processor has"),
    }


if __name__ == "__main__":
    main()
