//! Quantiles in one pass, with a stated error and no dependence on the order of the samples.
//!
//! Samples are counted in bins cut from the bits of the double itself: sign, exponent and the first 10 bits of the
//! mantissa, i.e. 1024 bins of equal width in every octave. The middle of a bin is within 2^-11 (4.9e-4) of every sample in
//! it, relative to the sample. Counts are integers, so merging is exact in any order; memory is one entry per bin in use, at
//! most 1024 for each octave that the samples span, whatever their number.
//!
//! The standard error of a quantile is half the distance between the quantiles at p -+ sqrt(p(1-p)/n) (Woodruff,
//! *Confidence intervals for medians and other position measures*, J. Amer. Statist. Assoc. 47 (1952)), to which the
//! resolution of the bin is added. Where one of these two lies outside (0, 1) the samples are too few to tell, and the error
//! is infinite.

use crate::error::RolloutError;
use crate::reduce::Estimate;

/// Mantissa bits kept.
const BITS: u32 = 10;
const SHIFT: u32 = 52 - BITS;

/// A mergeable count of real samples, from which quantiles are read. Memory O(bins in use), O(log bins) per sample.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct QuantileSketch {
    n: u64,
    /// From the bin's place in the order of the reals to its count.
    counts: Vec<(i64, u64)>,
}

/// The bin of x; bins are ordered as the reals are. -0 and 0 are distinct bins next to each other.
fn bin(x: f64) -> i64 {
    let magnitude = ((x.to_bits() & !(1 << 63)) >> SHIFT) as i64;
    if x.is_sign_negative() { -magnitude - 1 } else { magnitude }
}

/// Middle and half the width of a bin.
fn interval(bin: i64) -> (f64, f64) {
    let (magnitude, sign) = if bin < 0 { (-bin - 1, -1.0) } else { (bin, 1.0) };
    let lower = f64::from_bits((magnitude as u64) << SHIFT);
    let upper = f64::from_bits(((magnitude as u64) << SHIFT) | ((1 << SHIFT) - 1));
    let half = 0.5 * (upper - lower);
    // The bin of zero holds zero and subnormal numbers only.
    if magnitude == 0 { (0.0, upper) } else { (sign * (lower + half), half) }
}

impl QuantileSketch {
    /// Relative half width of a bin.
    pub const RESOLUTION: f64 = 1.0 / (1u64 << (BITS + 1)) as f64;

    /// Count samples; those that are not finite are not counted.
    pub fn absorb(&mut self, samples: impl Iterator<Item = f64>) {
        let mut bins: Vec<i64> = samples.filter(|x| x.is_finite()).map(bin).collect();
        bins.sort_unstable();
        self.n += bins.len() as u64;
        let counted: Vec<(i64, u64)> = bins.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect();
        self.join(&counted);
    }

    /// Add the counts of another sketch.
    pub fn merge(&mut self, other: &QuantileSketch) {
        self.n += other.n;
        self.join(&other.counts);
    }

    /// Number of samples.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Bins in use.
    pub fn bins(&self) -> usize {
        self.counts.len()
    }

    /// Add k counts whose bins rise: O(k log(bins in use)), and O(bins in use) more, each entry moved once, when a bin is new.
    /// Samples use new bins ever more rarely, so that in a long run nothing has to move.
    fn join(&mut self, sorted: &[(i64, u64)]) {
        let mut missing = Vec::new();
        let mut rest = self.counts.as_mut_slice();
        for &(bin, count) in sorted {
            let far = rest.len().min(8).saturating_sub(1);
            let near = rest.get(far).is_none_or(|e| e.0 >= bin);
            let place = match near {
                true => rest.iter().take_while(|e| e.0 < bin).count(),
                false => rest.partition_point(|e| e.0 < bin),
            };
            rest = &mut rest[place..];
            match rest.first_mut().filter(|e| e.0 == bin) {
                Some(entry) => entry.1 += count,
                None => missing.push((bin, count)),
            }
        }
        if missing.is_empty() {
            return;
        }
        // from the back, so that every entry moves once and no second list is needed
        let mut from = self.counts.len();
        self.counts.resize(from + missing.len(), (0, 0));
        let mut to = self.counts.len();
        for entry in missing.into_iter().rev() {
            while from > 0 && self.counts[from - 1].0 > entry.0 {
                (from, to) = (from - 1, to - 1);
                self.counts[to] = self.counts[from];
            }
            to -= 1;
            self.counts[to] = entry;
        }
    }

    /// Middle and half width of the bin that holds the sample of rank ceil(p n), from 1 to n.
    fn locate(&self, p: f64) -> (f64, f64) {
        let rank = ((p * self.n as f64).ceil() as u64).clamp(1, self.n.max(1));
        let mut seen = 0;
        for &(bin, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return interval(bin);
            }
        }
        (f64::NAN, f64::NAN)
    }

    /// The smallest sample that at least a fraction p of the samples do not exceed, with its standard error.
    ///
    /// # Errors
    /// p outside (0, 1), or no sample.
    pub fn quantile(&self, p: f64) -> Result<Estimate, RolloutError> {
        self.quantile_of(p, self.n)
    }

    /// As [`QuantileSketch::quantile`] when the samples come in `independent` groups of equal size: the two paths of an
    /// antithetic pair may lie on the same side of the quantile every time, so that a pair says no more than one path.
    ///
    /// # Errors
    /// As [`QuantileSketch::quantile`].
    pub fn quantile_of(&self, p: f64, independent: u64) -> Result<Estimate, RolloutError> {
        if !(p > 0.0 && p < 1.0) {
            return Err(RolloutError::invalid("quantile", p, "between 0 and 1, both excluded"));
        }
        if self.n == 0 {
            return Err(RolloutError::invalid("number of samples", 0, "at least 1 for a quantile"));
        }
        let (mean, half) = self.locate(p);
        let spread = (p * (1.0 - p) / independent as f64).sqrt();
        let standard_error = match p - spread > 0.0 && p + spread < 1.0 {
            true => 0.5 * (self.locate(p + spread).0 - self.locate(p - spread).0) + half,
            false => f64::INFINITY,
        };
        Ok(Estimate { mean, standard_error, n: independent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_ordered_and_narrow() {
        let mut xs: Vec<f64> = (-40..40).map(|i| f64::from(i) * 0.37).collect();
        xs.extend([0.0, -0.0, 1e-310, -1e-310, 1e300, -1e300, f64::MIN_POSITIVE]);
        xs.sort_by(f64::total_cmp);
        assert!(xs.windows(2).all(|w| bin(w[0]) <= bin(w[1])));
        for x in xs {
            let (middle, half) = interval(bin(x));
            assert!(
                (middle - x).abs() <= half.max(1e-300) * (1.0 + 1e-9) && half <= QuantileSketch::RESOLUTION * x.abs().max(1e-200),
                "{x} {middle}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_known_set_do_not_depend_on_the_order() {
        let n = 10_007;
        let xs: Vec<f64> = (0..n).map(|i| ((i * 7919) % n) as f64 - 3000.0).collect();
        let mut whole = QuantileSketch::default();
        whole.absorb(xs.iter().copied());
        let (mut a, mut b) = (QuantileSketch::default(), QuantileSketch::default());
        a.absorb(xs[4000..].iter().copied());
        b.absorb(xs[..4000].iter().rev().copied());
        b.merge(&a);
        assert_eq!(whole, b);
        for p in [0.01, 0.25, 0.5, 0.9, 0.999] {
            let exact = (p * n as f64).ceil() - 1.0 - 3000.0;
            let q = whole.quantile(p).unwrap();
            assert!((q.mean - exact).abs() <= QuantileSketch::RESOLUTION * exact.abs(), "{p}: {q:?} {exact}");
            // sqrt(p(1-p)/n)/density, density 1/n; Woodruff's distance counts whole ranks and the resolution.
            let expected = (p * (1.0 - p) * n as f64).sqrt();
            let slack = 1.0 + 3.0 * QuantileSketch::RESOLUTION * (exact.abs() + expected);
            assert!((q.standard_error - expected).abs() < slack, "{p}: {q:?} {expected}");
        }
        // Ten samples cannot bound their 99 % quantile; groups of four that move together have twice the error.
        let mut few = QuantileSketch::default();
        few.absorb((0..10).map(f64::from));
        assert!(few.quantile(0.99).unwrap().standard_error.is_infinite() && few.quantile(0.5).unwrap().standard_error < 3.0);
        let ratio = whole.quantile_of(0.5, 2500).unwrap().standard_error / whole.quantile(0.5).unwrap().standard_error;
        assert!((ratio - 2.0).abs() < 0.05, "{ratio}");
        assert!(whole.quantile(0.0).is_err() && whole.quantile(f64::NAN).is_err());
        assert!(QuantileSketch::default().quantile(0.5).is_err());
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<QuantileSketch>(&text).unwrap(), whole);
    }
}
