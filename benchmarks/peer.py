"""The same U-Net in plain PyTorch, at its best settings on a CPU. Run by `run.py`, with `.venv-benchmark`.

Settings: channels_last, Adam's fused kernel, flushed denormals; bfloat16 by autocast in training. For
inference batch normalisation is fused into the convolutions, and "bf16" converts the whole network.
Variants: as it is ("eager"), or by `torch.compile` ("compile"; in inference with inductor's freezing).
"""

import copy
import json
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from worker import BATCH_NORM_EPSILON, CLASSES, LEARNING_RATE, batch, cores, serve


class Twice(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation and a ReLU."""

    def __init__(self, before, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels, BATCH_NORM_EPSILON, momentum=0.1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels, BATCH_NORM_EPSILON, momentum=0.1)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(x)), inplace=True)


class UNet(nn.Module):
    """U-Net with padded convolutions: images [B, 3, H, W] in 0..255 to float32 logits [B, C, H, W]."""

    def __init__(self, width):
        super().__init__()
        channels = [round(64 * width * 2**level) for level in range(5)]
        self.down = nn.ModuleList(Twice(a, b) for a, b in zip([3, *channels], channels, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in channels[:4])
        self.join = nn.ModuleList(Twice(2 * c, c) for c in channels[:4])
        self.logits = nn.Conv2d(channels[0], CLASSES, 1)

    def forward(self, x):
        x = (x / 127.5 - 1.0).to(self.logits.weight.dtype)
        kept = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for level in reversed(range(4)):
            x = self.join[level](torch.cat([self.up[level](x), kept[level]], dim=1))
        return self.logits(x).float()


def take_weights(model, stored):
    """Copy the weights that `ours.py` stored; every one of them must find its place."""
    ours = {name: stored[name] for name in stored.files if "/" in name}
    norm = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    for name, tensor in model.state_dict().items():
        *where, kind = name.split(".")
        if kind == "num_batches_tracked":
            continue
        if where[0] == "logits":
            layer = "logits"
        else:
            prefix = {"down": "down", "join": "up", "up": "up"}[where[0]]
            layer = "_".join([prefix + where[1], *where[2:]])
        value = ours.pop(f"{layer}/{norm[kind] if 'norm' in layer else {'weight': 'kernel'}.get(kind, kind)}")
        # [h, w, in, out] to [out, in, h, w]; the transposed kernel [h, w, out, in] to [in, out, h, w].
        tensor.copy_(torch.from_numpy(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value))
    if ours:
        raise ValueError(f"These weights have no place in the PyTorch network: {sorted(ours)}.")


def to_torch(images, labels):
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(labels.astype("int64"))


def training_step(model, precision, images, labels, variant):
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, eps=1e-7, fused=True)
    network = torch.compile(model) if variant == "compile" else model
    model.train()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = network(images)
        loss = F.cross_entropy(logits, labels, ignore_index=255)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inference_step(model, precision, images, variant):
    model.eval()
    for block in [*model.down, *model.join]:
        for i in "12":
            fused = fuse_conv_bn_eval(getattr(block, "conv" + i), getattr(block, "norm" + i))
            setattr(block, "conv" + i, fused.to(memory_format=torch.channels_last))
            setattr(block, "norm" + i, nn.Identity())
    if precision == "bf16":
        model.bfloat16()
    if variant == "compile":
        from torch._inductor import config

        config.freezing = True
        model = torch.compile(model)

    @torch.no_grad()
    def step():
        return model(images)

    return step


def agreement(model, precision, path):
    """How far this network is from what `ours.py` stored, once it has the same weights."""
    stored = np.load(path)
    with torch.no_grad():
        take_weights(model, stored)
    images, labels = to_torch(*batch())
    in_bf16 = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with torch.no_grad(), in_bf16:
        logits = model.eval()(images)
    fused = inference_step(copy.deepcopy(model), precision, images, "eager")()
    step = training_step(model, precision, images, labels, "eager")
    logits, fused = (x.permute(0, 2, 3, 1).numpy() for x in (logits, fused))
    return {
        "weights": sum(p.numel() for p in model.parameters()),
        "largest_logit": float(abs(stored["logits"]).max()),
        "logits_apart": float(abs(logits - stored["logits"]).max()),
        "fused_logits_apart": float(abs(fused - stored["folded"]).max()),
        "losses": [step(), step()],
        "our_losses": stored["losses"].tolist(),
    }


def main(width, precision, mode, argument):
    torch.set_num_threads(cores())
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = UNet(float(width)).to(memory_format=torch.channels_last)
    if mode == "reference":
        print(json.dumps(agreement(model, precision, argument)))
        return
    images, labels = to_torch(*batch())
    if mode == "training":
        step = training_step(model, precision, images, labels, argument)
    else:
        step = inference_step(model, precision, images, argument)
    serve(step, {"torch": torch.__version__})


if __name__ == "__main__":
    main(*sys.argv[1:])
