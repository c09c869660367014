"""The variables of a SavedModel as arrays by name, read without loading its graphs: 40 ms instead of a second."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from srgan_tf.errors import UserError


def read(folder):
    """All variables of a SavedModel that `export` wrote.

    Returns:
        float32 arrays by "layer/variable", as `models.named_weights` calls them.

    Raises:
        UserError: when the variables are missing or damaged.
    """
    try:
        reader = tf.train.load_checkpoint(str(Path(folder) / "variables" / "variables"))
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        return {
            layer_and_variable(entry.full_name): reader.get_tensor(entry.checkpoint_key)
            for node in graph.nodes
            for entry in node.attributes
            if "/" in entry.full_name
        }
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:120]
        raise UserError(
            f"the variables of the model cannot be read ({reason}), {folder}, export or copy the model again"
        ) from None


def blend(first, second, share):
    """Network interpolation: `share` of the first network's variables, 1 - share of the second's, one by one.

    Raises:
        ValueError: when they are not variables of the same network.
    """
    if {name: v.shape for name, v in first.items()} != {name: v.shape for name, v in second.items()}:
        raise ValueError("two networks of different layers cannot be blended")
    return {name: (share * v + (1 - share) * second[name]).astype(v.dtype) for name, v in first.items()}


def layer_and_variable(name):
    """ "scope/head_conv/kernel:0" -> "head_conv/kernel"."""
    return "/".join(name.split(":")[0].split("/")[-2:])
