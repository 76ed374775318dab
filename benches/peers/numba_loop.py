"""Numba: a compiled scalar loop over paths and steps, one core."""
import math

import numba
import numpy as np

from problems import MEANS, MIX_END, MIX_PATHS, MIX_STEPS, OU_PATHS, OU_STEPS, OU_T, mixture_level, report


@numba.njit
def ou_loop(seed, paths, steps, h):
    np.random.seed(seed)
    root, total, squares = math.sqrt(h), 0.0, 0.0
    for _ in range(paths):
        x = 1.0
        for _ in range(steps):
            x += -h * x + root * np.random.standard_normal()
        total += x
        squares += x * x
    return total / paths, (squares - total * total / paths) / (paths - 1)


@numba.njit
def mixture_loop(seed, paths, levels, m, h):
    np.random.seed(seed)
    total = 0.0
    logits = np.empty(8)
    for _ in range(paths):
        x, y = np.random.standard_normal(), np.random.standard_normal()
        for k in range(levels.shape[0]):
            e, b, variance = levels[k]
            top = -np.inf
            for i in range(8):
                dx, dy = e * m[i, 0] - x, e * m[i, 1] - y
                logits[i] = -(dx * dx + dy * dy) / (2 * variance)
                top = max(top, logits[i])
            s, sx, sy = 0.0, 0.0, 0.0
            for i in range(8):
                p = math.exp(logits[i] - top)
                s += p
                sx += p * (e * m[i, 0] - x)
                sy += p * (e * m[i, 1] - y)
            c, root = 1 / (s * variance), math.sqrt(b * h)
            x += h * b * (0.5 * x + sx * c) + root * np.random.standard_normal()
            y += h * b * (0.5 * y + sy * c) + root * np.random.standard_normal()
        total += math.exp(-2 * ((x - m[0, 0]) ** 2 + (y - m[0, 1]) ** 2))
    return total / paths


LEVELS = np.array([mixture_level(k) for k in range(MIX_STEPS)])
report("numba", "ou", lambda seed: ou_loop(seed, OU_PATHS, OU_STEPS, OU_T / OU_STEPS))
report("numba", "mixture", lambda seed: (mixture_loop(seed, MIX_PATHS, LEVELS, np.array(MEANS), (1 - MIX_END) / MIX_STEPS),), runs=3)
