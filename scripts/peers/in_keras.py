"""Keras 3 on JAX (KERAS_BACKEND=jax): an epoch as one execution, or as `compile` and `fit` have it by default."""

from typing import Any, final

import keras
import numpy as np

from peers.job import Job
from peers.known import BEST


@final
class WithKeras:
    """A Sequential of Dense layers.

    Args:
        job: what is trained.
        is_best: whether it is set as its documents advise for small steps.
    """

    def __init__(self, job: Job, is_best: bool) -> None:
        self.job = job
        self.is_best = is_best
        self.model = _model(job)
        optimizers: dict[str, Any] = {
            "sgd": keras.optimizers.SGD(job.lr),
            "adam": keras.optimizers.Adam(job.lr, epsilon=1e-8),  # as the others have it
        }
        losses: dict[str, Any] = {
            "mse": keras.losses.MeanSquaredError(),
            "probability": keras.losses.BinaryCrossentropy(),
            "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        }
        options = {"jit_compile": True, "steps_per_execution": job.num_steps} if is_best else {}
        self.model.compile(optimizers[job.optimizer], losses[job.loss], **options)
        self.model.optimizer.build(self.model.trainable_variables)

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        self.epochs, self.shuffle = epochs, shuffle
        for layer, weight, bias in zip(self.model.layers, self.job.weights, self.job.biases, strict=True):
            layer.set_weights([weight.T, bias])
        for variable in self.model.optimizer.variables:
            if "learning_rate" not in variable.path:
                variable.assign(np.zeros(variable.shape, dtype=variable.dtype))

    def run(self) -> list[float]:
        """See ``Training``."""
        history = self.model.fit(
            self.job.inputs,
            self.job.target,
            batch_size=self.job.batch_size,
            epochs=self.epochs,
            shuffle=self.shuffle,
            verbose=0 if self.is_best else "auto",
        )
        return [float(loss) for loss in history.history["loss"]]


def _model(job: Job) -> keras.Sequential:
    last = "sigmoid" if job.loss == "probability" else None
    activations = ["relu"] * (len(job.weights) - 1) + [last]
    layers = [
        keras.layers.Dense(len(bias), activation=activation)
        for bias, activation in zip(job.biases, activations, strict=True)
    ]
    return keras.Sequential([keras.Input((job.inputs.shape[1],)), *layers])


def make(job: Job, setting: str) -> WithKeras:
    """A training."""
    return WithKeras(job, is_best=setting == BEST)
