//! The two entries of a call as the ledger holds them: `tieline/decision/v1` at admission, `tieline/outcome/v1` at the
//! end. Field order is canonical (RFC 8785), so writing them needs no sorting. A version, once written, is read forever.
//!
//! Nothing here holds a prompt, a credential or a person's name: parties and keys stand by their opaque ids.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Digest32;
use crate::call::{Attempt, AttemptEnd, Call, Ending, Loss, Step, Why};
use crate::desk::{Bucket, Claim};
use crate::entropy::Seed;
use crate::fault::Fault;
use crate::feature::FeatureSet;
use crate::grid::Candidate;
use crate::id::CallId;
use crate::mark::{Stop, Usage};
use crate::money::Nano;
use crate::problem::{Code, Problem};
use crate::resume::Method;
use crate::subject::{Ask, Dialect};
use crate::time::{Span, Tick};
use crate::verdict::Ruling;

pub const DECISION_V1: &str = "tieline/decision/v1";
pub const OUTCOME_V1: &str = "tieline/outcome/v1";

/// The decision on a call: all inputs, and what followed from them. Where it is only written, the inputs are the call's own
/// (`I` is `&[Step]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    bound(serialize = "I: AsRef<[Step]>", deserialize = "I: From<Vec<Step>>")
)]
pub struct DecisionEntry<I = Vec<Step>> {
    /// When it was decided, µs UTC.
    pub at: Tick,
    /// When the call arrived.
    pub began: Tick,
    /// Why it was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Digest of the grid record it was decided under.
    pub grid: Hex32,
    pub id: CallId,
    /// The inputs that led here, in order.
    #[serde(with = "steps")]
    pub inputs: I,
    pub intake: IntakeRecord,
    /// The candidates in the order of the pool, each with why it is or is not tried.
    pub plan: Vec<PlanRecord>,
    /// Money reserved of the budgets of everybody who pays, in nano-USD as a decimal string: an upper bound of what the
    /// call can cost. Absent where nobody has a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_nano: Option<Nano>,
    /// Tokens reserved for everybody who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_tokens: Option<u64>,
    /// The entropy of the call, 16 hexadecimal digits.
    #[serde(with = "seed_hex")]
    pub seed: Seed,
    pub t: Arc<str>,
}

/// The request as the decision saw it.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the request")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeRecord {
    /// Which of equal channels has the prompt in its cache; a keyed hash, of 16 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<u16>,
    /// Answers asked for at once.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub answers: u32,
    pub ask: AskRecord,
    pub body_bytes: u64,
    /// The caller's own limit of time for the whole call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_us: Option<Span>,
    pub dialect: Dialect,
    /// What the call said that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_use: Option<Arc<str>>,
    /// What the request asked of a channel beyond text.
    #[serde(default, skip_serializing_if = "FeatureSet::is_empty")]
    pub features: FeatureSet,
    /// Whether the key's scope names what is asked for.
    pub in_scope: bool,
    /// Whether the key or its party had a budget.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_budgeted: bool,
    /// Whether the same request has the same answer, as far as channels can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_deterministic: bool,
    pub key: Arc<str>,
    /// Pictures, sounds and documents in the request.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub media: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_max: Option<u32>,
    pub party: Arc<str>,
    pub party_digest: Hex32,
    /// How long the caller waits for the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_us: Option<Span>,
    pub posture: u32,
    /// The candidates that were known to go on with an answer that the request ends with, as bits.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub prefill: u8,
    pub stream: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AskRecord {
    Model(Arc<str>),
    Pool(Arc<str>),
    Unknown(Option<Arc<str>>),
    Unreadable(Code),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRecord {
    pub channel: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Bucket>,
    pub model: Arc<str>,
    pub why: Why,
}

/// How a call ended. Where it is only written, the inputs are the call's own (`I` is `&[Step]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    bound(serialize = "I: AsRef<[Step]>", deserialize = "I: From<Vec<Step>>")
)]
pub struct OutcomeEntry<I = Vec<Step>> {
    pub at: Tick,
    pub attempts: Vec<AttemptRecord>,
    /// What was charged to the budgets of everybody who pays. Where the cost is unknown, it is what the call could have
    /// cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_nano: Option<Nano>,
    /// Why it was not served, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What the call cost, in nano-USD as a decimal string; absent is unknown, never zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<Nano>,
    pub id: CallId,
    /// The inputs after the decision, in order.
    #[serde(with = "steps")]
    pub inputs: I,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<Loss>,
    pub result: Outcome,
    pub t: Arc<str>,
    /// Usage of the attempt that answered, or of all that an answer was put together from; absent is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller went away.
    Abandoned,
    /// Part of an answer was delivered.
    Broken,
    /// The process ended before the call did; written at the next start.
    Lost,
    Refused,
    /// The caller got the channel's own error.
    Relayed,
    Served,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptRecord {
    pub channel: Arc<str>,
    /// Content events (text, thinking or tool arguments) received.
    pub content_events: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<Nano>,
    pub dialled_at: Tick,
    pub ended_at: Tick,
    /// The epoch under which it was judged.
    pub epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Whether an order that came into force stopped it; which one, the inputs say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_ordered: bool,
    pub model: Arc<str>,
    /// How it was to go on with an answer that had broken off, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<Method>,
    pub ruling: Ruling,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// From the dial to the first content, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_us: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` gives a reference"
)]
const fn is_one(number: &u32) -> bool {
    *number == 1
}

/// 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex32(pub Digest32);

// === from a call ===

impl Call {
    /// The decision's entry. Meaningful when [`crate::Effect::Record`] is polled, and until the next input.
    pub fn decision_entry<'c, I: From<&'c [Step]>>(&'c self) -> DecisionEntry<I> {
        let (at, steps) = self.decided_at.unwrap_or((self.began, 0));
        DecisionEntry {
            at,
            began: self.began,
            code: match &self.ended {
                Some((_, Ending::Refused(problem))) => Some(problem.code),
                _ => None,
            },
            grid: Hex32(self.snapshot.digest),
            id: self.intake.call,
            inputs: self.steps.as_slice().get(..steps).unwrap_or_default().into(),
            intake: self.intake_record(),
            plan: self.plan_records(),
            reserved_nano: self.budgeted_claim().map(|claim| claim.nano),
            reserved_tokens: self.reserved_key.map(|claim| claim.tokens),
            seed: self.seed,
            t: DECISION_V1.into(),
        }
    }

    /// The outcome's entry. Meaningful once [`crate::Effect::Close`] was polled.
    pub fn outcome_entry<'c, I: From<&'c [Step]>>(&'c self) -> OutcomeEntry<I> {
        let (at, result, code) = match &self.ended {
            Some((at, ending)) => (*at, ending.outcome(), ending.code()),
            None => (self.began, Outcome::Lost, None),
        };
        let steps = self.decided_at.map_or(0, |(_, steps)| steps);
        let attempts: Vec<_> = self
            .attempts
            .iter()
            .map(|attempt| self.attempt_record(attempt))
            .collect();
        OutcomeEntry {
            at,
            charged_nano: self.budgeted_claim().map(|_| self.charged()),
            code,
            cost_nano: cost(&attempts),
            id: self.intake.call,
            inputs: self.steps.as_slice().get(steps..).unwrap_or_default().into(),
            loss: self.losses.clone(),
            result,
            t: OUTCOME_V1.into(),
            usage: self.usage(),
            attempts,
        }
    }

    /// What was granted of somebody's budget.
    fn budgeted_claim(&self) -> Option<Claim> {
        self.reserved_key.filter(|_| self.is_budgeted())
    }

    fn intake_record(&self) -> IntakeRecord {
        let name = || self.snapshot.ask_name(&self.intake.ask).cloned();
        IntakeRecord {
            affinity: self.intake.affinity,
            answers: self.intake.answers,
            ask: match &self.intake.ask {
                Ask::Model(_) => AskRecord::Model(name().unwrap_or_else(|| "".into())),
                Ask::Pool(_) => AskRecord::Pool(name().unwrap_or_else(|| "".into())),
                Ask::Unknown(name) => AskRecord::Unknown(name.clone()),
                Ask::Unreadable(code) => AskRecord::Unreadable(*code),
            },
            body_bytes: self.intake.body_bytes,
            deadline_us: self.intake.deadline,
            dialect: self.intake.dialect,
            end_use: self.intake.end_use.clone(),
            features: self.intake.features,
            in_scope: self.in_scope,
            is_budgeted: self.intake.is_budgeted,
            is_deterministic: self.intake.is_deterministic,
            key: self.intake.subject.key.clone(),
            media: self.intake.media,
            output_tokens_max: self.intake.output_tokens_max,
            party: self.intake.subject.party.clone(),
            party_digest: Hex32(self.intake.subject.party_digest),
            patience_us: self.intake.patience,
            posture: self.intake.subject.posture,
            prefill: self.intake.prefill,
            stream: self.intake.stream,
        }
    }

    fn plan_records(&self) -> Vec<PlanRecord> {
        let rows = self.candidates.iter().zip(&self.plan.rows);
        rows.map(|(candidate, row)| {
            let (channel, model) = self.names(*candidate);
            PlanRecord {
                channel,
                limited: row.limited.map(|(bucket, _)| bucket),
                model,
                why: row.why,
            }
        })
        .collect()
    }

    fn attempt_record(&self, attempt: &Attempt) -> AttemptRecord {
        let candidate = self.candidate(attempt.row);
        let (channel, model) = candidate.map_or_else(|| ("".into(), "".into()), |c| self.names(c));
        let (ended_at, end) = attempt.ended.unwrap_or((attempt.dialled_at, AttemptEnd::Left));
        let price = candidate
            .and_then(|c| self.snapshot.served(c))
            .and_then(|served| served.price);
        // An attempt that failed before any content is not charged as a completion.
        let failed_empty = matches!(end, AttemptEnd::Fault(_)) && attempt.first_content_at.is_none();
        let cost_nano = match (price, attempt.usage) {
            _ if failed_empty => Some(Nano(0)),
            (Some(price), Some(usage)) => price.cost(&usage),
            _ => None,
        };
        AttemptRecord {
            channel,
            content_events: attempt.content_events,
            cost_nano,
            dialled_at: attempt.dialled_at,
            ended_at,
            epoch: attempt.verdict.as_ref().map_or(0, |verdict| verdict.epoch),
            fault: match end {
                AttemptEnd::Fault(fault) => Some(fault),
                AttemptEnd::Done | AttemptEnd::Left | AttemptEnd::Ordered => None,
            },
            is_ordered: end == AttemptEnd::Ordered,
            model,
            resumes: attempt.method,
            ruling: attempt
                .verdict
                .as_ref()
                .map_or(Ruling::Deny, |verdict| verdict.ruling),
            status: attempt.opened,
            stop: attempt.stop,
            ttft_us: attempt.first_content_at.map(|at| at.since(attempt.dialled_at)),
            usage: attempt.usage,
        }
    }

    fn names(&self, candidate: Candidate) -> (Arc<str>, Arc<str>) {
        let channel = self.snapshot.channel(candidate.channel).map(|c| c.name.clone());
        let model = self.snapshot.model(candidate.model).map(|m| m.name.clone());
        (
            channel.unwrap_or_else(|| "".into()),
            model.unwrap_or_else(|| "".into()),
        )
    }
}

/// The sum over all attempts; one unknown makes the sum unknown.
fn cost(attempts: &[AttemptRecord]) -> Option<Nano> {
    attempts.iter().try_fold(Nano(0), |sum, attempt| {
        Some(Nano(sum.0.checked_add(attempt.cost_nano?.0)?))
    })
}

impl AttemptRecord {
    /// Whether the channel may have worked on it, so that unknown usage is unknown and not nothing.
    pub fn may_have_used(&self) -> bool {
        self.ttft_us.is_some() || self.fault.is_none_or(|fault| fault.may_have_used())
    }
}

impl<I> OutcomeEntry<I> {
    /// What the call used of limits of tokens; none if that is unknown. The tokens that its key was settled for.
    pub fn used(&self) -> Option<Usage> {
        match self.attempts.last() {
            // Put together from the parts of several attempts.
            _ if self.attempts.iter().any(|attempt| attempt.resumes.is_some()) => self.usage,
            Some(attempt) if attempt.may_have_used() => attempt.usage,
            None if self.result == Outcome::Lost => None,
            _ => Some(Usage::default()),
        }
    }

    /// What it counts for in budgets: what was charged, else what it cost, else what was reserved for it.
    pub fn counted(&self, reserved: Option<Nano>) -> Nano {
        let known = self.charged_nano.or(self.cost_nano);
        known.or(reserved).unwrap_or_default()
    }
}

impl OutcomeEntry {
    /// The outcome of a decision whose process ended before the call did; written at the next start.
    pub fn lost(id: CallId, at: Tick) -> Self {
        Self {
            at,
            attempts: Vec::new(),
            charged_nano: None,
            code: None,
            cost_nano: None,
            id,
            inputs: Vec::new(),
            loss: Vec::new(),
            result: Outcome::Lost,
            t: OUTCOME_V1.into(),
            usage: None,
        }
    }
}

impl Ending {
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Abandoned => Outcome::Abandoned,
            Self::Broken(_) => Outcome::Broken,
            Self::Refused(_) => Outcome::Refused,
            Self::Relayed => Outcome::Relayed,
            Self::Served => Outcome::Served,
        }
    }

    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Broken(Problem { code, .. }) | Self::Refused(Problem { code, .. }) => Some(*code),
            Self::Abandoned | Self::Relayed | Self::Served => None,
        }
    }
}

// === impl Hex32 ===

impl std::fmt::Display for Hex32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl std::fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Hex32 {
    fn text(&self) -> [u8; 64] {
        let mut text = [b'0'; 64];
        write_hex(&self.0, &mut text);
        text
    }
}

/// Two lower-case hexadecimal digits for each byte, those of four bytes at once.
fn write_hex(bytes: &[u8], text: &mut [u8]) {
    let (fours, _) = bytes.as_chunks::<4>();
    let (slots, _) = text.as_chunks_mut::<8>();
    for (slot, four) in slots.iter_mut().zip(fours) {
        *slot = hex_digits(*four);
    }
}

fn hex_digits(bytes: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    // Each byte into 16 bits, then its high nibble into the first eight of them and its low one into the others.
    let spread = u64::from(u32::from_le_bytes(bytes));
    let spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    let nibbles = (spread >> 4 | spread << 8) & (ONES * 0x0F);
    // A nibble that passes 15 with six added is a letter.
    let letters = (nibbles + ONES * 6) >> 4 & ONES;
    let digits = nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10);
    digits.to_le_bytes()
}

impl std::str::FromStr for Hex32 {
    type Err = BadHex;

    fn from_str(text: &str) -> Result<Self, BadHex> {
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(BadHex),
        };
        if text.len() != 64 {
            return Err(BadHex);
        }
        let mut bytes = [0; 32];
        for (slot, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(BadHex) };
            *slot = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(bytes))
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: 64 lower-case hexadecimal digits are expected")]
pub struct BadHex;

impl Serialize for Hex32 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Inputs in order; one that came at the same instant as the one before it says no time, as most do not.
mod steps {
    use serde::de::Error as _;
    use serde::{Deserialize, Serialize};

    use crate::call::{Fact, Step};
    use crate::time::Tick;

    #[derive(Serialize)]
    struct Written<'s> {
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Tick>,
        fact: &'s Fact,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Read {
        at: Option<Tick>,
        fact: Fact,
    }

    pub(super) fn serialize<I: AsRef<[Step]>, S: serde::Serializer>(
        steps: &I,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let steps = steps.as_ref();
        let before = std::iter::once(None).chain(steps.iter().map(|step| Some(step.at)));
        serializer.collect_seq(steps.iter().zip(before).map(|(step, before)| Written {
            at: Some(step.at).filter(|_| before != Some(step.at)),
            fact: &step.fact,
        }))
    }

    pub(super) fn deserialize<'de, I: From<Vec<Step>>, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<I, D::Error> {
        let read = Vec::<Read>::deserialize(deserializer)?;
        let mut before = None;
        let steps = read.into_iter().map(|Read { at, fact }| {
            before = at.or(before);
            let at = before.ok_or_else(|| D::Error::custom("the first input says no time"))?;
            Ok(Step { at, fact })
        });
        steps.collect::<Result<Vec<_>, _>>().map(I::from)
    }
}

/// A seed uses all 64 bits, more than JSON keeps exact.
mod seed_hex {
    use serde::Deserialize as _;

    use crate::entropy::Seed;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `with` gives a reference"
    )]
    pub(super) fn serialize<S: serde::Serializer>(seed: &Seed, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [b'0'; 16];
        super::write_hex(&seed.0.to_be_bytes(), &mut text);
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Seed, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let canonical = text.len() == 16 && !text.bytes().any(|b| b.is_ascii_uppercase() || b == b'+');
        let value = u64::from_str_radix(&text, 16).ok().filter(|_| canonical);
        value
            .map(Seed)
            .ok_or_else(|| serde::de::Error::custom("a seed is 16 lower-case hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(json: &str) -> Result<OutcomeEntry, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"at":9,"attempts":[],"id":"{}","inputs":{json},"result":"lost","t":"{OUTCOME_V1}"}}"#,
            CallId::new(Tick(1), 1)
        ))
    }

    #[test]
    fn an_input_of_the_same_instant_says_no_time() {
        let given = r#"[{"at":7,"fact":"durable"},{"fact":"recorded"},{"at":8,"fact":"timer"}]"#;
        let entry = inputs(given).unwrap();
        let at: Vec<u64> = entry.inputs.iter().map(|step| step.at.0).collect();
        assert_eq!(at, [7, 7, 8]);
        assert!(serde_json::to_string(&entry).unwrap().contains(given));
        // A time that need not be there is read all the same.
        assert_eq!(
            inputs(&given.replacen(r#"{"f"#, r#"{"at":7,"f"#, 1)).unwrap(),
            entry
        );
    }

    #[test]
    fn the_first_input_says_when_it_came() {
        let error = inputs(r#"[{"fact":"timer"}]"#).unwrap_err().to_string();
        assert!(error.starts_with("the first input says no time"), "{error}");
        assert!(inputs("[]").unwrap().inputs.is_empty());
    }
}
