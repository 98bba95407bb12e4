"""Torch layers whose products are computed on a memristor chip, with exact gradients.

It needs the extra ``circuitmem[torch]``; nothing else here imports torch.
"""

from circuitmem.network import LayerSummary, NetworkSummary
from circuitmem.torch.bring_up import calibrate, program
from circuitmem.torch.conv import CrossbarConv1d, CrossbarConv2d
from circuitmem.torch.convert import convert
from circuitmem.torch.evaluate import Run, evaluate
from circuitmem.torch.linear import CrossbarLinear
from circuitmem.torch.module import set_read_noise
from circuitmem.torch.observe import digitally
from circuitmem.torch.plan import one_thread
from circuitmem.torch.run import (
    begin_model,
    load_model,
    resume_model_run,
    start_model_run,
    summarize_model,
    train_model,
)
from circuitmem.torch.summary import summary

__all__ = [
    "CrossbarConv1d",
    "CrossbarConv2d",
    "CrossbarLinear",
    "LayerSummary",
    "NetworkSummary",
    "Run",
    "begin_model",
    "calibrate",
    "convert",
    "digitally",
    "evaluate",
    "load_model",
    "one_thread",
    "program",
    "resume_model_run",
    "set_read_noise",
    "start_model_run",
    "summarize_model",
    "summary",
    "train_model",
]
