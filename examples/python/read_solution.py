#!/usr/bin/env python3
"""Read what a run of hjbridge left behind: solution.npz and report.json of one directory.

    python3 examples/python/read_solution.py out/old-faithful-waiting

Needs numpy. With xarray installed, `dataset(directory)` is an xarray.Dataset:

    value    (time, y0[, y1, ...])
    control  (time, y0[, y1, ...], component)

with the coordinates time, y0, y1, ... (x0, x1, ... for a controlled diffusion) in the units of the model, and, where the
state is standardised data, data0, data1, ... in the units of the data. The attributes have the problem's name, the command,
the version and what the report says of the accuracy. Nothing is plotted: `dataset(directory).value.sel(y0=0, method="nearest")`
and the like do what one wants.
"""

import json
import sys
from pathlib import Path

import numpy


def arrays(directory):
    """The arrays of solution.npz by name."""
    with numpy.load(Path(directory) / "solution.npz") as file:
        return {name: file[name] for name in file.files}


def report(directory):
    """report.json."""
    return json.loads((Path(directory) / "report.json").read_text(encoding="utf-8"))


def letters(about):
    """What the coordinates of the state are called."""
    return "x" if about["problem"].get("kind") == "controlled_diffusion" else "y"


def accuracy(about):
    """The certificate's estimates of the largest errors, where there are some."""
    certificate = (about.get("solve") or about.get("controlled") or {}).get("certificate") or {}
    estimate = certificate.get("richardson") or {}
    return {key: estimate[key] for key in ("value_error", "control_error") if estimate.get(key) is not None}


def dataset(directory):
    """The solution as an xarray.Dataset."""
    import xarray

    found, about = arrays(directory), report(directory)
    letter = letters(about)
    dim = sum(name.startswith("axis") for name in found)
    space = [f"{letter}{i}" for i in range(dim)]
    labels = about["problem"].get("axis_labels") or space
    coordinates = {"time": ("time", found["time"], {"long_name": "generation time, 0 noise, T data"})}
    for i, name in enumerate(space):
        coordinates[name] = (name, found[f"axis{i}"], {"long_name": labels[i]})
        if "center" in found:
            coordinates[f"data{i}"] = (name, found["center"][i] + found["scale"][i] * found[f"axis{i}"], {"long_name": labels[i]})
    control = "U, in place of the score" if letter == "y" else "v"
    return xarray.Dataset(
        {
            "value": (["time", *space], found["value"], {"long_name": "value function"}),
            "control": (["time", *space, "component"], found["control"], {"long_name": f"optimal control {control}"}),
        },
        coords=coordinates,
        attrs={
            "problem": about["problem"]["name"],
            "command": about["command"],
            "hjbridge": about["version"],
            "complete": str(about["complete"]),
            **accuracy(about),
        },
    )


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = sys.argv[1]
    found = arrays(directory)
    for name, array in found.items():
        print(f"{name:8} {array.dtype} {array.shape}  from {array.min():.6g} to {array.max():.6g}")
    try:
        print(dataset(directory))
    except ImportError:
        print("(xarray is not installed: no Dataset)")


if __name__ == "__main__":
    main()
