//! The estimated objective against exact values.
#![allow(missing_docs)]

mod common;

use common::{Diffusion, Matrix};
use hjbridge_model::{ControlSet, PointwiseFeedback};
use hjbridge_rollout::{Ensemble, Estimate, InitialState, Record, RolloutParams};

type M2 = [[f64; 2]; 2];

fn mul(a: M2, b: M2) -> M2 {
    [0, 1].map(|i| [0, 1].map(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j]))
}
fn transpose(a: M2) -> M2 {
    [[a[0][0], a[1][0]], [a[0][1], a[1][1]]]
}
fn combine(a: M2, c: f64, b: M2) -> M2 {
    [0, 1].map(|i| [0, 1].map(|j| a[i][j] + c * b[i][j]))
}
fn inverse(a: M2) -> M2 {
    let det = a[0][0] * a[1][1] - a[0][1] * a[1][0];
    [[a[1][1] / det, -a[0][1] / det], [-a[1][0] / det, a[0][0] / det]]
}

/// dX = (A X + G v) dt + sigma dB, maximise E[-X'QX/2 - int (X'LX + v'Rv)/2 dt], every matrix full.
struct Lq {
    a: M2,
    g: M2,
    sigma: M2,
    q: M2,
    l: M2,
    r: M2,
    horizon: f64,
}

impl Lq {
    fn diffusion(&self) -> Diffusion {
        let Lq { a, g, sigma, q, l, r, horizon } = *self;
        let form =
            |m: M2| move |x: &[f64]| -0.5 * (m[0][0] * x[0] * x[0] + (m[0][1] + m[1][0]) * x[0] * x[1] + m[1][1] * x[1] * x[1]);
        Diffusion {
            drift: Box::new(move |x, out| {
                for i in 0..2 {
                    out[i] = a[i][0] * x[0] + a[i][1] * x[1];
                }
            }),
            g: Matrix::constant(g.concat()),
            sigma: Matrix::constant(sigma.concat()),
            r: Matrix::constant(r.concat()),
            running: Box::new(form(l)),
            terminal: Box::new(form(q)),
            ..Diffusion::ou(2, 0.0, 0.0, horizon)
        }
    }

    /// Gains v_k = -F_k x of the Euler chain's own optimum, and its value at x0:
    /// F = (hR + h^2 G'KG)^{-1} h G'K E,  K <- hL + E'K(E - hGF),  E = I + hA,  l <- l - (h/2) tr sigma'K sigma.
    fn solve(&self, steps: usize, x0: [f64; 2]) -> (Vec<M2>, f64) {
        let h = self.horizon / steps as f64;
        let e = combine([[1.0, 0.0], [0.0, 1.0]], h, self.a);
        let (mut k, mut constant, mut gains) = (self.q, 0.0, Vec::new());
        for _ in 0..steps {
            let s = mul(transpose(self.sigma), mul(k, self.sigma));
            constant -= 0.5 * h * (s[0][0] + s[1][1]);
            let gk = mul(transpose(self.g), k);
            let f = mul(inverse(combine(self.r, h, mul(gk, self.g))), mul(gk, e));
            let closed = combine(e, -h, mul(self.g, f));
            k = combine(mul(transpose(e), mul(k, closed)), h, self.l);
            gains.push(f);
        }
        gains.reverse();
        let [x, y] = x0;
        (gains, constant - 0.5 * (k[0][0] * x * x + (k[0][1] + k[1][0]) * x * y + k[1][1] * y * y))
    }
}

const LQ: Lq = Lq {
    a: [[0.1, 1.0], [-0.4, -0.2]],
    g: [[1.0, 0.3], [0.0, 0.8]],
    sigma: [[0.3, 0.1], [0.0, 0.4]],
    q: [[1.5, 0.4], [0.4, 0.9]],
    l: [[0.6, -0.1], [-0.1, 0.3]],
    r: [[1.0, 0.25], [0.25, 0.5]],
    horizon: 1.0,
};

#[test]
fn optimal_feedback_earns_the_discrete_linear_quadratic_value() {
    let (steps, x0) = (20, [1.0, -0.5]);
    let (gains, value) = LQ.solve(steps, x0);
    let problem = LQ.diffusion();
    let h = LQ.horizon / steps as f64;
    let feedback = |factor: f64| {
        let gains = gains.clone();
        PointwiseFeedback::new(2, 2, move |t: f64, x: &[f64], v: &mut [f64]| {
            let f = gains[(t / h).round() as usize];
            for i in 0..2 {
                v[i] = -factor * (f[i][0] * x[0] + f[i][1] * x[1]);
            }
        })
    };
    let params = RolloutParams { paths: 100_000, steps, seed: 3, ..Default::default() };
    let run = |factor: f64| {
        let feedback = feedback(factor);
        let record = Record { objectives: true, ..Default::default() };
        let ensemble = Ensemble::new(&problem, &feedback, InitialState::Point(x0.to_vec()), params.clone()).unwrap();
        ensemble.with_record(record).unwrap().run().unwrap().0
    };
    let best = run(1.0);
    assert!(best.objective.z_score(value).abs() < 4.0, "{:?} {value}", best.objective);
    assert!(best.objective.standard_error < 2e-3 * value.abs(), "{:?}", best.objective);
    // Means add up path by path, errors do not.
    let parts = best.terminal_reward.mean + best.running_reward.mean - best.running_cost.mean;
    assert!((parts - best.objective.mean).abs() < 1e-12);
    // With common noise a gain 20 % off is significantly worse in either direction.
    for factor in [0.8, 1.2] {
        let worse = run(factor);
        let loss = Estimate::paired_difference(best.objectives.as_ref().unwrap(), worse.objectives.as_ref().unwrap()).unwrap();
        assert!(loss.z_score(0.0) > 4.0, "{factor}: {loss:?}");
        // Pairing is what makes this cheap.
        assert!(loss.standard_error < 0.5 * best.objective.standard_error);
    }
}

#[test]
fn scalar_value_from_a_closed_recursion() {
    // dX = v dt + s dB, -q X^2/2 at the end, cost r v^2/2: 1/K_k = 1/q + (N-k) h/r, value -K_0 x^2/2 - (s^2 h/2) sum K_j.
    let (q, r, s, steps) = (2.0, 0.5, 0.6, 25usize);
    let h = 1.0 / steps as f64;
    let gain = move |k: usize| 1.0 / (1.0 / q + (steps - k) as f64 * h / r);
    let mut problem = Diffusion::ou(1, 0.0, s, 1.0);
    problem.r = Matrix::Scaled(r);
    problem.terminal = Box::new(move |x| -0.5 * q * x[0] * x[0]);
    let feedback = PointwiseFeedback::new(1, 1, move |t: f64, x: &[f64], v: &mut [f64]| {
        v[0] = -gain((t / h).round() as usize) / r * x[0];
    });
    let value = -0.5 * gain(0) * 0.64 - 0.5 * s * s * h * (1..=steps).map(gain).sum::<f64>();
    let params = RolloutParams { paths: 100_000, steps, seed: 8, ..Default::default() };
    let (summary, info) = Ensemble::new(&problem, &feedback, InitialState::Point(vec![0.8]), params).unwrap().run().unwrap();
    assert!(summary.objective.z_score(value).abs() < 4.0, "{:?} {value}", summary.objective);
    assert_eq!((info.path_steps, info.outside, info.projected), (2_500_000, 0, 0));
}

#[test]
fn controls_are_projected_onto_their_box() {
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 2.0);
    problem.control_set = ControlSet::Box { lower: vec![-1.0, -1.0], upper: vec![0.5, 3.0] };
    let feedback = PointwiseFeedback::new(2, 2, |t: f64, _: &[f64], v: &mut [f64]| {
        v[0] = if t < 1.0 { 9.0 } else { 0.25 };
        v[1] = -0.5;
    });
    let params = RolloutParams { paths: 70, steps: 8, ..Default::default() };
    let (summary, info) = Ensemble::new(&problem, &feedback, InitialState::Point(vec![0.0, 0.0]), params).unwrap().run().unwrap();
    // Half the time at 0.5 (projected), half at 0.25; the cost is that of the control used.
    assert_eq!((summary.mean[0].mean, summary.mean[1].mean), (0.75, -1.0));
    assert_eq!(summary.running_cost.mean, 0.5 * (0.25 + 0.0625 + 2.0 * 0.25));
    assert_eq!(info.projected, 70 * 4);
}
