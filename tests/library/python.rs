//! `examples/python/read_solution.py` on what the program wrote: the same numbers, the same names.
//!
//! Needs python3 with numpy and xarray (`HJBRIDGE_PYTHON` names another interpreter). Without them nothing is tested and the
//! reason is printed; with `HJBRIDGE_PYTHON=required` that is a failure.

use std::path::Path;
use std::process::Command;

/// The interpreter, or why there is none.
fn interpreter() -> Result<String, String> {
    let asked = std::env::var("HJBRIDGE_PYTHON").unwrap_or_default();
    let python = if asked.is_empty() || asked == "required" { "python3".to_string() } else { asked };
    let found = Command::new(&python).args(["-c", "import numpy, xarray"]).output();
    match found {
        Ok(out) if out.status.success() => Ok(python),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("it fails").to_string()),
        Err(e) => Err(e.to_string()),
    }
}

/// Checked in Python: the arrays by numpy alone against the dataset, and against what a user of the file may expect.
const CHECKS: &str = r#"
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy
from read_solution import arrays, dataset, report
directory, letter, dim, data = sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5] == "data"
found, about, d = arrays(directory), report(directory), dataset(directory)
space = [f"{letter}{i}" for i in range(dim)]
assert d.value.dims == ("time", *space), d.value.dims
assert d.control.dims == ("time", *space, "component"), d.control.dims
assert d.sizes["component"] == dim
assert (d.value.values == found["value"]).all() and (d.control.values == found["control"]).all()
assert all((d[name].values == found[f"axis{i}"]).all() for i, name in enumerate(space))
assert all(v.dtype == numpy.dtype("<f8") and numpy.isfinite(v).all() for v in found.values())
assert d.time.values[0] == 0.0 and (numpy.diff(d.time.values) > 0).all()
assert d.attrs["problem"] == about["problem"]["name"] and d.attrs["command"] == about["command"]
section = about["solve"] or about["controlled"]
estimate = (section["certificate"] or {}).get("richardson")
assert (d.attrs.get("value_error") if estimate else None) == (estimate["value_error"] if estimate else None)
assert ("data0" in d.coords) == data
if data:
    # waiting times of 43 to 96 minutes, standardised
    center, scale = found["center"][0], found["scale"][0]
    assert 70 < center < 72 and 13 < scale < 14, (center, scale)
    assert abs(float(d.data0.sel(y0=0.0, method="nearest")) - center) < 1.0
    assert d.y0.attrs["long_name"] == "waiting time (min)"
"#;

#[test]
fn python_reads_what_was_written() {
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => {
            assert!(std::env::var("HJBRIDGE_PYTHON").is_err(), "python with numpy and xarray is required: {reason}");
            return println!("skipped: python3 with numpy and xarray is needed ({reason})");
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = root.join("examples/python");
    let desk = tempfile::tempdir().unwrap();
    for (problem, nodes, letter, dim, data) in [
        ("old_faithful_waiting", "201", "y", "1", "data"),
        ("ring_2d", "33", "y", "2", "none"),
        ("double_well_soc", "101", "x", "1", "none"),
    ] {
        let out = desk.path().join(problem);
        let file = root.join(format!("data/problems/{problem}.json"));
        let arguments = ["solve", file.to_str().unwrap(), "--nodes", nodes, "--slices", "5", "--quiet", "--out"];
        hjbridge::cli::run(arguments.into_iter().chain([out.to_str().unwrap()])).unwrap();
        let checked =
            Command::new(&python).args(["-c", CHECKS]).arg(&scripts).arg(&out).args([letter, dim, data]).output().unwrap();
        assert!(checked.status.success(), "{problem}: {}", String::from_utf8_lossy(&checked.stderr));
        let shown = Command::new(&python).arg(scripts.join("read_solution.py")).arg(&out).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(shown.status.success() && text.contains("value    float64 (5,") && text.contains("xarray.Dataset"), "{text}");
    }
}
