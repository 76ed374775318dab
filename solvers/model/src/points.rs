//! Blocks of points in R^d, structure-of-arrays.
//!
//! Every field of hjbridge (score, reward, feedback, drift, interpolant) is evaluated on a block: coordinate `i` of all
//! points is one contiguous slice, so inner loops run over points and vectorise. A block may be a window into a larger
//! one; `stride` is the distance between the coordinates in memory.

use std::ops::Range;

/// A borrowed block of `len` points in R^`dim`.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    data: &'a [f64],
    dim: usize,
    len: usize,
    stride: usize,
}

impl<'a> Points<'a> {
    /// View `data`, laid out coordinate by coordinate, as `data.len() / dim` points.
    ///
    /// A trailing remainder of `data` that does not fill a point is ignored; `dim = 0` gives an empty block.
    pub fn new(data: &'a [f64], dim: usize) -> Self {
        let len = data.len().checked_div(dim).unwrap_or(0);
        Points { data, dim, len, stride: len }
    }

    /// Dimension d of the space.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the block has no point.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Coordinate `i` of all points.
    ///
    /// # Panics
    /// When `i >= dim`, as slice indexing does.
    #[inline]
    pub fn coord(&self, i: usize) -> &'a [f64] {
        &self.data[i * self.stride..i * self.stride + self.len]
    }

    /// The points `range` as a block of their own, without copying.
    ///
    /// # Panics
    /// When the range reaches beyond `len`, as slice indexing does.
    pub fn window(&self, range: Range<usize>) -> Points<'a> {
        assert!(range.start <= range.end && range.end <= self.len, "window {range:?} of a block of {} points", self.len);
        Points { data: &self.data[range.start..], dim: self.dim, len: range.len(), stride: self.stride }
    }

    /// Copy point `j` into `out` (length d).
    pub fn copy_point(&self, j: usize, out: &mut [f64]) {
        for (i, o) in out.iter_mut().enumerate() {
            *o = self.coord(i)[j];
        }
    }
}

/// A mutable block of `len` points (or vectors) in R^`dim`.
#[derive(Debug)]
pub struct PointsMut<'a> {
    data: &'a mut [f64],
    dim: usize,
    len: usize,
    stride: usize,
}

impl<'a> PointsMut<'a> {
    /// View `data`, laid out coordinate by coordinate, as `data.len() / dim` points.
    pub fn new(data: &'a mut [f64], dim: usize) -> Self {
        let len = data.len().checked_div(dim).unwrap_or(0);
        PointsMut { data, dim, len, stride: len }
    }

    /// Dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the block has no point.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Coordinate `i` of all points.
    #[inline]
    pub fn coord(&self, i: usize) -> &[f64] {
        &self.data[i * self.stride..i * self.stride + self.len]
    }

    /// Coordinate `i` of all points, mutable.
    #[inline]
    pub fn coord_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.data[i * self.stride..i * self.stride + self.len]
    }

    /// The points `range` as a mutable block.
    pub fn window(&mut self, range: Range<usize>) -> PointsMut<'_> {
        assert!(range.start <= range.end && range.end <= self.len, "window {range:?} of a block of {} points", self.len);
        PointsMut { data: &mut self.data[range.start..], dim: self.dim, len: range.len(), stride: self.stride }
    }

    /// The same block for a shorter time.
    pub fn reborrow(&mut self) -> PointsMut<'_> {
        PointsMut { data: self.data, dim: self.dim, len: self.len, stride: self.stride }
    }

    /// Read-only view.
    pub fn as_points(&self) -> Points<'_> {
        Points { data: self.data, dim: self.dim, len: self.len, stride: self.stride }
    }

    /// Set every coordinate of every point to `value`.
    pub fn fill(&mut self, value: f64) {
        for i in 0..self.dim {
            self.coord_mut(i).fill(value);
        }
    }

    /// Copy `point` (length d) into place `j`.
    pub fn set_point(&mut self, j: usize, point: &[f64]) {
        for (i, &p) in point.iter().enumerate() {
            self.coord_mut(i)[j] = p;
        }
    }
}

/// An owned block of points, `data` coordinate by coordinate.
#[derive(Clone, Debug, PartialEq)]
pub struct PointBlock {
    data: Vec<f64>,
    dim: usize,
    len: usize,
}

impl PointBlock {
    /// `len` points at the origin of R^`dim`.
    pub fn zeros(dim: usize, len: usize) -> Self {
        PointBlock { data: vec![0.0; dim * len], dim, len }
    }

    /// From points given one after the other, each of length `dim`; a point of another length gives `None`.
    pub fn from_points<P: AsRef<[f64]>>(dim: usize, points: &[P]) -> Option<Self> {
        let mut block = PointBlock::zeros(dim, points.len());
        for (j, p) in points.iter().enumerate() {
            let p = p.as_ref();
            if p.len() != dim {
                return None;
            }
            block.as_mut().set_point(j, p);
        }
        Some(block)
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Read-only view.
    pub fn as_points(&self) -> Points<'_> {
        Points { data: &self.data, dim: self.dim, len: self.len, stride: self.len }
    }

    /// Mutable view.
    pub fn as_mut(&mut self) -> PointsMut<'_> {
        PointsMut { data: &mut self.data, dim: self.dim, len: self.len, stride: self.len }
    }

    /// Coordinate `i` of all points.
    #[inline]
    pub fn coord(&self, i: usize) -> &[f64] {
        &self.data[i * self.len..(i + 1) * self.len]
    }

    /// All coordinates, one after the other.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// All coordinates, mutable.
    pub fn data_mut(&mut self) -> &mut [f64] {
        &mut self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_share_memory_and_keep_the_layout() {
        let mut block = PointBlock::from_points(2, &[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]).unwrap();
        {
            let mut all = block.as_mut();
            let mut tail = all.window(1..3);
            assert_eq!(tail.coord(1), &[20.0, 30.0]);
            tail.set_point(0, &[5.0, 50.0]);
        }
        assert_eq!(block.data(), &[1.0, 5.0, 3.0, 10.0, 50.0, 30.0]);
        let w = block.as_points().window(1..2);
        let mut p = [0.0; 2];
        w.copy_point(0, &mut p);
        assert_eq!((p, w.len()), ([5.0, 50.0], 1));
        assert!(PointBlock::from_points(2, &[vec![1.0]]).is_none());
    }
}
