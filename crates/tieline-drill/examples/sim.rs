//! The simulator alone, without the rest of the house: `sim SEEDS [FIRST]`. Exit 1 if a law was broken. `tieline drill
//! sim` is the command for people; this one builds in seconds, for the mutants of `cargo xtask mutants`.

use std::io::Write as _;
use std::process::ExitCode;

use tieline_drill::{SimReport, simulate};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().ok());
    let (Some(Some(seeds)), first) = (numbers.next(), numbers.next().flatten().unwrap_or_default()) else {
        let _ = writeln!(std::io::stdout(), "usage: sim SEEDS [FIRST]");
        return ExitCode::from(2);
    };
    let runs: Vec<_> = (first..first.saturating_add(seeds)).map(simulate).collect();
    let report = SimReport::of(first, &runs);
    let _ = write!(std::io::stdout(), "{}", report.text(seeds == 1));
    ExitCode::from(u8::from(!report.holds()))
}
