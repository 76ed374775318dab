//! The score that a network stands for under a schedule.

#[cfg(feature = "onnx")]
use super::onnx::Graph;
use super::perceptron::{Perceptron, Wanted, evaluate};
use super::{Body, LevelInput, Network, Prediction};
use crate::error::ModelError;
use crate::field::{Feedback, VectorField};
use crate::points::{PointBlock, Points, PointsMut};
use crate::schedule::Schedule;
use std::sync::Arc;

/// Distance of the points of a difference from their middle, in sigma: the data's features are not narrower than that. Truncation
/// costs (0.01)^2 / 6, tract's 32-bit functions, good to about 1e-6, cost some 1e-4.
#[cfg(feature = "onnx")]
const DIFFERENCE: f64 = 0.01;

/// The least such distance.
#[cfg(feature = "onnx")]
const LEAST_DIFFERENCE: f64 = 1e-3;

/// s(t, y) by a network.
#[derive(Clone, Debug)]
pub struct NetworkScore {
    network: Arc<Network>,
    schedule: Schedule,
}

impl NetworkScore {
    /// The network under `schedule`.
    ///
    /// # Errors
    /// A network told the time that was trained under another schedule; a tau_min beyond the horizon.
    pub fn new(network: Arc<Network>, schedule: Schedule) -> Result<Self, ModelError> {
        let (horizon, noise) = (schedule.horizon(), schedule.remaining(0.0));
        if let Some((t, b)) = network.convention.trained_on {
            let differ = |a: f64, b: f64| (a - b).abs() > 1e-6 * b;
            if differ(horizon, t) || differ(noise, b) {
                let allowed = format!("the network was trained with horizon {t} and int b = {b}");
                return Err(ModelError::invalid("schedule", format!("horizon {horizon}, int b = {noise}"), allowed));
            }
        }
        if network.tau_min() >= horizon {
            return Err(ModelError::invalid("tau_min", network.tau_min(), format!("must be below the horizon {horizon}")));
        }
        let score = NetworkScore { network, schedule };
        score.check_finite()?;
        Ok(score)
    }

    /// Evaluate at the origin and at some points around it, at the ends and in the middle of the generation.
    fn check_finite(&self) -> Result<(), ModelError> {
        let (d, horizon) = (self.network.dim, self.schedule.horizon());
        let mut x = PointBlock::zeros(d, 3);
        for i in 0..d {
            x.as_mut().coord_mut(i)[1..].copy_from_slice(&[1.0, -1.0]);
        }
        for t in [0.0, 0.5 * horizon, horizon] {
            let mut s = PointBlock::zeros(d, 3);
            self.slice(t).eval(x.as_points(), s.as_mut());
            if let Some(k) = s.data().iter().position(|s| !s.is_finite()) {
                let (i, at) = (k / 3, ["the origin", "(1, ..., 1)", "(-1, ..., -1)"][k % 3]);
                return Err(ModelError::invalid(format!("score[{i}] at t = {t}, {at}"), s.data()[k], "must be finite"));
            }
        }
        Ok(())
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The score at time t.
    pub fn slice(&self, t: f64) -> NetworkSlice<'_> {
        let (n, horizon) = (&*self.network, self.schedule.horizon());
        let c = &n.convention;
        let tau = (horizon - t).max(c.tau_min);
        let remaining = self.schedule.remaining(horizon - tau);
        let e = (-0.5 * remaining).exp();
        // 1 - e^2 without cancellation
        let variance = (e * c.bandwidth).powi(2) - (-remaining).exp_m1();
        let level = match c.input {
            LevelInput::LogSnr => -remaining - variance.ln(),
            LevelInput::Sigma => variance.sqrt(),
            LevelInput::Tau => tau,
            LevelInput::T => horizon - tau,
        };
        let (gain, pull) = match c.predicts {
            Prediction::Score => (1.0, 0.0),
            Prediction::Noise => (-1.0 / variance.sqrt(), 0.0),
            Prediction::X0 => (e / variance, -1.0 / variance),
        };
        let prepared = match &n.body {
            Body::Perceptron(p) => Prepared::Perceptron(p, p.biases(level)),
            #[cfg(feature = "onnx")]
            Body::Onnx(graph) => Prepared::Onnx { graph, level, step: (DIFFERENCE * variance.sqrt()).max(LEAST_DIFFERENCE) },
        };
        NetworkSlice { prepared, gain, pull }
    }
}

impl Feedback for NetworkScore {
    fn dim(&self) -> usize {
        self.network.dim
    }
    fn control_dim(&self) -> usize {
        self.network.dim
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(self.slice(t))
    }
}

/// A network's score at one time: s = gain * network(y) + pull * y.
#[derive(Clone, Debug)]
pub struct NetworkSlice<'a> {
    prepared: Prepared<'a>,
    gain: f64,
    pull: f64,
}

/// What evaluates it.
#[derive(Clone, Debug)]
enum Prepared<'a> {
    /// With the first layer's biases, which have the level in them.
    Perceptron(&'a Perceptron, Vec<f64>),
    /// `step` is that of differences.
    #[cfg(feature = "onnx")]
    Onnx { graph: &'a Graph, level: f64, step: f64 },
}

impl NetworkSlice<'_> {
    /// Write J v at each point, J = ds/dy.
    pub fn jvp(&self, x: Points<'_>, v: Points<'_>, out: PointsMut<'_>) {
        self.combine(x, Wanted::Tangent(v), v, out);
    }

    /// gain * (what is wanted of the network) + pull * `other`.
    fn combine(&self, x: Points<'_>, wanted: Wanted<'_>, other: Points<'_>, mut out: PointsMut<'_>) {
        match &self.prepared {
            Prepared::Perceptron(n, biases) => evaluate(&n.layers, n.activation, biases, x, wanted, out.reborrow()),
            #[cfg(feature = "onnx")]
            Prepared::Onnx { graph, level, step } => match wanted {
                Wanted::Value => graph.evaluate(*level, x, out.reborrow()),
                Wanted::Tangent(v) => graph.tangent(*level, *step, x, v, out.reborrow()),
                Wanted::Cotangent(p) => graph.cotangent(*level, *step, x, p, out.reborrow()),
            },
        }
        for i in 0..out.dim() {
            for (o, y) in out.coord_mut(i).iter_mut().zip(other.coord(i)) {
                *o = self.gain * *o + self.pull * y;
            }
        }
    }
}

impl VectorField for NetworkSlice<'_> {
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.combine(x, Wanted::Value, x, out);
    }
    fn vjp(&self, x: Points<'_>, p: Points<'_>, out: PointsMut<'_>) -> bool {
        self.combine(x, Wanted::Cotangent(p), p, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fine_tuning::NoisedScore;
    use crate::law::GaussianMixture;
    use crate::network::NetworkParams;
    use crate::network::file::write;

    /// A linear network z = w y + a (level) + c in R^1, whose score is then known.
    fn linear(w: f64, a: f64, c: f64, metadata: &[(&str, &str)]) -> Result<Network, ModelError> {
        let mut all = vec![
            ("format", "hjbridge-network-1"),
            ("dimension", "1"),
            ("layers", "1"),
            ("activation", "relu"),
            ("embedding", "plain"),
        ];
        all.extend(metadata);
        Network::from_bytes(
            &write(&[("layers.0.weight", &[1, 2], &[w, a]), ("layers.0.bias", &[1], &[c])], &all),
            &NetworkParams::default(),
        )
    }

    fn at(network: Network, schedule: &Schedule, t: f64, y: f64) -> f64 {
        let mut s = [0.0];
        NetworkScore::new(Arc::new(network), schedule.clone())
            .unwrap()
            .at(t)
            .eval(Points::new(&[y], 1), PointsMut::new(&mut s, 1));
        s[0]
    }

    #[test]
    fn predictions_are_converted() {
        let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        let (t, y) = (1.25, 0.7);
        let e = schedule.signal(t);
        for h in [0.0, 0.3_f64] {
            let sigma = (1.0 - e * e + (e * h).powi(2)).sqrt();
            let (text, least) = (h.to_string(), if h > 0.0 { "0" } else { "0.01" });
            for (input, level) in [("y,sigma", sigma), ("y,log_snr", (e / sigma).powi(2).ln()), ("y,tau", 2.0 - t), ("y,t", t)] {
                let out = 0.3 * y - 0.2 * level + 0.1;
                for (predicts, score) in [("noise", -out / sigma), ("score", out), ("x0", (e * out - y) / (sigma * sigma))] {
                    let metadata = [
                        ("inputs", input),
                        ("predicts", predicts),
                        ("bandwidth", &text),
                        ("tau_min", least),
                        ("horizon", "2"),
                        ("noise", "3.5"),
                    ];
                    let found = at(linear(0.3, -0.2, 0.1, &metadata).unwrap(), &schedule, t, y);
                    assert!((found - score).abs() < 1e-13, "{input} {predicts} {h}: {found} {score}");
                }
            }
        }
    }

    #[test]
    fn frozen_below_the_least_time() {
        let schedule = Schedule::constant(1.0, 1.0).unwrap();
        let metadata = [("inputs", "y,sigma"), ("predicts", "noise"), ("tau_min", "0.125")];
        let network = linear(0.5, 0.0, 0.0, &metadata).unwrap();
        let sigma = (1.0 - (-0.125_f64).exp()).sqrt();
        for t in [0.875, 0.9375, 1.0] {
            assert!((at(network.clone(), &schedule, t, 0.4) + 0.2 / sigma).abs() < 1e-14, "{t}");
        }
        assert!((at(network.clone(), &schedule, 0.75, 0.4) + 0.2 / sigma).abs() > 0.1);
        let late = NetworkScore::new(Arc::new(network), Schedule::constant(0.1, 1.0).unwrap()).unwrap_err().to_string();
        assert!(late.contains("tau_min = 0.125: must be below the horizon 0.1"), "{late}");
    }

    /// x0 = mu for every y is exact for N(mu, h^2), the kernel around a single data point; s = -y for N(0, 1).
    #[test]
    fn scores_of_gaussians_are_exact() {
        let schedule = Schedule::linear(2.0, 0.5, 5.0).unwrap();
        let (mu, h) = (0.8, 0.25);
        let point = linear(0.0, 0.0, mu, &[("inputs", "y,log_snr"), ("predicts", "x0"), ("bandwidth", "0.25")]).unwrap();
        let normal = linear(-1.0, 0.0, 0.0, &[("inputs", "y,sigma"), ("predicts", "score")]).unwrap();
        for (network, mean, variance) in [(point, mu, h * h), (normal, 0.0, 1.0)] {
            let law = GaussianMixture::gaussian(vec![mean], vec![vec![variance]]).unwrap();
            let exact = NoisedScore::new(law, schedule.clone());
            for t in [0.0, 0.9, 1.99, 2.0] {
                for y in [-2.0, 0.1, 3.0] {
                    let mut expected = [0.0];
                    exact.at(t).eval(Points::new(&[y], 1), PointsMut::new(&mut expected, 1));
                    let found = at(network.clone(), &schedule, t, y);
                    assert!((found - expected[0]).abs() < 1e-12 * expected[0].abs(), "{t} {y}: {found} {expected:?}");
                }
            }
        }
    }

    #[test]
    fn another_schedule_is_refused_where_it_matters() {
        let metadata = [("inputs", "y,t"), ("predicts", "score"), ("horizon", "2"), ("noise", "3.5")];
        let network = Arc::new(linear(0.5, 0.0, 0.0, &metadata).unwrap());
        assert!(NetworkScore::new(network.clone(), Schedule::linear(2.0, 0.5, 3.0).unwrap()).is_ok());
        let e = NetworkScore::new(network, Schedule::linear(2.0, 0.5, 5.0).unwrap()).unwrap_err().to_string();
        assert!(e.contains("trained with horizon 2 and int b = 3.5"), "{e}");
    }

    #[test]
    fn products_with_the_jacobian() {
        let schedule = Schedule::linear(2.0, 0.5, 5.0).unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pretrained/digits.safetensors");
        let score = NetworkScore::new(Arc::new(Network::read(&path, &NetworkParams::default()).unwrap()), schedule).unwrap();
        let (d, n) = (64, 5);
        let fill = |s: f64| {
            let mut b = PointBlock::zeros(d, n);
            b.data_mut().iter_mut().enumerate().for_each(|(k, x)| *x = (s + 0.9 * k as f64).sin());
            b
        };
        let (x, v, p) = (fill(0.1), fill(0.7), fill(1.9));
        let slice = score.slice(1.0);
        let (mut jv, mut jp) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
        slice.jvp(x.as_points(), v.as_points(), jv.as_mut());
        assert!(slice.vjp(x.as_points(), p.as_points(), jp.as_mut()));
        let h = 1e-5;
        let moved = |h: f64| {
            let (mut y, mut s) = (x.clone(), PointBlock::zeros(d, n));
            y.data_mut().iter_mut().zip(v.data()).for_each(|(y, v)| *y += h * v);
            slice.eval(y.as_points(), s.as_mut());
            s
        };
        let (up, down) = (moved(h), moved(-h));
        let size = jv.data().iter().fold(0.0_f64, |m, a| m.max(a.abs()));
        for k in 0..d * n {
            assert!((jv.data()[k] - (up.data()[k] - down.data()[k]) / (2.0 * h)).abs() < 1e-7 * size);
        }
        let dot = |a: &PointBlock, b: &PointBlock| a.data().iter().zip(b.data()).map(|(a, b)| a * b).sum::<f64>();
        assert!((dot(&p, &jv) - dot(&jp, &v)).abs() < 1e-11 * size);
    }
}
