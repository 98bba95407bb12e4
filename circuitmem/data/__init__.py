"""Data: samples with classes or values, from files, folders, functions and arrays; some are bundled."""

from circuitmem.data.bundled import patches, penguins, vowels
from circuitmem.data.dataset import Dataset
from circuitmem.data.mnist import bundled_mnist, cached_mnist, full_mnist, load_mnist
from circuitmem.data.samples import Samples
from circuitmem.data.scaling import Scaling
from circuitmem.data.sources import load_dataset

__all__ = [
    "Dataset",
    "Samples",
    "Scaling",
    "bundled_mnist",
    "cached_mnist",
    "full_mnist",
    "load_dataset",
    "load_mnist",
    "patches",
    "penguins",
    "vowels",
]
