//! The grid and the comparison box of a problem file.

use super::error::ProblemError;
use super::spec::{GridSpec, RegionSpec};
use hjbridge_model::grid::MIN_NODES;
use hjbridge_model::{Axis, ModelError, Region, TensorGrid};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The grid in `dim` dimensions, when a solver with `control_dim` controls on it fits in memory.
///
/// # Errors
/// The first number that is not allowed, by its name in the file.
pub(super) fn grid(g: &GridSpec, dim: usize, control_dim: usize) -> Result<Arc<TensorGrid>, ProblemError> {
    for (field, found) in [("grid.lower", g.lower.len()), ("grid.upper", g.upper.len()), ("grid.nodes", g.nodes.len())] {
        if found != dim {
            return Err(ModelError::Shape { field: field.into(), found, expected: dim }.into());
        }
    }
    if let Some(s) = g.stretch.as_ref().filter(|s| s.center.len() != dim) {
        let shape = ModelError::Shape { field: "grid.stretch.center".into(), found: s.center.len(), expected: dim };
        return Err(shape.into());
    }
    check_axes(g)?;
    require_memory(&g.nodes, control_dim)?;
    let axes = (0..dim)
        .map(|i| {
            let axis = match &g.stretch {
                None => Axis::uniform(g.lower[i], g.upper[i], g.nodes[i]),
                Some(s) => Axis::stretched(g.lower[i], g.upper[i], g.nodes[i], s.center[i], s.strength),
            };
            // what check_axes does not foresee: nodes that round to the same number
            axis.map_err(|e| ProblemError::invalid(format!("grid.nodes[{i}]"), g.nodes[i], e.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(TensorGrid::new(axes).map_err(|e| e.within("grid"))?))
}

/// The numbers of each axis, by the names they have in the file.
fn check_axes(g: &GridSpec) -> Result<(), ProblemError> {
    for i in 0..g.nodes.len() {
        let (lower, upper) = (g.lower[i], g.upper[i]);
        for (field, value) in [("lower", lower), ("upper", upper)] {
            if !(value.is_finite() && value.abs() <= LARGEST) {
                return Err(ProblemError::invalid(
                    format!("grid.{field}[{i}]"),
                    value,
                    format!("finite, at most {LARGEST:e} in size"),
                ));
            }
        }
        if upper <= lower {
            return Err(ProblemError::invalid(
                format!("grid.upper[{i}]"),
                upper,
                format!("must exceed grid.lower[{i}] = {lower}"),
            ));
        }
        if g.nodes[i] < MIN_NODES {
            return Err(ProblemError::invalid(format!("grid.nodes[{i}]"), g.nodes[i], format!("at least {MIN_NODES}")));
        }
        if let Some(s) = &g.stretch {
            if !(lower..=upper).contains(&s.center[i]) {
                let allowed = format!("must lie in [{lower}, {upper}]");
                return Err(ProblemError::invalid(format!("grid.stretch.center[{i}]"), s.center[i], allowed));
            }
            if !(s.strength > 0.0 && s.strength <= 1e4) {
                return Err(ProblemError::invalid("grid.stretch.strength", s.strength, "must be positive, at most 1e4"));
            }
        }
    }
    Ok(())
}

/// Largest coordinate.
const LARGEST: f64 = 1e100;

/// Bytes that any solver needs for a grid, without what it keeps: the least that there must be before the grid is made.
fn memory_needed(nodes: &[usize], control_dim: usize) -> f64 {
    let total: f64 = nodes.iter().map(|&n| n as f64).product();
    8.0 * total * (100.0 + 60.0 * nodes.len() as f64 + 4.0 * control_dim as f64)
}

/// An error when a grid does not fit in memory.
fn require_memory(nodes: &[usize], control_dim: usize) -> Result<(), ProblemError> {
    let (need, have) = (memory_needed(nodes, control_dim), memory_available());
    if need > have {
        let allowed = format!("needs about {:.3} GB of memory; {:.3} GB may be used (--memory)", need / 1e9, have / 1e9);
        return Err(ProblemError::invalid("grid.nodes", format!("{nodes:?}"), allowed));
    }
    Ok(())
}

/// The limit in bytes; 0 for none.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// Let the runs of this process take `bytes` of memory, in place of what the machine has free. One that needs more is refused before
/// it begins.
pub fn limit_memory(bytes: f64) {
    LIMIT.store(bytes.clamp(1.0, 1e18) as u64, Ordering::Relaxed);
}

/// Bytes of memory that may be used: the limit, or else what the system reports as available, or 4 GB where it reports nothing.
pub(crate) fn memory_available() -> f64 {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {}
        limit => return limit as f64,
    }
    let reported = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    });
    reported.map_or(4e9, |kib| kib * 1024.0)
}

/// The comparison box; the middle half of the grid when none is given.
///
/// # Errors
/// A box that is not in the grid or holds no node.
pub(super) fn compare_on(spec: Option<&RegionSpec>, grid: &TensorGrid) -> Result<Region, ProblemError> {
    // regions name their corners region.lower[i]
    let within = |e: ModelError| match e {
        ModelError::Invalid { field, value, allowed } => {
            ModelError::Invalid { field: field.replacen("region", "compare_on", 1), value, allowed }
        }
        other => other.within("compare_on"),
    };
    let region = match spec {
        Some(r) => Region::new(r.lower.clone(), r.upper.clone()).map_err(within)?,
        None => {
            let quarter = |a: &Axis, w: f64| a.lower() + w * (a.upper() - a.lower());
            Region::new(
                grid.axes().iter().map(|a| quarter(a, 0.25)).collect(),
                grid.axes().iter().map(|a| quarter(a, 0.75)).collect(),
            )
            .map_err(within)?
        }
    };
    if region.dim() != grid.dim() {
        return Err(ModelError::Shape { field: "compare_on".into(), found: region.dim(), expected: grid.dim() }.into());
    }
    for (i, axis) in grid.axes().iter().enumerate() {
        for (field, v) in [("lower", region.lower()[i]), ("upper", region.upper()[i])] {
            if !axis.contains(v) {
                let allowed = format!("must lie in the grid's [{}, {}]", axis.lower(), axis.upper());
                return Err(ProblemError::invalid(format!("compare_on.{field}[{i}]"), v, allowed));
            }
        }
    }
    grid.region_nodes(Some(&region)).map_err(within)?;
    Ok(region)
}
