"""Data: MNIST, a part of it bundled."""

from circuitmem.data.mnist import Dataset, cached_mnist, load_mnist

__all__ = ["Dataset", "cached_mnist", "load_mnist"]
