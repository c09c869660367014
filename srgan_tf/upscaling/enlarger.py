"""Conversion of all kinds of pictures to batches of RGB and back, with NumPy only."""

import dataclasses

import numpy as np

from srgan_tf.resize import imresize
from srgan_tf.upscaling.alpha import bleed, settle


class Enlarger:
    """Base class of upscalers, without the network: handles greyscale, alpha, and the size of results.

    A subclass defines `size`, a `sizes.Size`, and `_enlarge_batch(batch, step)`: uint8 or uint16 [B, H, W, 3] -> the
    same type [B, scale H, scale W, 3].
    """

    def __call__(self, image, step=lambda share: None):
        """Enlarge a picture or a batch.

        Greyscale stays greyscale: the network gets three equal channels, and the result is the rounded mean of its
        output. Alpha is enlarged as a grey picture. Pixels stay fully transparent or opaque if all pixels within a
        distance of two are so, too. Colours of fully transparent pixels are undefined: they are first replaced by
        those of their neighbours, so that they do not appear along the edges.

        Args:
            image: uint8 or uint16 [H, W], [H, W, 3], [H, W, 2] or [H, W, 4] with alpha last, or [B, H, W, 3].
            step: called after each tile with its share of the total work; the shares add up to 1.

        Returns:
            An array of the same type and kind, with the size given by `size`.

        Raises:
            ValueError: for another type or shape, or an empty picture.
            UserError: if there is not enough memory even for a small tile.
        """
        image = np.asarray(image)
        image = image.astype(
            image.dtype.newbyteorder("="), copy=False
        )  # native byte order: some file readers return big-endian
        if image.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"image must be uint8 or uint16. Received: {image.dtype}")
        if image.size == 0:
            raise ValueError(f"image must have at least one pixel. Received: shape {image.shape}")
        if image.ndim == 4 and image.shape[3] == 3:
            return self._colours(image, step)
        if image.ndim == 2:
            return self._grey(image, step)
        if image.ndim == 3 and image.shape[2] == 3:
            return self._colours(image[None], step)[0]
        if image.ndim == 3 and image.shape[2] in (2, 4):
            colour, alpha = bleed(image[..., :-1], image[..., -1]), image[..., -1]
            flat = (alpha == alpha.flat[0]).all()  # uniform alpha needs no network, and opaque stays opaque

            def half(share):
                step(share if flat else share / 2)

            large = self(colour[..., 0] if image.shape[2] == 2 else colour, half)
            alpha = np.full(large.shape[:2], alpha.flat[0]) if flat else self._grey(alpha, half, settle)
            return np.dstack([large, alpha])
        raise ValueError(f"image must be [H, W], [H, W, 2 to 4] or [B, H, W, 3]. Received: shape {image.shape}")

    def picture(self, picture, step=lambda share: None):
        """Enlarge a `picture.Picture` and keep its metadata."""
        colour = picture.pixels[..., :1] if picture.grey else picture.pixels
        alpha = [] if picture.alpha is None else [picture.alpha]
        array = np.dstack([colour, *alpha])
        large = self(array[..., 0] if array.shape[2] == 1 else array, step)
        large = large[..., None] if large.ndim == 2 else large
        return dataclasses.replace(
            picture,
            pixels=np.repeat(large[..., :1], 3, axis=2) if picture.grey else large[..., :3],
            alpha=None if picture.alpha is None else large[..., -1],
        )

    def _grey(self, image, step, finish=lambda large, small: None):
        large = self._enlarge_batch(np.repeat(image[None, ..., None], 3, axis=3), step)[0]
        rows = max(1, 2**20 // large.shape[1])
        grey = np.empty(large.shape[:2], image.dtype)
        for i in range(0, len(large), rows):  # in parts: the sums take more memory than the pixels
            grey[i : i + rows] = (large[i : i + rows].sum(axis=2, dtype=np.uint32) + 1) // 3
        del large
        finish(grey, image)
        return self._resized(grey, image.shape[:2])

    def _colours(self, batch, step):
        large = self._enlarge_batch(batch, step)
        height, width = self.size.of(*batch.shape[1:3])
        if (height, width) == large.shape[1:3]:
            return large
        if len(large) == 1:  # np.stack would copy it
            return self._resized(large[0], batch.shape[1:3])[None]
        return np.stack([self._resized(image, batch.shape[1:3]) for image in large])

    def _resized(self, large, before):
        """Resize the network's output for a picture of the shape `before` to the final size."""
        size = self.size.of(*before)
        return large if size == large.shape[:2] else imresize(large, size=size)
