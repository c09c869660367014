"""Variables read without graphs, and blended."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from helpers import ROOT
from srgan_tf.errors import UserError
from srgan_tf.networks import models
from srgan_tf.saved_models import export, variables


def test_variables_equal_those_of_the_network(small_model):
    expected = models.named_weights(export.restore(small_model / "1"))
    found = variables.read(small_model / "1")
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize("damage", ["missing index", "missing data", "cut index", "cut data"])
def test_damage_is_one_clear_line(small_model, tmp_path, damage):
    shutil.copytree(small_model / "1", tmp_path / "1")
    what, part = damage.split()
    [file] = (tmp_path / "1" / "variables").glob(f"*.{part}*")
    if what == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / '1'}: the variables of the model cannot be read")):
        variables.read(tmp_path / "1")


@pytest.mark.parametrize("graph", [b"\xff", [b"a", b"b"], 3])
def test_a_crafted_object_graph_is_one_clear_line(small_model, tmp_path, graph):
    shutil.copytree(small_model / "1", tmp_path / "1")
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "1" / "variables" / "variables"),
        tensor_names=["_CHECKPOINTABLE_OBJECT_GRAPH"],
        shape_and_slices=[""],
        tensors=[tf.constant(graph)],
    )
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / '1'}: the variables of the model cannot be read")):
        variables.read(tmp_path / "1")


def test_one_tensor_with_two_names_is_refused(small_model, tmp_path):
    """A few megabytes in a file would be gigabytes in memory."""
    shutil.copytree(small_model / "1", tmp_path / "1")
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    for name in "ab":
        graph.nodes.add().attributes.add(full_name=f"{name}/kernel", checkpoint_key="one")
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "1" / "variables" / "variables"),
        tensor_names=["one", "_CHECKPOINTABLE_OBJECT_GRAPH"],
        shape_and_slices=["", ""],
        tensors=[tf.zeros(10), tf.constant(graph.SerializeToString())],
    )
    with pytest.raises(UserError, match="cannot be read .two names have the same tensor"):
        variables.read(tmp_path / "1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_file_is_refused(small_model, tmp_path):
    shutil.copytree(small_model / "1", tmp_path / "1")
    (tmp_path / "1" / "variables" / "variables.index").unlink()
    os.mkfifo(tmp_path / "1" / "variables" / "variables.index")
    code = "import sys; from srgan_tf.saved_models import variables; variables.read(sys.argv[1])"
    command = [sys.executable, "-c", code, tmp_path / "1"]  # a process, because nothing else ends one that waits
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].endswith("cannot be read (not all are files). Export or copy it again.")


def test_a_blend_lies_between_its_networks():
    first, second = ({"a/kernel": np.float32([x, 1]), "b/bias": np.float32([x])} for x in (2, 6))
    assert {name: v.tolist() for name, v in variables.blend(first, second, 0.75).items()} == {
        "a/kernel": [3, 1],
        "b/bias": [3],
    }
    with pytest.raises(ValueError, match="different layers"):
        variables.blend(first, {"a/kernel": np.zeros(2)}, 0.5)
