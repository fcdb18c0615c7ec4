"""The networks of the ensemble: K members computed in one batched pass, on vectors or on frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAK = 0.01
"""Slope of the leaky ReLU below zero: Christiano et al. 2017, appendix A."""


class EnsembleLinear(nn.Module):
    """K linear layers side by side: (K, N, n_in) -> (K, N, n_out), or (N, n_in) shared by all members.

    Initialised as `torch.nn.Linear` is, every member on its own.
    """

    def __init__(self, members: int, n_in: int, n_out: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        weight = torch.empty(members, n_in, n_out)
        bias = torch.empty(members, 1, n_out)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(bias.uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Apply every member's layer."""
        if x.dim() == 2:  # one matrix product for all members, without copying x for each
            members, n_in, n_out = self.weight.shape
            flat = x @ self.weight.permute(1, 0, 2).reshape(n_in, members * n_out)
            x = flat.view(-1, members, n_out).transpose(0, 1)
            return x + self.bias
        return torch.baddbmm(self.bias, x, self.weight)


class EnsembleMLP(nn.Module):
    """Reward of (observation, action) vectors: (N, n_in) -> (K, N).

    Two hidden layers of 64 leaky ReLUs by default: Christiano et al. 2017, appendix A.1.

    Args:
        members: K.
        n_in: Length of a vector.
        hidden: Units of each hidden layer.
        generator: Of the initial weights.
    """

    def __init__(self, members: int, n_in: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        sizes = [n_in, *hidden, 1]
        self.layers = nn.ModuleList(EnsembleLinear(members, a, b, generator) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Rewards of every member."""
        out: Tensor = self.layers[-1](self.units(x))
        return out.squeeze(-1)

    def units(self, x: Tensor) -> Tensor:
        """The last hidden layer of every member, (N, n_in) -> (K, N, n_units); x itself where no layer is hidden."""
        for layer in self.layers[:-1]:
            x = functional.leaky_relu(layer(x), _LEAK)
        return x


class EnsembleCNN(nn.Module):
    """Reward of frames: (N, C, H, W) in [0, 1] -> (K, N).

    Convolutions 7x7/3, 5x5/2, 3x3/1, 3x3/1 of 16 filters with batch normalisation, leaky ReLU and dropout, then 64
    units: Christiano et al. 2017, appendix A.2. The size of the last layers follows the frame; where a frame is too
    small for a convolution, that one is padded. Members are the groups of grouped convolutions; the first layer reads
    the frame once for all of them.
    """

    _LAYERS = ((7, 3), (5, 2), (3, 1), (3, 1))
    _FILTERS = 16
    _HIDDEN = 64

    def __init__(
        self,
        members: int,
        obs_shape: tuple[int, int, int],
        dropout: float,
        pool_pixels: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.members = members
        self.dropout = dropout
        self.pool_pixels = pool_pixels
        channels, side = obs_shape[0], min(obs_shape[1:]) // pool_pixels
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        groups = 1
        for kernel, stride in self._LAYERS:
            padding = kernel // 2 if (side - kernel) // stride + 1 < 3 else 0
            conv = nn.Conv2d(channels, members * self._FILTERS, kernel, stride, padding, groups=groups)
            _initialise(conv, generator)
            self.convs.append(conv)
            # Decay .99 of the running statistics (momentum .01): Ibarz et al. 2018, appendix A.3.
            self.norms.append(nn.BatchNorm2d(members * self._FILTERS, momentum=0.01))
            channels, groups = members * self._FILTERS, members
            side = (side + 2 * padding - kernel) // stride + 1
        with torch.no_grad():
            n_features = self.eval()._features(torch.zeros(1, *obs_shape)).shape[-1]
        self.train()
        self.hidden = EnsembleLinear(members, n_features, self._HIDDEN, generator)
        self.out = EnsembleLinear(members, self._HIDDEN, 1, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Rewards of every member."""
        out: Tensor = self.out(self.units(x))
        return out.squeeze(-1)

    def units(self, x: Tensor) -> Tensor:
        """The last hidden layer of every member, (N, C, H, W) -> (K, N, 64)."""
        return functional.leaky_relu(self.hidden(self._features(x)), _LEAK)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Within this, passes without gradient replace the statistics of batch normalisation by their plain mean.

        A fit is short beside the decay of running statistics: left alone they would still be those of no data at all,
        and rewards in evaluation mode all but constant.
        """
        dropout, momenta = self.dropout, [norm.momentum for norm in self._norms()]
        self.dropout = 0.0
        for norm in self._norms():
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        self.train()
        yield
        self.eval()
        self.dropout = dropout
        for norm, momentum in zip(self._norms(), momenta, strict=True):
            norm.momentum = momentum

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [norm for norm in self.norms if isinstance(norm, nn.BatchNorm2d)]

    def _features(self, x: Tensor) -> Tensor:
        if self.pool_pixels > 1:
            x = functional.avg_pool2d(x, self.pool_pixels)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.leaky_relu(norm(conv(x)), _LEAK)
            x = functional.dropout2d(x, self.dropout, self.training)  # whole channels: Ibarz A.3
        return x.reshape(x.shape[0], self.members, -1).transpose(0, 1)  # (K, N, F)


def _initialise(conv: nn.Conv2d, generator: torch.Generator) -> None:
    """Draw the weights as `torch.nn.Conv2d` does, from our own generator."""
    fan_in = conv.weight[0].numel()
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        conv.weight.uniform_(-bound, bound, generator=generator)
        if conv.bias is not None:
            conv.bias.uniform_(-bound, bound, generator=generator)
