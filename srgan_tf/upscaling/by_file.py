"""The default of upscale.py: the model that suits a file."""

import dataclasses

from srgan_tf.errors import ModelError, UserError
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling.sizes import Size


class ByFile:
    """Enlarges pictures of lossy files (JPEG, lossy WebP, AVIF, HEIC, videos) with `photo` and all others with `srgan`.

    `photo` was trained on compressed, noisy and soft pictures, `srgan` on clean ones. A note tells which was used.
    Each model is loaded when the first picture needs it. It replaces an `enlarger.Enlarger` in `jobs.run`.
    """

    def __init__(self, scale=None, **arguments):
        """Find the models.

        Args:
            scale, arguments: keyword arguments of `upscaler.Upscaler` without `model` and `fidelity`.

        Raises:
            ModelError: if a model of this scale is not shipped.
        """
        try:
            folders = {name: zoo.resolve(name, scale) for name in zoo.BY_FILE}
        except UserError as error:
            raise ModelError(*error.args) from None
        own, outscale = zoo.attributes(folders[zoo.DEFAULT_MODEL])["scale"], arguments.get("outscale")
        self.size = Size(own if outscale is None else outscale, arguments.get("width"), arguments.get("height"))
        self._arguments, self._upscalers = {"scale": scale, **arguments}, {}

    def picture(self, picture, step=lambda share: None):
        """Enlarge a `picture.Picture` and keep its metadata."""
        name = zoo.PHOTO_MODEL if picture.lossy else zoo.DEFAULT_MODEL
        if name not in self._upscalers:
            from srgan_tf.upscaling.upscaler import Upscaler

            self._upscalers[name] = Upscaler(name, **self._arguments)
        large = self._upscalers[name].picture(picture, step)
        return dataclasses.replace(large, notes=(f"model {name}", *large.notes))


def load(model=None, fidelity=None, **arguments):
    """`ByFile`, or an `Upscaler` if a model or a fidelity is given."""
    if model is None and fidelity is None:
        return ByFile(**arguments)
    from srgan_tf.upscaling.upscaler import Upscaler

    return Upscaler(model, fidelity=fidelity, **arguments)
