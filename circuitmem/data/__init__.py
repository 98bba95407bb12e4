"""Data: MNIST, a part of it bundled."""

from circuitmem.data.mnist import Dataset, bundled_mnist, cached_mnist, full_mnist, load_mnist

__all__ = ["Dataset", "bundled_mnist", "cached_mnist", "full_mnist", "load_mnist"]
