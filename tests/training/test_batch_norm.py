"""The averages of batch normalisation are measured again after training with frozen ones; the network is unchanged."""

import numpy as np
import pytest
import skimage.data

from srgan_tf.evaluation import metrics
from srgan_tf.networks import models
from srgan_tf.networks.pixels import to_lr, to_uint8
from srgan_tf.resize import imresize
from srgan_tf.saved_models import export, zoo
from srgan_tf.training import batch_norm
from srgan_tf.training.batches import Batches
from srgan_tf.training.recipes import Recipe
from srgan_tf.training.run_config import Run
from srgan_tf.training.trainer import train


def crops(picture, side=96):
    """HR crops of a picture, uint8 [n, side, side, 3]."""
    height, width = (n // side for n in picture.shape[:2])
    picture = picture[: height * side, : width * side].reshape(height, side, width, side, 3)
    return picture.swapaxes(1, 2).reshape(-1, side, side, 3)


def reduced(hr):
    return np.stack([imresize(picture, 1 / 4) for picture in hr])


def psnr(generator, lr, hr, training):
    """The mean over crops; a training call changes the averages, so they are restored."""
    before = models.named_weights(generator)
    sr = to_uint8(generator(to_lr(lr), training=training)).numpy()
    models.load_named_weights(generator, before)
    return np.mean([metrics.score(h, s, "bt601", border=4)[0] for h, s in zip(hr, sr)])


def test_a_shipped_model_agrees_with_itself_in_both_modes_after_its_averages_are_measured():
    generator = export.restore(zoo.resolve("srresnet"))
    hr = np.concatenate([crops(skimage.data.astronaut()), crops(skimage.data.coffee()), crops(skimage.data.chelsea())])
    lr = reduced(hr)
    before, inference = psnr(generator, lr, hr, True), np.asarray(generator(to_lr(lr), training=False))
    expected = psnr(generator, lr, hr, False)
    batch_norm.remeasure(generator, [to_lr(lr[:30]), to_lr(lr[30:60])])
    np.testing.assert_allclose(generator(to_lr(lr), training=False), inference, atol=2e-5)
    after = psnr(generator, lr, hr, True)
    print(f"PSNR by averages {expected:.3f}, by statistics of the batch {before:.3f}, measured anew {after:.3f}")
    assert abs(after - expected) < 0.15


class Noise(Batches):
    """Bright noise, whose statistics are not those of a new network."""

    def __call__(self, n, rows=slice(None)):
        rng = np.random.default_rng(n)
        shapes = [(self.batch, side, side, 3) for side in (self.side, self.scale * self.side)]
        return tuple(rng.integers(100, 256, shape).astype(np.uint8)[rows] for shape in shapes)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_phase_with_frozen_averages_ends_with_those_of_its_activations(ema, tmp_path):
    recipe = Recipe(steps=3, blocks=1, features=8, crop=32, batch=8, freeze_norm="start", learning_rate=1e-3, ema=ema)
    source = Noise(4, 32, 8)
    fresh = models.named_weights(models.srresnet(4, blocks=1, features=8))
    saved = train(Run(str(tmp_path / "run"), recipe, {}), source, initial_weights=lambda: fresh)
    generator = export.restore(saved)
    lr = to_lr(source(1000)[0])
    by_averages, by_batch = (np.asarray(generator(lr, training=training)) for training in (False, True))
    assert np.abs(by_averages - by_batch).mean() < 0.1 * by_averages.std()


def test_training_with_batch_statistics_begins_with_what_the_initial_weights_compute(tmp_path):
    start = models.srresnet(4, blocks=2, features=8)  # its averages, 0 and 1, are not those of its activations
    recipe = Recipe(steps=1, blocks=2, features=8, crop=32, batch=8, learning_rate=0.0)
    source = Noise(4, 32, 8)
    saved = train(Run(str(tmp_path), recipe, {}), source, initial_weights=lambda: models.named_weights(start))
    lr = to_lr(source(1000)[0])
    expected = np.asarray(start(lr))
    assert np.abs(np.asarray(start(lr, training=True)) - expected).mean() > 0.3 * expected.std()
    assert np.abs(np.asarray(export.restore(saved)(lr, training=True)) - expected).mean() < 0.1 * expected.std()
