//! Temporary.
#![allow(clippy::all, clippy::pedantic, clippy::print_stdout, clippy::unwrap_used)]
use std::time::Instant;
use tieline_core::Ruling;
use tieline_drill::*;
fn main() {
    let mut args = std::env::args().skip(1);
    let calls: usize = args.next().unwrap().parse().unwrap();
    let plays: usize = args.next().unwrap().parse().unwrap();
    let n1 = args.next().is_some();
    let size = BenchSize {
        calls,
        ..BenchSize::DAY
    };
    let snapshot = bench_snapshot(bench_grid(size)).unwrap();
    let t = Instant::now();
    let ruled = |party: u32, channel: &str, _: &str| {
        if party % 7 == 0 && channel.ends_with('3') {
            Ruling::Deny
        } else {
            Ruling::Allow
        }
    };
    let traffic = bench_traffic(size, &snapshot, &ruled);
    eprintln!("traffic {:?}", t.elapsed());
    let t = Instant::now();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let b = rehearsal.base();
    eprintln!(
        "base {:?} carried {} attempts {} tight {:?}",
        t.elapsed(),
        b.carried,
        b.attempts,
        b.tightest
    );
    let nothing = Timeline::default();
    let mut best = f64::MAX;
    for _ in 0..plays {
        let t = Instant::now();
        std::hint::black_box(rehearsal.play(&nothing));
        best = best.min(t.elapsed().as_secs_f64());
    }
    if plays > 0 {
        println!("{:.0} calls/s", calls as f64 / best);
    }
    if n1 {
        let cs = Contingencies::single(&rehearsal, Assumed::default());
        let t = Instant::now();
        for ix in 0..cs.plays() {
            std::hint::black_box(cs.play(ix));
        }
        let d = t.elapsed().as_secs_f64();
        println!(
            "n-1: {} plays, {:.1} s, {:.0} calls/s",
            cs.plays(),
            d,
            cs.plays() as f64 * calls as f64 / d
        );
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for l in status.lines().filter(|l| l.starts_with("VmHWM")) {
            println!("{l}");
        }
    }
}
