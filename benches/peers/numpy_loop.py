"""NumPy: all paths in one array, a Python loop over steps."""
import numpy as np

from problems import MEANS, MIX_END, MIX_PATHS, MIX_STEPS, OU_PATHS, OU_STEPS, OU_T, mixture_level, report


def ou(seed):
    rng, h = np.random.default_rng(seed), OU_T / OU_STEPS
    x = np.ones(OU_PATHS)
    for _ in range(OU_STEPS):
        x += -h * x + np.sqrt(h) * rng.standard_normal(OU_PATHS)
    return x.mean(), x.var(ddof=1)


def mixture(seed):
    rng, h, m = np.random.default_rng(seed), (1 - MIX_END) / MIX_STEPS, np.array(MEANS)
    x = rng.standard_normal((MIX_PATHS, 2))
    for k in range(MIX_STEPS):
        e, b, variance = mixture_level(k)
        d = e * m[None] - x[:, None]
        logits = -(d * d).sum(-1) / (2 * variance)
        p = np.exp(logits - logits.max(1, keepdims=True))
        score = (p[..., None] * d).sum(1) / (p.sum(1, keepdims=True) * variance)
        x += h * b * (0.5 * x + score) + np.sqrt(b * h) * rng.standard_normal(x.shape)
    return (np.exp(-2 * ((x - m[0]) ** 2).sum(1)).mean(),)


report("numpy", "ou", ou)
report("numpy", "mixture", mixture, runs=2)
