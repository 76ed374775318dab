//! Double wells and what the tests ask of their solutions.

use crate::common::{Matrix, Problem};
use hjbridge_hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfInfo, StationaryColeHopfParams};
use hjbridge_hjb::{Faces, LevelSet, Placement, Sense, StationaryValue, TargetSet};
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// dX = -grad U dt + sigma (u dt + dB), U = sum alpha_i (x_i^2 - 1)^2, sigma = sqrt(2/beta), cost f + |u|^2/2: the importance
/// sampling problem for psi = E exp(-f tau).
pub fn double_well(alpha: &[f64], beta: f64, f: f64) -> Problem {
    let (dim, alpha, sigma) = (alpha.len(), alpha.to_vec(), (2.0 / beta).sqrt());
    Problem {
        drift: Arc::new(move |_, x, out| {
            out.iter_mut().zip(x).zip(&alpha).for_each(|((o, x), a)| *o = -4.0 * a * x * (x * x - 1.0));
        }),
        gain: Matrix::Scaled(sigma),
        sigma: Matrix::Scaled(sigma),
        running: Arc::new(move |_, _| f),
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 1.0)
    }
}

pub fn minimise() -> StationaryColeHopfParams {
    StationaryColeHopfParams { sense: Sense::Minimise, boundary: Faces::reflecting(), ..Default::default() }
}

pub fn exit(
    problem: &Problem,
    grid: &Arc<TensorGrid>,
    target: &dyn TargetSet,
    placement: Placement,
    params: StationaryColeHopfParams,
) -> (StationaryValue, StationaryColeHopfInfo) {
    StationaryColeHopf::new(problem, grid.clone(), params).unwrap().with_target(target, placement).solve().unwrap()
}

/// V at the node nearest to x.
pub fn at(v: &StationaryValue, x: &[f64]) -> (usize, f64) {
    let g = v.grid();
    let j = (0..g.dim())
        .map(|i| {
            let nodes = g.axis(i).nodes();
            let k = (0..nodes.len()).min_by(|a, b| (nodes[*a] - x[i]).abs().total_cmp(&(nodes[*b] - x[i]).abs())).unwrap();
            assert!((nodes[k] - x[i]).abs() < 1e-9, "{x:?} is no node");
            k * g.strides()[i]
        })
        .sum();
    (j, v.value()[j])
}

pub fn beyond_one() -> LevelSet<impl Fn(&[f64]) -> f64, impl Fn(&[f64]) -> f64> {
    LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0)
}

/// Two correlated coordinates: sigma lower triangular, G = sigma, R = beta I, so that G R^{-1} G' = sigma sigma'/beta.
pub fn correlated(beta: f64, horizon: f64) -> Problem {
    let lower = |_: f64, _: &[f64], out: &mut [f64]| out.copy_from_slice(&[1.0, 0.0, 0.4, 0.8]);
    Problem {
        gain: Matrix::Field(Arc::new(lower)),
        sigma: Matrix::Field(Arc::new(lower)),
        weight: Matrix::Scaled(beta),
        terminal: Arc::new(|_, x| -0.5 * (1.2 * x[0] * x[0] + 0.6 * x[1] * x[1])),
        ..Problem::ornstein_uhlenbeck(2, 0.0, horizon)
    }
}
