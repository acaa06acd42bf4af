"""Small tables of measured pairs: too few rows to split."""

import torch

from nnlab.data.dataset import Dataset, Split


def _pairs(inputs: list[float], target: list[float], input_name: str, target_name: str) -> Dataset:
    train = Split(torch.tensor(inputs)[:, None], torch.tensor(target)[:, None])
    return Dataset("regression", train, None, None, (input_name,), (target_name,))


def height_weight() -> Dataset:
    """Height from weight: the average for 15 American women aged 30 to 39.

    Source: the ``women`` data set of R, after The World Almanac and Book of Facts, 1975.

    Returns:
        A regression set of 15 training rows: weight in pounds [15, 1], height in inches [15, 1].

    Example:
        >>> data = height_weight()
        >>> data.train.inputs[0].item(), data.train.target[0].item()
        (115.0, 58.0)
    """
    pounds = [115, 117, 120, 123, 126, 129, 132, 135, 139, 142, 146, 150, 154, 159, 164]
    inches = [58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72]
    return _pairs([float(x) for x in pounds], [float(y) for y in inches], "weight_lb", "height_in")


def celsius() -> Dataset:
    """Degrees Celsius from the reading of a thermometer with an unknown scale: 11 noisy pairs.

    Source: Stevens, Antiga and Viehmann, *Deep Learning with PyTorch* (2020), chapter 5.

    Returns:
        A regression set of 11 training rows: reading in unknown units [11, 1], temperature in °C [11, 1].

    Example:
        >>> data = celsius()
        >>> data.train.inputs.shape, round(data.train.target.mean().item(), 3)
        (torch.Size([11, 1]), 10.5)
    """
    unknown = [35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4]
    degrees = [0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0]
    return _pairs(unknown, degrees, "reading", "celsius")
