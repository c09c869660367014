"""The devices of a run: a single one, all devices of a machine, or several machines."""

import dataclasses
import json
import os

import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.networks.precision import computes_bfloat16


def strategy(kind=None):
    """The `tf.distribute.Strategy` of a kind.

    Args:
        kind: None for one device; "mirrored" for every GPU of this machine, or every logical CPU device if there
            is no GPU; "multiworker" for the machines of TF_CONFIG, which must be created before TensorFlow computes
            anything.

    Raises:
        UserError: if TF_CONFIG does not list the workers.
    """
    if kind == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if kind == "multiworker":
        _check_tf_config()
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def concrete(recipe):
    """The recipe with "auto" precision resolved: bfloat16 if the device computes in it natively, else float32."""
    if recipe.precision != "auto":
        return recipe
    return dataclasses.replace(recipe, precision="bfloat16" if computes_bfloat16() else "float32")


def single_gpu(strategy):
    """The name of the GPU, if a run trains on one; None on a CPU and on several devices."""
    gpus = tf.config.list_logical_devices("GPU")
    return gpus[0].name if gpus and strategy.num_replicas_in_sync == 1 else None


def check_replicas(recipe, strategy, xla):
    """Raise a UserError if a recipe cannot be trained on the devices of a strategy."""
    replicas = strategy.num_replicas_in_sync
    if recipe.batch % replicas:
        raise UserError(
            f"--batch: {recipe.batch} crops cannot be shared equally by {replicas} devices. Use a multiple of "
            f"{replicas}."
        )
    if replicas > 1 and (xla or recipe.precision == "float16"):
        flag = "--xla" if xla else "--precision float16"
        raise UserError(f"{flag}: it works on one device only. Remove it or --distribute.")


def is_chief(strategy):
    """Whether this program writes the shared files: it is the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or ("chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0)


def agree(strategy, number):
    """The largest of the workers' numbers. Each worker waits here for all others."""
    if strategy.cluster_resolver is None:
        return number
    replica = tf.distribute.get_replica_context

    @tf.function
    def largest(number):
        everyone = strategy.run(lambda: replica().all_gather(tf.reshape(number, (1,)), axis=0))
        return tf.reduce_max(strategy.experimental_local_results(everyone)[0])

    return int(largest(tf.constant(number, tf.int64)))


def _check_tf_config():
    try:
        config = json.loads(os.environ.get("TF_CONFIG", ""))
        workers, task = config["cluster"]["worker"], config["task"]
        if isinstance(workers, list) and {"type", "index"} <= task.keys():
            return
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(
        '--distribute multiworker: TF_CONFIG does not list the workers. Set it to {"cluster": {"worker": ["HOST:PORT", '
        '...]}, "task": {"type": "worker", "index": 0}}, with a different index on each.'
    )
