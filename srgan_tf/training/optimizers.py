"""Adam as in the paper, and Muon, with which SRResNet gets better in the same number of steps."""

import keras
from keras import ops

ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
MOMENTUM, ITERATIONS = 0.95, 5
QUINTIC = 3.4445, -4.7750, 2.0315  # coefficients of the Newton-Schulz iteration
RMS = 0.2  # of an update divided by its rate: similar to Adam, so that the same rate suits both
PICTURE = 3  # channels; kernels that read or write pictures are trained by Adam


def create(name):
    """A Keras optimizer: "adam" or "muon"."""
    return keras.optimizers.Adam(**ADAM) if name == "adam" else Muon()


class Muon(keras.optimizers.Adam):
    """Momentum with orthogonal updates for the kernels of convolutions; Adam for all other variables.

    A kernel [h, w, C, F] is treated as a matrix [h w C, F]. All singular values of its momentum are set to about 1, so
    that rare directions are learned as fast as frequent ones. `keras.optimizers.Muon` trains kernels of four dimensions
    with Adam.

    Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the scale of an update: Liu et al. 2025,
    arXiv:2502.16982.
    """

    def __init__(self, learning_rate=1e-3, name="muon", **kwargs):
        super().__init__(learning_rate, name=name, **{**ADAM, **kwargs})

    def update_step(self, gradient, variable, learning_rate):
        if not _is_matrix(variable):
            return super().update_step(gradient, variable, learning_rate)
        momentum = self._momentums[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(momentum, MOMENTUM * momentum + gradient)
        update = orthogonal(ops.reshape(gradient + MOMENTUM * momentum, (-1, variable.shape[-1])))
        rate = ops.cast(learning_rate, variable.dtype) * RMS * max(update.shape) ** 0.5
        self.assign_sub(variable, rate * ops.reshape(update, variable.shape))


def _is_matrix(variable):
    return len(variable.shape) == 4 and min(variable.shape[2:]) > PICTURE


def orthogonal(matrix):
    """U V^T of a matrix U S V^T, approximately: singular values become 0.7 to 1.2.

    The iteration is X <- a X + X (b X^T X + c (X^T X)^2). It computes X^T X from X each time, which corrects rounding
    errors: products in TF32, the default of recent GPUs, do not change the result. Iterating on X^T X alone would be
    cheaper, but its errors grow (singular values up to 3).
    """
    if matrix.shape[0] < matrix.shape[1]:
        return ops.transpose(orthogonal(ops.transpose(matrix)))
    a, b, c = QUINTIC
    x = matrix / (ops.norm(matrix) + 1e-7)
    for _ in range(ITERATIONS):
        gram = ops.matmul(ops.transpose(x), x)
        x = a * x + ops.matmul(x, b * gram + c * ops.matmul(gram, gram))
    return x
