//! The answer in one sentence: what the worst would do, and on how few things how many hang; and in its figures.

use super::Known;
use super::document::Figure;
use super::words::{PerCent, Sure, noun};
use crate::consequence::Consequence;
use crate::table::count;
use crate::tally::Tally;

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

/// The figures of whatever may happen: what is served without it, how many of them leave calls unserved, what the worst
/// does, and who hangs on one element. The first two are said in these words.
pub(super) fn figures(
    known: &Known<'_>,
    [served, losing]: [&str; 2],
    (lost, all, of_all): (usize, usize, Sure),
    worst: Option<(Tally, Sure)>,
) -> Vec<Figure> {
    let (base, chokepoints) = (known.ground.rehearsal.base(), &known.chokepoints);
    let sure = Sure::of(known.ground.rehearsal.basis());
    let worst = worst.map(|(tally, label)| Figure {
        is_bad: tally.unserved() > 0,
        says: "of all calls unserved in the worst of them".to_owned(),
        sure: sure.and(label),
        value: PerCent(tally.unserved(), tally.served_before()).to_string(),
    });
    let mut figures = vec![
        Figure {
            is_bad: base.refused > 0,
            says: served.to_owned(),
            sure,
            value: PerCent(base.carried, base.calls).to_string(),
        },
        Figure {
            is_bad: lost > 0,
            says: losing.to_owned(),
            sure: sure.and(of_all),
            value: format!("{} of {}", count(lost as u64), count(all as u64)),
        },
    ];
    figures.extend(worst);
    figures.push(Figure {
        is_bad: chokepoints.parties_exposed > 0,
        says: "parties hang on one element for some of their calls".to_owned(),
        sure,
        value: format!(
            "{} of {}",
            count(chokepoints.parties_exposed),
            count(chokepoints.parties)
        ),
    });
    figures
}
