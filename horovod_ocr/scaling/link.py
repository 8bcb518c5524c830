"""The link between ranks as three numbers, fitted to bare collectives: alpha, beta, and what a call costs. No torch.

Hockney, "The Communication Challenge for MPP: Intel Paragon and Meiko CS-2", 1994; of collectives: Thakur et al.,
"Optimization of Collective Communication Operations in MPICH", 2005.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """How a collective of n bytes uses the link that is the busiest."""

    rounds: int
    """Messages, one after the other."""
    share: float
    """Of the bytes, in each message."""


NEIGHBOURS = Shape(1, 1.0)
"""Each rank sends all bytes to the next one, and receives as many from the one before."""


def ring(ranks: int) -> Shape:
    """An allreduce: 2 (N - 1) rounds, each with 1 / N of the bytes."""
    return Shape(2 * (ranks - 1), 1 / ranks)


def half_ring(ranks: int) -> Shape:
    """Each rank gets the sum of its 1 / N of the bytes; or all ranks get all parts."""
    return Shape(ranks - 1, 1 / ranks)


def star(ranks: int) -> Shape:
    """One rank gets all bytes of each other rank, or sends them, at the same time: its own link carries all."""
    return Shape(1, ranks - 1.0)


def tree(ranks: int) -> Shape:
    """One rank's bytes to all: in round i, 2^i ranks that have them send them on."""
    return Shape((ranks - 1).bit_length(), 1.0)


@dataclass(frozen=True)
class Link:
    """What a message between two ranks costs, alpha + bytes / beta seconds, and what a collective costs beside that."""

    alpha_s: float
    """Before the first byte arrives."""
    beta: float
    """Bytes in a second, in and out of a rank at the same time."""
    call_s: float = 0.0
    """Until all ranks have agreed to begin; once for all collectives that wait."""

    @property
    def gigabits(self) -> float:
        """In a second, in and out of a rank at the same time."""
        return 8e-9 * self.beta

    def time_s(self, shape: Shape, size: float) -> float:
        """Of a collective of `size` bytes, once it has begun."""
        return shape.rounds * (self.alpha_s + shape.share * size / self.beta)

    def allreduce_s(self, size: float, ranks: int) -> float:
        """With its call."""
        return self.call_s + self.time_s(ring(ranks), size)

    def faster(self, bits_per_s: float) -> "Link":
        """The same latency at another speed."""
        return replace(self, beta=bits_per_s / 8)


@dataclass(frozen=True)
class Links:
    """One link, as it is for each kind of collective: what the cores and the engine do differs."""

    by_collective: Mapping[str, Link]
    """fp32, always; fp16, torch, star, neighbours if they were measured (`Way.collectives`)."""

    def of(self, collective: str) -> Link:
        """That of the plain allreduce where this kind was not measured."""
        return self.by_collective.get(collective) or self.by_collective["fp32"]

    def faster(self, bits_per_s: float) -> "Links":
        """The same latency at another speed of the network."""
        # beta counts bytes as they are in fp32, of which half travel as fp16
        factor = {"fp16": 2.0}
        links = self.by_collective.items()
        return Links({name: link.faster(factor.get(name, 1.0) * bits_per_s) for name, link in links})


def fit_link(seconds: Mapping[int, float], shape: Shape, call_s: float = 0.0) -> Link:
    """alpha and beta of collectives of bytes -> seconds, calls included, by least squares of the relative error.

    Where noise hides one of them: no alpha, or a beta as if the largest message took all of its time for its bytes.
    """
    sizes, times = (np.array(list(each), float) for each in (seconds.keys(), seconds.values()))
    columns = shape.rounds * np.stack([np.ones_like(sizes), shape.share * sizes], axis=1) / times[:, None]
    wanted = 1 - min(call_s, times.min()) / times
    alpha, per_byte = np.linalg.lstsq(columns, wanted, rcond=None)[0]
    if alpha < 0:  # hidden in the noise: through the origin
        alpha, per_byte = 0.0, columns[:, 1] @ wanted / (columns[:, 1] @ columns[:, 1])
    if per_byte <= 0:
        largest = int(sizes.argmax())
        per_byte = times[largest] / (shape.rounds * shape.share * sizes[largest])
    return Link(float(alpha), 1 / float(per_byte), call_s)
