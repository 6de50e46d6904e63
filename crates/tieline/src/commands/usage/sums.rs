//! What the calls of a ledger used and cost, summed by what is asked for. A function of the entries alone, in integers: the
//! sums of any division are the sums of the ledger, to the nano-dollar.
//!
//! An attempt whose cost nobody knows is counted apart and adds nothing to the sum; so is a call that a crash cut off,
//! which counts as one attempt on the candidate that was chosen for it.
//! Bounds: [`ROWS_MAX`] rows; decisions whose outcome is still to be read, as many as calls were in flight at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::call::Why;
use tieline_core::record::{DECISION_V1, OUTCOME_V1, Outcome, OutcomeEntry};
use tieline_core::{CallId, Tick, Usage};
use tieline_ledger::entry;

/// What sums are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum By {
    Party,
    Key,
    Model,
    Channel,
    Day,
}

/// The values of what the sums are divided by, in that order.
pub(super) type Group = Vec<Arc<str>>;

/// Rows of one report: some 200 bytes each, so 20 MB. A thousand keys, on each day of a quarter.
const ROWS_MAX: usize = 100_000;

/// What is not known of a call that never was on a channel.
const NONE: &str = "-";

/// Sums of one group, and of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) attempts: u64,
    /// Attempts whose cost nobody knows.
    pub(super) attempts_unknown: u64,
    /// Calls with an attempt in the group.
    pub(super) calls: u64,
    /// Of the attempts whose cost is known.
    pub(super) cost_nano: u128,
    pub(super) usage: Usage,
}

#[derive(Debug, Default)]
pub(super) struct Sums {
    by: Vec<By>,
    /// Days, by number since the Unix epoch, of which calls are counted.
    days: std::ops::Range<u64>,
    open: HashMap<CallId, Decided>,
    /// Calls that were refused before any attempt.
    pub(super) refused: u64,
    pub(super) rows: BTreeMap<Group, Sum>,
    pub(super) total: Sum,
    /// Entries of calls that this version cannot read.
    pub(super) unreadable: u64,
}

/// The report would have more than [`ROWS_MAX`] rows.
#[derive(Debug)]
pub(super) struct TooManyRows;

#[derive(Debug, Deserialize)]
struct Decided {
    at: Tick,
    id: CallId,
    intake: Intake,
    plan: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Intake {
    key: Arc<str>,
    party: Arc<str>,
}

#[derive(Debug, Deserialize)]
struct Row {
    channel: Arc<str>,
    model: Arc<str>,
    why: Why,
}

/// One attempt, as far as it is summed.
struct Part {
    channel: Arc<str>,
    cost_nano: Option<u64>,
    model: Arc<str>,
    usage: Option<Usage>,
}

const DAY_US: u64 = 86_400 * 1_000_000;

impl Sums {
    /// Of the days from `days.start` on and before `days.end`.
    pub(super) fn new(by: &[By], days: std::ops::Range<u64>) -> Self {
        Self {
            by: by.to_vec(),
            days,
            ..Self::default()
        }
    }

    /// Take the next entry of the ledger.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), TooManyRows> {
        let t = entry::head(bytes).map(|head| head.t.into_owned());
        match t.as_deref() {
            Ok(DECISION_V1) => match serde_json::from_slice::<Decided>(bytes) {
                Ok(decision) if self.days.contains(&(decision.at.0 / DAY_US)) => {
                    self.open.insert(decision.id, decision);
                }
                Ok(_) => {}
                Err(_) => self.unreadable += 1,
            },
            Ok(OUTCOME_V1) => match serde_json::from_slice::<OutcomeEntry>(bytes) {
                Ok(outcome) => {
                    if let Some(decision) = self.open.remove(&outcome.id) {
                        return self.ended(&decision, &outcome);
                    }
                }
                Err(_) => self.unreadable += 1,
            },
            _ => {}
        }
        Ok(())
    }

    /// Calls whose end is not in the ledger.
    pub(super) fn in_flight(&self) -> usize {
        self.open.len()
    }

    fn ended(&mut self, decision: &Decided, outcome: &OutcomeEntry) -> Result<(), TooManyRows> {
        let lost = decision.plan.iter().filter(|row| row.why == Why::Chosen);
        let lost = lost.filter(|_| outcome.result == Outcome::Lost).map(|row| Part {
            channel: row.channel.clone(),
            cost_nano: None,
            model: row.model.clone(),
            usage: None,
        });
        let made = outcome.attempts.iter().map(|attempt| Part {
            channel: attempt.channel.clone(),
            cost_nano: attempt.cost_nano.map(|nano| nano.0),
            model: attempt.model.clone(),
            usage: attempt.usage,
        });
        let parts: Vec<Part> = made.chain(lost).collect();
        if parts.is_empty() {
            self.refused += 1;
            return Ok(());
        }
        self.total.calls += 1;
        let mut counted: Vec<Group> = Vec::new();
        for part in parts {
            let group = self.group(decision, &part);
            self.total.add(&part);
            if !self.rows.contains_key(&group) && self.rows.len() >= ROWS_MAX {
                return Err(TooManyRows);
            }
            let row = self.rows.entry(group.clone()).or_default();
            row.add(&part);
            if !counted.contains(&group) {
                row.calls += 1;
                counted.push(group);
            }
        }
        Ok(())
    }

    fn group(&self, decision: &Decided, part: &Part) -> Group {
        let named = |name: &Arc<str>| {
            if name.is_empty() {
                Arc::from(NONE)
            } else {
                name.clone()
            }
        };
        let value = |by: &By| match by {
            By::Party => named(&decision.intake.party),
            By::Key => named(&decision.intake.key),
            By::Model => named(&part.model),
            By::Channel => named(&part.channel),
            By::Day => Arc::from(decision.at.rfc3339().get(..10).unwrap_or(NONE)),
        };
        self.by.iter().map(value).collect()
    }
}

impl Sum {
    fn add(&mut self, part: &Part) {
        self.attempts += 1;
        match part.cost_nano {
            Some(nano) => self.cost_nano += u128::from(nano),
            None => self.attempts_unknown += 1,
        }
        let used = part.usage.unwrap_or_default();
        let sum = &mut self.usage;
        for (sum, used) in [
            (&mut sum.audio, used.audio),
            (&mut sum.audio_output, used.audio_output),
            (&mut sum.cache_read, used.cache_read),
            (&mut sum.cache_write, used.cache_write),
            (&mut sum.image, used.image),
            (&mut sum.input, used.input),
            (&mut sum.output, used.output),
            (&mut sum.reasoning, used.reasoning),
        ] {
            *sum = sum.saturating_add(used);
        }
    }
}

impl By {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Party => "party",
            Self::Key => "key",
            Self::Model => "model",
            Self::Channel => "channel",
            Self::Day => "day",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A call as its two entries.
    #[derive(Clone, Debug)]
    struct Made {
        attempts: Vec<(u8, Option<u64>)>,
        day: u64,
        is_lost: bool,
        party: u8,
    }

    fn entries(made: &Made, n: u64) -> [String; 2] {
        let at = made.day * DAY_US + n;
        let id = CallId::new(Tick(at), n.into());
        let party = made.party;
        let decision = format!(
            r#"{{"at":{at},"began":{at},"id":"{id}","intake":{{"key":"k_{party}","party":"p_{party}"}},"plan":[{{"channel":"c_0","model":"m","why":"chosen"}}],"t":"{DECISION_V1}"}}"#
        );
        let attempts: Vec<String> = (made.attempts.iter())
            .map(|(channel, cost)| {
                let cost = cost.map_or_else(String::new, |cost| format!(r#""cost_nano":"{cost}","#));
                format!(
                    r#"{{"channel":"c_{channel}","content_events":1,{cost}"dialled_at":{at},"ended_at":{at},"epoch":1,"model":"m","ruling":"allow","usage":{{"cache_read":1,"cache_write":0,"input":2,"output":3,"reasoning":0}}}}"#
                )
            })
            .collect();
        let (attempts, result) = if made.is_lost {
            (String::new(), "lost")
        } else {
            (attempts.join(","), "served")
        };
        let outcome = format!(
            r#"{{"at":{at},"attempts":[{attempts}],"id":"{id}","inputs":[],"result":"{result}","t":"{OUTCOME_V1}"}}"#
        );
        [decision, outcome]
    }

    fn made() -> impl Strategy<Value = Made> {
        let cost = prop::option::weighted(0.9, 0..u64::MAX / 2);
        let attempts = prop::collection::vec((0_u8..3, cost), 0..4);
        (attempts, 20_000_u64..20_004, prop::bool::weighted(0.1), 0_u8..3).prop_map(
            |(attempts, day, is_lost, party)| Made {
                attempts,
                day,
                is_lost,
                party,
            },
        )
    }

    proptest! {
        /// However the sums are divided, they are those of the ledger, to the nano-dollar; what is unknown is never 0 of
        /// it.
        #[test]
        fn the_sums_are_the_ledger_s(calls in prop::collection::vec(made(), 0..40), by in prop::sample::subsequence(
            vec![By::Party, By::Key, By::Model, By::Channel, By::Day], 0..=5))
        {
            let mut sums = Sums::new(&by, 0..u64::MAX);
            let (mut cost, mut unknown, mut with_attempts) = (0_u128, 0, 0);
            for (call, n) in calls.iter().zip(1..) {
                for entry in entries(call, n) {
                    sums.take(entry.as_bytes()).unwrap();
                }
                let known = call.attempts.iter().filter(|_| !call.is_lost);
                cost += known.clone().filter_map(|(_, cost)| *cost).map(u128::from).sum::<u128>();
                unknown += known.clone().filter(|(_, cost)| cost.is_none()).count() + usize::from(call.is_lost);
                with_attempts += u64::from(call.is_lost || known.count() > 0);
            }
            prop_assert_eq!(sums.unreadable, 0);
            prop_assert_eq!(sums.in_flight(), 0);
            let rows = || sums.rows.values();
            prop_assert_eq!(rows().map(|row| row.cost_nano).sum::<u128>(), cost);
            prop_assert_eq!(sums.total.cost_nano, cost);
            prop_assert_eq!(rows().map(|row| row.attempts_unknown).sum::<u64>(), unknown as u64);
            prop_assert_eq!(rows().map(|row| row.attempts).sum::<u64>(), sums.total.attempts);
            prop_assert_eq!(sums.total.calls, with_attempts);
            prop_assert_eq!(sums.total.calls + sums.refused, calls.len() as u64);
        }
    }

    #[test]
    fn a_call_counts_once_in_each_group_and_on_its_day() {
        let call = Made {
            attempts: vec![(1, Some(5)), (2, Some(7)), (1, None)],
            day: 20_784,
            is_lost: false,
            party: 4,
        };
        let mut sums = Sums::new(&[By::Day, By::Channel], 20_784..20_785);
        for entry in entries(&call, 1)
            .into_iter()
            .chain(entries(&Made { day: 20_785, ..call }, 2))
        {
            sums.take(entry.as_bytes()).unwrap();
        }
        let row = |channel: &str| sums.rows[&vec![Arc::from("2026-11-27"), Arc::from(channel)]];
        assert_eq!(
            (row("c_1").calls, row("c_1").attempts, row("c_1").attempts_unknown),
            (1, 2, 1)
        );
        assert_eq!((row("c_2").cost_nano, sums.total.calls), (7, 1));
        assert_eq!(row("c_1").usage.total(), 12);
    }
}
