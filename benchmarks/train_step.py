"""Crops per second of SRResNet training: this package and PyTorch (channels last), in turn, on a GPU if there is one.

    python benchmarks/train_step.py [--batch 16] [--rounds 7] [--compile]

Both take batches of uint8 crops, compute the MSE in training mode and its gradients, and update with Adam. On a GPU
this package compiles the step with XLA, as `train.py` does; PyTorch runs its step as it is, or with `--compile` through
torch.compile. Each has a process of its own; the other waits. The share is the arithmetic of the convolutions relative
to the rate of a large matrix product in the same precision, measured by TensorFlow. bfloat16 is measured only on
devices that support it natively. The last line is one JSON object.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # PyTorch needs memory of the same GPU

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402

SCALE, SIDE = 4, 24
GPU_STEPS = 50  # between two readings of the clock, which wait for the GPU


def ours(precision, batch, compiled):
    import tensorflow as tf

    from srgan_tf.networks.precision import computes_bfloat16
    from srgan_tf.training.recipes import Recipe
    from srgan_tf.training.state import State
    from srgan_tf.training.step import make_step

    gpus = tf.config.list_physical_devices("GPU")
    state = State(Recipe(precision=precision, batch=batch))
    step, rate = make_step(state.recipe, state, xla=bool(gpus)), tf.constant(1e-4)
    device = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else None
    figures = {
        "device": device,
        "arithmetic": arithmetic(state.generator),
        "rate": product_rate(precision, gpus),
        "bfloat16": computes_bfloat16(),
    }
    return figures, lambda lr, hr: step(lr, hr, rate)["loss"]


def arithmetic(generator):
    """Floating-point operations per crop: a multiplication and an addition for each of the kernels' products, in the
    forward pass and for both gradients."""
    larger = {"up2_conv": 4, "tail_conv": 16}  # output pixels, relative to LR
    kernels = {layer.name: layer.kernel.shape for layer in generator.layers if hasattr(layer, "kernel")}
    return 6 * SIDE**2 * sum(int(np.prod(shape)) * larger.get(name, 1) for name, shape in kernels.items())


def product_rate(precision, gpus):
    """Operations per second of a product of large matrices."""
    import tensorflow as tf

    n = 8192 if gpus else 2048
    a = tf.cast(tf.random.normal((n, n)), precision)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(a, a)[:1], tf.float32)))
    times = []
    for _ in range(7):
        began = time.perf_counter()
        float(product())
        times.append(time.perf_counter() - began)
    return 2 * n**3 / min(times)


def pytorch(precision, batch, compiled):
    import torch
    from torch import nn

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
            up = [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(64)]
            up += [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(64)]
            self.tail = nn.Sequential(*up, nn.Conv2d(64, 3, 9, padding=4))

        def forward(self, lr):
            x = self.head(lr)
            return self.tail(x + self.trunk(x))

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SRResNet().to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def loss_of(lr, hr):
        x, y = (pixels.to(device).permute(0, 3, 1, 2).float() for pixels in (lr, hr))
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            sr = model(x / 255)
        return ((sr.float() - (y / 127.5 - 1)) ** 2).mean()

    if compiled:
        loss_of = torch.compile(loss_of)

    def step(lr, hr):
        loss = loss_of(torch.from_numpy(lr), torch.from_numpy(hr))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return {"device": torch.cuda.get_device_name() if device == "cuda" else None}, step


def serve(create, connection, batch, precision, compiled):
    """Send the figures of a program, and for each number received the seconds of a step in so many steps."""
    figures, step = create(precision, batch, compiled)
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (batch, SIDE, SIDE, 3)).astype(np.uint8)
    hr = rng.integers(0, 256, (batch, SCALE * SIDE, SCALE * SIDE, 3)).astype(np.uint8)
    connection.send(figures)
    while count := connection.recv():
        began = time.perf_counter()
        for _ in range(count):
            loss = step(lr, hr)
        float(loss)
        connection.send((time.perf_counter() - began) / count)


def compare(precision, args):
    """The figures of this package, and the median seconds of a step of both programs."""
    context, programs = multiprocessing.get_context("spawn"), []
    for create in (ours, pytorch):
        near, far = context.Pipe()
        process = context.Process(target=serve, args=(create, far, args.batch, precision, args.compile), daemon=True)
        process.start()
        far.close()
        programs.append((near, near.recv()))
    (_, figures), (_, peer) = programs
    if figures["device"] != peer["device"]:
        sys.exit(
            f"error: TensorFlow runs on {figures['device'] or 'the CPU'}, PyTorch on {peer['device'] or 'the CPU'}."
        )
    count, times = GPU_STEPS if peer["device"] else 1, []
    for _ in range(args.rounds + 2):  # the first two warm up
        for connection, _ in programs:
            connection.send(count)
            times.append(connection.recv())
    for connection, _ in programs:
        connection.send(0)
    return figures, np.median(np.reshape(times, (-1, 2))[2:], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    args = parser.parse_args()
    if not importlib.util.find_spec("torch"):
        sys.exit("error: benchmarks/train_step.py: PyTorch is not installed. Run: pip install torch.")
    report = {"batch": args.batch}
    for precision in ("float32", "bfloat16"):
        figures, seconds = compare(precision, args)
        mine, peer = args.batch / seconds
        share = mine * figures["arithmetic"] / figures["rate"]
        if precision == "float32":
            device = figures["device"] or f"{len(os.sched_getaffinity(0))} threads"
            print(f"SRResNet x4, batch {args.batch}, {device}, crops per second, median of {args.rounds} rounds")
        print(
            f"  {precision:9}  srgan_tf {mine:8,.1f}   PyTorch {peer:8,.1f}   ratio {mine / peer:.2f}   "
            f"share of the rate of matrix products {share:.0%}"
        )
        report |= {
            "device": device,
            f"{precision}_crops_per_second": round(mine, 1),
            f"{precision}_pytorch_crops_per_second": round(peer, 1),
            f"{precision}_ratio": round(mine / peer, 3),
            f"{precision}_share": round(share, 3),
        }
        if not figures["bfloat16"]:
            break
    print(json.dumps(report))


if __name__ == "__main__":
    main()
