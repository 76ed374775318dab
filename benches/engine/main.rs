//! The HJB engine on its bars: error, time and memory of each route next to what is asked of it, and next to its alternatives.
//!
//!     cargo bench --bench engine                    # every item once, 70 s on two cores
//!     cargo bench --bench engine -- only ring       # items whose name contains "ring"
//!     cargo bench --bench engine -- large           # the ring on 513^2 and 1025^2 nodes too
//!
//! A plain script. Each item runs in a process of its own, so that its peak memory (VmHWM, Linux only) is that of the item;
//! where memory is a bar, the process does nothing but the solve. A time is the median of a few runs, alternatives run in
//! turn. The last lines list the bars missed. Threads as rayon has them.

#[path = "../common/mod.rs"]
mod common;

mod controls;
mod exit;
mod fine_tuning;
mod line;
mod linear;
mod memory;
mod models;
mod show;
mod stationary;
mod wells;

use common::Outcome;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What is measured.
struct Item {
    name: &'static str,
    what: &'static str,
    /// With `large` only.
    large: bool,
    run: fn() -> Outcome<()>,
}

const fn item(name: &'static str, what: &'static str, run: fn() -> Outcome<()>) -> Item {
    Item { name, what, large: false, run }
}

const ITEMS: [Item; 18] = [
    item("1 mixture", "two Gaussians on the line, |y| <= 3, all t; closed form", line::mixture),
    item("2 double well", "kappa = 5, nu = 3 on 5500 x 1000, at 15 points of 3 times; table of ten digits", line::double_well),
    item("2 double well, high order", "the same, differences of order 8 and BDF", line::double_well_high_order),
    item("3 exit", "double well (1, 2) in the plane, psi(-1,-1) and psi(0,0); limit by extrapolation", exit::plane),
    item("3 steep wells", "psi > 0 for alpha up to 100, V(-1,-1); double integral of the mean time", exit::steep),
    item("3 hitting times", "double well on the line, mean time from -1 to 1; double integral", exit::hitting_times),
    item("4 ring", "eight Gaussians in the plane, 257^2, |y_i| <= 3, all t; closed form", fine_tuning::ring),
    item("4 ring, alternatives", "the same by other routes, one after the other in turn", fine_tuning::alternatives),
    item("4 ring, memory", "the solve alone, in its own process", memory::ring),
    item("4 ring, memory with levels", "65 levels of V and v kept", memory::ring_kept),
    item("4 ring, memory of a route", "choice of the route and certificate, 129 levels kept", memory::ring_route),
    item("4 ring, memory of the program", "hjbridge solve data/problems/ring_2d.json", memory::ring_program),
    Item { name: "4 ring, large", what: "cost per node and right side, in turn; errors", large: true, run: fine_tuning::large },
    item("4 octahedron", "six Gaussians in three dimensions, 65^3, |y_i| <= 2.6; closed form", fine_tuning::octahedron),
    item("5 controls", "correlated noise, bounded control, optimal stopping", controls::all),
    item("6 discounted", "discounted LQ, 151^2; Riccati", stationary::discounted),
    item("6 discounted, memory", "the solve alone: free control, then 225 controls", memory::discounted),
    item("linear systems", "I - dt L on 257^2, factorise and solve once", linear::solvers),
];

/// Lines beginning with this, after the indentation, are bars missed.
const MISSED: &str = "MISSED";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let large = arguments.iter().any(|a| a == "large");
    if let [mode, name] = arguments.as_slice()
        && mode == "item"
    {
        let item = ITEMS.iter().find(|i| i.name == name).ok_or("no such item")?;
        (item.run)()?;
        show::peak_memory();
        return Ok(());
    }
    let wanted = arguments.iter().position(|a| a == "only").and_then(|k| arguments.get(k + 1));
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?").to_string();
    println!("{} threads, load {} at the start; bars in parentheses", rayon::current_num_threads(), load());
    let clock = std::time::Instant::now();
    let mut missed = Vec::new();
    for item in ITEMS.iter().filter(|i| wanted.map_or(large || !i.large, |w| i.name.contains(w.as_str()))) {
        println!("\n{}: {}", item.name, item.what);
        let mut child = Command::new(std::env::current_exe()?).args(["item", item.name]).stdout(Stdio::piped()).spawn()?;
        for text in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
            let text = text?;
            println!("{text}");
            if text.contains(MISSED) {
                missed.push(format!("{}: {}", item.name, text.trim()));
            }
        }
        if !child.wait()?.success() {
            missed.push(format!("{}: failed", item.name));
        }
    }
    println!("\n{:.0} s in all, load {} at the end; {} bars missed", clock.elapsed().as_secs_f64(), load(), missed.len());
    missed.iter().for_each(|m| println!("  {m}"));
    Ok(())
}
