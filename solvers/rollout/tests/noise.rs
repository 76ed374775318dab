//! Statistics of the keyed normal numbers, with fixed seeds.
#![allow(missing_docs)]

use hjbridge_rollout::NoiseKey;
use hjbridge_rollout::noise::{BlockNoise, NormalStream};

fn normals(seed: u64, level: u32, component: u32, paths: u64, steps: u32) -> Vec<Vec<f64>> {
    let stream = NormalStream::new(seed, level);
    (0..paths).map(|p| (0..steps).map(|k| stream.normal(p, k, component)).collect()).collect()
}

#[test]
fn first_four_moments() {
    let z: Vec<f64> = normals(11, 0, 0, 4000, 250).concat();
    let n = z.len() as f64;
    let moment = |p: i32| z.iter().map(|x| x.powi(p)).sum::<f64>() / n;
    // Var Z^p = E Z^2p - (E Z^p)^2: 1, 2, 15, 96.
    for (p, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64)] {
        let score = (moment(p) - expected) / (variance / n).sqrt();
        assert!(score.abs() < 4.0, "moment {p}: z = {score}");
    }
    // The same test sees a standard deviation that is 0.5 % too large.
    assert!(((moment(2) * 1.01 - 1.0) / (2.0 / n).sqrt()).abs() > 4.0);
}

fn kolmogorov(mut z: Vec<f64>) -> f64 {
    z.sort_unstable_by(f64::total_cmp);
    let n = z.len() as f64;
    let distance = z.iter().enumerate().fold(0.0f64, |d, (i, &x)| {
        let cdf = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        d.max(cdf - i as f64 / n).max((i + 1) as f64 / n - cdf)
    });
    distance * n.sqrt()
}

#[test]
fn kolmogorov_smirnov_distance_to_the_normal_law() {
    // P(sqrt(n) D > 1.95) = 0.001, along a path, across paths, and for each of the four numbers of a counter.
    let z = normals(7, 3, 2, 2000, 100);
    assert!(kolmogorov(z.concat()) < 1.95);
    assert!(kolmogorov(z.iter().map(|row| row[0]).collect()) < 1.95);
    for place in 0..4 {
        assert!(kolmogorov(z.iter().flat_map(|row| row.iter().skip(place).step_by(4).copied()).collect()) < 1.95);
    }
    assert!(kolmogorov(z.concat().iter().map(|x| x + 0.02).collect()) > 1.95, "a shift of 0.02 must be seen");
}

#[test]
fn neighbours_are_uncorrelated() {
    let (paths, steps) = (2001, 101);
    let base = normals(1, 0, 0, paths, steps);
    let others = [normals(2, 0, 0, paths, steps), normals(1, 1, 0, paths, steps), normals(1, 0, 1, paths, steps)];
    let pick = |z: &[Vec<f64>], p0: usize, k0: usize| -> Vec<f64> {
        z[p0..p0 + 2000].iter().flat_map(|row| row[k0..k0 + 100].iter().copied()).collect()
    };
    let score = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (a.len() as f64).sqrt();
    let squares = |a: &[f64]| -> Vec<f64> { a.iter().map(|x| (x * x - 1.0) / 2f64.sqrt()).collect() };
    let a = pick(&base, 0, 0);
    let mut pairs = vec![("next path", pick(&base, 1, 0)), ("next step", pick(&base, 0, 1)), ("both", pick(&base, 1, 1))];
    pairs.extend(["seed", "level", "component"].into_iter().zip(others.iter().map(|z| pick(z, 0, 0))));
    for (name, b) in &pairs {
        assert!(score(&a, b).abs() < 4.0, "{name}: {}", score(&a, b));
        let s = score(&squares(&a), &squares(b));
        assert!(s.abs() < 4.0, "squares, {name}: {s}");
    }
    // The members of one Box-Muller pair share a radius: even and odd steps only.
    let member = |parity: usize| -> Vec<f64> { base.iter().flat_map(|r| r[parity..100].iter().step_by(2).copied()).collect() };
    let (even, odd) = (member(0), member(1));
    assert!(score(&even, &odd).abs() < 4.0 && score(&squares(&even), &squares(&odd)).abs() < 4.0);
    assert!(score(&a, &a).abs() > 100.0);
}

#[test]
fn bits_are_frozen() {
    // FNV-1a over the bits of 64 paths, 200 steps, 2 components: the same on every machine and instruction set.
    let stream = NormalStream::new(20_250_101, 1);
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut noise = BlockNoise::new(stream, 2);
    for step in 0..200 {
        for z in noise.step(3, step) {
            hash = (hash ^ z.to_bits()).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(hash, 0xb31c_c7af_597e_e566, "{hash:#018x}");
    assert_eq!(NoiseKey { seed: 1, path: 2, level: 3 }.normal(4, 5).to_bits(), 0xbfee_e9e8_216b_c8cf);
}
