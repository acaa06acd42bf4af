"""JAX with optax: a scan over the steps of an epoch in one program, or a jitted step in a loop."""

from typing import Any, final

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from peers.job import Job
from peers.known import BEST

#: parameters, optimizer state and the sum of the losses
State = tuple[Any, Any, Array]


@final
class WithJax:
    """The whole epoch as one program, or each step as one.

    Args:
        job: what is trained.
        by_epochs: whether an epoch is one program.
    """

    def __init__(self, job: Job, by_epochs: bool) -> None:
        self.job = job
        self.by_epochs = by_epochs
        self.inputs, self.target = jnp.asarray(job.inputs), jnp.asarray(job.target)
        self.optimizer = {"sgd": optax.sgd, "adam": optax.adam}[job.optimizer](job.lr)
        self.step = jax.jit(self._step, donate_argnums=0)
        self.whole_epoch = jax.jit(self._epoch, donate_argnums=0, static_argnames="shuffle")
        self.mixed = jax.jit(_mixed)

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        self.epochs, self.shuffle = epochs, shuffle
        layers = zip(self.job.weights, self.job.biases, strict=True)
        self.parameters = [(jnp.array(weight.T), jnp.array(bias)) for weight, bias in layers]
        self.state = self.optimizer.init(self.parameters)

    def run(self) -> list[float]:
        """See ``Training``."""
        parameters, state, totals = self.parameters, self.state, []
        for epoch in range(self.epochs):
            now: State = (parameters, state, jnp.zeros(()))
            if self.by_epochs:
                now = self.whole_epoch(now, self.inputs, self.target, epoch, shuffle=self.shuffle)
            else:
                now = self._loop(now, epoch)
            parameters, state, total = now
            totals.append(total)
        return [float(total) / self.job.num_steps for total in totals]

    def _epoch(self, now: State, inputs: Array, target: Array, epoch: Array, shuffle: bool) -> State:
        if shuffle:
            inputs, target = _mixed(inputs, target, epoch)
        batches = [rows.reshape(self.job.num_steps, self.job.batch_size, *rows.shape[1:]) for rows in (inputs, target)]
        return lax.scan(lambda now, batch: (self._step(now, *batch), None), now, tuple(batches))[0]

    def _loop(self, now: State, epoch: int) -> State:
        inputs, target = self.mixed(self.inputs, self.target, epoch) if self.shuffle else (self.inputs, self.target)
        size = self.job.batch_size
        for first in range(0, self.job.num_rows, size):
            now = self.step(now, inputs[first : first + size], target[first : first + size])
        return now

    def _step(self, now: State, inputs: Array, target: Array) -> State:
        parameters, state, total = now
        loss, gradient = jax.value_and_grad(self._loss)(parameters, inputs, target)
        updates, state = self.optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, total + loss

    def _loss(self, parameters: Any, inputs: Array, target: Array) -> Array:
        hidden = inputs
        for place, (weight, bias) in enumerate(parameters):
            hidden = (jax.nn.relu(hidden) if place else hidden) @ weight + bias
        if self.job.loss == "mse":
            return jnp.mean((hidden - target) ** 2)
        if self.job.loss == "probability":
            return optax.sigmoid_binary_cross_entropy(hidden, target).mean()
        return optax.softmax_cross_entropy_with_integer_labels(hidden, target).mean()


def _mixed(inputs: Array, target: Array, epoch: Array) -> tuple[Array, Array]:
    order = jax.random.permutation(jax.random.fold_in(jax.random.key(0), epoch), len(inputs))
    return inputs[order], target[order]


def make(job: Job, setting: str) -> WithJax:
    """A training."""
    return WithJax(job, by_epochs=setting == BEST)
