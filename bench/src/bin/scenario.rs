//! Runs one scenario: `scenario NAME COUNT [--time]`. With `--time` it prints the least nanoseconds of a run over
//! twenty series; without, it prints nothing, for a tool that counts to look on.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "it prints figures for people"
)]

use std::time::Instant;

use tieline_bench::scenario;

/// Series of which the fastest counts: the rest is noise of the machine.
const SERIES: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or("which scenario?")?;
    let count: u64 = words.next().ok_or("how many runs?")?.parse()?;
    let is_timed = words.next().is_some_and(|word| word == "--time");
    let mut scenario = scenario(&name)?;
    if !is_timed {
        for _ in 0..count {
            scenario.run()?;
        }
        return Ok(());
    }
    let mut best_ns = f64::INFINITY;
    for _ in 0..SERIES {
        let start = Instant::now();
        for _ in 0..count {
            scenario.run()?;
        }
        best_ns = best_ns.min(start.elapsed().as_secs_f64() * 1e9 / count as f64);
    }
    println!("{name}: {best_ns:.0} ns");
    Ok(())
}
