"""Write a policy for `hjbridge certify`: the optimal control of a Gaussian problem, with ten percent too much gain.

Gaussian prior N(0.7, 0.5), reward -1.3 x^2/2 + 0.9 x, KL weight 0.6: exp(r/beta) times the prior is a Gaussian again, and the
optimal control U* is the score of that law noised to time t. A policy for certify is U itself, not the change U - s.

Run:  python write_policy.py            (needs numpy; writes problem.json and policy.npz)
      hjbridge certify problem.json policy.npz
"""

import json

import numpy as np

mean, variance, quadratic, linear, beta = 0.7, 0.5, 1.3, 0.9, 0.6
horizon, b_min, b_max = 2.0, 0.5, 3.0

problem = {
    "name": "gaussian", "horizon": horizon, "schedule": {"kind": "linear", "b_min": b_min, "b_max": b_max},
    "prior": {"kind": "gaussian", "mean": [mean], "covariance": [[variance]]},
    "reward": {"kind": "quadratic", "Q": [[quadratic]], "q": [linear]}, "kl_weight": beta,
    "initial_law": "noised_prior",
    "grid": {"lower": [-7.0], "upper": [7.0], "nodes": [401]}, "time_steps": 400,
    "compare_on": {"lower": [-3.0], "upper": [3.0]},
}


def remaining(t):
    """Integral of the noise rate from t to the end; the rate falls from b_max at t = 0 to b_min."""
    left = horizon - t
    return b_min * left + 0.5 * (b_max - b_min) * left**2 / horizon


def score(t, y, mean, variance):
    """Score of N(mean, variance) noised to generation time t."""
    e = np.exp(-0.5 * remaining(t))
    return -(y - e * mean) / (e**2 * variance + 1 - e**2)


tilted_variance = 1 / (1 / variance + quadratic / beta)
tilted_mean = tilted_variance * (mean / variance + linear / beta)

time = np.linspace(0, horizon, 201)
axis0 = np.linspace(-6, 6, 241)
t, y = np.meshgrid(time, axis0, indexing="ij")
s = score(t, y, mean, variance)
optimal = score(t, y, tilted_mean, tilted_variance)
control = s + 1.1 * (optimal - s)

with open("problem.json", "w") as file:
    json.dump(problem, file, indent=1)
# shape (times, nodes of each axis, components); in the plane: axis0, axis1 and (times, nodes0, nodes1, 2)
np.savez("policy.npz", axis0=axis0, time=time, control=control[..., np.newaxis])
