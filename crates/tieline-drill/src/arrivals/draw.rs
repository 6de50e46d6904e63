//! Draws calls from a law. Groups are drawn one by one and merged by time, so that nothing is kept but the calls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tieline_core::record::Outcome;
use tieline_core::{Span, Tick};

use super::chance::{Chance, Purpose};
use super::family::Renewal;
use super::law::{GroupLaw, Law, ShareLaw};
use super::week::{Rates, WINDOW_MAX};
use super::{real, whole};
use crate::instant;
use crate::table::{count, plural};
use crate::traffic::{
    Asked, Basis, Builder, CALLS_MAX, KINDS_MAX, NO_LANE, NONE, Onto, STREAMED, Traffic, TrafficCall,
    USAGE_KNOWN, Unserved, Window, flag, narrow,
};

/// How a law is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawing {
    /// Every rate times this.
    pub scale: f64,
    /// The same seed draws the same calls.
    pub seed: u64,
    /// By default the window that the law was fitted to.
    pub window: Window,
}

/// Why there is no law of some traffic, or no traffic of a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LawError {
    NoCalls,
    /// The scale is no number above 0.
    Scale,
    TooLong {
        from: Tick,
        until: Tick,
    },
    TooMany {
        expected: u64,
    },
    /// Its parties ask for more different things than a rehearsal keeps apart.
    TooVaried,
    UnknownAsk {
        name: String,
    },
    UnknownParty {
        name: String,
    },
    /// Two groups say two classes of one party.
    TwoClasses {
        name: String,
    },
}

/// The arrivals of one group.
struct Arrivals {
    at: Tick,
    chance: Chance,
    k: u64,
    rates: Rates,
    renewal: Renewal,
    until: Tick,
}

// === impl Law ===

impl Law {
    /// Calls that follow the law, judged on a grid if there is one.
    ///
    /// # Errors
    /// Where the window is empty, longer than twenty years, or would have more than [`CALLS_MAX`] calls, and where the grid
    /// does not have what is asked for.
    pub fn draw(&self, onto: Option<Onto<'_>>, drawing: &Drawing) -> Result<Traffic, LawError> {
        let (from, until) = self.window(drawing)?;
        let chance = Chance::new(drawing.seed);
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let mut streams = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let name = group.name();
            let again = seen.entry(name.clone()).or_default();
            *again += 1;
            streams.push(Arrivals {
                at: from,
                chance: chance.of(&format!("{name} {again}")),
                k: 0,
                rates: group.arrivals.rates().scaled(drawing.scale),
                renewal: group.arrivals.renewal(),
                until,
            });
        }
        let expected: f64 = streams
            .iter()
            .map(|stream| stream.rates.expected(from, until))
            .sum();
        if expected > real(CALLS_MAX as u64) {
            return Err(LawError::TooMany {
                expected: whole(expected),
            });
        }
        let chances: Vec<Chance> = streams.iter().map(|stream| stream.chance).collect();
        let mut builder = Builder::new(Basis::Drawn, onto);
        let kinds = Kinds::new(self, &mut builder)?;
        let mut numbers = vec![0_u64; self.groups.len()];
        for (at, ix) in merged(streams) {
            let place = (self.groups.get(ix), chances.get(ix), numbers.get_mut(ix));
            let (Some(group), Some(chance), Some(k)) = place else {
                continue;
            };
            if builder.traffic.calls.len() >= CALLS_MAX {
                // Bursts may bring more than are expected.
                let expected = CALLS_MAX as u64 + 1;
                return Err(LawError::TooMany { expected });
            }
            let kind = kinds.draw(ix, *chance, *k);
            builder.push(group.call(at, kind, *chance, *k));
            *k += 1;
        }
        if builder.traffic.calls.is_empty() {
            return Err(LawError::NoCalls);
        }
        builder.traffic.remarks = self.remarks(drawing, (from, until), expected);
        Ok(builder.finish())
    }

    fn window(&self, drawing: &Drawing) -> Result<(Tick, Tick), LawError> {
        if !(drawing.scale.is_finite() && drawing.scale > 0.0) {
            return Err(LawError::Scale);
        }
        let fitted = |text: &str| instant::parse(text).unwrap_or_default();
        let length = fitted(&self.until).since(fitted(&self.from));
        let from = drawing.window.since.unwrap_or_else(|| fitted(&self.from));
        let until = drawing.window.until.unwrap_or_else(|| from.plus(length));
        if until.since(from) > WINDOW_MAX {
            return Err(LawError::TooLong { from, until });
        }
        Ok((from, until))
    }

    fn remarks(&self, drawing: &Drawing, (from, until): (Tick, Tick), expected: f64) -> Vec<String> {
        let mut remarks = vec![format!(
            "Drawn with seed {} at {} times the rates of the law, from {} to {}: {} expected. The law was fitted to {}.",
            drawing.seed,
            drawing.scale,
            from.rfc3339(),
            until.rfc3339(),
            plural(whole(expected + 0.5), "call"),
            plural(self.calls, "call"),
        )];
        remarks.extend(self.notes.iter().cloned());
        remarks
    }
}

// === impl GroupLaw ===

impl GroupLaw {
    pub(crate) fn asked(&self) -> Asked {
        match (&self.model, &self.pool) {
            (Some(name), _) => Asked::Model(name.as_str().into()),
            (None, Some(name)) => Asked::Pool(name.as_str().into()),
            (None, None) => Asked::Nothing,
        }
    }

    /// What names its stream of chance: who asks for what, whatever the other groups are.
    fn name(&self) -> String {
        let parties: Vec<&str> = self.parties.keys().map(String::as_str).collect();
        format!(
            "{:?} {:?} {:?} {:?} {}",
            self.pool,
            self.model,
            self.dialect,
            self.class,
            parties.join(" ")
        )
    }

    fn call(&self, at: Tick, kind: u32, chance: Chance, k: u64) -> TrafficCall {
        let sizes = [
            (&self.prompt_tokens, Purpose::Input),
            (&self.output_tokens, Purpose::Output),
        ];
        let [prompt, answer] = sizes.map(|(size, purpose)| {
            let size = size.as_ref();
            size.map(|size| size.draw_whole(&mut chance.at(purpose, k)))
        });
        let is_known = prompt.is_some() && answer.is_some();
        let (prompt, answer) = (prompt.unwrap_or_default(), answer.unwrap_or_default());
        let part = |law: &Option<ShareLaw>, purpose, of: u32| part(law.as_ref(), chance, purpose, k, of);
        let cache_read = part(&self.cache_read, Purpose::CacheRead, prompt);
        let cache_write = part(&self.cache_write, Purpose::CacheWrite, prompt).min(prompt - cache_read);
        let reasoning = part(&self.reasoning, Purpose::Reasoning, answer);
        let is_streamed = chance.at(Purpose::Stream, k).unit() < self.stream;
        let limit = sized(self.output_max.as_ref(), chance, Purpose::OutputMax, k);
        let ttft = self.ttft_ms.draw(&mut chance.at(Purpose::Ttft, k));
        let rest = self
            .ms_per_output_token
            .draw(&mut chance.at(Purpose::PerToken, k))
            * f64::from(answer);
        let took_us = micros(ttft + rest);
        TrafficCall {
            at,
            cost_nano: 0,
            tokens: [
                prompt - cache_read - cache_write,
                answer - reasoning,
                cache_read,
                cache_write,
                reasoning,
            ],
            body_bytes: narrow(whole(f64::from(prompt) * self.bytes_per_token)),
            failures: NONE,
            kind,
            // A limit below the answer that the same call was given would not have been its limit.
            output_max: limit.map_or(NONE, |limit| narrow(whole(limit + 0.5)).min(NONE - 1).max(answer)),
            took_us,
            ttft_us: if is_streamed { micros(ttft) } else { took_us },
            lane: NO_LANE,
            flags: flag(USAGE_KNOWN, is_known) | flag(STREAMED, is_streamed),
            result: Outcome::Served,
        }
    }
}

fn sized(law: Option<&ShareLaw>, chance: Chance, purpose: Purpose, k: u64) -> Option<f64> {
    let (law, mut draw) = (law?, chance.at(purpose, k));
    (draw.unit() < law.calls).then(|| law.size.draw(&mut draw))
}

/// A part of a whole.
fn part(law: Option<&ShareLaw>, chance: Chance, purpose: Purpose, k: u64, of: u32) -> u32 {
    let part = sized(law, chance, purpose, k).map_or(0.0, |part| part * f64::from(of));
    narrow(whole(part + 0.5)).min(of)
}

fn micros(ms: f64) -> u32 {
    narrow(whole(ms * 1_000.0))
}

// === kinds ===

/// Whose the calls of each group are, by cumulative weight, and what they share.
struct Kinds(Vec<Vec<(u64, u32)>>);

impl Kinds {
    fn new(law: &Law, builder: &mut Builder<'_>) -> Result<Self, LawError> {
        let mut groups = Vec::with_capacity(law.groups.len());
        for group in &law.groups {
            let ask = group.asked();
            let mut shares = Vec::with_capacity(group.parties.len());
            let mut sum = 0_u64;
            for (name, weight) in &group.parties {
                let party = builder.party_named(name);
                if group
                    .class
                    .is_some_and(|class| builder.classify(party, class).is_err())
                {
                    return Err(LawError::TwoClasses { name: name.clone() });
                }
                let kind = builder.judged(party, &ask, group.dialect);
                let kind = kind.map_err(|why| match why {
                    Unserved::Ask => LawError::UnknownAsk {
                        name: group
                            .pool
                            .clone()
                            .or_else(|| group.model.clone())
                            .unwrap_or_default(),
                    },
                    Unserved::Kinds => LawError::TooVaried,
                    Unserved::Party => LawError::UnknownParty { name: name.clone() },
                })?;
                sum = sum.saturating_add(*weight);
                shares.push((sum, kind));
            }
            groups.push(shares);
        }
        Ok(Self(groups))
    }

    fn draw(&self, group: usize, chance: Chance, k: u64) -> u32 {
        let shares = self.0.get(group).map_or(&[][..], Vec::as_slice);
        let sum = shares.last().map_or(0, |(sum, _)| *sum);
        let at = whole(chance.at(Purpose::Party, k).unit() * real(sum));
        let ix = shares.partition_point(|(share, _)| *share <= at);
        shares.get(ix).or(shares.last()).map_or(NONE, |(_, kind)| *kind)
    }
}

// === arrivals ===

impl Iterator for Arrivals {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        let mut draw = self.chance.at(Purpose::Gap, self.k);
        let gap = if self.k == 0 {
            self.renewal.first(&mut draw)
        } else {
            self.renewal.gap(&mut draw)
        };
        self.k += 1;
        self.at = self.rates.advance(self.at, gap, self.until)?;
        Some(self.at)
    }
}

/// Streams of instants, each rising, as one: the instants in order, each with the number of its stream. Of those at one
/// instant, the first stream's comes first.
pub(crate) fn merged<S: Iterator<Item = Tick>>(mut streams: Vec<S>) -> impl Iterator<Item = (Tick, usize)> {
    let heads = streams.iter_mut().enumerate();
    let mut heap: BinaryHeap<Reverse<(Tick, usize)>> = heads
        .filter_map(|(ix, stream)| Some(Reverse((stream.next()?, ix))))
        .collect();
    std::iter::from_fn(move || {
        let Reverse((at, ix)) = heap.pop()?;
        if let Some(next) = streams.get_mut(ix).and_then(Iterator::next) {
            heap.push(Reverse((next.max(at), ix)));
        }
        Some((at, ix))
    })
}

impl std::fmt::Display for LawError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCalls => f.write_str("there is no call"),
            Self::Scale => f.write_str("the scale is no number above 0"),
            Self::TooLong { from, until } => {
                let years = until.since(*from).0 / Span::from_s(366 * 86_400).0;
                write!(
                    f,
                    "from {} to {} are {years} years; a law is for at most 20",
                    from.rfc3339(),
                    until.rfc3339()
                )
            }
            Self::TooMany { expected } => write!(
                f,
                "{} calls would be drawn; at most {} are",
                count(*expected),
                count(CALLS_MAX as u64)
            ),
            Self::TwoClasses { name } => write!(f, "two groups say two classes of the party `{name}`"),
            Self::TooVaried => write!(
                f,
                "its parties ask for more than {} different things",
                count(KINDS_MAX as u64)
            ),
            Self::UnknownAsk { name } => write!(f, "the grid has no pool or model `{name}`"),
            Self::UnknownParty { name } => {
                write!(f, "the party `{name}` is not known here, or has no live key")
            }
        }
    }
}

impl std::error::Error for LawError {}
