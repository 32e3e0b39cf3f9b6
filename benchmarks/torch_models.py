"""The models of on_device.py in PyTorch, as one would write them there for speed: images resident, fused Adam.

What is multiplied is the same as ours, float32 with TF32 allowed on a GPU; binarized anew at every step. Ours averages
its weights and guards its updates besides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

MODES = ("eager", "compile", "reduce-overhead")  # the last compiles, and replays CUDA graphs


class Residual(nn.Module):
    """x + f(x) with two 3x3 convolutions behind group norm and SiLU."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)),
            *(nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def networks(net: str, quick: bool) -> tuple[nn.Module, nn.Module, int]:
    """Returns (encoder to mean and log-variance, decoder to logits [B, 784], the latent size)."""
    if net == "mlp":
        width, latent = (16, 4) if quick else (400, 20)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 2 * latent))
        return encoder, nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, 784)), latent
    latent, dense = (4, 8) if quick else (32, 256)
    channels = ((4, 8) if quick else (32, 64)) if net == "conv" else ((8, 8) if quick else (128, 256))

    def level(channels: int) -> list[nn.Module]:
        if net == "conv":
            return [nn.ReLU()]
        groups = max(1, min(8, channels // 4))
        return [Residual(channels, groups), nn.GroupNorm(groups, channels), nn.SiLU()]

    one, two = channels
    encoder = nn.Sequential(
        *(nn.Conv2d(1, one, 4, 2, 1), *level(one), nn.Conv2d(one, two, 4, 2, 1), *level(two)),
        *(nn.Flatten(), nn.Linear(49 * two, dense), nn.ReLU(), nn.Linear(dense, 2 * latent)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(latent, dense), nn.ReLU(), nn.Linear(dense, 49 * two), nn.Unflatten(1, (two, 7, 7)), *level(two)),
        *(nn.ConvTranspose2d(two, one, 4, 2, 1), *level(one), nn.ConvTranspose2d(one, 1, 4, 2, 1), nn.Flatten()),
    )
    return encoder, decoder, latent


def trainer(net: str, quick: bool, images: np.ndarray, batch: int, mode: str) -> Callable[[int], None]:
    """Returns a function that takes `count` steps and waits for them; `mode` is one of MODES."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    data = torch.tensor(np.asarray(images)).to(device).reshape(-1, 1, 28, 28).float() / 255
    encoder, decoder, _ = (part.to(device) if isinstance(part, nn.Module) else part for part in networks(net, quick))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)

    def loss(grey: torch.Tensor) -> torch.Tensor:
        x = torch.bernoulli(grey)
        mean, log_variance = encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        distortion = functional.binary_cross_entropy_with_logits(decoder(z), x.flatten(1), reduction="sum")
        return (distortion + 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()) / batch

    if mode != "eager":
        loss = torch.compile(loss, mode=None if mode == "compile" else mode)
    order, position = torch.randperm(len(data), device=device), 0

    def run(count: int) -> None:
        nonlocal order, position
        for _ in range(count):
            if position + batch > len(data):
                order, position = torch.randperm(len(data), device=device), 0
            grey = data[order[position : position + batch]]
            position += batch
            optimizer.zero_grad(set_to_none=True)
            loss(grey).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run
