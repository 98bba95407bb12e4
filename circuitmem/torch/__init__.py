"""Layers for torch whose products are a memristor chip's: wires, defects, converters forward, exact gradients back.

It needs the extra ``circuitmem[torch]``; nothing else here imports torch.
"""

from circuitmem.torch.conv import CrossbarConv2d
from circuitmem.torch.linear import CrossbarLinear
from circuitmem.torch.module import set_read_noise

__all__ = ["CrossbarConv2d", "CrossbarLinear", "set_read_noise"]
