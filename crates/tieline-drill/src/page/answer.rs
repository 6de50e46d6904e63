//! The answer in one sentence: what the worst would do, and on how few things how many hang.

use super::Known;
use super::words::{PerCent, noun};
use crate::consequence::Consequence;
use crate::table::count;

/// What something does to service, as the second half of a sentence: `leave 12 % of critical calls unserved`. `critical` is
/// how many critical calls are served without it; none where that is another number than with it.
pub(super) fn does(consequence: &Consequence, critical: Option<u64>) -> String {
    let (tally, unserved) = (consequence.tally, consequence.critical.calls_unserved);
    let served = tally.served_before();
    if let Some(critical) = critical.filter(|_| unserved > 0) {
        return format!("leave {} of critical calls unserved", PerCent(unserved, critical));
    }
    if tally.unserved() > 0 {
        return format!("leave {} of calls unserved", PerCent(tally.unserved(), served));
    }
    if tally.degraded > 0 {
        return format!(
            "leave no call unserved, and move {} of calls to another model",
            PerCent(tally.degraded, served)
        );
    }
    if tally.moved > 0 {
        return format!(
            "leave no call unserved, and move {} of calls",
            PerCent(tally.moved, served)
        );
    }
    "change nothing".to_owned()
}

/// How many parties hang on one element.
pub(super) fn exposed(known: &Known<'_>) -> String {
    let (all, exposed) = (known.chokepoints.parties, known.chokepoints.parties_exposed);
    match (exposed, all) {
        (_, 0) => "no party has calls that are served".to_owned(),
        (0, _) => "no party has a single chokepoint".to_owned(),
        (1, 1) => "the one party has a single chokepoint".to_owned(),
        _ => format!(
            "{} of {} parties {} a single chokepoint",
            count(exposed),
            count(all),
            noun(exposed, "has", "have")
        ),
    }
}
