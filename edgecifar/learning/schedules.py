"""Learning rates, one for each step of a training, computed before it starts."""

import numpy as np
from numpy.typing import NDArray

from edgecifar.recipe import OptimizerSpec, ScheduleSpec


def learning_rates(
    schedule: ScheduleSpec, optimizer: OptimizerSpec, epochs: int, steps_per_epoch: int
) -> NDArray[np.float32]:
    """Returns the learning rate of every step, float32 (epochs x steps_per_epoch,).

    "triangular" falls linearly after its warm-up, "cosine" along half a cosine (Loshchilov & Hutter 2017).
    Keras's legacy `decay` divides on top by (1 + decay x step).
    """
    total = epochs * steps_per_epoch
    step = np.arange(total, dtype=np.float64)
    peak = optimizer.learning_rate
    if schedule.name == "constant":
        rates = np.full(total, peak)
    elif schedule.name == "steps":
        rates = np.full(total, peak)
        for after, rate in schedule.steps:
            # As in the seed's script: epochs count from 0, and the rate holds where epoch > after.
            rates[step // steps_per_epoch > after] = rate
    else:
        # Both ends are reached: the first step has `start`, the last one `end`.
        done = step / max(total - 1, 1)
        rising = schedule.start + (1 - schedule.start) * done / max(schedule.warmup, 1e-12)
        left = (1 - done) / (1 - schedule.warmup)
        falling = left if schedule.name == "triangular" else (1 - np.cos(np.pi * left)) / 2
        rates = peak * np.where(done < schedule.warmup, rising, schedule.end + (1 - schedule.end) * falling)
    return (rates / (1 + optimizer.decay * step)).astype(np.float32)
