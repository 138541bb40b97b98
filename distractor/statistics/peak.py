"""The peak of a curve over size: the size at which distractor preference is highest."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def peak(preference: Float[ndarray, " size"], *, interior: bool = False) -> int:
    """Index of the size with the highest preference, averaged over seeds and items; the smaller size on a tie.

    `interior` ignores the smallest and the largest size, where a curve cannot turn. The verdict uses the interior peak.
    """
    if interior:
        return 1 + int(np.argmax(preference[1:-1]))
    return int(np.argmax(preference))
