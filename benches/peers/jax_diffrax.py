"""JAX (lax.scan over steps) and diffrax (Euler with either of its Brownian motions), 64-bit floats."""
import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
import diffrax
import jax
import jax.numpy as jnp

from problems import MEANS, MIX_END, MIX_PATHS, MIX_STEPS, OU_PATHS, OU_STEPS, OU_T, mixture_level, report

jax.config.update("jax_enable_x64", True)
M = jnp.array(MEANS)
LEVELS = jnp.array([mixture_level(k) for k in range(MIX_STEPS)])


def score(x, e, variance):
    d = e * M - x[..., None, :]
    p = jax.nn.softmax(-(d * d).sum(-1) / (2 * variance), axis=-1)
    return (p[..., None] * d).sum(-2) / variance


@jax.jit
def ou_scan(key):
    h = OU_T / OU_STEPS
    step = lambda x, k: (x - h * x + jnp.sqrt(h) * jax.random.normal(k, (OU_PATHS,)), None)
    x, _ = jax.lax.scan(step, jnp.ones(OU_PATHS), jax.random.split(key, OU_STEPS))
    return x.mean(), x.var(ddof=1)


@jax.jit
def mixture_scan(key):
    h = (1 - MIX_END) / MIX_STEPS
    first, *rest = jax.random.split(key, 2)

    def step(x, at):
        (e, b, variance), k = at
        return x + h * b * (0.5 * x + score(x, e, variance)) + jnp.sqrt(b * h) * jax.random.normal(k, x.shape), None

    x, _ = jax.lax.scan(step, jax.random.normal(first, (MIX_PATHS, 2)), (LEVELS, jax.random.split(rest[0], MIX_STEPS)))
    return jnp.exp(-2 * ((x - M[0]) ** 2).sum(1)).mean()


def ou_diffrax(brownian, **options):
    def one(key):
        terms = diffrax.MultiTerm(diffrax.ODETerm(lambda t, y, _: -y), diffrax.ControlTerm(lambda t, y, _: 1.0, brownian(key)))
        end = diffrax.SaveAt(t1=True)
        step = OU_T / OU_STEPS
        return diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, OU_T, step, 1.0, saveat=end, max_steps=OU_STEPS + 8, **options).ys[0]

    def moments(key):
        x = jax.vmap(one)(jax.random.split(key, OU_PATHS))
        return x.mean(), x.var(ddof=1)

    return jax.jit(moments)


# The first forgets the path as it goes (no dense queries, no adjoint); the second can be asked for any time.
unsafe = ou_diffrax(lambda key: diffrax.UnsafeBrownianPath(shape=(), key=key), adjoint=diffrax.DirectAdjoint())
tree = ou_diffrax(lambda key: diffrax.VirtualBrownianTree(0.0, OU_T, tol=OU_T / OU_STEPS / 2, shape=(), key=key))


def numbers(f):
    return lambda seed: tuple(float(v) for v in jnp.atleast_1d(jnp.array(f(jax.random.key(seed)))))


report("jax lax.scan", "ou", numbers(ou_scan))
report("diffrax Euler, unsafe path", "ou", numbers(unsafe), runs=3)
report("diffrax Euler, virtual tree", "ou", numbers(tree), runs=2)
report("jax lax.scan", "mixture", numbers(mixture_scan), runs=2)
