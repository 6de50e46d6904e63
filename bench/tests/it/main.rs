//! What every scenario must hold: it runs, and a decision allocates nothing once it is warm. One test, for the counter
//! counts all threads of the process.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tieline_bench::{SCENARIOS, scenario};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Verdicts are cached and buffers have their size long before.
const WARM_UP: usize = 1_000;
const RUNS: usize = 1_000;

#[test]
fn every_scenario_runs_and_a_warm_decision_allocates_nothing() {
    for (name, _) in SCENARIOS {
        let mut scenario = scenario(name).unwrap();
        scenario.run().unwrap();
        if name != "decision" {
            continue;
        }
        for _ in 0..WARM_UP {
            scenario.run().unwrap();
        }
        let region = Region::new(COUNTED);
        for _ in 0..RUNS {
            scenario.run().unwrap();
        }
        let change = region.change();
        assert_eq!(
            (change.allocations, change.reallocations, change.deallocations),
            (0, 0, 0),
            "in {RUNS} decisions: {change:?}"
        );
        // The counter does count.
        drop(std::hint::black_box(vec![0_u8; 16]));
        assert_eq!(region.change().allocations, 1);
    }
}
