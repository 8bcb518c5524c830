"""AdamW without decay on one-dimensional weights, and a learning rate that is a function of the step alone."""

import math
from inspect import unwrap
from typing import Any

import torch
from torch import nn

BETAS = (0.9, 0.98)


class AdamW(torch.optim.AdamW):
    """torch's own, without torch's compiler.

    torch wraps these methods, and the wrappers import the compiler only to keep it away from them: a third of the time
    in which a rank starts. Nothing here is compiled.
    """

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
    add_param_group = unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = unwrap(torch.optim.AdamW.zero_grad)
    state_dict = unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = unwrap(torch.optim.AdamW.load_state_dict)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that are trained, in two groups: weights, which decay, and one-dimensional ones, which do not. A
    group without parameters is left out."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(groups: list[dict[str, Any]]) -> AdamW:
    """Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019. groups: of `decay_groups`.

    Fused: on CPUs a fifth of the time of torch's default, and it leaves a step out if `found_inf` says so, on the
    device, so that no rank waits to know.
    """
    return AdamW(groups, lr=0.0, betas=BETAS, fused=True)


def learning_rate(step: int, total_steps: int, peak: float, warmup_share: float) -> float:
    """Linear warm-up over the first share of the steps, then a cosine to zero. Pure: resume needs no state."""
    warmup_steps = warmup_share * total_steps
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1.0, total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
