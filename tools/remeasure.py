"""Set the averages of batch normalisation of a SavedModel to those of its activations:

    python tools/remeasure.py MODEL PICTURES OUT

OUT is a SavedModel that enlarges pictures as MODEL does. Training that starts from it can use the statistics of its
batches. PICTURES is a folder of HR pictures, such as those that MODEL was trained on.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.evaluation import cache  # noqa: E402
from srgan_tf.networks import models  # noqa: E402
from srgan_tf.networks.pixels import to_lr  # noqa: E402
from srgan_tf.saved_models import export, zoo  # noqa: E402
from srgan_tf.training import batch_norm  # noqa: E402
from srgan_tf.training.batches import Crops  # noqa: E402
from srgan_tf.training.datasets import Folder  # noqa: E402
from srgan_tf.training.store import open_store  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "pictures", "out"):
        parser.add_argument(name)
    parser.add_argument("--cache_dir", default=str(cache.default_folder()))
    parser.add_argument("--crops", type=int, default=2048, help="a multiple of 16")
    args = parser.parse_args()
    batch = 16
    if args.crops < batch or args.crops % batch:
        parser.error(f"--crops {args.crops}: not a positive multiple of {batch}. Change it.")
    if os.path.lexists(args.out) and not Path(args.out, "saved_model.pb").is_file():
        raise UserError(f"OUT {args.out}: exists and is not a SavedModel. Choose another folder.")
    folder = zoo.resolve(args.model, flag="MODEL")
    generator, facts = export.restore(folder), zoo.attributes(folder)
    scale = models.scale_of(generator)
    crops = Crops(open_store(Folder(args.pictures, scale), scale, args.cache_dir), crop=96, batch=batch)
    batch_norm.remeasure(generator, [to_lr(crops(n)[0]) for n in range(args.crops // batch)])
    export.export(generator, args.out, attributes={name: facts[name] for name in ("step", "start") if name in facts})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
