"""The scores of a model as one HTML file with its pictures in it: to read, to keep, to send to somebody."""

import base64
import html
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcourse.datasets.labels import VOID, LabelSpec
from segcourse.runs.files import reserve
from segcourse.runs.identity import HISTORY
from segcourse.runs.scoring import confusions

WORST = 24  # pictures in the report
SIDE = 360  # pixels of the longer side of a picture in it

_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dde3ea; --ground: #f6f8fa; --card: #fff; --mark: #0072b2 }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1160px; margin: 0 auto; padding: 32px 24px 64px }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 20px; margin: 40px 0 8px }
p { margin: 0 0 12px; max-width: 75ch } .soft { color: var(--soft) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 20px }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
           margin: 20px 0 }
.numbers b { display: block; font-size: 28px; line-height: 1.2; font-variant-numeric: tabular-nums }
.numbers span { color: var(--soft); font-size: 14px }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th { font-weight: 600; text-align: left } td, th { padding: 5px 10px; white-space: nowrap }
.classes { width: 100% } .classes td, .classes th { border-bottom: 1px solid var(--line) }
.classes tr:last-child td { border-bottom: 0 }
.right { text-align: right } .bar { width: 45%; min-width: 140px }
.bar i { display: block; height: 12px; border-radius: 3px; background: var(--mark) }
.bar div { background: #e8edf2; border-radius: 3px }
.swatch { display: inline-block; width: 14px; height: 14px; border-radius: 3px; margin-right: 8px;
          border: 1px solid #0003; vertical-align: -2px }
.matrix td { text-align: center; min-width: 44px; border: 1px solid #fff }
.matrix th { font-size: 14px } .matrix .turned { height: 110px; vertical-align: bottom; padding: 4px }
.matrix .turned div { writing-mode: vertical-rl; transform: rotate(180deg); margin: 0 auto }
.pictures { display: grid; gap: 16px }
figure { margin: 0 } figcaption { margin-bottom: 8px }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px }
.row img { width: 100%; display: block; border-radius: 4px; image-rendering: pixelated }
.row span { font-size: 13px; color: var(--soft) }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 16px }
svg { width: 100%; height: auto; display: block } svg text { font: 12px system-ui, "DejaVu Sans", sans-serif }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px }
@media (max-width: 700px) { .row { grid-template-columns: repeat(2, 1fr) }
                            .curves { grid-template-columns: 1fr } }
"""


def write_report(
    folder: str | os.PathLike,
    model: str | os.PathLike,
    origin: Mapping[str, Any],
    spec: LabelSpec,
    pictures: Sequence[tuple[np.ndarray, np.ndarray]],
    predicted: Sequence[np.ndarray],
    scores: Mapping[str, Any],
    names: Sequence[str] | None = None,
) -> Path:
    """Write `folder/report.html`, which needs no other file and no network.

    Args:
        folder: it is made.
        model: the file that was scored; curves are drawn of a `history.json` beside it.
        origin: dict of `model`, `data`, `split`, as they are to be shown.
        spec: of the classes.
        pictures: pairs of an image uint8 [H, W, 3] and its true labels uint8 [H, W].
        predicted: the labels of the model.
        scores: of `score`.
        names: of the pictures; their number in the split without.

    Returns:
        the path of the file.

    Raises:
        DiskFull: there is no room for it.
    """
    true = (labels for _, labels in pictures)
    each = list(confusions(zip(true, predicted, strict=True), len(spec)))
    parts = [
        _head(origin, len(pictures), scores),
        _class_table(spec, scores["iou"], sum(each)),
        _matrix(spec, sum(each)),
        _curves(Path(model).with_name(HISTORY)),
        _pictures(spec, names or [f"number {i}" for i in range(len(pictures))], pictures, predicted, each),
    ]
    title = html.escape(f"{origin['model']} on {origin['data']} {origin['split']}")
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )
    path = Path(folder) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = page.encode("utf-8", "replace")
    reserve(path, len(content))
    path.write_bytes(content)
    return path


def _head(origin, count, scores):
    names = {
        "miou": "mean IoU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean class accuracy",
        "fwiou": "frequency-weighted IoU", "boundary_f1": "boundary F1",
    }  # fmt: skip
    numbers = "".join(
        f'<div class="card"><b>{_number(scores[key])}</b><span>{text}</span></div>'
        for key, text in names.items()
    )
    what = html.escape(f"{origin['data']}, split {origin['split']}: {count} picture{'s' * (count != 1)}")
    title = html.escape(origin["model"])
    return f'<h1>{title}</h1><p class="soft">{what}</p><div class="numbers">{numbers}</div>'


def _number(value):
    value = float(np.mean(value)) if np.ndim(value) == 0 else float(np.nanmean(value))
    return "–" if value != value else f"{value:.3f}"


def _swatch(spec, index):
    color = "#000000" if index == VOID else "#" + bytes(spec.palette[index]).hex()
    return f'<span class="swatch" style="background:{color}"></span>'


def _class_table(spec, ious, counts):
    truth, said, hit = counts.sum(1), counts.sum(0), counts.diagonal()
    rows = []
    for index, (name, iou) in enumerate(zip(spec.classes, ious, strict=True)):
        share = truth[index] / max(truth.sum(), 1)
        cells = [_percent(share), _ratio(hit[index], truth[index]), _ratio(hit[index], said[index])]
        bar = f'<div><i style="width:{0 if iou != iou else 100 * iou:.1f}%"></i></div>'
        rows.append(
            f"<tr><td>{_swatch(spec, index)}{html.escape(name)}</td>"
            + "".join(f'<td class="right">{cell}</td>' for cell in cells)
            + f'<td class="right"><b>{"absent" if iou != iou else f"{iou:.3f}"}</b></td>'
            f'<td class="bar">{bar}</td></tr>'
        )
    heads = ("share of pixels", "found", "of those named so, right", "IoU")
    head = "<th>class</th>" + "".join(f'<th class="right">{text}</th>' for text in heads) + "<th></th>"
    return (
        "<h2>Classes</h2><p class=soft>Found: share of the class's pixels that the model names so (recall). "
        "Right: share of the pixels named so that are of the class (precision).</p>"
        f'<div class="card scroll"><table class="classes"><tr>{head}</tr>{"".join(rows)}</table></div>'
    )


def _percent(share):
    return f"{100 * share:.1f} %"


def _ratio(part, whole):
    return _percent(part / whole) if whole else "–"


def _matrix(spec, counts):
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    turned = "".join(f'<th class="turned"><div>{html.escape(name)}</div></th>' for name in spec.classes)
    rows = []
    for name, row, total in zip(spec.classes, shares, counts.sum(1), strict=True):
        cells = "".join(_cell(share, total) for share in row)
        rows.append(f'<tr><th class="right">{html.escape(name)}</th>{cells}</tr>')
    return (
        "<h2>Who is taken for whom</h2><p class=soft>Of the pixels of each true class (a row), percent that "
        "the model gives to each class (a column). The diagonal is right.</p>"
        f'<div class="card scroll"><table class="matrix"><tr><th></th>{turned}</tr>{"".join(rows)}'
        "</table></div>"
    )


def _cell(share, total):
    if not total:
        return '<td style="background:#f0f2f5;color:#5b6675">–</td>'
    # From white to a blue that white text can be read on.
    color = [round(255 + (end - 255) * share) for end in (0, 82, 140)]
    ink = "#fff" if share > 0.55 else "#1c2430"
    return f'<td style="background:rgb{tuple(color)};color:{ink}">{100 * share:.0f}</td>'


def _curves(path):
    """Loss and mean IoU over the epochs, as drawings; nothing where there is no history or it is damaged."""
    try:
        history = json.loads(path.read_text())["history"]
        panels = [
            _panel(title, [(name, history[key]) for name, key in lines if history.get(key)])
            for title, lines in (
                ("loss", (("training", "loss"), ("validation", "val_loss"))),
                ("mean IoU", (("training", "miou"), ("validation", "val_miou"))),
            )
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f'<h2>The run</h2><div class="curves">{"".join(panels)}</div>'


def _panel(title, lines):
    width, height, left, right, top, bottom = 520, 260, 48, 96, 30, 34
    count = max(len(values) for _, values in lines)
    low = min(0.0, *(min(values) for _, values in lines))
    high = max(max(values) for _, values in lines) * 1.05 or 1.0

    def place(index, value):
        x = left + (width - left - right) * (index / max(count - 1, 1))
        return x, height - bottom - (height - top - bottom) * (value - low) / (high - low)

    drawn = [f'<text x="{left}" y="18" font-weight="600">{title}</text>']
    for value in np.linspace(low, high / 1.05, 5):
        y = place(0, value)[1]
        drawn.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dde3ea"/>')
        drawn.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#5b6675">{value:.2f}</text>'
        )
    for index in sorted({0, count // 2, count - 1}):
        x = place(index, low)[0]
        drawn.append(
            f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle" fill="#5b6675">{index + 1}</text>'
        )
    drawn.append(f'<text x="{width - right + 14}" y="{height - 12}" fill="#5b6675">epoch</text>')
    ends = [place(len(values) - 1, values[-1])[1] for _, values in lines]
    if len(ends) == 2 and abs(ends[0] - ends[1]) < 14:  # the names would lie over each other
        middle, first = sum(ends) / 2, ends[0] <= ends[1]
        ends = [middle + (-7 if first else 7), middle + (7 if first else -7)]
    for (name, values), y in zip(lines, ends, strict=True):
        color, dashes = ("#0072b2", "") if name == "validation" else ("#d55e00", ' stroke-dasharray="6 4"')
        points = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in enumerate(values))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5"{dashes}/>')
        if count == 1:
            drawn.append(
                '<circle cx="{:.1f}" cy="{:.1f}" r="4" fill="{}"/>'.format(*place(0, values[0]), color)
            )
        drawn.append(f'<text x="{width - right + 8}" y="{y + 4:.1f}" fill="{color}">{name}</text>')
    words = ", ".join(f"{name} from {values[0]:.3f} to {values[-1]:.3f}" for name, values in lines)
    return (
        f'<div class="card"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{title} over {count} '
        f'epochs: {words}">{"".join(drawn)}</svg></div>'
    )


def _pictures(spec, names, pictures, predicted, each):
    right = [counts.diagonal().sum() / max(counts.sum(), 1) if counts.sum() else np.nan for counts in each]
    order = np.argsort(right, kind="stable")[:WORST]  # NaN, a picture without truth, goes last
    worst = [(*pictures[index], predicted[index]) for index in order]
    shown = {int(i) for _, *both in worst for ids in both for i in np.unique(ids)}
    classes = [(i, spec.classes[i]) for i in sorted(shown) if i < len(spec)]
    classes += [(VOID, "void")] * (VOID in shown)
    legend = "".join(f"<span>{_swatch(spec, i)}{html.escape(name)}</span>" for i, name in classes)
    rows = [
        _row(f"{place}. {names[index]}", right[index], spec, *maps)
        for place, (index, maps) in enumerate(zip(order, worst, strict=True), 1)
    ]
    count = f"the {len(order)} worst of {len(each)}" if len(order) < len(each) else f"all {len(each)}"
    return (
        f'<h2>Pictures, the worst first</h2><p class="soft">By the share of labelled pixels that are right; '
        f'{count}.</p><div class="legend">{legend}</div><div class="pictures">{"".join(rows)}</div>'
    )


def _row(title, right, spec, image, truth, predicted):
    wrong = (truth != predicted) & (truth != VOID)
    pale = 255 - (255 - image.mean(-1, keepdims=True)) * 0.35
    errors = np.where(wrong[..., None], (200, 30, 0), pale).astype(np.uint8)
    kinds = {
        "picture": image, "truth": spec.colorize(truth), "prediction": spec.colorize(predicted),
        "errors, in red": errors,
    }  # fmt: skip
    cells = "".join(
        f'<div><img alt="{name} of {html.escape(title)}" src="{_inline(pixels, name == "picture")}">'
        f"<span>{name}</span></div>"
        for name, pixels in kinds.items()
    )
    score = "no labelled pixel" if right != right else f"{100 * right:.1f} % right"
    return (
        f'<figure class="card"><figcaption><b>{html.escape(title)}</b> · {score}</figcaption>'
        f'<div class="row">{cells}</div></figure>'
    )


def _inline(pixels, photograph):
    """A picture as a data URL: photographs as JPEG, maps as PNG, for their colours mean something."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    scale = SIDE / max(picture.size)
    if scale < 1:
        size = [max(1, round(side * scale)) for side in picture.size]
        how = Image.Resampling.BILINEAR if photograph else Image.Resampling.NEAREST
        picture = picture.resize(size, how)
    kind, options = ("JPEG", {"quality": 88}) if photograph else ("PNG", {"optimize": True})
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
