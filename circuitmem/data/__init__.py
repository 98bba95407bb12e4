"""Data: MNIST, a part of it bundled."""

from circuitmem.data.mnist import Dataset, load_mnist

__all__ = ["Dataset", "load_mnist"]
