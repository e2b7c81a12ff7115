"""Connected components: what is linked to what, over any number of links."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["components"]


def components(nodes: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the nodes 0, 1, ... the smallest one that it is linked to; `first` and `second` are links' ends."""
    label = np.arange(nodes)
    while len(first):
        a, b = label[first], label[second]
        apart = a != b
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(label, np.maximum(a, b), np.minimum(a, b))
        while True:  # every node looks as far up as it can
            above = label[label]
            if np.array_equal(above, label):
                break
            label = above
    return label
