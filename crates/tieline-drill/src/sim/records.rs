//! The auditor's reading of what a call left: its entries, decided again and counted, and what it owes at its end.

use tieline_core::call::Ending;
use tieline_core::record::{AttemptRecord, DecisionEntry, OutcomeEntry};
use tieline_core::{Call, Nano, Price, Snapshot, Tick, Usage, call};
use tieline_note::jcs;

use super::auditor::Auditor;
use super::lanes::{End, Lane};
use super::watched::Watched;

impl Auditor {
    /// The decision of a call, as it is written.
    pub(super) fn decided(&mut self, no: u32, entry: &DecisionEntry, now: Tick) -> Vec<u8> {
        let bytes = self.written(no, entry, now);
        if let Some(call) = self.calls.get_mut(&no) {
            call.decision = Some(bytes.clone());
        }
        bytes
    }

    /// The outcome of a call, as it is written: read again, decided again, and counted.
    pub(super) fn closed(&mut self, no: u32, entry: &OutcomeEntry, now: Tick) -> Vec<u8> {
        let bytes = self.written(no, entry, now);
        let Some(call) = self.calls.remove(&no) else {
            return bytes;
        };
        let decision = call
            .decision
            .as_deref()
            .map(serde_json::from_slice::<DecisionEntry>);
        let Some(Ok(decision)) = decision else {
            self.find("ends", Some(no), now, "an outcome without a decision");
            return bytes;
        };
        let read = serde_json::from_slice::<OutcomeEntry>(&bytes);
        let outcome = read.as_ref().unwrap_or(entry);
        if let Err(difference) = call::replay(&call.grid, &decision, Some(outcome)) {
            let says = format!("decided again from its record, {difference}");
            self.find("replay", Some(no), now, says);
        }
        if let Some(says) = wrong_money(&call, entry) {
            self.find("money", Some(no), now, says);
        }
        self.calls.insert(no, call);
        bytes
    }

    /// The bytes of an entry, which must come out the same when they are read and written again. (An allow keeps no more
    /// than the ids of its rules, so the values may differ.)
    fn written<E>(&mut self, no: u32, entry: &E, now: Tick) -> Vec<u8>
    where
        E: serde::Serialize + serde::de::DeserializeOwned,
    {
        let bytes = jcs::to_vec(entry).unwrap_or_default();
        let again = serde_json::from_slice::<E>(&bytes).map(|again| jcs::to_vec(&again).unwrap_or_default());
        let says = match again {
            Ok(again) if again == bytes && !bytes.is_empty() => return bytes,
            Ok(_) => "an entry reads as another one".to_owned(),
            Err(error) => format!("an entry does not read back: {error}"),
        };
        self.find("replay", Some(no), now, says);
        bytes
    }

    /// A call is over, and nothing more is owed to it.
    pub(super) fn over(&mut self, no: u32, machine: &Call, now: Tick) {
        let Some(call) = self.calls.remove(&no) else {
            return;
        };
        let abandoned = matches!(machine.ending(), Some(Ending::Abandoned));
        let owed = u32::from(call.taken);
        let checks = [
            (
                "ends",
                machine.ending().is_none(),
                "it is over and did not end".to_owned(),
            ),
            (
                "ends",
                call.decisions > 1,
                format!("{} decisions", call.decisions),
            ),
            (
                "ends",
                call.decisions == 0 && !abandoned,
                "it ended without a decision".to_owned(),
            ),
            (
                "ends",
                call.closes != owed,
                format!("{} outcomes where {owed} are owed", call.closes),
            ),
            (
                "ends",
                call.reply.is_none() != abandoned,
                format!("its reply is {:?}", call.reply),
            ),
            (
                "ends",
                call.under_way().is_some(),
                "an attempt is left under way".to_owned(),
            ),
            (
                "reservations",
                call.held_key.is_some(),
                "its key's reservation is not settled".to_owned(),
            ),
            (
                "reservations",
                call.held_channel.is_some(),
                "a reservation on a channel is not settled".to_owned(),
            ),
            (
                "bounded",
                call.asked.is_some(),
                "the desk's reply is still due".to_owned(),
            ),
        ];
        for (law, _, says) in checks.into_iter().filter(|(_, broken, _)| *broken) {
            self.find(law, Some(no), now, says);
        }
    }
}

/// What is wrong with what an outcome says that the call used and cost, if anything is.
fn wrong_money(call: &Watched, entry: &OutcomeEntry) -> Option<String> {
    if entry.attempts.len() != call.attempts.len() {
        return Some(format!(
            "{} attempts are recorded of {}",
            entry.attempts.len(),
            call.attempts.len()
        ));
    }
    let mut sum = Some(0_u64);
    for (attempt, record) in call.attempts.iter().zip(&entry.attempts) {
        let empty = matches!(attempt.end, Some(End::Fault(..))) && attempt.content_at.is_none();
        let charged = if empty {
            Some(0)
        } else {
            attempt
                .usage
                .and_then(|usage| charge(&call.grid, call.lane(attempt.row)?, &usage))
        };
        if record.cost_nano != charged.map(Nano) || record.usage != attempt.usage {
            return Some(says_of(record, charged, attempt.usage));
        }
        sum = sum.and_then(|sum| sum.checked_add(charged?));
    }
    // A budget is charged what is known, and what may have been used beside it.
    let charged = call.charged.filter(|_| call.budgeted);
    let too_little = charged.zip(sum).is_some_and(|(charged, sum)| charged.0 < sum);
    if entry.charged_nano != charged || too_little {
        return Some(format!(
            "{charged:?} is charged for {sum:?}; recorded is {:?}",
            entry.charged_nano
        ));
    }
    let usage = call.usage();
    (entry.cost_nano != sum.map(Nano) || entry.usage != usage).then(|| {
        format!(
            "the call costs {:?} and used {:?}; recorded are {:?} and {:?}",
            sum, usage, entry.cost_nano, entry.usage
        )
    })
}

fn says_of(record: &AttemptRecord, charged: Option<u64>, usage: Option<Usage>) -> String {
    format!(
        "an attempt on {} costs {charged:?} and used {usage:?}; recorded are {:?} and {:?}",
        record.channel, record.cost_nano, record.usage
    )
}

pub(super) fn has_price(grid: &Snapshot, lane: Lane) -> bool {
    price(grid, lane).is_some()
}

fn price(grid: &Snapshot, (channel, model): Lane) -> Option<Price> {
    let of = |name: &str, prefix: char, no: u8| name == format!("{prefix}{no}");
    let mut channels = grid.record.channels.iter();
    let record = channels.find(|record| of(&record.name, 'c', channel))?;
    let mut models = record.models.iter();
    models.find(|served| of(&served.model, 'm', model))?.price
}

/// What the channel charges, in nano-dollars, rounded up once; unknown if its price is.
fn charge(grid: &Snapshot, lane: Lane, usage: &Usage) -> Option<u64> {
    let price = price(grid, lane)?;
    let parts = [
        price.input.0 * usage.input,
        price.cache_read.0 * usage.cache_read,
        price.cache_write.0 * usage.cache_write,
        price.output.0 * (usage.output + usage.reasoning),
    ];
    let pico: u64 = parts.into_iter().sum();
    Some(pico.div_ceil(1_000))
}
