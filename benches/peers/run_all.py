"""Runs the engine's bench and every peer that is installed, on one core, and prints each rate with the ratio engine / peer.

    python run_all.py [--core N]

Run it on a quiet machine: the figures come one after another, not in pairs.
"""
import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LINE = re.compile(r"^(ou|mixture)\s+(.*?)\s+([\d.]+) M path-steps/s(.*)$")


def output(command, **options):
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as error:
        return "", str(error)
    return done.stdout, "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", type=int, default=0, help="the core to run on")
    core = parser.parse_args().core
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    text, failure = output(["cargo", "bench", "--bench", "rollout", "--", "no benchmark of this name"], cwd=ROOT)
    rates = [float(r) for r in re.findall(r"engine ([\d.]+) M path-steps/s", text)]
    if failure or len(rates) < 3:
        sys.exit(f"the engine's bench did not run: {failure}")
    # Printed in this order: Ornstein-Uhlenbeck against two plain loops, then the mixture.
    engine = {"ou": rates[0], "mixture": rates[2]}
    plain = [float(r) for r in re.findall(r"plain loop.*? ([\d.]+) M: ratio", text)]
    rows = [("ou", "plain Rust loop, one core", plain[0], ""), ("mixture", "plain Rust loop, one core", plain[2], "")]
    commands = [[sys.executable, str(HERE / f"{name}.py")] for name in ["numpy_loop", "numba_loop", "jax_diffrax", "torch_torchsde"]]
    manifest, built = HERE / "stochastic_rs" / "Cargo.toml", ROOT / "target" / "peers"
    commands.append(["cargo", "run", "--release", "--quiet", "--target-dir", str(built), "--manifest-path", str(manifest)])
    environment = dict(os.environ, RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    for command in commands:
        text, failure = output(command, cwd=HERE, env=environment)
        found = [LINE.match(line) for line in text.splitlines()]
        rows += [(m[1], m[2], float(m[3]), m[4].replace("of CPU", "").strip()) for m in found if m]
        if failure:
            print(f"{Path(command[-1]).name}: not run ({failure})")
    for problem in engine:
        print(f"{problem}: hjbridge {engine[problem]:.1f} M path-steps/s")
        for _, tool, rate, check in (row for row in rows if row[0] == problem):
            print(f"  {tool:32s} {rate:8.1f} M   hjbridge / it {engine[problem] / rate:6.1f}   {check}")


if __name__ == "__main__":
    main()
