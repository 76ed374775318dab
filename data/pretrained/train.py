"""Train the score networks of this folder. Recipe and format: README.md.

usage: python train.py [old_faithful] [digits] [classifier] [--out DIRECTORY]     (all three when none is named)
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
T, B_MIN, B_MAX = 2.0, 0.5, 5.0  # dX = -(b/2) X dtau + sqrt(b) dB, b = B_MIN + (B_MAX - B_MIN) tau / T
FREQUENCIES = np.array([0.1, 0.2, 0.4, 0.8])  # of the Fourier features of log(e^2 / sigma^2)


def level(tau, bandwidth):
    """e and sigma of y = e x + sigma z: the noise of the diffusion and the kernel around the data point x together."""
    e = np.exp(-0.5 * (B_MIN * tau + (B_MAX - B_MIN) * tau**2 / (2 * T)))
    return e, np.sqrt(1 - e**2 + (bandwidth * e) ** 2)


def inputs(y, e, sigma):
    angle = np.multiply.outer(2 * np.log(e / sigma), FREQUENCIES)
    return np.concatenate([y, np.sin(angle), np.cos(angle)], axis=1).astype(y.dtype)


class Network:
    """A multilayer perceptron with SiLU between its layers."""

    def __init__(self, widths, rng):
        self.parameters = []
        for before, after in zip(widths, widths[1:]):
            self.parameters.append((rng.standard_normal((after, before)) / np.sqrt(before)).astype(np.float32))
            self.parameters.append(np.zeros(after, np.float32))

    def forward(self, x, parameters=None):
        """The output, and what `gradient` needs."""
        parameters = self.parameters if parameters is None else parameters
        tape = []
        for i in range(0, len(parameters), 2):
            z = x @ parameters[i].T + parameters[i + 1]
            tape.append((x, z))
            x = z / (1 + np.exp(-z))
        return z, tape

    def gradient(self, tape, cotangent):
        result = [None] * len(self.parameters)
        for layer in reversed(range(len(tape))):
            x, z = tape[layer]
            if layer + 1 < len(tape):
                s = 1 / (1 + np.exp(-z))
                cotangent = cotangent * (s * (1 + z * (1 - s)))
            result[2 * layer], result[2 * layer + 1] = cotangent.T @ x, cotangent.sum(axis=0)
            cotangent = cotangent @ self.parameters[2 * layer]
        return result


def train(data, predicts, bandwidth, hidden, steps, batch, rate, seed, average=0.999):
    """Denoising score matching by Adam: the mean of |z' - z|^2 / d, z' the noise that the network's prediction implies."""
    rng = np.random.default_rng(seed)
    n, d = data.shape
    net = Network([d + 2 * len(FREQUENCIES), *hidden, d], rng)
    mean = [p.copy() for p in net.parameters]
    first, second = ([np.zeros_like(p) for p in net.parameters] for _ in range(2))
    start, losses = time.time(), []
    for step in range(1, steps + 1):
        x = data[rng.integers(n, size=batch)]
        z = rng.standard_normal((batch, d), dtype=np.float32)
        # stratified, denser at the data
        tau = T * ((np.arange(batch) + rng.random(batch)) / batch) ** 2
        e, sigma = (a.astype(np.float32) for a in level(tau, bandwidth))
        y = e[:, None] * x + sigma[:, None] * z
        out, tape = net.forward(inputs(y, e, sigma))
        if predicts == "noise":
            factor, error = 1.0, out - z
        else:
            factor = -(e / sigma)[:, None]  # z' = (y - e x') / sigma
            error = factor * (out - x)
        losses.append(float(np.mean(error**2)))
        gradient = net.gradient(tape, (2 / error.size) * factor * error)
        now = rate * min(step / 500, 0.5 * (1 + np.cos(np.pi * step / steps)))
        for p, m, g, u, v in zip(net.parameters, mean, gradient, first, second):
            u += 0.1 * (g - u)
            v += 0.001 * (g * g - v)
            p -= now * (u / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
            m += (1 - average) * (p - m)
        if step % 1000 == 0:
            print(f"  step {step}: loss {np.mean(losses[-1000:]):.5f}, {time.time() - start:.0f} s", flush=True)
    net.parameters = mean
    return net, float(np.mean(losses[-1000:])), time.time() - start


def score(net, predicts, bandwidth, y, tau):
    e, sigma = level(np.full(len(y), tau), bandwidth)
    out = net.forward(inputs(y, e, sigma))[0]
    e, sigma = e[:, None], sigma[:, None]
    return -out / sigma if predicts == "noise" else (e * out - y) / sigma**2


def sample(net, predicts, bandwidth, d, count, steps, seed):
    """The reverse diffusion from N(0, I), Euler."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((count, d))
    h = T / steps
    for k in range(steps):
        tau = T - k * h
        b = B_MIN + (B_MAX - B_MIN) * tau / T
        y += h * b * (0.5 * y + score(net, predicts, bandwidth, y, tau)) + np.sqrt(b * h) * rng.standard_normal((count, d))
    return y


def save(path, net, predicts, bandwidth, center, scale):
    tensors = {"embedding.frequencies": FREQUENCIES, "center": center, "scale": scale}
    for i in range(0, len(net.parameters), 2):
        tensors[f"layers.{i // 2}.weight"], tensors[f"layers.{i // 2}.bias"] = net.parameters[i], net.parameters[i + 1]
    metadata = {
        "format": "hjbridge-network-1",
        "dimension": str(net.parameters[-1].size),
        "layers": str(len(net.parameters) // 2),
        "activation": "silu",
        "inputs": "y,log_snr",
        "embedding": "fourier",
        "predicts": predicts,
        "bandwidth": str(bandwidth),
    }
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, metadata=metadata)
    path.chmod(0o644)


def old_faithful(out):
    with open(HERE.parent / "old_faithful.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    raw = np.array([[float(r["eruptions"]), float(r["waiting"])] for r in rows])
    center, scale = raw.mean(axis=0), raw.std(axis=0, ddof=1)
    data = ((raw - center) / scale).astype(np.float32)
    net, loss, seconds = train(data, "noise", 0.2, (128, 128, 128), 30000, 1024, 2e-3, seed=1)
    save(out / "old_faithful.safetensors", net, "noise", 0.2, center, scale)
    print(f"old_faithful: loss {loss:.5f}, {seconds:.0f} s")
    # the score of the kernel density estimate is known
    rng = np.random.default_rng(2)
    for tau in (0.0, 0.1, 0.5, 1.0, 2.0):
        e, sigma = level(np.array([tau]), 0.2)
        y = e * data[rng.integers(len(data), size=4000)] + sigma * rng.standard_normal((4000, 2))
        difference = y[:, None, :] - e * data[None].astype(float)
        weight = np.exp(-0.5 * np.sum(difference**2, axis=2) / sigma**2)
        exact = -np.einsum("ij,ijk->ik", weight / weight.sum(axis=1, keepdims=True), difference) / sigma**2
        error = score(net, "noise", 0.2, y, tau) - exact
        print(f"  tau {tau}: root mean square of the score {np.sqrt(np.mean(exact**2)):.4f}, of its error {np.sqrt(np.mean(error**2)):.4f}")
    y = sample(net, "noise", 0.2, 2, 20000, 400, seed=3)
    print("  samples: mean", y.mean(axis=0), "covariance", np.cov(y.T).round(4).tolist())
    print("  data   : mean", data.mean(axis=0), "covariance", (np.cov(data.T) + 0.04 * np.eye(2)).round(4).tolist())


def digits_data():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return (pixels / 8 - 1).astype(np.float32), labels


def digits(out):
    data, _ = digits_data()
    net, loss, seconds = train(data, "x0", 0.1, (256, 256, 256), 20000, 512, 2e-3, seed=1)
    save(out / "digits.safetensors", net, "x0", 0.1, np.full(64, 8.0), np.full(64, 8.0))
    print(f"digits: loss {loss:.5f}, {seconds:.0f} s")
    y = sample(net, "x0", 0.1, 64, 2000, 400, seed=3)
    print(f"  samples: mean {y.mean():.4f}, root mean square distance of the pixels' means {np.sqrt(np.mean((y.mean(axis=0) - data.mean(axis=0)) ** 2)):.4f}")
    print(f"  total variance: samples {y.var(axis=0).sum():.3f}, data with kernel {data.var(axis=0).sum() + 0.64:.3f}")


def classifier(out):
    """Log-odds q'x + c of each digit against all others, logistic regression."""
    from sklearn.linear_model import LogisticRegression

    data, labels = digits_data()
    data = data.astype(float)
    held_out = np.arange(len(data)) % 5 == 4
    q, c, accuracy = [], [], []
    for digit in range(10):
        model = LogisticRegression(C=0.1, max_iter=5000).fit(data[~held_out], labels[~held_out] == digit)
        accuracy.append(round(model.score(data[held_out], labels[held_out] == digit), 4))
        q.append([round(float(a), 6) for a in model.coef_[0]])
        c.append(round(float(model.intercept_[0]), 6))
    found = np.argmax(data[held_out] @ np.array(q).T + c, axis=1)
    document = {
        "description": "log-odds q'x + c of each 8x8 digit 0..9 against all others; pixels scaled to [-1, 1], row by row",
        "held_out_accuracy": accuracy,
        "held_out_accuracy_of_the_largest": round(float(np.mean(found == labels[held_out])), 4),
        "c": c,
        "q": q,
    }
    (out / "digits_classifier.json").write_text(json.dumps(document).replace("], [", "],\n  [") + "\n")
    print("classifier: accuracy", accuracy, document["held_out_accuracy_of_the_largest"])


if __name__ == "__main__":
    parts = {"old_faithful": old_faithful, "digits": digits, "classifier": classifier}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *parts], default=[])
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    for name in arguments.parts or parts:
        parts[name](arguments.out)
