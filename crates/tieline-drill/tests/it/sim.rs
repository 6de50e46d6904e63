//! The simulator: every law holds over many seeds, and a run is a function of its seed.

use tieline_drill::{SimReport, simulate};

/// Seeds in the debug profile; `tieline drill sim` of a release build makes a thousand in the time of these.
const SEEDS: u64 = 60;

#[test]
fn every_law_holds_in_random_worlds() {
    let runs: Vec<_> = (0..SEEDS).map(simulate).collect();
    let report = SimReport::of(0, &runs);
    assert!(report.holds(), "{}", report.text(true));
    let tally = report.tally;
    // A generator that stopped making trouble would pass, too.
    let made = [
        tally.served,
        tally.broken,
        tally.relayed,
        tally.refused,
        tally.abandoned,
        tally.lost,
        tally.orders,
        tally.cuts,
        tally.reloads,
        tally.crashes,
    ];
    assert!(made.iter().all(|n| *n > 0), "{tally:?}");
}
