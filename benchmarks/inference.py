"""Speed of inference: this package, PyTorch, ONNX Runtime and OpenVINO with the same network.

    python benchmarks/inference.py

All take uint8 [1, H, W, 3] and return uint8 [1, 4H, 4W, 3], with the same weights and number of threads. They run in
turn in one process. PyTorch runs eagerly, without torch.compile. bfloat16 is measured only on devices that support
it natively. Prints medians; the last line is one JSON object:

- `float32_ratio`, `bfloat16_ratio`: time of the fastest other framework divided by ours, geometric mean over the sizes.
- `float32_matmul_share`, `bfloat16_matmul_share`: our FLOP/s, counted for the network as in the paper, divided by
  those of a 3000 x 3000 matrix product measured between the rounds, geometric mean over the sizes.
"""

import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # otherwise PyTorch's idle threads slow down the next framework
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402
from absl import app, flags, logging  # noqa: E402

SIZES = flags.DEFINE_list("sizes", ["64", "128", "256"], "Sides of the square LR images.")
flags.register_validator("sizes", lambda sizes: all(map(str.isdecimal, sizes)), "must be numbers: SIDE,SIDE,...")
ROUNDS = flags.DEFINE_integer("rounds", 10, "Rounds at the smallest size; fewer at larger sizes, at least 3.")
THREADS = flags.DEFINE_integer("threads", 2, "Threads of each framework.")
SIDE = 3000  # of the matrices
PEERS = {"torch": "PyTorch", "onnx": "ONNX", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def main(_):
    if missing := [name for module, name in PEERS.items() if not importlib.util.find_spec(module)]:
        sys.exit(
            f"error: benchmarks/inference.py: {', '.join(missing)} not installed. Run: pip install '.[benchmark]'."
        )
    logging.set_verbosity(logging.WARNING)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS.value)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from srgan_tf.networks.precision import computes_bfloat16

    precisions = ("float32", "bfloat16") if computes_bfloat16() else ("float32",)
    generator = network()
    sizes = [int(size) for size in SIZES.value]
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        shared = {**ours(generator, folder), **pytorch(generator), **matrix_product()}
        for size in sizes:
            picture = np.random.default_rng(size).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
            functions = {**shared, **onnx_runtime(generator, size), **openvino(generator, size, folder)}
            functions = {key: function for key, function in functions.items() if key[1] in precisions}
            check_that_all_compute_the_same(functions, picture)
            times[size] = medians(functions, picture, max(3, ROUNDS.value * sizes[0] // size))
            print_table(size, times[size])
    print(json.dumps(summary(generator, times, precisions)))


def network():
    """The shipped SRResNet, or the same network with random weights if it is not there."""
    import keras

    from srgan_tf.networks import models
    from srgan_tf.saved_models import export, zoo

    if folder := zoo.shipped().get("srresnet_x4"):
        return export.restore(folder)
    keras.utils.set_random_seed(1)
    generator, rng = models.srresnet(4), np.random.default_rng(1)
    models.start_as_interpolation(generator)
    models.load_named_weights(
        generator,
        {
            name: v + np.abs(rng.normal(0, 0.1, v.shape)) * name.endswith(("gamma", "variance", "alpha"))
            for name, v in models.named_weights(generator).items()
        },
    )
    return generator


def ours(generator, folder):
    from srgan_tf.saved_models import export
    from srgan_tf.upscaling.upscaler import Upscaler

    export.export(generator, Path(folder) / "1")
    return {("ours", precision): Upscaler(folder, precision=precision) for precision in ("float32", "bfloat16")}


def pytorch(generator):
    """The network in channels-last memory format, BN folded by PyTorch's function, in float32 and bfloat16."""
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    torch.set_num_threads(THREADS.value)

    def conv(name, dtype):
        layer = generator.get_layer(name)
        kernel = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
        bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(len(kernel), "float32")
        if name.startswith("up"):  # PyTorch's pixel shuffle has another channel order
            order = np.arange(len(kernel)).reshape(4, -1).T.ravel()
            kernel, bias = kernel[order], bias[order]
        module = nn.Conv2d(kernel.shape[1], len(kernel), kernel.shape[2], padding="same")
        module.weight.data, module.bias.data = torch.tensor(kernel), torch.tensor(bias)
        if bn := norm_of(generator, name):
            norm = nn.BatchNorm2d(len(kernel), eps=bn.epsilon)
            norm.weight.data, norm.bias.data = torch.tensor(np.asarray(bn.gamma)), torch.tensor(np.asarray(bn.beta))
            norm.running_mean = torch.tensor(np.asarray(bn.moving_mean))
            norm.running_var = torch.tensor(np.asarray(bn.moving_variance))
            module = fuse_conv_bn_eval(module.eval(), norm.eval())
        return module.to(dtype=dtype, memory_format=torch.channels_last).eval()

    def build(dtype):
        convs = {name: conv(name, dtype) for name in conv_names(generator)}
        slopes = {
            name: torch.tensor(np.asarray(generator.get_layer(name).alpha).ravel()).to(dtype)
            for name in prelu_names(generator)
        }

        def prelu(name, x):
            return nn.functional.prelu(x, slopes[name])

        @torch.inference_mode()
        def run(image):
            x = torch.from_numpy(image).permute(0, 3, 1, 2).to(dtype=dtype, memory_format=torch.channels_last) / 255
            x = first = prelu("head_prelu", convs["head_conv"](x))
            for block in block_names(generator):
                y = prelu(f"{block}_prelu", convs[f"{block}_conv1"](x))
                x = x + convs[f"{block}_conv2"](y)
            x = first + convs["trunk_conv"](x)
            for k in (1, 2):
                x = prelu(f"up{k}_prelu", nn.functional.pixel_shuffle(convs[f"up{k}_conv"](x), 2))
            x = convs["tail_conv"](x).float()
            x = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
            return x.permute(0, 2, 3, 1).contiguous().numpy()

        return run

    return {("PyTorch", "float32"): build(torch.float32), ("PyTorch", "bfloat16"): build(torch.bfloat16)}


def onnx_runtime(generator, size):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS.value, 1
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # otherwise idle threads slow down the next framework
    session = onnxruntime.InferenceSession(onnx_model(generator, size), options, providers=["CPUExecutionProvider"])
    return {("ONNX Runtime", "float32"): lambda image: session.run(None, {"image": image})[0]}


def openvino(generator, size, folder):
    import openvino as ov

    path = Path(folder) / f"{size}.onnx"
    path.write_bytes(onnx_model(generator, size))
    core = ov.Core()

    def build(precision):
        model = core.compile_model(
            core.read_model(path),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": THREADS.value,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": precision,
                "ENABLE_CPU_PINNING": False,
            },
        )
        request = model.create_infer_request()
        return lambda image: request.infer({0: image})[0].copy()

    return {("OpenVINO", "float32"): build("f32"), ("OpenVINO", "bfloat16"): build("bf16")}


def onnx_model(generator, size):
    """The network as the bytes of an ONNX file, for one image size."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(kind, *inputs, **attributes):
        output = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(name, x):
        layer = generator.get_layer(name)
        kernel = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
        inputs = [constant(f"{name}_kernel", kernel)]
        inputs += [constant(f"{name}_bias", np.asarray(layer.bias))] if layer.use_bias else []
        x = node("Conv", x, *inputs, pads=[kernel.shape[2] // 2] * 4)
        if bn := norm_of(generator, name):
            x = node(
                "BatchNormalization",
                x,
                *[
                    constant(f"{bn.name}_{what}", np.asarray(getattr(bn, what)))
                    for what in ("gamma", "beta", "moving_mean", "moving_variance")
                ],
                epsilon=bn.epsilon,
            )
        return x

    def prelu(name, x):
        slope = np.asarray(generator.get_layer(name).alpha).reshape(-1, 1, 1)
        return node("PRelu", x, constant(f"{name}_slope", slope))

    x = node("Transpose", node("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = node("Mul", x, constant("from_uint8", np.float32(1 / 255)))
    x = first = prelu("head_prelu", conv("head_conv", x))
    for block in block_names(generator):
        y = prelu(f"{block}_prelu", conv(f"{block}_conv1", x))
        x = node("Add", x, conv(f"{block}_conv2", y))
    x = node("Add", first, conv("trunk_conv", x))
    for k in (1, 2):
        x = prelu(f"up{k}_prelu", node("DepthToSpace", conv(f"up{k}_conv", x), blocksize=2, mode="DCR"))
    x = node(
        "Mul",
        node("Add", conv("tail_conv", x), constant("one", np.float32(1))),
        constant("to_uint8", np.float32(127.5)),
    )
    x = node("Clip", node("Round", x), constant("least", np.float32(0)), constant("most", np.float32(255)))
    x = node("Cast", node("Transpose", x, perm=[0, 2, 3, 1]), to=TensorProto.UINT8)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, [1, side, side, 3])
        for name, side in (("image", size), (x, 4 * size))
    ]
    graph = helper.make_graph(nodes, "srresnet", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def matrix_product():
    import tensorflow as tf

    product = tf.function(lambda x: tf.reduce_max(tf.matmul(x, x)))

    def build(dtype):
        matrix = tf.cast(tf.random.stateless_normal((SIDE, SIDE), (1, 2)), dtype)
        return lambda _: product(matrix).numpy()

    return {("matmul", "float32"): build(tf.float32), ("matmul", "bfloat16"): build(tf.bfloat16)}


def conv_names(generator):
    return [layer.name for layer in generator.layers if "conv" in layer.name]


def prelu_names(generator):
    return [layer.name for layer in generator.layers if layer.name.endswith("_prelu")]


def block_names(generator):
    return sorted({layer.name[:7] for layer in generator.layers if layer.name.startswith("block")})


def norm_of(generator, conv):
    """The batch normalisation after a convolution, or None."""
    return {layer.name: layer for layer in generator.layers if "bn" in layer.name}.get(conv.replace("conv", "bn"))


def check_that_all_compute_the_same(functions, picture):
    """Compare the outputs; these calls also warm up each framework."""
    expected = functions["ours", "float32"](picture).astype(int)
    for (name, precision), function in functions.items():
        if name == "matmul":
            function(picture)
            continue
        error = np.abs(function(picture) - expected)
        if error.mean() > (0.01 if precision == "float32" else 1.5):
            sys.exit(f"error: {name} at {precision}: wrong output, mean error {error.mean():.3f} grey levels")


def medians(functions, picture, rounds):
    """Median seconds of each function, called in turn."""
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            time.sleep(0.02)  # let the threads of the previous function go idle
            start = time.perf_counter()
            function(picture)
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def print_table(size, seconds):
    print(f"{size} x {size}, {THREADS.value} threads, milliseconds" + f"{'float32':>20}{'bfloat16':>10}")
    for name in dict.fromkeys(name for name, _ in seconds):
        cells = [seconds.get((name, precision)) for precision in ("float32", "bfloat16")]
        print(f"  {name:<44}" + "".join(f"{1000 * cell:10.1f}" if cell else f"{'-':>10}" for cell in cells), flush=True)


def summary(generator, times, precisions):
    """The JSON object of the last line."""
    found = {
        "milliseconds": {
            str(size): {f"{name} {precision}": round(1000 * value, 2) for (name, precision), value in seconds.items()}
            for size, seconds in times.items()
        }
    }
    for precision in precisions:
        ratios, shares = [], []
        for size, seconds in times.items():
            own = seconds["ours", precision]
            ratios.append(
                min(value for (name, p), value in seconds.items() if p == precision and name not in ("ours", "matmul"))
                / own
            )
            rate = 2 * SIDE**3 / seconds["matmul", precision]
            shares.append(flops_of_a_pixel(generator) * size**2 / own / rate)
        found[f"{precision}_ratio"] = round(geometric_mean(ratios), 3)
        found[f"{precision}_matmul_share"] = round(geometric_mean(shares), 3)
    return found


def flops_of_a_pixel(generator):
    """FLOP per LR pixel: two for each weight of each convolution, at the resolution of the layer in the paper."""
    from srgan_tf.networks import layers

    flops, pixels = 0, 1
    for layer in generator.layers:
        if isinstance(layer, layers.DepthToSpaceConv2D) or layer.name.endswith("_shuffle"):
            pixels *= 4
        if "conv" in layer.name:
            flops += 2 * pixels * np.prod(layer.kernel.shape)
    return float(flops)


def geometric_mean(values):
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    app.run(main)
