//! Exit before a finite horizon, the adjoint of the backward scheme, and stationary densities, against closed forms.
#![allow(missing_docs)]

mod adjoint;
#[path = "../common/mod.rs"]
mod common;
mod density;
mod exit;

use common::{Matrix, Problem};
use hjbridge_hjb::Time;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// Brownian motion with drift mu and noise sigma on each axis, uncontrolled, terminal reward g.
fn brownian(dim: usize, mu: f64, sigma: f64, g: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> Problem {
    Problem {
        control_dim: 0,
        drift: Arc::new(move |_, _, out| out.fill(mu)),
        sigma: Matrix::Scaled(sigma),
        terminal: Arc::new(move |_, x| g(x)),
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 1.0)
    }
}

fn radius(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn pairing(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Masses of a smooth bump, sum 1.
fn bump(grid: &TensorGrid) -> Vec<f64> {
    let mut x = vec![0.0; grid.dim()];
    let mut weight = |j: usize| {
        grid.node(j, &mut x);
        (-x.iter().map(|x| (x - 0.2).powi(2)).sum::<f64>() / 0.3).exp()
    };
    let mut mass: Vec<f64> = (0..grid.len()).map(&mut weight).collect();
    let total: f64 = mass.iter().sum();
    mass.iter_mut().for_each(|m| *m /= total);
    mass
}

const SECOND_ORDER: [Time; 2] = [Time::CrankNicolson, Time::TrBdf2];
const ALL: [Time; 3] = [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2];
