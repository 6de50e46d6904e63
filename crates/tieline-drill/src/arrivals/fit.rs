//! Fits a law to traffic: who asks often enough has a group of their own, the others share one for each thing that is asked
//! for. Rates come first; gaps are looked at in the time in which one call is expected per unit, so that a busy hour is no
//! burst.

use std::collections::BTreeMap;

use tieline_core::record::Outcome;
use tieline_core::{Dialect, Span, Tick};

use super::chance::{Chance, Purpose};
use super::distribution::Distribution;
use super::draw::LawError;
use super::family::Renewal;
use super::law::{ArrivalLaw, GROUPS_MAX, GroupLaw, LAW_V1, Law, ShareLaw};
use super::week::{HOUR, Rates, WINDOW_MAX, hour_of_week, watched};
use super::{real, rounded};
use crate::table::plural;
use crate::traffic::{Asked, Class, Kind, NONE, Traffic, TrafficCall};

/// Calls from which on a party has a group of its own: the error of its rate is then below 7 % (cv 1).
const OWN_GROUP_CALLS_MIN: u64 = 200;

/// An hour of the week that was watched for less says nothing about its rate.
const WATCHED_MIN: Span = Span::from_s(600);

/// A law's window has whole seconds.
const SECOND: u64 = 1_000_000;

/// Time to first content and for each token where no answer says it.
pub(crate) const TTFT_MS_ASSUMED: f64 = 500.0;
pub(crate) const MS_PER_TOKEN_ASSUMED: f64 = 20.0;

/// Bytes of a request for each token of its prompt, where none says it: English text in JSON.
pub(crate) const BYTES_PER_TOKEN: f64 = 4.0;

/// What the calls of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    ask: Asked,
    class: Option<Class>,
    dialect: Dialect,
    /// None: everybody who has no group of their own.
    party: Option<u32>,
}

/// Which calls are in which group.
#[derive(Default)]
struct Groups {
    /// By group, the indexes of its calls.
    calls: Vec<Vec<u32>>,
    ix: BTreeMap<Key, usize>,
    keys: Vec<Key>,
    left_out: u64,
}

/// The calls of a group.
#[derive(Clone, Copy)]
struct Members<'t> {
    calls: &'t [u32],
    traffic: &'t Traffic,
}

// === impl Law ===

impl Law {
    /// The law that traffic follows.
    ///
    /// # Errors
    /// Where there is no call, or the traffic spans more than twenty years.
    pub fn fit(traffic: &Traffic) -> Result<Self, LawError> {
        let (Some(first), Some(last)) = (traffic.calls.first(), traffic.calls.last()) else {
            return Err(LawError::NoCalls);
        };
        let from = Tick(first.at.0 / SECOND * SECOND);
        let until = Tick((last.at.0 / SECOND).saturating_add(1).saturating_mul(SECOND));
        if until.since(from) > WINDOW_MAX {
            return Err(LawError::TooLong { from, until });
        }
        let groups = Groups::of(traffic);
        let hours = watched(from, until);
        let fitted = groups.keys.iter().zip(&groups.calls).map(|(key, calls)| {
            let members = Members { calls, traffic };
            members.fit(key, (from, until), &hours)
        });
        let mut law = Self {
            schema: LAW_V1,
            basis: traffic.basis,
            calls: traffic.calls.len() as u64 - groups.left_out,
            from: from.rfc3339(),
            groups: fitted.collect(),
            left_out: groups.left_out,
            notes: notes(&hours, traffic),
            until: until.rfc3339(),
        };
        law.groups.sort_by_key(|group| std::cmp::Reverse(group.calls));
        if law.groups.is_empty() {
            return Err(LawError::NoCalls);
        }
        Ok(law)
    }
}

fn notes(hours: &[u64], traffic: &Traffic) -> Vec<String> {
    let unknown = hours.iter().filter(|us| **us < WATCHED_MIN.0).count() as u64;
    let mut notes = vec![
        "Modelled: arrivals are a renewal process in each group, at rates by hour of the week (UTC); the sizes of a call \
         are independent of each other, of other calls and of the hour."
            .to_owned(),
        "Left out: faults of channels, limits of keys, and whatever asked for nothing that a grid could serve. A call that \
         was refused counts as demand, with the size of those that were served."
            .to_owned(),
    ];
    if unknown > 0 {
        notes.push(format!(
            "Assumed: the mean rate, for {} of the week that were not watched.",
            plural(unknown, "hour")
        ));
    }
    let particulars = traffic.particulars().into_iter();
    notes.extend(particulars.map(|note| format!("Fitted to calls. {note}")));
    notes
}

// === impl Key ===

impl Key {
    /// What a kind of calls has in common; nothing that a grid could serve has no group.
    fn of(traffic: &Traffic, kind: &Kind) -> Option<Self> {
        (kind.in_scope && kind.ask != Asked::Nothing).then(|| Self {
            ask: kind.ask.clone(),
            class: traffic.classes.get(kind.party as usize).copied().flatten(),
            dialect: kind.dialect,
            party: Some(kind.party),
        })
    }

    /// The key of those who have no group of their own.
    fn shared(&self) -> Self {
        Self {
            party: None,
            ..self.clone()
        }
    }
}

// === impl Groups ===

impl Groups {
    fn of(traffic: &Traffic) -> Self {
        let of_kind: Vec<Option<Key>> = traffic.kinds.iter().map(|kind| Key::of(traffic, kind)).collect();
        let mut counts: BTreeMap<&Key, u64> = BTreeMap::new();
        for call in &traffic.calls {
            if let Some(Some(key)) = of_kind.get(call.kind as usize) {
                *counts.entry(key).or_default() += 1;
            }
        }
        let mut often: Vec<(&Key, u64)> = counts.into_iter().collect();
        often.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        let mut groups = Self::default();
        // Those who ask most come first, so that those beyond the limit are the rarest.
        for (rank, (key, calls)) in often.into_iter().enumerate() {
            let is_own = calls >= OWN_GROUP_CALLS_MIN && rank < GROUPS_MAX / 2;
            groups.place(if is_own { key.clone() } else { key.shared() });
        }
        let by_kind: Vec<Option<usize>> = of_kind
            .iter()
            .map(|key| {
                let key = key.as_ref()?;
                let own = groups.ix.get(key);
                own.or_else(|| groups.ix.get(&key.shared())).copied()
            })
            .collect();
        groups.calls = vec![Vec::new(); groups.keys.len()];
        for (call, number) in traffic.calls.iter().zip(0_u32..) {
            let group = by_kind.get(call.kind as usize).copied().flatten();
            match group.and_then(|group| groups.calls.get_mut(group)) {
                Some(members) => members.push(number),
                None => groups.left_out += 1,
            }
        }
        groups
    }

    fn place(&mut self, key: Key) {
        if self.keys.len() < GROUPS_MAX && !self.ix.contains_key(&key) {
            self.ix.insert(key.clone(), self.keys.len());
            self.keys.push(key);
        }
    }
}

// === impl Members ===

impl<'t> Members<'t> {
    fn calls(self) -> impl Iterator<Item = &'t TrafficCall> {
        let calls = &self.traffic.calls;
        self.calls.iter().filter_map(|number| calls.get(*number as usize))
    }

    /// Those whose usage is known.
    fn used(self) -> impl Iterator<Item = &'t TrafficCall> {
        self.calls().filter(|call| call.usage().is_some())
    }

    fn fit(self, key: &Key, window: (Tick, Tick), hours: &[u64]) -> GroupLaw {
        let (model, pool) = match &key.ask {
            Asked::Model(name) => (Some(name.to_string()), None),
            Asked::Pool(name) => (None, Some(name.to_string())),
            Asked::Nothing => (None, None),
        };
        let prompts = |call: &TrafficCall| parts(call).prompt;
        let outputs = |call: &TrafficCall| parts(call).output;
        let (ttft_ms, ms_per_output_token) = self.times();
        let n = self.calls.len() as u64;
        let streamed = self.calls().filter(|call| call.is_streamed()).count() as u64;
        GroupLaw {
            arrivals: self.arrivals(window, hours),
            bytes_per_token: self.bytes_per_token(),
            cache_read: share(self.used(), |call| (parts(call).cache_read, prompts(call))),
            cache_write: share(self.used(), |call| (parts(call).cache_write, prompts(call))),
            calls: n,
            class: key.class,
            dialect: key.dialect,
            model,
            ms_per_output_token,
            output_max: share(self.calls(), |call| match call.output_max {
                NONE => (0, 1),
                limit => (u64::from(limit), 1),
            }),
            output_tokens: self.sizes(outputs),
            parties: self.parties(),
            pool,
            prompt_tokens: self.sizes(prompts),
            reasoning: share(self.used(), |call| (parts(call).reasoning, outputs(call))),
            stream: rounded(real(streamed) / real(n.max(1))),
            ttft_ms,
        }
    }

    fn parties(self) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for call in self.calls() {
            if let Some(kind) = self.traffic.kinds.get(call.kind as usize) {
                *counts.entry(kind.party).or_default() += 1;
            }
        }
        let named = counts.into_iter().filter_map(|(party, calls)| {
            let name = self.traffic.parties.get(party as usize)?;
            Some((name.to_string(), calls))
        });
        named.collect()
    }

    fn arrivals(self, (from, until): (Tick, Tick), hours: &[u64]) -> ArrivalLaw {
        let mut counts = vec![0_u64; hours.len()];
        for call in self.calls() {
            if let Some(count) = counts.get_mut(usize::from(hour_of_week(call.at))) {
                *count += 1;
            }
        }
        let hour = real(HOUR.0);
        let rows = (0_u16..).zip(hours.iter().zip(&counts));
        let known = rows.filter(|(_, (us, _))| **us >= WATCHED_MIN.0);
        let known: Vec<(u16, f64)> = known
            .map(|(hour_ix, (us, calls))| (hour_ix, rounded(real(*calls) * hour / real(*us))))
            .collect();
        let per_hour = rounded(real(self.calls.len() as u64) * hour / real(until.since(from).0));
        let rates = Rates::new(&known, per_hour);
        let gaps = self.gaps(&rates);
        let renewal = Renewal::fit(&gaps);
        ArrivalLaw {
            cv: rounded(renewal.cv()),
            family: renewal.family,
            hours: known,
            per_hour,
            shape: renewal.shape,
        }
    }

    /// The gaps between calls, in the time in which one call is expected per unit. Calls that the clock does not tell apart
    /// are taken as independent within its smallest step: some clocks tick in seconds.
    fn gaps(self, rates: &Rates) -> Vec<f64> {
        let ats = || self.calls().map(|call| call.at);
        let steps = ats().zip(ats().skip(1)).map(|(at, next)| next.since(at).0);
        let step = real(steps.filter(|step| *step > 0).min().unwrap_or_default());
        let per_us = |at: Tick| rates.at(at) / real(HOUR.0);
        let mut gaps: Vec<f64> = Vec::with_capacity(self.calls.len());
        let mut before: Option<(Tick, f64)> = None;
        let (mut ats, chance) = (ats().peekable(), Chance::new(0));
        let mut k = 0;
        while let Some(at) = ats.next() {
            let mut offsets = vec![0.0];
            while ats.next_if_eq(&at).is_some() {
                offsets.push(0.0);
            }
            if offsets.len() > 1 {
                for offset in &mut offsets {
                    *offset = chance.at(Purpose::Gap, k).unit() * step;
                    k += 1;
                }
                offsets.sort_unstable_by(f64::total_cmp);
            }
            for offset in offsets {
                if let Some((last, last_offset)) = before {
                    let gap = rates.between(last, at) + offset * per_us(at) - last_offset * per_us(last);
                    gaps.push(gap.max(0.0));
                }
                before = Some((at, offset));
            }
        }
        gaps
    }

    fn sizes(self, of: impl Fn(&TrafficCall) -> u64) -> Option<Distribution> {
        let mut sizes: Vec<f64> = self.used().map(|call| real(of(call))).collect();
        Distribution::fit(&mut sizes)
    }

    fn bytes_per_token(self) -> f64 {
        let sums = self.used().fold((0_u64, 0_u64), |(bytes, tokens), call| {
            (bytes + u64::from(call.body_bytes), tokens + parts(call).prompt)
        });
        match sums {
            (0, _) | (_, 0) => BYTES_PER_TOKEN,
            (bytes, tokens) => rounded(real(bytes) / real(tokens)),
        }
    }

    /// Time to first content, and for each token after it. An answer in one piece has only the time of the whole.
    fn times(self) -> (Distribution, Distribution) {
        let served = || {
            let answered = self
                .used()
                .filter(|call| call.result == Outcome::Served && call.took_us > 0);
            answered.map(|call| (call, real(parts(call).output)))
        };
        let (mut ttft, mut per_token) = (Vec::new(), Vec::new());
        for (call, output) in served().filter(|(call, _)| call.is_streamed() && call.ttft_us < call.took_us) {
            ttft.push(ms(call.ttft_us));
            if output > 0.0 {
                per_token.push((ms(call.took_us) - ms(call.ttft_us)) / output);
            }
        }
        let mut whole: Vec<f64> = served()
            .filter(|(_, output)| *output > 0.0)
            .map(|(call, output)| ms(call.took_us) / output)
            .collect();
        match (Distribution::fit(&mut ttft), Distribution::fit(&mut per_token)) {
            (Some(ttft), Some(per_token)) => (ttft, per_token),
            _ => match Distribution::fit(&mut whole) {
                Some(per_token) => (Distribution::constant(0.0), per_token),
                None => (
                    Distribution::constant(TTFT_MS_ASSUMED),
                    Distribution::constant(MS_PER_TOKEN_ASSUMED),
                ),
            },
        }
    }
}

/// How often a part of something is more than nothing, and how large it is then.
fn share<'t>(
    calls: impl Iterator<Item = &'t TrafficCall>,
    of: impl Fn(&TrafficCall) -> (u64, u64),
) -> Option<ShareLaw> {
    let mut all = 0_u64;
    let mut parts: Vec<f64> = Vec::new();
    for call in calls {
        all += 1;
        let (part, whole) = of(call);
        if part > 0 && whole > 0 {
            parts.push(real(part) / real(whole));
        }
    }
    Some(ShareLaw {
        calls: rounded(real(parts.len() as u64) / real(all.max(1))),
        size: Distribution::fit(&mut parts)?,
    })
}

/// A call's tokens as a law looks at them.
struct Parts {
    cache_read: u64,
    cache_write: u64,
    output: u64,
    prompt: u64,
    reasoning: u64,
}

fn parts(call: &TrafficCall) -> Parts {
    let [input, output, cache_read, cache_write, reasoning] = call.tokens.map(u64::from);
    Parts {
        cache_read,
        cache_write,
        output: output + reasoning,
        prompt: input + cache_read + cache_write,
        reasoning,
    }
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1_000.0
}
