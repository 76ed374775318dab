//! Weak orders without sampling for a nonlinear equation, and for noise that does not commute.

use hjbridge_model::ZeroFeedback;
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::{EulerMaruyama, Lanes, Milstein, PlatenWeak2, SdeScheme, StochasticHeun};

use crate::common::{Diffusion, Matrix};
use crate::problems::{ZERO, last_order, prepared, uniform};

/// E sin(asinh X_T) by the scheme for dX = (X/2 + sqrt(1 + X^2)) dt + sqrt(1 + X^2) dB, X_0 = sinh(y0): the backward recursion
/// u_k(x) = E u_{k+1}(step(x, xi)) on a grid in y = asinh x, with the expectation by the trapezoidal rule on 64 nodes (exact to
/// 1e-13) and Lagrange interpolation of degree 7 between the nodes. X_T = sinh(y0 + T + B_T).
fn nonlinear_mean<S: SdeScheme>(scheme: &S, y0: f64, steps: usize) -> f64 {
    let mut problem = Diffusion::ou(1, 0.0, 0.0, 1.0);
    problem.drift = Box::new(|x, out| out[0] = 0.5 * x[0] + (1.0 + x[0] * x[0]).sqrt());
    problem.sigma = Matrix::Field(1, Box::new(|x, out| out[0] = (1.0 + x[0] * x[0]).sqrt()));
    let (lower, spacing, nodes) = (-9.0, 0.03, 700);
    let interpolate = |u: &[f64], y: f64| {
        let place = ((y - lower) / spacing).clamp(0.0, (nodes - 1) as f64);
        let first = (place as usize).saturating_sub(3).min(nodes - 8);
        let w = place - first as f64;
        (0..8)
            .map(|i| u[first + i] * (0..8).filter(|&j| j != i).map(|j| (w - j as f64) / (i as f64 - j as f64)).product::<f64>())
            .sum::<f64>()
    };
    let (dz, first) = (0.25, -7.875);
    let z: Vec<f64> = (0..LANES).map(|i| first + dz * i as f64).collect();
    let weight: Vec<f64> = z.iter().map(|z| dz * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()).collect();
    let mut noise = vec![1.0; S::NORMALS * LANES];
    noise[..LANES].copy_from_slice(&z);
    let grid = uniform(1.0, steps);
    prepared(scheme, &problem, &ZERO, &grid, |scheme, system| {
        let mut lanes = Lanes::new(1, 1);
        let mut mean_after = |u: &[f64], k: usize, y: f64| {
            lanes.start(0, LANES);
            lanes.state_mut().fill(y.sinh());
            scheme.step(system, k, &noise, &mut lanes);
            lanes.state().coord(0).iter().zip(&weight).map(|(x, w)| w * interpolate(u, x.asinh())).sum::<f64>()
        };
        let mut u: Vec<f64> = (0..nodes).map(|i| (lower + spacing * i as f64).sin()).collect();
        for k in (1..steps).rev() {
            u = (0..nodes).map(|i| mean_after(&u, k, lower + spacing * i as f64)).collect();
        }
        mean_after(&u, 0, y0)
    })
    .unwrap()
}

#[test]
fn weak_orders_for_a_nonlinear_equation() {
    let exact = (-0.5f64).exp() * (0.2f64 + 1.0).sin();
    fn errors<S: SdeScheme>(scheme: &S, exact: f64) -> Vec<f64> {
        [8, 16, 32, 64].iter().map(|&n| (nonlinear_mean(scheme, 0.2, n) - exact).abs()).collect()
    }
    let table = [
        (EulerMaruyama::NAME, EulerMaruyama::WEAK_ORDER, errors(&EulerMaruyama, exact)),
        (Milstein::NAME, Milstein::WEAK_ORDER, errors(&Milstein::Diagonal, exact)),
        (StochasticHeun::NAME, StochasticHeun::WEAK_ORDER, errors(&StochasticHeun, exact)),
        (PlatenWeak2::NAME, PlatenWeak2::WEAK_ORDER, errors(&PlatenWeak2, exact)),
    ];
    for (name, order, errors) in table {
        println!("{name}: order {:.3} {errors:?}", last_order(&errors));
        assert!((last_order(&errors) - order).abs() < 0.2, "{name}: {errors:?}");
    }
}

/// dX = A X dt + B_1 X dB_1 + B_2 X dB_2 in the plane with columns that do not commute.
const NON_COMMUTING: [[[f64; 2]; 2]; 3] = [[[-0.6, 0.4], [-0.3, -0.2]], [[0.1, 0.5], [0.0, -0.2]], [[-0.3, 0.0], [0.6, 0.2]]];

fn apply(a: [[f64; 2]; 2], x: &[f64]) -> [f64; 2] {
    [a[0][0] * x[0] + a[0][1] * x[1], a[1][0] * x[0] + a[1][1] * x[1]]
}

pub fn non_commuting() -> Diffusion {
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 1.0);
    let [a, b1, b2] = NON_COMMUTING;
    problem.drift = Box::new(move |x, out| out.copy_from_slice(&apply(a, x)));
    problem.sigma = Matrix::Field(
        4,
        Box::new(move |x, out| {
            let (s, t) = (apply(b1, x), apply(b2, x));
            out.copy_from_slice(&[s[0], t[0], s[1], t[1]]);
        }),
    );
    problem
}

/// E X_T X_T' by the scheme from X_0 = (1, 0.5): its step is linear in x, X_{k+1} = Phi(xi, zeta) X_k, with entries of degree
/// <= 2 in each xi, so that the three-point rule in xi and the signs of zeta give E Phi M Phi' exactly.
fn second_moments<S: SdeScheme>(scheme: &S, steps: usize) -> [f64; 3] {
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let problem = non_commuting();
    let rule = [(-3f64.sqrt(), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3f64.sqrt(), 1.0 / 6.0)];
    let grid = uniform(1.0, steps);
    prepared(scheme, &problem, &zero, &grid, |scheme, system| {
        let mut m = [1.0, 0.5, 0.25];
        for k in 0..steps {
            let mut noise = vec![0.0; 2 * S::NORMALS * LANES];
            let mut weight = [0.0; 36];
            for (lane, w) in weight.iter_mut().enumerate() {
                let (a, b) = (rule[lane % 3], rule[lane / 3 % 3]);
                (noise[lane], noise[LANES + lane]) = (a.0, b.0);
                if S::NORMALS == 2 {
                    noise[2 * LANES + lane] = if lane / 9 % 2 == 0 { 1.0 } else { -1.0 };
                    noise[3 * LANES + lane] = if lane / 18 == 0 { 1.0 } else { -1.0 };
                }
                *w = a.1 * b.1 / 4.0;
            }
            let columns = [[1.0, 0.0], [0.0, 1.0]].map(|e| {
                let mut lanes = Lanes::new(2, 2);
                lanes.start(0, LANES);
                (0..LANES).for_each(|lane| lanes.state_mut().set_point(lane, &e));
                scheme.step(system, k, &noise, &mut lanes);
                lanes.state().coord(0).iter().zip(lanes.state().coord(1)).map(|(x, y)| [*x, *y]).collect::<Vec<_>>()
            });
            let mut next = [0.0; 3];
            for (lane, w) in weight.iter().enumerate() {
                let (p, q) = (columns[0][lane], columns[1][lane]);
                for (n, (i, j)) in next.iter_mut().zip([(0, 0), (0, 1), (1, 1)]) {
                    *n += w * (p[i] * p[j] * m[0] + (p[i] * q[j] + q[i] * p[j]) * m[1] + q[i] * q[j] * m[2]);
                }
            }
            m = next;
        }
        m
    })
    .unwrap()
}

#[test]
fn weak_orders_for_noise_that_does_not_commute() {
    // M' = A M + M A' + B_1 M B_1' + B_2 M B_2', by the exponential series of this linear map.
    let [a, b1, b2] = NON_COMMUTING;
    let product = |a: [[f64; 2]; 2], b: [[f64; 2]; 2]| {
        let entry = |i: usize, j: usize| a[i][0] * b[0][j] + a[i][1] * b[1][j];
        [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]]
    };
    let transposed = |a: [[f64; 2]; 2]| [[a[0][0], a[1][0]], [a[0][1], a[1][1]]];
    let mut term = [[1.0, 0.5], [0.5, 0.25]];
    let mut exact = term;
    for n in 1..30 {
        let parts = [product(a, term), product(term, transposed(a))];
        let noise = [b1, b2].map(|b| product(product(b, term), transposed(b)));
        let all = [parts[0], parts[1], noise[0], noise[1]];
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            term[i][j] = all.iter().map(|p| p[i][j]).sum::<f64>() / f64::from(n);
        }
        (0..4).for_each(|c| exact[c / 2][c % 2] += term[c / 2][c % 2]);
    }
    fn errors<S: SdeScheme>(scheme: &S, exact: [[f64; 2]; 2]) -> Vec<f64> {
        let error = |n: &usize| {
            let m = second_moments(scheme, *n);
            (m[0] - exact[0][0]).abs() + (m[1] - exact[0][1]).abs() + (m[2] - exact[1][1]).abs()
        };
        [16, 32, 64, 128].iter().map(error).collect()
    }
    let table = [
        (EulerMaruyama::NAME, 1.0, errors(&EulerMaruyama, exact)),
        (Milstein::NAME, 1.0, errors(&Milstein::Commutative, exact)),
        (StochasticHeun::NAME, 1.0, errors(&StochasticHeun, exact)),
        (PlatenWeak2::NAME, 2.0, errors(&PlatenWeak2, exact)),
    ];
    for (name, order, errors) in table {
        println!("{name}: order {:.3} {errors:?}", last_order(&errors));
        assert!((last_order(&errors) - order).abs() < 0.1, "{name}: {errors:?}");
    }
}
