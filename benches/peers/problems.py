"""The two problems of benches/rollout.rs, their known answers, and timing.

ou       dX = -X dt + dB, X_0 = 1, T = 2: 200 Euler-Maruyama steps, 100 000 paths.  Answer: mean and variance of X_N.
mixture  reverse diffusion of eight Gaussians (deviation 0.3, on a circle of radius 4) from N(0, I): noising time tau from 1 to
         0.001, rate b = 0.1 + 19.9 tau, 500 steps, 20 000 paths.  Answer: mean of exp(-2 |X_N - m_0|^2).

Figures are million path-steps per second of CPU time, the best of some runs: on a shared machine wall times mean little.
"""
import math
import time

OU_PATHS, OU_STEPS, OU_T = 100_000, 200, 2.0
MIX_PATHS, MIX_STEPS, MIX_END = 20_000, 500, 1e-3
MEANS = [(4 * math.cos(2 * math.pi * k / 8), 4 * math.sin(2 * math.pi * k / 8)) for k in range(8)]


def ou_expected():
    """Mean and variance of the Euler chain."""
    h = OU_T / OU_STEPS
    a = 1 - h
    return a**OU_STEPS, h * (1 - a ** (2 * OU_STEPS)) / (1 - a * a)


def mixture_level(k):
    """e, b, noised variance at step k."""
    tau = 1 - k * (1 - MIX_END) / MIX_STEPS
    e = math.exp(-0.5 * (0.1 * tau + 0.5 * 19.9 * tau * tau))
    return e, 0.1 + 19.9 * tau, e * e * 0.09 + 1 - e * e


def report(tool, problem, run, runs=5):
    """run(seed) -> (mean, variance) or (reward,). Prints one line, whose rate run_all.py reads."""
    answer = run(1000)  # warm-up and compilation
    best = math.inf
    for seed in range(runs):
        start = time.process_time()
        answer = run(seed)
        best = min(best, time.process_time() - start)
    paths, steps = (OU_PATHS, OU_STEPS) if problem == "ou" else (MIX_PATHS, MIX_STEPS)
    if problem == "ou":
        (mean, variance), (m, v) = ou_expected(), answer
        scores = (m - mean) / math.sqrt(variance / paths), (v / variance - 1) * math.sqrt(paths / 2)
        check = f"mean and variance at z = {scores[0]:.1f}, {scores[1]:.1f}"
    else:
        check = f"mean reward {answer[0]:.4f}"
    print(f"{problem:8s} {tool:32s} {1e-6 * paths * steps / best:8.1f} M path-steps/s of CPU   {check}", flush=True)
