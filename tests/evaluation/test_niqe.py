"""NIQE gives the figures that BasicSR and MATLAB give."""

import math

import numpy as np
import pytest
from PIL import Image

from srgan_tf.evaluation.niqe import fits, niqe
from srgan_tf.resize import imresize


def test_niqe_of_a_benchmark_picture_is_that_of_matlab(benchmarks):
    baboon = np.asarray(Image.open(benchmarks / "Set14" / "image_SRF_4" / "img_001_SRF_4_HR.png"))
    assert niqe(baboon, border=0) == pytest.approx(5.7296, abs=5e-4)  # published with BasicSR's code


def test_niqe_of_a_synthetic_picture_is_the_known_value():
    """The values were computed with `calculate_niqe` of BasicSR 1.4.2."""
    assert niqe(picture(), border=0) == pytest.approx(KNOWN[0], rel=2e-4)
    assert niqe(picture(), border=4) == pytest.approx(KNOWN[4], rel=2e-4)


def test_blur_raises_niqe():
    sharp = picture()
    blurred = imresize(imresize(sharp, 1 / 4), size=sharp.shape[:2])
    assert niqe(blurred) > niqe(sharp) + 1


def test_a_grey_picture_has_the_niqe_of_its_three_equal_channels():
    grey = picture()[..., 0]
    assert niqe(grey) == niqe(np.repeat(grey[..., None], 3, axis=2))


def test_a_picture_of_one_colour_has_no_niqe():
    assert math.isnan(niqe(np.full((200, 200, 3), 90, np.uint8)))


@pytest.mark.parametrize("height, width, large_enough", [(104, 200, True), (103, 300, False), (104, 199, False)])
def test_two_blocks_must_fit_into_the_picture(height, width, large_enough):
    assert fits(height, width) is large_enough
    if not large_enough:
        with pytest.raises(ValueError, match="96 x 96"):
            niqe(np.zeros((height, width, 3), np.uint8))


def picture():
    """Structure of several sizes, as photographs have: 300 x 220 pixels."""
    rng = np.random.default_rng(3)
    layers = [imresize(rng.normal(0, 10 * size**0.6, (300 // size + 1, 220 // size + 1, 3)), size) for size in SIZES]
    return np.clip(120 + sum(layer[:300, :220] for layer in layers), 0, 255).astype(np.uint8)


SIZES = (1, 2, 4, 8, 16, 32)
KNOWN = {0: 6.446960, 4: 6.603275}  # by border
