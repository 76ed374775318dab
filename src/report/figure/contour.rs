//! Level lines of a field on a tensor grid: marching squares with linear interpolation, chained into polylines.
//!
//! The two saddle cases are decided by the mean of the four corners. Cells with a non-finite corner carry no line.
//! Reference: W. Lorensen, H. Cline, "Marching Cubes", SIGGRAPH 1987 (its two-dimensional case).

use std::collections::HashMap;

/// An edge of the grid: its lower node and whether it runs along the second axis.
type Edge = (usize, usize, bool);

/// Polylines of `f = level`, where `f[i * y.len() + j]` is the value at `(x[i], y[j])`; O(cells).
pub fn level_lines(x: &[f64], y: &[f64], f: &[f64], level: f64) -> Vec<Vec<(f64, f64)>> {
    let n = y.len();
    if x.len() < 2 || n < 2 || f.len() != x.len() * n {
        return Vec::new();
    }
    let value = |i: usize, j: usize| f[i * n + j];
    let mut links: HashMap<Edge, Vec<Edge>> = HashMap::new();
    let mut order = Vec::new();
    for i in 0..x.len() - 1 {
        for j in 0..n - 1 {
            let corners = [value(i, j), value(i + 1, j), value(i + 1, j + 1), value(i, j + 1)];
            if corners.iter().any(|c| !c.is_finite()) {
                continue;
            }
            // Sides in the same order as the corners: between corner k and k+1.
            let sides: [Edge; 4] = [(i, j, false), (i + 1, j, true), (i, j + 1, false), (i, j, true)];
            let above = corners.map(|c| c >= level);
            let crossed: Vec<usize> = (0..4).filter(|k| above[*k] != above[(k + 1) % 4]).collect();
            let mut link = |a: usize, b: usize| {
                for (from, to) in [(sides[a], sides[b]), (sides[b], sides[a])] {
                    let known = links.entry(from).or_insert_with(|| {
                        order.push(from);
                        Vec::with_capacity(2)
                    });
                    known.push(to);
                }
            };
            match crossed[..] {
                [a, b] => link(a, b),
                [_, _, _, _] => {
                    let centre = 0.25 * corners.iter().sum::<f64>() >= level;
                    if centre == above[0] {
                        link(0, 1);
                        link(2, 3);
                    } else {
                        link(3, 0);
                        link(1, 2);
                    }
                }
                _ => {}
            }
        }
    }
    let crossing = |(i, j, second): Edge| {
        let (i2, j2) = if second { (i, j + 1) } else { (i + 1, j) };
        let (a, b) = (value(i, j), value(i2, j2));
        let u = ((level - a) / (b - a)).clamp(0.0, 1.0);
        (x[i] + u * (x[i2] - x[i]), y[j] + u * (y[j2] - y[j]))
    };
    // Open lines first, from their ends; what is left are closed loops.
    let ends: Vec<Edge> = order.iter().copied().filter(|e| links[e].len() == 1).collect();
    let mut lines = Vec::new();
    for start in ends.into_iter().chain(order) {
        let mut line = vec![crossing(start)];
        let mut here = start;
        while let Some(next) = links.get_mut(&here).and_then(Vec::pop) {
            if let Some(back) = links.get_mut(&next)
                && let Some(k) = back.iter().position(|e| *e == here)
            {
                back.swap_remove(k);
            }
            line.push(crossing(next));
            here = next;
        }
        if line.len() > 1 {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(n: usize) -> Vec<f64> {
        (0..n).map(|i| -1.5 + 3.0 * i as f64 / (n - 1) as f64).collect()
    }

    /// The level 1 of x^2 + y^2: one closed line, radius 1 up to the interpolation error h^2/8 * f'' / |grad f| = h^2/8.
    #[test]
    fn a_circle_is_one_closed_line_of_second_order() {
        for n in [31, 61] {
            let x = grid(n);
            let f: Vec<f64> = x.iter().flat_map(|a| x.iter().map(move |b| a * a + b * b)).collect();
            let lines = level_lines(&x, &x, &f, 1.0);
            assert_eq!(lines.len(), 1, "n = {n}");
            assert_eq!(lines[0].first(), lines[0].last());
            let h = x[1] - x[0];
            let error = lines[0].iter().map(|p| (p.0.hypot(p.1) - 1.0).abs()).fold(0.0, f64::max);
            assert!(error <= h * h / 7.9 && error > 1e-5, "{error}");
        }
    }

    #[test]
    fn open_lines_saddles_and_gaps() {
        let x = grid(20);
        let plane: Vec<f64> = x.iter().flat_map(|a| x.iter().map(move |_| *a)).collect();
        let lines = level_lines(&x, &x, &plane, 0.1);
        assert_eq!((lines.len(), lines[0].len()), (1, 20));
        assert!(lines[0].iter().all(|p| (p.0 - 0.1).abs() < 1e-12));
        let saddle: Vec<f64> = x.iter().flat_map(|a| x.iter().map(move |b| a * b)).collect();
        assert_eq!(level_lines(&x, &x, &saddle, 0.2).len(), 2);
        let mut holed = plane.clone();
        holed[9 * 20 + 10] = f64::NAN;
        holed[10 * 20 + 10] = f64::NAN;
        assert_eq!(level_lines(&x, &x, &holed, 0.1).len(), 2);
        assert!(level_lines(&x, &x, &[1.0; 400], 1.0).is_empty(), "a plateau has no line");
        assert!(level_lines(&x[..1], &x, &plane[..20], 0.1).is_empty());
        // A single cell with opposite corners up: two lines that do not meet.
        assert_eq!(level_lines(&[0.0, 1.0], &[0.0, 1.0], &[1.0, 0.0, 0.0, 1.0], 0.5).len(), 2);
    }
}
