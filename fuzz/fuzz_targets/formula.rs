//! Any text as a formula: parsed, evaluated in blocks and point by point with the same result, differentiated.
#![no_main]

use hjbridge::model::{Formula, PointBlock};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let formula = match Formula::parse(text, &["t", "x0", "x1"]) {
        Ok(formula) => formula,
        Err(e) => return assert!(!e.to_string().is_empty()),
    };
    let points = [[0.0, 0.0, 0.0], [0.3, -1.5, 2.0], [1.0, 1e300, -1e-300], [0.5, f64::NAN, f64::INFINITY]];
    let columns: Vec<Vec<f64>> = (0..3).map(|i| points.iter().map(|p| p[i]).collect()).collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let mut block = [0.0; 4];
    formula.eval_block(&columns, &mut block);
    for (point, value) in points.iter().zip(block) {
        let alone = formula.eval_scalar(point);
        assert!(alone.to_bits() == value.to_bits() || (alone.is_nan() && value.is_nan()), "{text}: {alone} and {value}");
    }
    let mut gradients = PointBlock::zeros(2, 4);
    formula.eval_gradient_block(&columns, &[1, 2], &mut block, gradients.as_mut());
    let _ = formula.eval_checked(&columns, &mut block).map_err(|e| assert!(!e.to_string().is_empty()));
});
