"""Adam as the paper has it, and Muon, which gets further in as many steps."""

import keras
from keras import ops

ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
MOMENTUM, ITERATIONS = 0.95, 5
QUINTIC = 3.4445, -4.7750, 2.0315  # coefficients of the Newton-Schulz iteration
RMS = 0.2  # of an update over its rate: about what Adam's have, so that one rate suits both
PICTURE = 3  # channels: kernels that read or make pictures are Adam's


def create(name):
    """A Keras optimizer: "adam" or "muon"."""
    return keras.optimizers.Adam(**ADAM) if name == "adam" else Muon()


class Muon(keras.optimizers.Adam):
    """Momentum whose update of a convolution's kernel is made orthogonal; Adam for all other variables.

    A kernel [h, w, C, F] is taken as a matrix [h w C, F]. Of its momentum's singular values all become about 1, so
    that rare directions are learned as fast as frequent ones.

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
    """U V^T of a matrix U S V^T, roughly: singular values of 0.7 to 1.2.

    The iteration X <- X (a + b X^T X + c (X^T X)^2) is run on X^T X alone, which is smaller than X.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return ops.transpose(orthogonal(ops.transpose(matrix)))
    a, b, c = QUINTIC
    matrix = matrix / (ops.norm(matrix) + 1e-7)
    gram, product = ops.matmul(ops.transpose(matrix), matrix), None
    for _ in range(ITERATIONS):
        factor = a * ops.eye(matrix.shape[1], dtype=matrix.dtype) + b * gram + c * ops.matmul(gram, gram)
        product = factor if product is None else ops.matmul(product, factor)
        gram = ops.matmul(factor, ops.matmul(gram, factor))
    return ops.matmul(matrix, product)
