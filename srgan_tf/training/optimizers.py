"""Adam as in the paper, and Muon, with which SRResNet gets better in the same number of steps."""

import collections

import keras
import tensorflow as tf
from keras import ops

ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
MOMENTUM, ITERATIONS = 0.95, 5
QUINTIC = 3.4445, -4.7750, 2.0315  # coefficients of the Newton-Schulz iteration
RMS = 0.2  # of an update divided by its rate: similar to Adam, so that the same rate suits both
PICTURE = 3  # channels; kernels that read or write pictures are trained by Adam


def create(name):
    """A Keras optimizer: "adam" or "muon"."""
    return Adam() if name == "adam" else Muon()


class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` by TensorFlow's fused operation: half of the time and of the graph.

    Source: Kingma and Ba 2015, arXiv:1412.6980.
    """

    def __init__(self, learning_rate=1e-4, **kwargs):
        super().__init__(learning_rate, **{**ADAM, **kwargs})

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        powers = [ops.power(beta, ops.cast(self.iterations + 1, "float32")) for beta in (self.beta_1, self.beta_2)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=ops.cast(gradient, variable.dtype),
        )


class Muon(Adam):
    """Momentum with orthogonal updates for the kernels of convolutions; Adam for all other variables.

    A kernel [h, w, C, F] is treated as a matrix [h w C, F]. All singular values of its momentum are set to about 1, so
    that rare directions are learned as fast as frequent ones. `keras.optimizers.Muon` trains kernels of four dimensions
    with Adam.

    Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the scale of an update: Liu et al. 2025,
    arXiv:2502.16982.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable, as Keras calls it on each of several devices."""
        if _is_matrix(variable):
            self._update_kernels([(gradient, variable)], learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Update all variables. On one device kernels of the same shape are updated together, so that a GPU has fewer
        operations to start."""
        rest, groups = [], collections.defaultdict(list)
        for pair in zip(grads, trainable_variables):
            alone = tf.distribute.get_strategy().num_replicas_in_sync > 1 or not _is_matrix(pair[1])
            (rest if alone else groups[pair[1].shape]).append(pair)
        for pairs in groups.values():
            self._update_kernels(pairs, learning_rate)
        if rest:
            super()._backend_update_step(*zip(*rest), learning_rate)

    def _update_kernels(self, pairs, learning_rate):
        """Update kernels of one shape, given with their gradients."""
        updates = []
        for gradient, variable in pairs:
            momentum = self._momentums[self._get_variable_index(variable)]
            gradient = ops.cast(gradient, variable.dtype)
            self.assign(momentum, MOMENTUM * momentum + gradient)
            updates.append(ops.reshape(gradient + MOMENTUM * momentum, (-1, variable.shape[-1])))
        updates = orthogonal(ops.stack(updates))
        rate = ops.cast(learning_rate, updates.dtype) * RMS * max(updates.shape[1:]) ** 0.5
        for (_, variable), update in zip(pairs, ops.unstack(rate * updates)):
            self.assign_sub(variable, ops.reshape(update, variable.shape))


def _is_matrix(variable):
    return len(variable.shape) == 4 and min(variable.shape[2:]) > PICTURE


def orthogonal(matrices):
    """U V^T of matrices U S V^T, float [..., M, N], approximately: singular values become 0.7 to 1.2.

    The iteration is X <- a X + X (b X^T X + c (X^T X)^2). It computes X^T X from X each time, which corrects rounding
    errors: products in TF32, the default of recent GPUs, do not change the result. Iterating on X^T X alone would be
    cheaper, but its errors grow (singular values up to 3).
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return _transposed(orthogonal(_transposed(matrices)))
    a, b, c = QUINTIC
    x = matrices / (ops.norm(matrices, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = ops.matmul(_transposed(x), x)
        x = a * x + ops.matmul(x, b * gram + c * ops.matmul(gram, gram))
    return x


def _transposed(matrices):
    return ops.swapaxes(matrices, -2, -1)
