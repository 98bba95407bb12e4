"""Softmax cross-entropy, and mean squared error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cross_entropy", "squared_error"]


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean loss of a batch and its gradient with respect to the logits, (batch, classes).

    Parameters
    ----------
    logits : (batch, classes) ndarray
        Outputs of the last layer.
    labels : (batch,) ndarray of int
        True classes.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float((np.log(sums[:, 0]) - shifted[rows, labels]).mean())
    error = exponentials / sums
    error[rows, labels] -= 1.0
    return loss, error / len(labels)


def squared_error(outputs: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean squared error of a batch and its gradient with respect to the outputs, (batch, outputs).

    Parameters
    ----------
    outputs, wanted : (batch, outputs) ndarray
        Outputs of the last layer, and their targets.
    """
    error = outputs - wanted
    return float(np.mean(error**2)), error * (2.0 / error.size)
