"""Variables read without graphs, and blended."""

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

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


def test_a_blend_lies_between_its_networks():
    first, second = ({"a/kernel": np.float32([x, 1]), "b/bias": np.float32([x])} for x in (2, 6))
    assert {name: v.tolist() for name, v in variables.blend(first, second, 0.75).items()} == {
        "a/kernel": [3, 1],
        "b/bias": [3],
    }
    with pytest.raises(ValueError, match="different layers"):
        variables.blend(first, {"a/kernel": np.zeros(2)}, 0.5)
