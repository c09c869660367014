"""Seconds of an SRResNet training step: this package and PyTorch (channels last), in turn, with the same threads.

    python benchmarks/train_step.py [--batch 16] [--rounds 7]

Both take a batch of uint8 crops, compute the MSE in training mode and its gradients, and update with Adam. PyTorch runs
eagerly, without torch.compile. The last line is one JSON object with the seconds of both and their ratio.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from srgan_tf.training.recipes import Recipe  # noqa: E402
from srgan_tf.training.state import State  # noqa: E402
from srgan_tf.training.step import make_step  # noqa: E402

try:
    import torch
    from torch import nn
except ImportError:
    sys.exit("error: benchmarks/train_step.py: PyTorch is not installed. Run: pip install torch.")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.PReLU(64),
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
        )

    def forward(self, x):
        return x + self.layers(x)


class SRResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, 64, 9, padding=4), nn.PReLU(64))
        self.trunk = nn.Sequential(
            *[Block() for _ in range(16)], nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        )
        up = [layer for _ in range(2) for layer in (nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(64))]
        self.tail = nn.Sequential(*up, nn.Conv2d(64, 3, 9, padding=4))

    def forward(self, lr):
        x = self.head(lr)
        return self.tail(x + self.trunk(x))


def ours(precision):
    state = State(Recipe(precision=precision))
    step, rate = make_step(state.recipe, state), tf.constant(1e-4)

    def run(lr, hr):
        return float(step(lr, hr, rate)["loss"])

    return run


def pytorch(precision):
    model = SRResNet().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def run(lr, hr):
        x, y = (torch.from_numpy(p).permute(0, 3, 1, 2).float() for p in (lr, hr))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            sr = model(x / 255)
        loss = ((sr.float() - (y / 127.5 - 1)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (args.batch, 24, 24, 3)).astype(np.uint8)
    hr = rng.integers(0, 256, (args.batch, 96, 96, 3)).astype(np.uint8)
    report = {}
    print(
        f"SRResNet x4, batch {args.batch}, {torch.get_num_threads()} threads, seconds per step, median of {args.rounds}"
    )
    for precision in ("float32", "bfloat16"):
        steps = ours(precision), pytorch(precision)
        seconds = []
        for _ in range(args.rounds + 2):  # the first two warm up
            for step in steps:
                began = time.perf_counter()
                step(lr, hr)
                seconds.append(time.perf_counter() - began)
        mine, peer = np.median(np.reshape(seconds, (-1, 2))[2:], axis=0)
        print(f"  {precision:9}  srgan_tf {mine:.3f}   PyTorch {peer:.3f}   ratio {peer / mine:.2f}")
        report |= {
            f"{precision}_seconds": round(mine, 4),
            f"{precision}_pytorch_seconds": round(peer, 4),
            f"{precision}_ratio": round(peer / mine, 3),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
