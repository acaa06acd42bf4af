"""Where the numbers and pictures of a run are sent."""

from typing import TYPE_CHECKING, Any

from nnlab.logger.base import Histogram, Image, Logger, Media, Run

if TYPE_CHECKING:
    from nnlab.logger.mlflow import MLflow
    from nnlab.logger.tensorboard import TensorBoard

__all__ = ["Histogram", "Image", "Logger", "MLflow", "Media", "Run", "TensorBoard"]


def __getattr__(name: str) -> Any:
    # A run without TensorBoard does not pay for importing it.
    if name == "TensorBoard":
        from nnlab.logger.tensorboard import TensorBoard

        return TensorBoard
    if name == "MLflow":
        from nnlab.logger.mlflow import MLflow

        return MLflow
    raise AttributeError(f"module 'nnlab.logger' has no attribute {name!r}")
