"""Conversion of Keras generators to SavedModels for upscaling and serving, and back.

The signatures of a SavedModel (docs/serving.md):

- `serving_default`: `image` uint8 [B, H, W, 3] -> `image` uint8 [B, scale H, scale W, 3], any B, H and W.
- `bfloat16`: the same with convolutions in bfloat16: nearly twice as fast on processors that support it.
- `serve_bytes`: `image_bytes` string [B], PNG or JPEG of any sizes -> `image_bytes` string [B], PNG.
- `attributes`: `any` string [B], which is ignored -> `attributes` string [B], each the JSON object in
  `assets.extra/attributes.json`. Clients request it from a server; programs read the file before they load
  TensorFlow. TF Serving's REST API and its batching require an input and an output with a batch dimension.

`assets.extra/tf_serving_warmup_requests` makes a server compute one request of each kind before it reports ready.
"""

import importlib.metadata
import json
import os
import secrets
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from srgan_tf.networks import inference, models
from srgan_tf.saved_models import variables, warmup, zoo

PIXEL_LIMIT = 2**21  # LR pixels per picture: full HD; takes about 3.5 GB in float32


def export(generator: keras.Model, folder: str | os.PathLike, *, attributes: dict | None = None) -> None:
    """Write a generator as a SavedModel, atomically.

    It is written under a hidden name and renamed, so that a server that watches the parent folder never sees an
    incomplete model. An existing SavedModel is replaced.

    Args:
        generator: a `models.srresnet` that computes in float32.
        folder: the folder to write; its parents are created.
        attributes: additional attributes, JSON values by name, such as `{"step": 160000}`. `pixel_limit` sets the
            most LR pixels of one picture, by default `PIXEL_LIMIT`.

    Raises:
        ValueError: for a generator with another precision: its layers, not only its variables, are exported.
        FileExistsError: if the folder exists and is not a SavedModel.
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
        warmup.write(part, facts["pixel_limit"])
        _move_into_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def restore(folder: str | os.PathLike) -> keras.Model:
    """Restore the Keras generator with its weights from a SavedModel, for fine-tuning.

    Raises:
        UserError: as `variables.read`.
    """
    weights = variables.read(folder)
    network = variables.architecture(weights)
    generator = models.srresnet(network["scale"], blocks=network["blocks"], features=network["features"])
    models.load_named_weights(generator, weights)
    return generator


def describe(generator: keras.Model) -> dict:
    """The attributes that are derived from a generator, as a dict of JSON values."""
    weights = models.named_weights(generator)
    return {
        "network": "srresnet",
        **variables.architecture(weights),
        "pixel_limit": PIXEL_LIMIT,
        "sha256": variables.checksum(weights),
        "srgan_tf": _version(),
    }


def _archive(generator, facts):
    """An ExportArchive with the signatures.

    `track(generator)` is not called on purpose: it would write every variable twice. Variables that the signatures
    use are tracked automatically.
    """
    archive, limit = keras.export.ExportArchive(), facts["pixel_limit"]
    enlarge = inference.Generator(
        {f"{layer.name}/{v.name}": v.value for layer in generator.layers for v in layer.weights}
    )
    images = [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")]
    strings = [tf.TensorSpec((None,), tf.string, name="image_bytes")]

    def serving_default(image):
        return {"image": enlarge(_checked(image, limit))}

    def bfloat16(image):
        return {"image": enlarge(_checked(image, limit), tf.bfloat16)}

    def serve_bytes(image_bytes):  # one by one: pictures of different sizes cannot form a batch
        return {
            "image_bytes": tf.map_fn(
                lambda i: tf.io.encode_png(upscale(_decoded(image_bytes[i], i, limit)[None])["image"][0]),
                tf.range(tf.size(image_bytes)),
                fn_output_signature=tf.string,
                parallel_iterations=1,
            )
        }

    def attributes(any):
        return {"attributes": tf.fill(tf.shape(any), json.dumps(facts))}

    upscale = archive.add_endpoint("serving_default", serving_default, images)
    archive.add_endpoint("bfloat16", bfloat16, images)
    archive.add_endpoint("serve_bytes", serve_bytes, strings)
    archive.add_endpoint("attributes", attributes, [tf.TensorSpec((None,), tf.string, name="any")])
    return archive


def _checked(image, limit):
    """Check in the graph that a tensor is a batch of pictures, not empty and not too large.

    A server feeds inputs of any rank, and a oneDNN convolution crashes the process if the rank is wrong.
    """
    unknown = tf.raw_ops.PlaceholderWithDefault(input=image, shape=None)  # preserves the next check
    image = tf.ensure_shape(unknown, (None, None, None, 3))
    shape = tf.shape(image)
    with tf.control_dependencies(
        [
            _require(tf.reduce_all(shape > 0), "image has no pixels, its shape is ", tf.strings.format("{}", shape)),
            _require_within(limit, shape[1:3], "image"),
        ]
    ):
        return tf.identity(image)


def _decoded(encoded, i, limit):
    """Decode element i of `image_bytes` to uint8 [H, W, 3]; rejected by its header if it is too large."""
    name = tf.strings.format("image_bytes[{}]", i)
    broken = name, " is broken, or neither PNG nor JPEG"
    size = _attempt(_header_size, encoded, otherwise=tf.zeros(2, tf.int32))
    with tf.control_dependencies([_require(tf.reduce_all(size > 0), *broken), _require_within(limit, size, name)]):
        image = _attempt(_decode, encoded, otherwise=tf.zeros((0, 0, 3), tf.uint8))
    with tf.control_dependencies([_require(tf.size(image) > 0, *broken)]):
        return tf.identity(image)


def _header_size(encoded):
    """Height and width in the header of a PNG or JPEG picture, int32 [2]."""

    def png():
        return tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)[::-1]

    return tf.cond(_is_png(encoded), png, lambda: tf.image.extract_jpeg_shape(encoded)[:2])


def _decode(encoded):
    """Decode a PNG or JPEG picture to uint8 [H, W, 3]; 16 bits are rounded to 8 (the decoder would truncate them)."""

    def png():
        deep = tf.cast(tf.io.decode_png(encoded, channels=3, dtype=tf.uint16), tf.int32)  # 8 bits: times 257
        return tf.cast((deep + 128) // 257, tf.uint8)

    return tf.cond(_is_png(encoded), png, lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"))


def _is_png(encoded):
    return tf.strings.substr(encoded, 0, 8) == b"\x89PNG\r\n\x1a\n"


def _attempt(function, argument, otherwise):
    """function(argument), or a value of the same type if it fails: only tf.data can catch errors in a graph."""
    options = tf.data.Options()  # useless for one element, and tuning threads log warnings at the end
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    results = tf.data.Dataset.from_tensors(argument).map(function).ignore_errors().with_options(options)
    return results.reduce(otherwise, lambda _, result: result)


def _require_within(limit, size, name):
    height, width = tf.unstack(tf.cast(size, tf.int64), num=2)  # 50,000 x 50,000 exceeds int32
    return _require(
        height * width <= limit,
        name,
        " has ",
        width,
        " x ",
        height,
        f" pixels, the limit for one picture is {limit} in all: send it in tiles",
    )


def _require(condition, *message):
    """An operation that fails with InvalidArgumentError unless the condition holds; `message` is given in parts."""
    text = tf.strings.join(
        [part if isinstance(part, str) or part.dtype == tf.string else tf.strings.as_string(part) for part in message]
    )
    return tf.debugging.Assert(condition, [text])


def _check_replaceable(folder):
    if folder.exists() and not (folder / "saved_model.pb").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not a SavedModel")


def _move_into_place(part, folder):
    if not folder.exists():
        os.rename(part, folder)
        return
    old = part.with_suffix(".old")
    os.rename(folder, old)
    try:
        os.rename(part, folder)
    except BaseException:  # also Ctrl-C
        if not folder.exists():
            os.rename(old, folder)  # restore the old model for servers
        raise
    shutil.rmtree(old, ignore_errors=True)


def _version():
    try:
        return importlib.metadata.version("srgan_tf")
    except importlib.metadata.PackageNotFoundError:
        return "checkout"
