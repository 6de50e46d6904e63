//! A request that was read, as the core sees it: what it asks for, and what of it a decision may depend on.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tieline_core::grid::{Candidate, Resume};
use tieline_core::{Ask, CallId, Code, Dialect, Feature, Intake, Span, Subject};
use tieline_wire::{Head, resume};

use crate::outgoing::far;
use crate::shared::{Live, Shared};

pub(crate) struct Asked<'r> {
    pub(crate) body: &'r Bytes,
    pub(crate) dialect: Dialect,
    /// What was found in the body; none if it could not be read.
    pub(crate) head: Option<&'r Head>,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) live: &'r Live,
    pub(crate) shared: &'r Shared,
}

impl Asked<'_> {
    /// `unreadable` says why there is no head.
    pub(crate) fn intake(
        &self,
        call: CallId,
        subject: Arc<Subject>,
        end_use: Option<Arc<str>>,
        unreadable: Option<Code>,
    ) -> Intake {
        let ask = match self.head {
            Some(head) => self.live.snapshot.resolve(&head.model),
            None => Ask::Unreadable(unreadable.unwrap_or(Code::BodyNotJson)),
        };
        let stream = self.head.is_some_and(|head| head.stream);
        let (deadline, patience) = waits(self.headers, stream);
        let (is_deterministic, prefill) = match self.head.filter(|head| head.stream) {
            Some(head) => resumes(self.live, &ask, head, self.body),
            None => (false, 0),
        };
        Intake {
            affinity: affinity(self.shared, &subject.party, self.body),
            answers: self.head.map_or(1, |head| head.answers),
            ask,
            body_bytes: self.body.len() as u64,
            call,
            deadline,
            dialect: self.dialect,
            end_use,
            features: self.head.map(|head| head.features).unwrap_or_default(),
            is_budgeted: subject.has_budget(),
            is_deterministic,
            media: self.head.map_or(0, |head| head.media),
            output_tokens_max: self.head.and_then(|head| head.output_tokens_max),
            patience,
            prefill,
            stream,
            subject,
        }
    }
}

/// The header in which a caller says how long the whole call may take, in ms.
static DEADLINE: HeaderName = HeaderName::from_static("x-tieline-deadline-ms");

/// The header in which the official SDKs say after how many seconds without a byte they give up.
static SDK_TIMEOUT: HeaderName = HeaderName::from_static("x-stainless-timeout");

/// How long the caller gives the whole call, and how long it waits for a first byte. An answer in one piece is one byte
/// that way. What cannot be read is no limit: the header is the client's own note.
fn waits(headers: &HeaderMap, is_stream: bool) -> (Option<Span>, Option<Span>) {
    let number = |name: &HeaderName| -> Option<u64> {
        let text = headers.get(name)?.to_str().ok()?.trim();
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        whole.parse().ok().filter(|number| *number > 0)
    };
    let deadline = number(&DEADLINE).map(Span::from_ms);
    match number(&SDK_TIMEOUT).map(Span::from_s) {
        Some(silence) if !is_stream => (Some(deadline.unwrap_or(silence).min(silence)), None),
        patience => (deadline, patience),
    }
}

/// What the core has to know of a stream that another channel may have to go on with: whether the same request has the same
/// answer, and which candidates are known to take a prefill. Looked at only where the pool wants it.
fn resumes(live: &Live, ask: &Ask, head: &Head, body: &Bytes) -> (bool, u8) {
    let Some((candidates, settings)) = live.snapshot.candidates(ask) else {
        return (false, 0);
    };
    if settings.resume == Resume::Off {
        return (false, 0);
    }
    let takes = |candidate: &Candidate| -> Option<bool> {
        let wiring = live.wirings.get(usize::from(candidate.channel.0))?;
        let model_name = &live.snapshot.served(*candidate)?.name;
        Some(resume::accepts_prefill(&far(wiring, model_name, None)))
    };
    let bits = candidates
        .iter()
        .zip(0_u8..)
        .filter(|(candidate, _)| takes(candidate) == Some(true));
    let prefill = bits.fold(0, |bits, (_, row)| bits | 1 << row);
    // The scan saw a temperature, or there is none to be read.
    let is_sampled = head.features.contains(Feature::Sampling);
    (is_sampled && resume::is_deterministic(body), prefill)
}

/// Channels cache prompts of 1,024 tokens and more, some 4 KiB; whose first 2 KiB are the same belong together.
const CACHED_BYTES_MIN: usize = 4 << 10;
const PREFIX_BYTES: usize = 2 << 10;

/// A number that prompts of one party with the same beginning share. It is keyed with a secret of this process and cut to
/// 16 bits, so that a record of it says nothing of the prompt.
fn affinity(shared: &Shared, party: &str, body: &Bytes) -> Option<u16> {
    let prefix = body
        .get(..PREFIX_BYTES)
        .filter(|_| body.len() >= CACHED_BYTES_MIN)?;
    let [high, low, ..] = shared.affinity.hash_one((party, prefix)).to_be_bytes();
    Some(u16::from_be_bytes([high, low]))
}
