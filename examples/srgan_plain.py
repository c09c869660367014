"""SRGAN in a plain training loop: Keras models, the losses of the paper, crops, and a GradientTape.

    python examples/srgan_plain.py PICTURES --steps 200

Starts from the shipped SRResNet and trains it against a discriminator (Ledig et al. 2017, sections 2.2 and 3.2). Change
whatever you like. `python train.py` trains the same networks with resume, validation, mixed precision and several GPUs.

Value ranges: LR float in [0, 1], HR and SR float in [-1, 1], channels last.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides most of TensorFlow's messages about the hardware
sys.path.insert(0, str(Path(__file__).parents[1]))  # to run in a clone without installation

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

import srgan_tf  # noqa: E402
from srgan_tf import losses  # noqa: E402
from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402

SCALE, CROP = 4, 96  # CROP: side of an HR crop in pixels
ADVERSARIAL = 1e-3  # weight of the adversarial loss (equation 3)


def read_pictures(folder):
    """Pairs of LR and HR, uint8 [H, W, 3]; LR is made from HR by bicubic downscaling."""
    pairs = []
    for path in sorted(Path(folder).iterdir()):
        try:
            hr = np.asarray(Image.open(path).convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:  # not an image, or a damaged one
            print(f"skipped {path}: {error}", file=sys.stderr)
            continue
        height, width = (side // SCALE * SCALE for side in hr.shape[:2])
        if min(height, width) >= CROP:
            hr = hr[:height, :width]
            pairs.append((imresize(hr, 1 / SCALE), hr))
    return pairs


def random_batch(pairs, batch, rng):
    """A batch of random crops with random flips: LR in [0, 1] and HR in [-1, 1]."""
    lrs, hrs, side = [], [], CROP // SCALE
    for _ in range(batch):
        lr, hr = pairs[rng.integers(len(pairs))]
        y, x = (rng.integers(n - side + 1) for n in lr.shape[:2])
        flip = rng.choice([-1, 1])
        lrs.append(lr[y : y + side, x : x + side][:, ::flip])
        hrs.append(hr[SCALE * y : SCALE * (y + side), SCALE * x : SCALE * (x + side)][:, ::flip])
    return np.float32(lrs) / 255, np.float32(hrs) / 127.5 - 1


def new_optimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


def train_step(generator, discriminator, g_optimizer, d_optimizer, content_loss, lr, hr):
    """Update both networks from one batch; `content_loss` is a function of HR and SR. Returns the losses by name."""
    with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
        sr = generator(lr, training=True)
        real = discriminator(hr, training=True)  # logits: positive means "this is HR"
        fake = discriminator(sr, training=True)
        content = content_loss(hr, sr)
        g_loss = content + ADVERSARIAL * losses.adversarial(fake)  # equation 3
        d_loss = losses.discrimination(real, fake)  # equation 2
    for network, optimizer, tape, loss in (
        (generator, g_optimizer, g_tape, g_loss),
        (discriminator, d_optimizer, d_tape, d_loss),
    ):
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
    return {"content": content, "generator": g_loss, "discriminator": d_loss}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", help="a folder of HR images")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--content", choices=["mse", "vgg22", "vgg54"], default="vgg54", help="the content loss")
    parser.add_argument("--vgg_weights", default="imagenet", help="the notop .h5 file of VGG19, downloaded by default")
    parser.add_argument("--out", default="srgan_plain.keras", help="where the generator is saved")
    args = parser.parse_args()
    if not args.out.endswith(".keras"):
        parser.error("--out must end in .keras")
    rng = np.random.default_rng(0)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)  # now, not after the training
    pairs = read_pictures(args.pictures) if Path(args.pictures).is_dir() else []
    if not pairs:
        sys.exit(f"error: {args.pictures}: not a folder with images of at least {CROP} pixels. Give another folder.")
    generator, discriminator = srgan_tf.load("srresnet"), srgan_tf.discriminator(CROP)
    optimizers = new_optimizer(1e-4), new_optimizer(1e-4)
    for network, optimizer in zip((generator, discriminator), optimizers):
        optimizer.build(network.trainable_variables)
    content_loss = losses.mse if args.content == "mse" else losses.vgg_loss(args.content, args.vgg_weights)
    compiled = tf.function(train_step)
    for step in range(1, args.steps + 1):
        logs = compiled(generator, discriminator, *optimizers, content_loss, *random_batch(pairs, args.batch, rng))
        if step % 10 == 0 or step == args.steps:
            print(f"step {step}: " + ", ".join(f"{name} {float(loss):.4f}" for name, loss in logs.items()), flush=True)
    generator.save(args.out)
    sr = np.asarray(generator(random_batch(pairs, 1, rng)[0], training=False))[0]
    sample = Path(args.out).with_suffix(".png")
    Image.fromarray(np.uint8(np.clip(np.rint((sr + 1) * 127.5), 0, 255))).save(sample)
    print(f"wrote the generator to {args.out} and an enlarged crop to {sample}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
