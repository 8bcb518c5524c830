"""The link between ranks as two numbers, alpha and beta, fitted to a bare allreduce. No torch.

Hockney, "The Communication Challenge for MPP: Intel Paragon and Meiko CS-2", 1994; of collectives: Thakur et al.,
"Optimization of Collective Communication Operations in MPICH", 2005.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from horovod_ocr.errors import ClusterError


@dataclass(frozen=True)
class Link:
    """What a message between two ranks costs: alpha + bytes / beta seconds."""

    alpha_s: float
    """Before the first byte arrives: the network's latency, and what the engine needs to begin."""
    beta: float
    """Bytes in a second, in and out of a rank at the same time."""

    def allreduce_s(self, size: float, ranks: int) -> float:
        """A ring: 2 (N - 1) rounds, each with 1 / N of the bytes."""
        return 2 * (ranks - 1) * (self.alpha_s + size / ranks / self.beta)

    def scatter_s(self, size: float, ranks: int) -> float:
        """Half of an allreduce: each rank gets the sum of its 1 / N of the bytes; or all ranks get all parts."""
        return self.allreduce_s(size, ranks) / 2

    def star_s(self, size: float, ranks: int) -> float:
        """One rank gets `size` bytes of each other rank, or sends them: its own link carries all."""
        return (ranks - 1) * (self.alpha_s + size / self.beta)

    def faster(self, bits_per_s: float) -> "Link":
        """The same latency at another speed."""
        return replace(self, beta=bits_per_s / 8)


def fit_link(seconds: Mapping[int, float], ranks: int) -> Link:
    """alpha and beta of allreduces of bytes -> seconds among `ranks`, by least squares of the relative error.

    ClusterError if larger messages do not take longer: then there is nothing to fit.
    """
    rounds = 2 * (ranks - 1)
    sizes, times = (np.array(list(each), float) for each in (seconds.keys(), seconds.values()))
    columns = np.stack([np.full_like(sizes, rounds), rounds * sizes / ranks], axis=1) / times[:, None]
    alpha, per_byte = np.linalg.lstsq(columns, np.ones_like(times), rcond=None)[0]
    if alpha < 0:  # hidden in the noise: through the origin
        alpha, per_byte = 0.0, columns[:, 1].sum() / (columns[:, 1] ** 2).sum()
    if per_byte <= 0:
        raise ClusterError("an allreduce of many bytes took no longer than one of few; the link cannot be measured")
    return Link(float(alpha), 1 / float(per_byte))
