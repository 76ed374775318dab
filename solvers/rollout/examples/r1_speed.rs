#![allow(missing_docs)]
use hjbridge_model::*;
use hjbridge_rollout::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use std::time::Instant;
struct Ou;
impl Coefficients for Ou {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (o, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *o = -x;
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> { MatrixCoefficient::Scaled(1.0) }
    fn diffusion(&self) -> MatrixCoefficient<'_> { MatrixCoefficient::Scaled(1.0) }
    fn control_weight(&self) -> MatrixCoefficient<'_> { MatrixCoefficient::Scaled(1.0) }
}
impl ControlledDiffusion for Ou {
    fn dim(&self) -> usize { 1 }
    fn control_dim(&self) -> usize { 1 }
    fn horizon(&self) -> f64 { 2.0 }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> { Box::new(self) }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) { out.copy_from_slice(x.coord(0)); }
}
fn key(p: u64) -> u64 { 1u64.wrapping_mul(0x9E3779B97F4A7C15) ^ p.wrapping_mul(0xD1342543DE82EF95) }
fn plain_ou(keyed: bool) -> (f64, f64) {
    let h: f64 = 2.0 / 200.0;
    let root = h.sqrt();
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut sum, mut squares) = (0.0, 0.0);
    for p in 0..100_000u64 {
        if keyed { rng = SmallRng::seed_from_u64(key(p)); }
        let mut x = 1.0f64;
        for _ in 0..200 {
            let xi: f64 = rng.sample(StandardNormal);
            x += -x * h + root * xi;
        }
        sum += x;
        squares += x * x;
    }
    (sum / 1e5, squares)
}
fn plain_mixture() -> f64 {
    let (steps, t1, b0, b1, s) = (500, 1e-3, 0.1, 20.0, 0.3f64);
    let h = (1.0 - t1) / steps as f64;
    let tab: Vec<(f64, f64, f64)> = (0..steps).map(|k| { let t = 1.0 - k as f64 * h;
        let al = (-0.5 * (b0 * t + 0.5 * (b1 - b0) * t * t)).exp();
        (al, b0 + (b1 - b0) * t, al * al * s * s + 1.0 - al * al) }).collect();
    let m: Vec<(f64, f64)> = (0..8).map(|k| { let th = std::f64::consts::TAU * k as f64 / 8.0; (4.0 * th.cos(), 4.0 * th.sin()) }).collect();
    let mut sum = 0.0;
    for p in 0..20_000u64 {
        let mut rng = SmallRng::seed_from_u64(key(p));
        let (mut x, mut y): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
        for &(a, b, v) in &tab {
            let mut lw = [0.0f64; 8];
            let mut mx = f64::NEG_INFINITY;
            for j in 0..8 { let (dx, dy) = (a * m[j].0 - x, a * m[j].1 - y); lw[j] = -(dx * dx + dy * dy) * (0.5 / v); mx = mx.max(lw[j]); }
            let (mut s, mut sx, mut sy) = (0.0, 0.0, 0.0);
            for j in 0..8 { let w = (lw[j] - mx).exp(); s += w; sx += w * (a * m[j].0 - x); sy += w * (a * m[j].1 - y); }
            let c = 1.0 / (s * v);
            let sq = (b * h).sqrt();
            let (z0, z1): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
            x += h * b * (0.5 * x + sx * c) + sq * z0;
            y += h * b * (0.5 * y + sy * c) + sq * z1;
        }
        let (dx, dy) = (x - m[0].0, y - m[0].1);
        sum += (-(dx * dx + dy * dy) / 0.5).exp();
    }
    sum / 20_000.0
}
fn time(name: &str, work: f64, mut f: impl FnMut() -> f64) -> f64 {
    let mut best = f64::INFINITY; let mut r = 0.0;
    let cpu = || { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let v: Vec<&str> = s.split(' ').collect(); v[13].parse::<f64>().unwrap() / 100.0 };
    let (c0, mut n) = (cpu(), 0);
    let start = Instant::now();
    while n < 6 || start.elapsed().as_secs_f64() < 1.5 { let t = Instant::now(); r = f(); best = best.min(t.elapsed().as_secs_f64()); n += 1; }
    println!("{name:40} {:8.1} M/s  per cpu-second {:8.1}  ({r:.5})", work / best / 1e6, work * n as f64 / (cpu() - c0) / 1e6);
    work / best
}
fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    let params = |paths, steps, t| RolloutParams { paths, steps, seed: 1, threads: Some(t), ..Default::default() };
    if which != "gmm" {
        let zero = ZeroFeedback { dim: 1, control_dim: 1 };
        let e = |t| { let e = Ensemble::new(&Ou, &zero, InitialState::Point(vec![1.0]), params(100_000, 200, t)).unwrap(); move || e.run().unwrap().0.mean[0].mean };
        let (one, k) = if which == "" { (time("OU plain, one generator", 2e7, || plain_ou(false).0), time("OU plain, keyed per path", 2e7, || plain_ou(true).0)) } else { (1.0, 1.0) };
        let a = time("OU engine 1 thread", 2e7, e(1));
        let b = time("OU engine 2 threads", 2e7, e(2));
        println!("   / one {:.2}  / keyed {:.2}  2 threads {:.2}", a / one, a / k, b / a);
    }
    if which != "ou" {
        let m: Vec<Vec<f64>> = (0..8).map(|k| { let th = std::f64::consts::TAU * k as f64 / 8.0; vec![4.0 * th.cos(), 4.0 * th.sin()] }).collect();
        let c = vec![vec![0.09, 0.0], vec![0.0, 0.09]];
        let data = GaussianMixture::new(vec![0.125; 8], m.clone(), vec![c; 8]).unwrap().noised_by(0.1 * 1e-3 + 0.5 * 19.9 * 1e-6);
        let schedule = Schedule::linear(0.999, 0.1 + 19.9 * 1e-3, 20.0).unwrap();
        let reward = Reward::bumps(vec![Bump { center: m[0].clone(), width: 0.5, height: 1.0 }]).unwrap();
        let p = FineTuning::new(schedule, data, reward, KlWeight::constant(1.0).unwrap(), InitialLaw::StandardNormal).unwrap();
        let zero = ZeroFeedback { dim: 2, control_dim: 2 };
        let k = if which == "" { time("mixture plain, keyed per path", 1e7, plain_mixture) } else { 1.0 };
        let e = |t| { let e = Ensemble::new(&p, &zero, InitialState::Law(p.initial_law()), params(20_000, 500, t)).unwrap(); move || e.run().unwrap().0.terminal_reward.mean };
        let a = time("mixture engine 1 thread", 1e7, e(1));
        let b = time("mixture engine 2 threads", 1e7, e(2));
        println!("   / keyed {:.2}  2 threads {:.2}", a / k, b / a);
    }
}
