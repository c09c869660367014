"""Keras generator -> SavedModel for upscaling and serving, and back.

The ends of a SavedModel, by name (README.md, "Serving"):

- `serving_default`: `image` uint8 [B, H, W, 3] -> `image` uint8 [B, scale H, scale W, 3], any B, H and W.
- `serve_bytes`: `image_bytes` string [B], encoded pictures of any sizes -> `image_bytes` string [B], PNG.
- `attributes`: nothing -> `attributes` string [], the JSON object that `assets.extra/attributes.json` holds too:
  a server tells it, and a program reads the file before it loads TensorFlow.
"""
import hashlib
import importlib.metadata
import json
import math
import os
import secrets
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from srgan_tf import models, pixels, zoo
from srgan_tf.errors import UserError
from srgan_tf.zoo import attributes  # noqa: F401  what export wrote is read where it was written


def export(generator, folder, *, attributes=None):
    """Write a generator as a SavedModel, at once or not at all.

    It is written beside its place and renamed into it, so a server that watches the parent folder never sees
    half of it. A SavedModel that lies there already is replaced.

    Args:
        generator: a `models.srresnet` that computes in float32.
        folder: where to; its parents are made.
        attributes: more facts for the attributes, JSON values by name, such as `{"step": 160000}`.

    Raises:
        ValueError: for a generator of another precision: its layers, not only its variables, are exported.
        FileExistsError: when something else than a SavedModel lies there.
    """
    for layer in generator.layers:
        if layer.compute_dtype != "float32":
            raise ValueError(f"{layer.name} must compute in float32. Received: {layer.compute_dtype}")
    folder = Path(folder)
    _check_replaceable(folder)
    facts = {**describe(generator), **(attributes or {})}
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")  # not a number: servers ignore it
    try:
        _archive(generator, facts).write_out(str(part), verbose=False)
        (part / zoo.ATTRIBUTES).parent.mkdir()
        (part / zoo.ATTRIBUTES).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        _move_into_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def restore(folder):
    """The Keras generator in a SavedModel, its variables set: for fine-tuning.

    Raises:
        UserError: when the SavedModel is not of this package, or its variables are not those that were exported.
    """
    facts = zoo.attributes(folder)
    if facts.get("network") != "srresnet":
        raise UserError(f"its network is {facts.get('network')!r}, {folder}, give a SavedModel of an srresnet")
    loaded = tf.saved_model.load(str(folder))  # held: its signatures refer to the variables weakly
    signature = loaded.signatures["serving_default"]
    weights = {_layer_and_variable(v.name): v.numpy() for v in signature.variables}
    if checksum(weights) != facts["sha256"]:
        raise UserError(f"the variables do not match their checksum, {folder}, export or copy the model again")
    generator = models.srresnet(facts["scale"], blocks=facts["blocks"], features=facts["features"])
    models.load_named_weights(generator, weights)
    return generator


def describe(generator):
    """The attributes of a generator that follow from itself: a dict of JSON values."""
    names = [layer.name for layer in generator.layers]
    return {
        "network": "srresnet",
        "scale": models.scale_of(generator),
        "blocks": sum(name.startswith("block") and name.endswith("_add") for name in names),
        "features": generator.get_layer("head_conv").filters,
        "halo": halo(generator),
        "sha256": checksum(models.named_weights(generator)),
        "srgan_tf": _version(),
    }


def halo(generator):
    """How far a pixel reaches, in LR pixels: SR this far from the border of a tile depends on the tile alone.

    Every convolution lies on one path from LR to SR, so their reaches add up, each measured in LR pixels; 39.5
    and so 40 for 16 blocks at scale 4.
    """
    reach, zoom = 0, 1
    for layer in generator.layers:
        if isinstance(layer, models.DepthToSpace):
            zoom *= 2
        elif isinstance(layer, keras.layers.Conv2D):
            reach += layer.kernel_size[0] // 2 / zoom
    return math.ceil(reach)


def checksum(weights):
    """SHA-256 of arrays by name, as hexadecimal digits: names, shapes and float32 values in the names' order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {tuple(weights[name].shape)}\n".encode())
        digest.update(weights[name].astype("<f4").tobytes())
    return digest.hexdigest()


def _archive(generator, facts):
    """An ExportArchive with the three signatures.

    `track(generator)` is left out on purpose: it would write every variable a second time; those that the
    signatures use are tracked anyway.
    """
    archive = keras.export.ExportArchive()

    def serving_default(image):
        return {"image": pixels.to_uint8(generator(pixels.to_lr(image), training=False))}

    upscale = archive.add_endpoint(
        "serving_default", serving_default, [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")])

    def upscale_bytes(encoded):
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return tf.io.encode_png(upscale(image[None])["image"][0])

    def serve_bytes(image_bytes):  # one after the other: pictures of different sizes make no batch
        return {"image_bytes": tf.map_fn(upscale_bytes, image_bytes, parallel_iterations=1)}

    archive.add_endpoint("serve_bytes", serve_bytes, [tf.TensorSpec((None,), tf.string, name="image_bytes")])
    archive.add_endpoint("attributes", lambda: {"attributes": tf.constant(json.dumps(facts))}, [])
    return archive


def _check_replaceable(folder):
    if folder.exists() and not (folder / "saved_model.pb").is_file() and (
            not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is no SavedModel")


def _move_into_place(part, folder):
    if not folder.exists():
        os.rename(part, folder)
        return
    old = part.with_suffix(".old")
    os.rename(folder, old)
    os.rename(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def _layer_and_variable(name):
    """"scope/head_conv/kernel:0" -> "head_conv/kernel", as `models.named_weights` calls it."""
    return "/".join(name.split(":")[0].split("/")[-2:])


def _version():
    try:
        return importlib.metadata.version("srgan_tf")
    except importlib.metadata.PackageNotFoundError:
        return "checkout"
