"""PyTorch (a Python loop over steps) and torchsde (Euler with its Brownian interval), 64-bit floats, one thread."""
import torch
import torchsde

from problems import MEANS, MIX_END, MIX_PATHS, MIX_STEPS, OU_PATHS, OU_STEPS, OU_T, mixture_level, report

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
M = torch.tensor(MEANS)


def ou_loop(seed):
    g, h = torch.Generator().manual_seed(seed), OU_T / OU_STEPS
    x = torch.ones(OU_PATHS)
    for _ in range(OU_STEPS):
        x = x - h * x + h**0.5 * torch.randn(OU_PATHS, generator=g)
    return x.mean().item(), x.var().item()


def mixture_loop(seed):
    g, h = torch.Generator().manual_seed(seed), (1 - MIX_END) / MIX_STEPS
    x = torch.randn(MIX_PATHS, 2, generator=g)
    for k in range(MIX_STEPS):
        e, b, variance = mixture_level(k)
        d = e * M - x[:, None]
        p = torch.softmax(-(d * d).sum(-1) / (2 * variance), 1)
        score = (p[..., None] * d).sum(1) / variance
        x = x + h * b * (0.5 * x + score) + (b * h) ** 0.5 * torch.randn(x.shape, generator=g)
    return (torch.exp(-2 * ((x - M[0]) ** 2).sum(1)).mean().item(),)


class OrnsteinUhlenbeck(torch.nn.Module):
    noise_type, sde_type = "diagonal", "ito"

    def f(self, t, y):
        return -y

    def g(self, t, y):
        return torch.ones_like(y)


def ou_torchsde(seed):
    torch.manual_seed(seed)
    times = torch.tensor([0.0, OU_T])
    x = torchsde.sdeint(OrnsteinUhlenbeck(), torch.ones(OU_PATHS, 1), times, method="euler", dt=OU_T / OU_STEPS)[-1]
    return x.mean().item(), x.var().item()


report("torch loop", "ou", ou_loop)
report("torchsde Euler", "ou", ou_torchsde, runs=2)
report("torch loop", "mixture", mixture_loop, runs=2)
