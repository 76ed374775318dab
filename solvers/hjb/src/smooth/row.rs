//! A coefficient on one row of nodes, at a place in a time step.

use crate::smooth::channels::Channel;

/// One number, one per node, or the combination of three with the weights given.
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    Uniform(f64),
    Nodal(&'r [f64]),
    Moving([&'r [f64]; 3], [f64; 3]),
    /// Of channels of different kinds, from the flat index.
    Mixed([&'r Channel; 3], [f64; 3], usize),
}

impl<'r> Row<'r> {
    /// The row of `len` nodes from `base` of a channel.
    pub fn at(channel: &'r Channel, base: usize, len: usize) -> Self {
        match channel {
            Channel::Uniform(c) => Row::Uniform(*c),
            Channel::Nodal(v) => Row::Nodal(&v[base..base + len]),
        }
    }

    #[inline(always)]
    pub fn get(&self, j: usize) -> f64 {
        match self {
            Row::Uniform(c) => *c,
            Row::Nodal(v) => v[j],
            Row::Moving([a, b, c], w) => w[0] * a[j] + w[1] * b[j] + w[2] * c[j],
            Row::Mixed(channels, w, base) => channels.iter().zip(w).map(|(c, w)| w * c.get(base + j)).sum(),
        }
    }

    /// Whether it is zero at all nodes for certain.
    pub fn is_zero(&self) -> bool {
        matches!(self, Row::Uniform(c) if *c == 0.0)
    }

    /// out[j] += coefficient factor(j).
    #[inline(always)]
    pub fn add_to(&self, out: &mut [f64], factor: impl Fn(usize) -> f64) {
        let n = out.len();
        match self {
            Row::Uniform(c) if *c == 0.0 => {}
            Row::Uniform(c) => (0..n).for_each(|j| out[j] += c * factor(j)),
            Row::Nodal(v) => {
                let v = &v[..n];
                (0..n).for_each(|j| out[j] += v[j] * factor(j));
            }
            Row::Moving([a, b, c], w) => {
                let (a, b, c) = (&a[..n], &b[..n], &c[..n]);
                (0..n).for_each(|j| out[j] += (w[0] * a[j] + w[1] * b[j] + w[2] * c[j]) * factor(j));
            }
            Row::Mixed(..) => (0..n).for_each(|j| out[j] += self.get(j) * factor(j)),
        }
    }
}
