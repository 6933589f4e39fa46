"""Compare what `tflite.inspect` says of many files with what LiteRT's GPU delegate does with them.

python tools/delegate_table.py             the small forms, and every network of the contract at six sizes
python tools/delegate_table.py --forms     the forms alone (a minute)
python tools/delegate_table.py --networks fcn8s crf_rnn    these networks alone, by their contract names

Each network is reported when it is done, so that a run that was stopped goes on with --networks.

The files are those of tests/tflite_forms.py, as drawn and as `convert` would repair them, and of
tests/contract.py. Exits with 1 where `inspect` calls a file fine that the delegate refuses or computes
wrongly, or where it warns of more than 1 % of the files that are fine.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402

from segcourse import tflite  # noqa: E402
from segcourse.tflite.gpu import run_each_on_gpu_delegate  # noqa: E402
from segcourse.tflite.repair import repaired  # noqa: E402

SIZES = ((96, 128), (97, 131), (180, 240), (257, 257), (321, 321), (360, 480))
FALSE_ALARMS = 0.01
LARGEST_DIFFERENCE = 1e-3  # of the range of the CPU's values


def on_cpu(content, values):
    """Outputs of a file's bytes on the CPU, by their names in the signature."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    return runner(**{next(iter(runner.get_input_details())): values})


def disagrees(expected, outcome):
    """Why an outcome of the delegate is not the CPU's, in words; empty if it is."""
    if isinstance(outcome, tflite.GpuDelegateError):
        return str(outcome).partition(": ")[2]
    for name, values in expected.items():
        exact, found = values.astype(np.float64), outcome[name].astype(np.float64)
        scale = np.ptp(exact) or np.abs(exact).max() or 1
        difference = np.abs(exact - found).max() / scale
        if not difference <= LARGEST_DIFFERENCE:  # not "more": it may be NaN
            return f"{name} differs by {difference:.1g} of its range"
    return ""


def is_same_network(expected, outcome):
    """The same for a whole network, where a near-tie of a pooling index may move single values."""
    if isinstance(outcome, tflite.GpuDelegateError):
        return disagrees(expected, outcome)
    return "; ".join(tflite.agreement(expected["logits"], outcome["logits"]).failures())


def forms(folder):
    """[(name, file, input, judge)] of every small form, as drawn and repaired."""
    from tflite_forms import FORMS, image

    files = []
    for number, (name, form) in enumerate(FORMS.items()):
        content = form.content()
        for kind, made in (("", content), (" (repaired)", repaired(content))):
            if kind and made is content:
                continue
            path = folder / f"form{number}{bool(kind)}.tflite"
            path.write_bytes(made)
            files.append((name + kind, path, image(form.shape), disagrees))
    return files


def network(case, folder):
    """[(name, file, input, judge)] of one of the contract's networks at six sizes."""
    from contract import randomized
    from helpers import noise

    files, model = [], case.part_for_phone(randomized(case))
    for size in dict.fromkeys(fitting(case, size) for size in SIZES):
        path = folder / f"{case.id}-{size[0]}x{size[1]}.tflite"
        tflite.convert(model, path, size)
        files.append((path.stem, path, noise(size).astype(np.float32), is_same_network))
    return files


def fitting(case, size):
    """The size itself; for U-Net without padding the next larger one: 188, 204, 220, ..."""
    if not case.margin:
        return size
    return tuple(max(case.minimum, side + (case.minimum - side) % 16) for side in size)


def judged(files):
    """(what `inspect` says, what the delegate does) of each file, counted; prints each disagreement."""
    table = Counter()
    outcomes = run_each_on_gpu_delegate((path, values) for _, path, values, _ in files)
    for (name, path, values, judge), outcome in zip(files, outcomes, strict=True):
        why = judge(on_cpu(path.read_bytes(), values), outcome)
        said = "ok" if tflite.inspect(path).gpu_ready else "NOT"
        table[said, "BAD" if why else "fine"] += 1
        if (said == "ok") == bool(why):
            print(f"inspect says {said}: {name}. {why}", flush=True)
    return table


def show(table):
    """Print the table; True if nothing is called fine that is not, and alarms are rare."""
    print(f"{'':12}{'fine':>8}{'BAD':>8}   on the delegate")
    for said in ("ok", "NOT"):
        print(f"inspect {said:4}{table[said, 'fine']:8}{table[said, 'BAD']:8}")
    alarms = table["NOT", "fine"] / max(1, table["NOT", "fine"] + table["ok", "fine"])
    print(f"{table['ok', 'BAD']} false ok; {alarms:.1%} of the fine files get a false alarm")
    return table["ok", "BAD"] == 0 and alarms <= FALSE_ALARMS


def main():
    """Command line entry: print the table and every disagreement."""
    from contract import CASES

    known = {case.id: case for case in CASES}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forms", action="store_true", help="the small forms alone")
    parser.add_argument(
        "--networks", nargs="+", choices=known, metavar="NAME", help=f"these alone, of {', '.join(known)}"
    )
    arguments = parser.parse_args()
    table = Counter()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.networks:
            table += judged(forms(Path(folder)))
            print(f"small forms: {table.total()} files", flush=True)
    for name in () if arguments.forms else arguments.networks or known:
        with tempfile.TemporaryDirectory() as folder:
            counts = judged(network(known[name], Path(folder)))
        print(f"{name}:", *(f"{n} x inspect {said}, {did}" for (said, did), n in counts.items()), flush=True)
        table += counts
    sys.exit(0 if show(table) else 1)


if __name__ == "__main__":
    main()
