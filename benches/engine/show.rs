//! Lines of figures against their bars, medians, peak memory.

use crate::MISSED;
use crate::common::{Outcome, median};
use std::time::Instant;

/// A figure and what is asked of it.
pub struct Figure {
    text: String,
    missed: bool,
}

/// `name value`, with the bar in parentheses and whether it is missed, where there is one.
fn figure(name: &str, shown: impl Fn(f64) -> String, value: f64, bar: Option<f64>) -> Figure {
    let missed = bar.is_some_and(|b| value.is_nan() || value > b);
    let bar = bar.map_or(String::new(), |b| format!(" (<= {})", shown(b)));
    Figure { text: format!("{name} {}{bar}", shown(value)), missed }
}

/// An error that is to be at most `bar`.
pub fn error(name: &str, value: f64, bar: Option<f64>) -> Figure {
    figure(name, |v| format!("{v:.1e}"), value, bar)
}

/// Seconds that are to be at most `bar`.
pub fn time(value: f64, bar: Option<f64>) -> Figure {
    let shown = |v: f64| if v < 0.01 { format!("{:.2} ms", 1e3 * v) } else { format!("{v:.3} s") };
    figure("time", shown, value, bar)
}

/// A plain number that is to be at most `bar`.
pub fn number(name: &str, value: f64, bar: Option<f64>) -> Figure {
    figure(name, |v| format!("{v:.2}"), value, bar)
}

/// Words.
pub fn note(text: impl Into<String>) -> Figure {
    Figure { text: text.into(), missed: false }
}

/// Print one line.
pub fn line(what: &str, figures: &[Figure]) {
    let shown: Vec<String> =
        figures.iter().map(|f| if f.missed { format!("{} {MISSED}", f.text) } else { f.text.clone() }).collect();
    println!("  {what:<44} {}", shown.join(", "));
}

/// The last result and the median seconds of `runs` runs.
pub fn timed<T>(runs: usize, mut run: impl FnMut() -> Outcome<T>) -> Outcome<(T, f64)> {
    let mut seconds = Vec::new();
    let mut last = None;
    for _ in 0..runs.max(1) {
        let clock = Instant::now();
        last = Some(run()?);
        seconds.push(clock.elapsed().as_secs_f64());
    }
    Ok((last.ok_or("no run")?, median(&mut seconds)))
}

/// The median seconds of alternatives that run in turn, `rounds` times.
pub fn in_turn(rounds: usize, tasks: &mut [&mut dyn FnMut() -> Outcome<()>]) -> Outcome<Vec<f64>> {
    let mut seconds = vec![Vec::new(); tasks.len()];
    for _ in 0..rounds {
        for (task, seconds) in tasks.iter_mut().zip(&mut seconds) {
            let clock = Instant::now();
            task()?;
            seconds.push(clock.elapsed().as_secs_f64());
        }
    }
    Ok(seconds.iter_mut().map(|s| median(s)).collect())
}

/// Seconds that the cores have worked for this process, in hundredths; none where the system does not say. On a busy machine
/// these tell more than the clock.
pub fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(0.01 * (ticks()? + ticks()?))
}

/// Largest resident memory so far of the process of this number, in units of 10^6 bytes; none where the system does not say.
pub fn peak(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let text = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(text.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1.024e-3)
}

/// That of this process.
pub fn own_peak() -> Option<f64> {
    peak("self")
}

/// Print the peak of this process.
pub fn peak_memory() {
    if let Some(megabytes) = own_peak() {
        println!("  peak memory of the process {megabytes:.0} MB");
    }
}

/// A peak against its bar.
pub fn memory(peak: Option<f64>, bar: f64) -> Figure {
    let shown = |v: f64| format!("{v:.0} MB");
    peak.map_or_else(|| note("memory not known on this system"), |m| figure("memory", shown, m, Some(bar)))
}
