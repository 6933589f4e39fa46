"""The course's dense CRF against the C++ library by its wrapper pydensecrf2: a part of `make benchmark`.

Expected: three tables in about 5 minutes on two cores; leave the machine alone meanwhile. Speed and agreement
on the same pictures and probabilities, our side on all cores and on one, theirs on one (it has no threads);
how both scale with size and classes; and how near both are to the exact kernel, where that can be computed.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from crf_worker import ITERATIONS, SETTINGS
from run import PEER_PYTHON, README, Worker, caption, processor_kind, replaced

from segcourse.datasets import camvid, toycam
from segcourse.training import environment

HERE = Path(__file__).parent
SIDES = {"ours": ("crf_ours.py", 0), "one_core": ("crf_ours.py", 1), "theirs": ("crf_peer.py", 1)}
SIZES, CLASSES = ((120, 160), (240, 320), (375, 500), (480, 640)), (2, 21)
SMALL = (60, 80)  # here the exact kernel has 23 million entries
AGREE = {"same_labels": 0.995, "marginals_apart": 0.01}  # the goal, of issue 4


def like_a_network(labels, classes, seed):
    """Probabilities float32 [H, W, C] such as a network of stride 8 gives: blurred, uncertain, upsampled."""
    from keras import ops

    truth = np.eye(classes, dtype="float32")[np.where(labels < classes, labels, 0)]
    height, width = labels.shape
    padded = np.pad(truth, [(0, -height % 8 + 8), (0, -width % 8 + 8), (0, 0)], mode="edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8, classes).mean((1, 3))
    logits = 1.5 * np.log(blocks + 0.02)
    logits += np.random.default_rng(seed).normal(0, 0.7, logits.shape)
    fine = ops.image.resize(logits[None].astype("float32"), padded.shape[:2])[:, :height, :width]
    return ops.convert_to_numpy(ops.softmax(fine))[0]


def scenes(size, classes, count):
    """ToyCam's scenes at this size, and the probabilities."""
    pairs = [toycam.scene(2, index, size) for index in range(count)]
    return [p.image for p in pairs], [like_a_network(p.labels, classes, i) for i, p in enumerate(pairs)]


def photographs(count):
    """CamVid's photographs of 360x480 and the probabilities; raises DataError where they are not there."""
    images, labels = camvid.load("val")
    chosen = np.linspace(0, len(images) - 1, count).astype(int)
    return images[chosen], [like_a_network(labels[i], 11, int(i)) for i in chosen]


def stored(folder, images, probabilities):
    path = Path(folder) / "pictures.npz"
    np.savez(path, images=np.stack(images), probabilities=np.stack(probabilities))
    return path


def case(name, images, probabilities, options, sides=SIDES):
    """Measure one set of pictures: the processes take turns."""
    with tempfile.TemporaryDirectory() as folder:
        workers, results = {}, {}
        for side in sides:
            script, cores = SIDES[side]
            (place := Path(folder) / side).mkdir()
            path = stored(place, images, probabilities)
            python = PEER_PYTHON if side == "theirs" else sys.executable
            workers[side] = Worker(python, script, cores, path)
            results[side] = np.load(f"{path}.npy")
        for turn in range(options.rounds):
            order = list(workers.values())
            for worker in order if turn % 2 else reversed(order):
                worker.measure(options.seconds)
        for worker in workers.values():
            worker.close()
    return {
        "name": name,
        "size": list(images[0].shape[:2]),
        "classes": int(probabilities[0].shape[-1]),
        "pictures": len(images),
        **{side: numbers(worker) for side, worker in workers.items()},
        "agreement": agreement(results["ours"], results["theirs"], np.stack(probabilities)),
        "about": {**workers["ours"].about, **workers["theirs"].about},
    }


def numbers(worker):
    """Milliseconds of each round by part, and the highest peak of memory in MB."""
    parts = {part: [turn[part] for turn in worker.rounds] for part in ("setup", "inference", "whole")}
    return {**parts, "peak_mb": max((turn["peak_mb"] or 0) for turn in worker.rounds) or None}


def agreement(ours, theirs, before):
    """How far two results are the same, and how much of the labelling the CRF changed at all."""
    return {
        "same_labels": float((ours.argmax(-1) == theirs.argmax(-1)).mean()),
        "marginals_apart": float(abs(ours - theirs).mean()),
        "changed": float((theirs.argmax(-1) != before.argmax(-1)).mean()),
    }


def check(found):
    """Refuse to compare the speed of two inferences that differ."""
    same, apart = found["same_labels"], found["marginals_apart"]
    if same < AGREE["same_labels"] or apart > AGREE["marginals_apart"]:
        raise RuntimeError(f"The two CRFs differ: {found}; needed is {AGREE}.")


def against_the_exact_kernel(images, probabilities, options):
    """Both libraries, and our variants, against mean field with full kernel matrices."""
    from keras import ops

    from segcourse.layers import crf

    theirs = results_of("theirs", images, probabilities)
    height, width = images[0].shape[:2]
    rows = {}
    for how, index in itertools.product(("symmetric", "after"), range(len(images))):
        image, logits = images[index][None], np.log(np.maximum(probabilities[index][None], 1e-10))
        features = crf.bilateral_features(image, SETTINGS["sigma_xy"], SETTINGS["sigma_rgb"])
        bilateral = {
            "exact": crf.ExactFilter(features),
            "lattice": crf.BilateralFilter(image, SETTINGS["sigma_xy"], SETTINGS["sigma_rgb"]),
        }
        spatial = crf.SpatialFilter(height, width, SETTINGS["sigma_spatial"])
        found = {}
        for kind, kernel in bilateral.items():
            pairs = [(SETTINGS["w_bilateral"], kernel), (SETTINGS["w_spatial"], spatial)]
            pairs = [(weight, crf.normalized(k, logits, how)) for weight, k in pairs]
            scores = crf.mean_field(logits, pairs, iterations=ITERATIONS)
            found[kind] = ops.convert_to_numpy(ops.softmax(scores))[0]
        pair = [found["lattice"]] + ([theirs[index]] if how == "symmetric" else [])
        for side, result in zip(("ours", "theirs"), pair, strict=False):
            measured = agreement(result, found["exact"], probabilities[index])
            rows.setdefault((how, side), []).append({**measured, **kernel_error(bilateral, how)})
    return [
        {"normalization": how, "side": side, **{k: statistics.mean(r[k] for r in runs) for k in runs[0]}}
        for (how, side), runs in rows.items()
    ]


def results_of(side, images, probabilities):
    """What one side makes of the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, images, probabilities)
        worker = Worker(PEER_PYTHON if side == "theirs" else sys.executable, *SIDES[side], path)
        worker.close()
        return np.load(f"{path}.npy")


def kernel_error(filters, how, rows=64):
    """The lattice's kernel against the exact one, by some of its columns.

    Returns:
        shape_error: half the sum of absolute differences of the normalised columns, 0 (equal) to 1 (apart).
        factor: the lattice's sums divided by the exact ones.
    """
    kernel = np.asarray(filters["exact"].kernel)[0]
    count = len(kernel)
    chosen = np.random.default_rng(0).choice(count, rows, replace=False)
    impulses = np.zeros((count, rows), "float32")
    impulses[chosen, range(rows)] = 1
    found = np.asarray(filters["lattice"].lattice(impulses))
    wanted = kernel[:, chosen]
    apart = abs(found / found.sum(0) - wanted / wanted.sum(0)).sum(0) / 2
    return {"shape_error": float(apart.mean()), "factor": float((found.sum(0) / wanted.sum(0)).mean())}


def median(row, side, part="whole"):
    return statistics.median(row[side][part])


def ratio(row, side="ours"):
    """Their time divided by ours in each round: (median, least, greatest); above 1 we are faster."""
    ratios = [t / o for o, t in zip(row[side]["whole"], row["theirs"]["whole"], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def speed_table(results):
    """The comparison as Markdown."""
    lines = [
        "| picture | classes | ours, ms | on one core | C++, ms | C++ / ours | on one core "
        "| same labels | marginals apart | memory, GB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["cases"]:
        found, memory = row["agreement"], [row[side]["peak_mb"] for side in ("ours", "theirs")]
        cells = [f"{row['name']}, {row['size'][1]}x{row['size'][0]}", str(row["classes"])]
        for side in ("ours", "one_core", "theirs"):
            parts = [f"{median(row, side, part):.0f}" for part in ("setup", "inference")]
            cells.append(f"{median(row, side):.0f} ({' + '.join(parts)})")
        cells += [f"**{ratio(row)[0]:.2f}** ({ratio(row)[1]:.2f} to {ratio(row)[2]:.2f})"]
        cells += [f"{ratio(row, 'one_core')[0]:.2f}"]
        cells += [f"{100 * found['same_labels']:.2f} %", f"{found['marginals_apart']:.1e}"]
        cells += [" and ".join(f"{mb / 1024:.1f}" for mb in memory) if all(memory) else "not known"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def scaling_table(results):
    """Milliseconds by size and classes as Markdown: ours / C++."""
    lines = [
        "| size | " + " | ".join(f"{c} classes" for c in CLASSES) + " |",
        "|---|" + "---|" * len(CLASSES),
    ]
    for size in SIZES:
        rows = {row["classes"]: row for row in results["scaling"] if tuple(row["size"]) == size}
        cells = [
            f"{median(rows[c], 'ours'):.0f} / {median(rows[c], 'theirs'):.0f}" for c in CLASSES if c in rows
        ]
        lines.append(f"| {size[1]}x{size[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy_table(results):
    """Against the exact kernel, as Markdown."""
    lines = [
        "| normalisation | | labels as with the exact kernel | marginals apart | kernel apart | factor |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["accuracy"]:
        own = row["side"] == "ours"
        cells = [row["normalization"], "ours" if own else "C++", f"{100 * row['same_labels']:.2f} %"]
        cells += [f"{row['marginals_apart']:.1e}"]
        cells += [f"{row['shape_error']:.2f}", f"{row['factor']:.2f}"] if own else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {"speed": speed_table, "scaling": scaling_table, "accuracy": accuracy_table}


def shown(text, name, results):
    """A page with these results in the place of those it shows of the file `name`."""
    for part, table in TABLES.items():
        text = replaced(text, f"{name} {part}", caption(results), table(results))
    return text


def settings(options):
    return {**SETTINGS, "iterations": ITERATIONS, "rounds": options.rounds, "seconds": options.seconds}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each process (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn (default: 1.5)")
    parser.add_argument(
        "--out", type=Path, default=HERE / f"crf-{processor_kind()}.json", help="the JSON file to write"
    )
    options = parser.parse_args()
    cases = [
        case("ToyCam", *scenes((375, 500), 21, 4), options),
        case("ToyCam", *scenes((360, 480), 11, 4), options),
    ]
    if camvid.available("val"):
        cases.append(case("photographs", *photographs(8), options))
    for row in cases:
        check(row["agreement"])
    results = {"environment": environment(), "settings": settings(options), "cases": cases}
    print(speed_table(results), flush=True)
    short = argparse.Namespace(rounds=3, seconds=options.seconds / 4)
    results["scaling"] = [
        case("ToyCam", *scenes(size, classes, 1), short, ("ours", "theirs"))
        for size, classes in itertools.product(SIZES, CLASSES)
    ]
    print(scaling_table(results), flush=True)
    results["accuracy"] = against_the_exact_kernel(*scenes(SMALL, 11, 4), options)
    print(accuracy_table(results), flush=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    for page in (README, HERE / "README.md"):
        page.write_text(shown(page.read_text(), options.out.name, results))


if __name__ == "__main__":
    main()
