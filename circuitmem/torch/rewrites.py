"""Recurrent layers and attention, each one operation in torch, rewritten as modules made of ``Linear``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from circuitmem.errors import ValidationError

__all__ = ["REWRITTEN", "SplitAttention", "UnrolledRecurrent", "rewritten"]

GATES = {nn.LSTM: 4, nn.GRU: 3}


class UnrolledRecurrent(nn.Module):
    """An ``nn.LSTM`` or ``nn.GRU`` step by step, with the parameters of ``module``.

    The products with the inputs of all steps are computed at once; those with the hidden state follow step by step.

    Parameters
    ----------
    module : nn.LSTM or nn.GRU
        A unidirectional one, without projections.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.gates = GATES[type(module)]
        self.hidden_size, self.num_layers = module.hidden_size, module.num_layers
        self.batch_first, self.dropout = module.batch_first, module.dropout
        kinds = {
            kind: nn.ModuleList(
                _linear(getattr(module, f"weight_{kind}_l{layer}"), getattr(module, f"bias_{kind}_l{layer}", None))
                for layer in range(module.num_layers)
            )
            for kind in ("ih", "hh")
        }
        self.from_inputs, self.from_hidden = kinds["ih"], kinds["hh"]
        self.train(module.training)

    def forward(self, inputs: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return what the module of torch returns, for inputs (batch, steps, features), or as ``batch_first`` says."""
        if not isinstance(inputs, torch.Tensor) or inputs.dim() not in (2, 3):
            shown = tuple(inputs.shape) if isinstance(inputs, torch.Tensor) else type(inputs).__name__
            raise ValidationError("inputs", "must be (batch, steps, features) or (steps, features)", shown)
        batched = inputs.dim() == 3
        steps = inputs if batched else inputs.unsqueeze(0)  # (batch, steps, features)
        if batched and not self.batch_first:
            steps = steps.transpose(0, 1)
        given: Any = (state,) if isinstance(state, torch.Tensor) else state
        if given is not None and not batched:
            given = tuple(part.unsqueeze(1) for part in given)
        finals = []
        for layer, (from_inputs, from_hidden) in enumerate(zip(self.from_inputs, self.from_hidden, strict=True)):
            if layer and self.dropout:
                steps = nn.functional.dropout(steps, self.dropout, self.training)
            hidden = steps.new_zeros(len(steps), self.hidden_size) if given is None else given[0][layer]
            memory = hidden if given is None or self.gates == 3 else given[1][layer]
            found = []
            for ahead in from_inputs(steps).unbind(1):
                back = from_hidden(hidden)
                if self.gates == 4:
                    enter, keep, new, leave = (ahead + back).chunk(4, -1)
                    memory = keep.sigmoid() * memory + enter.sigmoid() * new.tanh()
                    hidden = leave.sigmoid() * memory.tanh()
                else:
                    (reset, update, new), (own_reset, own_update, own) = ahead.chunk(3, -1), back.chunk(3, -1)
                    keep = (update + own_update).sigmoid()
                    hidden = (1.0 - keep) * (new + (reset + own_reset).sigmoid() * own).tanh() + keep * hidden
                found.append(hidden)
            steps = torch.stack(found, 1)
            finals.append((hidden, memory))
        last = tuple(torch.stack(part) for part in zip(*finals, strict=True))[: 2 if self.gates == 4 else 1]
        if not batched:
            steps, last = steps.squeeze(0), tuple(part.squeeze(1) for part in last)
        elif not self.batch_first:
            steps = steps.transpose(0, 1)
        return steps, last if self.gates == 4 else last[0]


class SplitAttention(nn.Module):
    """An ``nn.MultiheadAttention`` as four ``Linear`` modules and a digital softmax, with the parameters of ``module``.

    Parameters
    ----------
    module : nn.MultiheadAttention
        With keys and values as wide as queries, and without biases that are appended to them.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.num_heads, self.batch_first, self.dropout = module.num_heads, module.batch_first, module.dropout
        # What nn.TransformerEncoderLayer checks before it takes a fused path.
        self._qkv_same_embed_dim, self.in_proj_bias = False, None
        weights = module.in_proj_weight.chunk(3)
        biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
        self.query, self.key, self.value = (_linear(*pair) for pair in zip(weights, biases, strict=True))
        self.out = _linear(module.out_proj.weight, module.out_proj.bias)
        self.train(module.training)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the module of torch returns; ``is_causal`` is only a hint there, and not needed here."""
        self._check(query, key, value, key_padding_mask, attn_mask)
        batched = query.dim() == 3
        given = [each if batched else each.unsqueeze(0) for each in (query, key, value)]
        if batched and not self.batch_first:
            given = [each.transpose(0, 1) for each in given]
        batch, length, width = given[0].shape

        def split(values: torch.Tensor) -> torch.Tensor:
            return values.reshape(batch, -1, self.num_heads, width // self.num_heads).transpose(1, 2)

        queries, keys, values = (
            split(linear(each)) for linear, each in zip((self.query, self.key, self.value), given, strict=True)
        )
        scores = queries @ keys.transpose(-2, -1) / (width // self.num_heads) ** 0.5
        if attn_mask is not None:
            added = _added(attn_mask, scores)
            scores = scores + (added if added.dim() == 2 else added.reshape(batch, self.num_heads, length, -1))
        if key_padding_mask is not None:
            scores = scores + _added(key_padding_mask, scores).reshape(batch, 1, 1, -1)
        shares = scores.softmax(-1)
        kept = nn.functional.dropout(shares, self.dropout, self.training)
        joined = (kept @ values).transpose(1, 2).reshape(batch, length, width)
        found = self.out(joined)
        if not batched:
            found = found.squeeze(0)
        elif not self.batch_first:
            found = found.transpose(0, 1)
        if not need_weights:
            return found, None
        weights = kept.mean(1) if average_attn_weights else kept
        return found, weights if batched else weights.squeeze(0)

    def _check(self, query: Any, key: Any, value: Any, padding: Any, mask: Any) -> None:
        """Raise :class:`ValidationError` unless shapes fit, as torch's module does: a mask is not broadcast."""
        order = "(batch, steps, features)" if self.batch_first else "(steps, batch, features)"
        for name, each in (("query", query), ("key", key), ("value", value)):
            if not isinstance(each, torch.Tensor) or each.dim() not in (2, 3) or each.dim() != query.dim():
                shape = tuple(each.shape) if isinstance(each, torch.Tensor) else type(each).__name__
                rule = f"must be {order} or (steps, features), as query, key and value all are"
                raise ValidationError(name, rule, shape)
        batched, steps = query.dim() == 3, int(self.batch_first)
        batch = query.shape[1 - steps] if batched else 1
        length, source = (each.shape[steps if batched else 0] for each in (query, key))
        for name, each, wanted in (("key", key, source), ("value", value, source)):
            found = each.shape[steps if batched else 0], each.shape[1 - steps] if batched else 1
            if found != (wanted, batch):
                rule = f"must have {wanted} steps and a batch of {batch}, as key and query have"
                raise ValidationError(name, rule, tuple(each.shape))
        shapes: dict[str, tuple[tuple[int, ...], ...]] = {
            "attn_mask": ((length, source), (batch * self.num_heads, length, source)),
            "key_padding_mask": ((batch, source) if batched else (source,),),
        }
        for name, given in (("attn_mask", mask), ("key_padding_mask", padding)):
            if given is not None and tuple(given.shape) not in shapes[name]:
                rule = f"must be {' or '.join(map(str, shapes[name]))}"
                raise ValidationError(name, rule, tuple(given.shape))


REWRITTEN = (nn.LSTM, nn.GRU, nn.MultiheadAttention)
"""Types that are rewritten as modules made of ``Linear``, exactly these."""


def rewritten(name: str, module: Any) -> nn.Module:
    """Return a module of ``REWRITTEN`` as one made of ``Linear`` modules, with copies of its parameters.

    Raises
    ------
    ValidationError
        If it has an option that cannot be rewritten.
    """
    hint = f" on tiles; name {name} in digital to keep it digital"
    if isinstance(module, nn.MultiheadAttention):
        if module.in_proj_weight is None:
            raise ValidationError(name, f"must have keys and values as wide as its queries{hint}")
        if module.bias_k is not None or module.add_zero_attn:
            raise ValidationError(name, f"must have no add_bias_kv and add_zero_attn{hint}")
        return SplitAttention(module)
    if module.bidirectional or module.proj_size:
        raise ValidationError(name, f"must go in one direction, without proj_size{hint}")
    return UnrolledRecurrent(module)


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    outputs, inputs = weight.shape
    with torch.random.fork_rng(devices=[]):
        linear = nn.Linear(inputs, outputs, bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if bias is not None:
            linear.bias.copy_(bias)
    return linear


def _added(mask: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return what a mask adds to scores: a boolean mask blocks the places where it is true."""
    return (
        torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, float("-inf"))
        if mask.dtype == torch.bool
        else mask
    )
