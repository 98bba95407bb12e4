"""The data of a run, prepared for its network."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Literal

from circuitmem.config import DataSpec, NetworkSpec, RunSpec
from circuitmem.data import Dataset, load_dataset
from circuitmem.errors import ValidationError
from circuitmem.registry import names
from circuitmem.training.own import check_own_data, own_network

__all__ = ["load_data", "load_source", "located"]


def load_source(spec: DataSpec, seed: int) -> Dataset:
    """Load the declared data, split into parts and cut to the declared sizes, but not scaled.

    Raises
    ------
    DataFileError
        If the files are not available.
    ValidationError
        If samples break a rule, or more are asked for than there are.
    """
    target = list(spec.target) if isinstance(spec.target, tuple) else spec.target
    split_seed = seed if spec.split_seed is None else spec.split_seed
    options = {"task": spec.task, "split": spec.split, "ignore": spec.ignore, "licence": spec.licence}
    data = load_dataset(spec.source, target, seed=split_seed, **options)  # type: ignore[arg-type]
    data = data if spec.side is None else data.resized(spec.side)
    return data.first(spec.train, spec.test).holding_back(spec.held_back, seed).validating(spec.validation)


def check_classes(data: Dataset) -> None:
    """Raise :class:`ValidationError` if the data have values to predict, not classes."""
    if data.task != "classes":
        raise ValidationError("data.task", "must be classes: only train and summary take values to predict", data.task)


def load_data(spec: DataSpec, network: NetworkSpec, seed: int, values: bool = False) -> Dataset:
    """Load the data that a run declares, for a network of layers: inputs in rows, none below 0.

    With ``values`` the data may have values to predict instead of classes. The network may also be one that asks for
    products: then inputs may have both signs.

    Parameters
    ----------
    spec : DataSpec
        Where the data come from.
    network : NetworkSpec
        The network whose inputs and outputs the data must fit.
    seed : int
        Seed of a random split.
    values : bool
        Whether the caller accepts values to predict.

    Returns
    -------
    Dataset
        Inputs (samples, inputs), targets (samples,) or (samples, outputs).

    Raises
    ------
    DataFileError
        If the files are not available.
    ValidationError
        If samples break a rule, or the network does not fit them.
    """
    own = own_network(network)
    if network.model and own is None:
        rule = "must be left out: this is for networks of layers"
        raise ValidationError("network.model", rule, network.model)
    data = load_source(spec, seed)
    if not values:
        check_classes(data)
    if own is not None:
        both: Literal["none", "standard"] = "none" if data.bounded else "standard"
        data = data.scaled(both if spec.scale == "auto" else spec.scale).flat()
        check_own_data(own, data)
        return data
    inputs = prod(data.shape)
    if (network.layers[0], network.layers[-1]) != (inputs, data.outputs):
        rule = f"must begin with {inputs}, the inputs of {data.name}, and end with {data.outputs}, its {data.task}"
        raise ValidationError("network.layers", rule, network.layers)
    if network.convolutions and len(data.shape) == 3 and data.shape[0] > 1:
        rule = f"must be left out: convolutions see maps of one channel, and {data.name} has {data.shape[0]}"
        raise ValidationError("network.convolutions", rule)
    if spec.scale == "standard":
        rule = "must be range or none: a network of layers reads inputs from 0 up (network.model takes both signs)"
        raise ValidationError("data.scale", rule, spec.scale)
    scale = ("none" if data.bounded else "range") if spec.scale == "auto" else spec.scale
    data = data.scaled(scale).flat()
    if scale == "none" and data.train_inputs.min() < 0.0:
        rule = "must be range: a network of layers reads inputs from 0 up, and there are lower ones"
        raise ValidationError("data.scale", rule, float(data.train_inputs.min()))
    return data


def located(spec: RunSpec) -> RunSpec:
    """Return a run with absolute paths, so that it finds its files from any folder."""
    data, network = spec.data, spec.network
    if data.source not in names("datasets") and Path(data.source).exists():
        data = data.model_copy(update={"source": str(Path(data.source).resolve())})
    if network.weights is not None and Path(network.weights).exists():
        network = network.model_copy(update={"weights": str(Path(network.weights).resolve())})
    return spec.model_copy(update={"data": data, "network": network})
