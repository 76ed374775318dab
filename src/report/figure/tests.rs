//! Every figure with plain, degenerate and wrong data, in both formats.

use super::font::Font;
use super::*;
use crate::report::ReportError;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn map<'a>(times: &'a [f64], nodes: &'a [f64], values: &'a [f64]) -> HeatMap<'a> {
    HeatMap {
        title: "Value V",
        times,
        nodes,
        values,
        time_label: "time t (s)",
        state_label: "state y (m)",
        value_label: "V (reward)",
        colours: Colours::Sequential,
        contours: true,
    }
}

/// Both formats must agree on success and notes.
fn notes<F: Figure>(figure: &F) -> Vec<String> {
    let (svg, notes) = to_svg(figure).unwrap();
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "coordinates are finite");
    let (pixels, (width, height)) = to_pixels(figure).unwrap();
    assert_eq!(pixels.len(), 3 * width as usize * height as usize);
    assert!(pixels.iter().any(|p| *p < 100), "something is drawn");
    notes
}

fn refused<F: Figure>(figure: &F) -> ReportError {
    let error = to_svg(figure).unwrap_err();
    assert_eq!(to_pixels(figure).unwrap_err().to_string(), error.to_string());
    error
}

#[test]
fn heat_maps_of_degenerate_fields() {
    let (t, y) = ([0.0, 0.3, 1.0], [-1.0, 0.0, 1.0, 4.0]);
    let field: Vec<f64> = (0..12).map(|i| (i as f64).cos()).collect();
    assert!(notes(&map(&t, &y, &field)).is_empty());
    assert!(notes(&map(&t, &y, &[0.0; 12])).is_empty(), "a constant is drawn");
    assert!(notes(&HeatMap { colours: Colours::Diverging, ..map(&t, &y, &[0.0; 12]) }).is_empty());
    assert!(notes(&HeatMap { colours: Colours::Diverging, ..map(&t, &y, &[f64::MAX; 12]) }).len() <= 1);
    let mut holed = field.clone();
    (holed[3], holed[7]) = (NAN, -INF);
    assert_eq!(notes(&map(&t, &y, &holed)), ["Value V: 2 of 12 values are not finite (drawn grey)"]);
    assert!(matches!(refused(&map(&t, &y, &[NAN; 12])), ReportError::Empty { .. }));
    assert!(matches!(refused(&map(&t, &y, &field[..11])), ReportError::Shape { found: 11, expected: 12, .. }));
    let e = refused(&map(&[0.0, 0.0, 1.0], &y, &field));
    assert_eq!(e.to_string(), "heat map times[1] = 0: must exceed its predecessor 0");
    assert!(refused(&map(&t, &[], &[])).to_string().contains("at least 2"));
    assert!(refused(&map(&[0.0, NAN], &y, &field[..8])).to_string().contains("finite"));
    notes(&ValueAndControl { value: map(&t, &y, &field), control: map(&t, &y, &field) });
}

/// Far outliers leave the colours of the bulk alone and are reported.
#[test]
fn colour_ranges_are_robust() {
    let grid: Vec<f64> = (0..40).map(|i| i as f64).collect();
    let mut field: Vec<f64> = (0..1600).map(|i| (i % 40) as f64).collect();
    assert!(notes(&map(&grid, &grid, &field)).is_empty());
    field[800] = 1e9;
    assert_eq!(notes(&map(&grid, &grid, &field)), ["Value V: colours are cut to [0, 39], the values reach [0, 1e9]"]);
}

/// The pixel at the centre of a map has the colour of the value there; zero is white in a diverging map.
#[test]
fn colours_follow_the_values() {
    let (t, y) = ([0.0, 1.0], [-1.0, 1.0]);
    // The middle column of the picture, top to bottom.
    let column = |figure: &HeatMap| -> Vec<[u8; 3]> {
        let (pixels, (width, _)) = to_pixels(figure).unwrap();
        let rows = pixels.chunks_exact(3 * width as usize);
        rows.map(|row| [row[1500], row[1501], row[1502]]).filter(|p| *p != [255; 3]).collect()
    };
    let odd = HeatMap { title: "", colours: Colours::Diverging, contours: false, ..map(&t, &y, &[-1.0, 1.0, -1.0, 1.0]) };
    let colors = column(&odd);
    let (top, bottom) = (colors[20], colors[colors.len() - 200]);
    assert!(top[0] > top[2] && bottom[2] > bottom[0], "red above zero, blue below: {top:?} {bottom:?}");
    let zero = column(&HeatMap { values: &[0.0; 4], ..odd });
    assert!(zero[300].iter().all(|c| *c > 235), "zero is pale: {:?}", zero[300]);
    let viridis = column(&HeatMap { colours: Colours::Sequential, ..odd });
    // Two rows below the edge the value is 0.995, one of 256 colours from the end of the map.
    assert!(viridis[3].iter().zip([254, 232, 37]).all(|(a, b)| a.abs_diff(b) <= 2), "{:?}", viridis[3]);
}

#[test]
fn densities_of_degenerate_laws() {
    let x = [0.0, 1.0, 2.0, 3.0];
    let line = DensityLine { label: "p", x: &x, density: &[0.1, 0.5, 0.3, 0.0] };
    let samples: Vec<f64> = (0..50).map(|i| (i as f64 * 0.37).fract() * 3.0).collect();
    let histogram = Histogram::from_samples("data", &samples).unwrap();
    let figure = Densities {
        title: "Laws",
        x_label: "waiting time (min)",
        y_label: "density (1/min)",
        data: Some(&histogram),
        lines: &[line],
        simulated: Some(&histogram),
    };
    assert!(notes(&figure).is_empty());
    let (svg, _) = to_svg(&figure).unwrap();
    for text in ["Laws", "waiting time (min)", "density (1/min)", "\np\n", "data"] {
        assert!(svg.contains(text), "{text:?}");
    }
    let gap = DensityLine { density: &[0.1, NAN, 0.3, INF], ..line };
    assert_eq!(notes(&Densities { lines: &[gap], ..figure }), ["p: 2 of 4 points left out (not finite)"]);
    let none = Densities { data: None, simulated: None, lines: &[], ..figure };
    assert!(matches!(refused(&none), ReportError::Empty { .. }));
    let flat = DensityLine { density: &[0.0; 4], ..line };
    assert!(matches!(refused(&Densities { lines: &[flat], ..none }), ReportError::Empty { .. }));
    let short = DensityLine { density: &[0.0; 3], ..line };
    assert!(matches!(refused(&Densities { lines: &[short], ..none }), ReportError::Shape { found: 3, expected: 4, .. }));
    let spike = DensityLine { label: "spike", x: &[2.0], density: &[1.0] };
    notes(&Densities { lines: &[spike], ..none });
    let broken = Histogram { edges: vec![], ..histogram.clone() };
    assert!(matches!(refused(&Densities { data: Some(&broken), ..figure }), ReportError::Shape { .. }));
}

#[test]
fn convergence_leaves_out_what_has_no_logarithm() {
    let series = ConvergenceSeries {
        label: "V",
        steps: &[32, 64, 128, 256],
        errors: &[2e-2, 1e-2, 5e-3, 2.5e-3],
        order: Some(1.0),
        fitted: 0,
    };
    let figure = Convergence {
        title: "Error",
        x_label: "steps N",
        y_label: "sup |Vₖ − V|",
        series: &[series],
        reference_orders: &[1.0, 2.0],
    };
    assert!(notes(&figure).is_empty());
    let (svg, _) = to_svg(&figure).unwrap();
    for text in ["V: order 1.00", "fitted", "32", "64", "128", "256", "sup |Vₖ − V|"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text:?}");
    }
    let holed = ConvergenceSeries { errors: &[2e-2, 0.0, NAN, 2.5e-3], ..series };
    assert_eq!(notes(&Convergence { series: &[holed], ..figure })[0], "V: 2 of 4 points left out (not finite or not positive)");
    let single = ConvergenceSeries { steps: &[64], errors: &[1e-2], ..series };
    notes(&Convergence { series: &[single], ..figure });
    let zero = ConvergenceSeries { errors: &[0.0; 4], ..series };
    assert!(matches!(refused(&Convergence { series: &[zero], ..figure }), ReportError::Empty { .. }));
    assert!(matches!(refused(&Convergence { series: &[], ..figure }), ReportError::Empty { .. }));
    let short = ConvergenceSeries { errors: &[1.0], ..series };
    assert!(matches!(refused(&Convergence { series: &[short], ..figure }), ReportError::Shape { found: 1, expected: 4, .. }));
    let huge = ConvergenceSeries { steps: &[1, usize::MAX], errors: &[1e300, 1e-300], order: Some(1e9), ..series };
    notes(&Convergence { series: &[huge], ..figure });
}

#[test]
fn contraction_profiles_and_paths() {
    let t = [0.0, 0.5, 1.0];
    let run = ContractionSeries { label: "N = 3", times: &t, observed: &[0.1, 0.2, 0.0], bound: &[0.2, 0.3, 0.4] };
    let figure = Contraction { title: "Contraction", time_label: "t", y_label: "factor", series: &[run] };
    assert_eq!(notes(&figure), ["N = 3 observed: 1 of 3 points left out (not finite or not positive)"]);
    let zero = ContractionSeries { observed: &[0.0; 3], bound: &[], ..run };
    assert!(matches!(refused(&Contraction { series: &[zero], ..figure }), ReportError::Empty { .. }));
    let short = ContractionSeries { bound: &[0.1], ..run };
    assert!(matches!(refused(&Contraction { series: &[short], ..figure }), ReportError::Shape { .. }));

    let profile = Profile { label: "t = 0", numerical: &[1.0, 1.0, 1.0], exact: &[1.0, 1.0, 1.0] };
    let figure = Profiles {
        title: "V",
        x_label: "y",
        y_label: "V",
        reference_label: "known",
        residual_label: "error",
        nodes: &t,
        profiles: &[profile],
    };
    assert!(notes(&figure).is_empty(), "constant profile, zero residual");
    let holed = Profile { numerical: &[1.0, NAN, 2.0], ..profile };
    assert_eq!(notes(&Profiles { profiles: &[holed], ..figure }), ["t = 0: 1 of 3 points left out (not finite)"]);
    let lost = Profile { numerical: &[NAN; 3], exact: &[], ..profile };
    assert!(matches!(refused(&Profiles { profiles: &[lost], ..figure }), ReportError::Empty { .. }));
    assert!(matches!(refused(&Profiles { profiles: &[], ..figure }), ReportError::Empty { .. }));

    let side = SideDensity { label: "p", nodes: &[-1.0, 0.0, 1.0], density: &[0.2, 0.6, 0.2] };
    let paths = [0.0, 0.5, 1.0, 0.0, -0.5, INF];
    let figure = Paths {
        title: "Paths",
        time_label: "t",
        state_label: "y",
        times: &t,
        paths: &paths,
        bands: &[],
        median: &[],
        initial: &[side],
        terminal: &[side],
    };
    assert_eq!(notes(&figure), ["path 1: 1 of 3 points left out (not finite)"]);
    notes(&Paths { paths: &[2.0; 3], initial: &[], terminal: &[], ..figure });
    assert!(matches!(refused(&Paths { paths: &[], initial: &[], terminal: &[], ..figure }), ReportError::Empty { .. }));
    assert!(matches!(refused(&Paths { paths: &paths[..5], ..figure }), ReportError::Shape { .. }));
}

/// Texts of a document, unescaped.
fn texts(svg: &str) -> Vec<String> {
    let bodies = svg.split("<text").skip(1).filter_map(|s| s.split_once('>')?.1.split_once("</text>"));
    bodies.map(|(t, _)| t.trim().replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&amp;", "&")).collect()
}

/// Ticks with signs, powers and common factors all have glyphs; a label without one is drawn and noted.
#[test]
fn every_text_has_its_glyphs() {
    let font = Font::embedded().unwrap();
    let (t, y) = ([0.0, 1.0], [-1e-7, 2e-7]);
    let tiny =
        HeatMap { title: "a < b & ρₖ, βₖ, tₖ, 10⁻³, |y| ≤ 3, ∇V, ∫", ..map(&t, &y, &[-1e9, 2e9, 3e9, 1e9]) };
    let errors = ConvergenceSeries { label: "V", steps: &[8, 64], errors: &[1e-9, 1e-2], order: Some(1.0), fitted: 0 };
    let lines = Convergence { title: "", x_label: "N", y_label: "e", series: &[errors], reference_orders: &[1.5] };
    let mut all = texts(&to_svg(&tiny).unwrap().0);
    all.extend(texts(&to_svg(&lines).unwrap().0));
    for wanted in [tiny.title, "×10⁹", "×10⁻⁷", "−1.0", "10⁻⁸", "1.5"] {
        assert!(all.iter().any(|t| t == wanted), "{wanted:?} in {all:?}");
    }
    for text in &all {
        assert!(text.chars().all(|c| font.has(c)), "{text:?}");
    }
    assert!(notes(&tiny).is_empty());
    let foreign = HeatMap { title: "価値", ..tiny };
    assert_eq!(notes(&foreign).len(), 1, "one note: the first character without a glyph");
}

#[test]
fn files_are_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (t, y) = ([0.0, 1.0], [-1.0, 1.0]);
    let figure = map(&t, &y, &[0.0, 1.0, 2.0, 3.0]);
    let info = save(&figure, &directory.path().join("new"), "value").unwrap();
    let png = std::fs::read(&info.png).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!((&png[16..20], &png[20..24]), (&1600u32.to_be_bytes()[..], &1000u32.to_be_bytes()[..]));
    let svg = std::fs::read_to_string(&info.svg).unwrap();
    assert!(svg.starts_with("<svg width=\"800\" height=\"500\"") && svg.trim_end().ends_with("</svg>"));
    assert_eq!(std::fs::read_dir(directory.path().join("new")).unwrap().count(), 2, "no temporary file is left");
    // A refused figure leaves what is there.
    assert!(save(&map(&t, &y, &[NAN; 4]), &directory.path().join("new"), "value").is_err());
    assert_eq!(std::fs::read(&info.png).unwrap(), png);
    save(&figure, &directory.path().join("new"), "value").unwrap();
    assert_eq!(std::fs::read(&info.png).unwrap(), png, "equal data, equal bytes");
    assert!(save(&figure, directory.path(), "a/b").is_err());
    assert!(save(&figure, directory.path(), "").is_err());
}

#[test]
fn images_and_trainings() {
    let pixels: Vec<f64> = (0..24).map(|i| (i as f64).sin()).collect();
    let block = ImageBlock { title: "before", pixels: &pixels };
    fn images<'a>(blocks: &'a [ImageBlock<'a>]) -> Images<'a> {
        Images { rows: 2, columns: 3, range: [-1.0, 1.0], across: 3, blocks }
    }
    assert!(notes(&images(&[block, block])).is_empty());
    let mut holed = pixels.clone();
    holed[5] = NAN;
    let note = notes(&images(&[ImageBlock { pixels: &holed, ..block }]));
    assert_eq!(note, ["before: 1 pixels are not finite (drawn grey)"]);
    assert!(matches!(refused(&images(&[])), ReportError::Empty { .. }));
    assert!(matches!(refused(&images(&[ImageBlock { pixels: &pixels[..5], ..block }])), ReportError::Shape { .. }));

    // black where black is, white where white is
    let two = [ImageBlock { title: "", pixels: &[-1.0, 1.0, -1.0, 1.0, 1.0, 1.0] }];
    let (rgb, (width, _)) = to_pixels(&images(&two)).unwrap();
    let at = |x: u32, y: u32| rgb[3 * (y * width + x) as usize];
    // 11 points a pixel, two dots a point
    let (left, top) = (2 * 14, 2 * (14 + 31));
    assert_eq!([at(left + 8, top + 8), at(left + 40, top + 8), at(left + 8, top + 40)], [0, 255, 255]);

    let (x, mean) = ([0.0, 1.0, 2.0], [1.0, 2.0, 2.5]);
    let curve = TrainingCurve { label: "J", mean: &mean, error: &[0.1; 3], level: Some((3.0, "optimum")) };
    fn training<'a>(x: &'a [f64], curves: &'a [TrainingCurve<'a>]) -> TrainingCurves<'a> {
        TrainingCurves { title: "training", x_label: "iterations", x, curves }
    }
    assert!(notes(&training(&x, &[curve, TrainingCurve { level: None, ..curve }])).is_empty());
    assert!(matches!(refused(&training(&x, &[TrainingCurve { mean: &[NAN; 3], ..curve }])), ReportError::Empty { .. }));
    assert!(matches!(refused(&training(&x[..2], &[curve])), ReportError::Shape { found: 3, expected: 2, .. }));
}
