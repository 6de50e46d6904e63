//! What goes out of its own accord in a year, and when: each component and channel by its prior, and what strikes all
//! channels of one operator's service at once.
//!
//! *Law.* Each cause alternates: up for an exponential time, out for a lognormal one of the prior's mean, so that it is out
//! the prior's share of the time; a year begins in the middle of that (out with the prior's chance, and then for what is
//! left of an outage that is met). *Common cause.* The beta factor: of a channel's own failures so many thousandths strike
//! all channels of the same operator and labs, at the least of their rates; the share of time that each is out stays.
//! Draws are hashes of seed, year, name and counter, so that another element in the grid leaves all others as they are.
//!
//! Causes that take out no channel that a call could use are left aside. Bounds: [`CAUSES_MAX`], [`OUTAGES_A_YEAR_MAX`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use tieline_core::Snapshot;

use crate::elements::Element;
use crate::scenario::PRIORS;
use crate::scenario::draw::{Draws, Purpose, exp};
use crate::structure::{Downtime, DowntimeBasis, Downtimes};
use crate::timeline::Permille;

/// Components and channels of a grid at most, and a group for every two channels.
pub(super) const CAUSES_MAX: usize = 256 + 4_096 + 2_048;

/// Outages that a prior may expect in a year: 27 a day.
pub(super) const OUTAGES_A_YEAR_MAX: u32 = 10_000;

/// Outages drawn of one cause in a year: of [`OUTAGES_A_YEAR_MAX`] expected, no year has twice as many.
const OUTAGES_MAX: u64 = 2 * OUTAGES_A_YEAR_MAX as u64;

/// Seconds of a year of 365.25 days.
pub(super) const YEAR_S: u64 = 31_557_600;

const YEAR_MINUTES: f64 = 525_960.0;

/// The deviation of the logarithm of the length, in thousandths, of what has no series of its own: that of OpenAI.
const DEVIATION: u32 = 1_240;

/// Channels by bits, 64 to a word, of those that calls may use.
pub(super) type Bits = Box<[u64]>;

/// What can go out, alone or several together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Alone(Element),
    /// All channels of one operator's service.
    Common(String),
}

/// One of them, and how it behaves.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) cause: Cause,
    /// Thousandths of the logarithm of the length.
    pub(super) deviation: u32,
    pub(super) deviation_source: &'static str,
    pub(super) mask: Bits,
    pub(super) prior: Downtime,
    /// The share of the prior's rate that is its own, and not a common cause's.
    pub(super) share: f64,
}

/// From and until when a cause is out, in seconds of the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) cause: usize,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// While the same causes are out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// In ascending order.
    pub(super) causes: Vec<usize>,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// The causes that matter on a grid; `used` are the channels that calls may use, in ascending order.
pub(super) fn causes(
    snapshot: &Snapshot,
    downtimes: &Downtimes,
    used: &[u16],
    common: Permille,
) -> Vec<Behaviour> {
    let mut all: Vec<Behaviour> = Vec::new();
    let groups = groups(snapshot, used, downtimes, common);
    for element in Element::all(snapshot) {
        let mask = mask(
            used,
            element.channels(snapshot).into_iter().map(|channel| channel.0),
        );
        if mask.iter().all(|word| *word == 0) {
            continue;
        }
        let own = snapshot
            .channel_named(&element.name)
            .filter(|_| element.kind == crate::elements::ElementKind::Channel)
            .and_then(|ix| Some((ix, snapshot.channel(ix)?)));
        let (prior, service, in_group) = match own {
            Some((ix, channel)) => {
                let group = groups.iter().find(|group| group.members.contains(&ix.0));
                let prior = downtimes.channel(&channel.name, &channel.provider);
                let common = group.map_or(0.0, |group| group.rate_minutes / rate_minutes(&prior));
                (prior, &*channel.provider, common)
            }
            None => (downtimes.component(&element.name), &*element.name, 0.0),
        };
        let (deviation, deviation_source) = deviation(service);
        all.push(Behaviour {
            cause: Cause::Alone(element),
            deviation,
            deviation_source,
            mask,
            prior,
            share: (1.0 - in_group).max(0.0),
        });
    }
    for group in groups {
        let (deviation, deviation_source) = deviation(&group.provider);
        all.push(Behaviour {
            cause: Cause::Common(group.name),
            deviation,
            deviation_source,
            mask: mask(used, group.members.iter().copied()),
            prior: Downtime {
                basis: DowntimeBasis::Assumed,
                source: Cow::Owned(format!(
                    "{common} thousandths of its channels' own outages strike all of them: two services of one lab fail \
                     together with a correlation of 0.43 to 0.88; the low end is taken"
                )),
                ..group.prior
            },
            share: f64::from(common) / 1_000.0,
        });
    }
    all
}

/// Channels of one operator that serve the same labs' models.
struct Group {
    members: Vec<u16>,
    name: String,
    /// The prior of the member that is out least.
    prior: Downtime,
    provider: String,
    /// Outages in 1,000 years × minutes, of the common cause.
    rate_minutes: f64,
}

/// Providers that name a program or a form of endpoint, which anybody may run: two of them have no operator in common.
const ANYBODYS: [&str; 5] = [
    "anthropic-compatible",
    "llamacpp",
    "ollama",
    "openai-compatible",
    "vllm",
];

/// Two or more channels of one operator and the same labs.
fn groups(snapshot: &Snapshot, used: &[u16], downtimes: &Downtimes, common: Permille) -> Vec<Group> {
    let mut members: BTreeMap<(String, Vec<String>), Vec<u16>> = BTreeMap::new();
    for (channel, ix) in snapshot.channels.iter().zip(0_u16..) {
        if used.binary_search(&ix).is_err() || ANYBODYS.contains(&&*channel.provider) {
            continue;
        }
        let models = channel
            .served
            .iter()
            .filter_map(|served| snapshot.model(served.model));
        let mut labs: Vec<String> = models
            .filter_map(|model| Some(snapshot.labs.get(usize::from(model.lab))?.to_string()))
            .collect();
        labs.sort();
        labs.dedup();
        members
            .entry((channel.provider.to_string(), labs))
            .or_default()
            .push(ix);
    }
    let of_one = |((provider, labs), members): ((String, Vec<String>), Vec<u16>)| {
        let priors = members
            .iter()
            .filter_map(|ix| snapshot.channels.get(usize::from(*ix)));
        let priors = priors.map(|channel| downtimes.channel(&channel.name, &channel.provider));
        let prior = priors.min_by(|a, b| rate_minutes(a).total_cmp(&rate_minutes(b)))?;
        (members.len() > 1).then(|| Group {
            members,
            name: format!("{provider} ({})", labs.join(", ")),
            rate_minutes: rate_minutes(&prior) * f64::from(common) / 1_000.0,
            prior,
            provider,
        })
    };
    let groups = members.into_iter().filter(|_| common > 0);
    groups.filter_map(of_one).collect()
}

fn rate_minutes(prior: &Downtime) -> f64 {
    f64::from(prior.per_1000_years) * f64::from(prior.minutes)
}

/// How wide lengths scatter: of a provider's channels, a cloud or a region of it. A lab that withdraws its models is not
/// what its API's incidents measure.
fn deviation(service: &str) -> (u32, &'static str) {
    let of = match service.split_once(':') {
        None => service,
        Some(("cloud" | "region", rest)) => rest.split('/').next().unwrap_or(rest),
        Some(_) => "",
    };
    let named = |name: &str| of == name;
    let known = PRIORS.iter().find(|prior| named(prior.name));
    known.map_or(
        (
            DEVIATION,
            "assumed: no series of its own, so that of OpenAI's incidents",
        ),
        |prior| (prior.log_minutes_deviation, prior.source),
    )
}

fn mask(used: &[u16], channels: impl Iterator<Item = u16>) -> Bits {
    let mut words = vec![0_u64; used.len().div_ceil(64)];
    for place in channels.filter_map(|channel| used.binary_search(&channel).ok()) {
        if let Some(word) = words.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }
    words.into()
}

impl Behaviour {
    /// What its draws are named after.
    pub(super) fn draws_name(&self) -> String {
        match &self.cause {
            Cause::Alone(element) => format!("{:?} {}", element.kind, element.name),
            Cause::Common(name) => format!("common {name}"),
        }
    }

    pub(super) fn named(&self) -> String {
        match &self.cause {
            Cause::Alone(element) => element.name.clone(),
            Cause::Common(name) => format!("common cause of {name}"),
        }
    }

    /// Outages of one year, from the year's own seed; in order, and never two at once.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are positive, and a cast saturates"
    )]
    pub(super) fn outages(&self, cause: usize, seed: u64, draws_name: &str) -> Vec<Out> {
        let per_year = f64::from(self.prior.per_1000_years) / 1_000.0 * self.share;
        let mean = f64::from(self.prior.minutes);
        let out_share = per_year * mean / YEAR_MINUTES;
        if per_year <= 0.0 || out_share >= 1.0 {
            return Vec::new();
        }
        let draws = Draws::for_name(seed, draws_name);
        let up_mean = YEAR_MINUTES / per_year - mean;
        let deviation = f64::from(self.deviation) / 1_000.0;
        let square = deviation * deviation;
        let length = |k: u64, shift: f64| {
            mean * exp(shift * square - 0.5 * square + deviation * draws.normal(Purpose::Duration, k))
        };
        let (mut outs, mut now) = (Vec::new(), 0.0_f64);
        let mut is_out = draws.fraction(Purpose::Start, 0) < out_share;
        for k in 0..OUTAGES_MAX {
            if !is_out {
                now += up_mean * draws.exponential(Purpose::Gap, k);
            }
            // An outage that is met is a long one: its length is weighted by itself, and what is left of it is any part.
            let lasts = if is_out {
                draws.fraction(Purpose::Start, 1) * length(k, 1.0)
            } else {
                length(k, 0.0)
            };
            is_out = false;
            let (from, until) = ((now * 60.0) as u64, ((now + lasts) * 60.0) as u64);
            if from >= YEAR_S {
                break;
            }
            now += lasts;
            if until > from {
                let until = until.min(YEAR_S);
                outs.push(Out { cause, from, until });
            }
        }
        outs
    }
}

/// The pieces of a year in which something is out, in order.
pub(super) fn pieces(outs: &[Out]) -> Vec<Piece> {
    let begun = outs.iter().map(|out| (out.from, true, out.cause));
    let ended = outs.iter().map(|out| (out.until, false, out.cause));
    // What comes back at an instant does so before what goes: outages of one cause may touch.
    let mut turns: Vec<(u64, bool, usize)> = begun.chain(ended).collect();
    turns.sort_unstable();
    let (mut pieces, mut active, mut since) = (Vec::new(), Vec::<usize>::new(), 0);
    for (at, goes, cause) in turns {
        if at > since && !active.is_empty() {
            pieces.push(Piece {
                causes: active.clone(),
                from: since,
                until: at,
            });
        }
        since = at;
        match active.binary_search(&cause) {
            Err(place) if goes => active.insert(place, cause),
            Ok(place) if !goes => {
                active.remove(place);
            }
            _ => {}
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_scatter_as_the_series_of_the_same_thing_does() {
        let check = |service, expected| assert_eq!(deviation(service).0, expected, "{service}");
        check("openai", 1_240);
        check("anthropic", 1_470);
        check("cloud:aws", 1_010);
        check("region:aws/us-east-1", 1_010);
        check("region:gcp/us", 1_329);
        // What an API's incidents do says nothing of a lab's withdrawal, nor of its console.
        check("lab:anthropic", DEVIATION);
        check("identity:aws", DEVIATION);
        check("region:elsewhere/aws", DEVIATION);
        check("bedrock", DEVIATION);
        assert!(deviation("lab:anthropic").1.starts_with("assumed"));
    }

    proptest! {
        /// Second by second: exactly what is out, in the piece that it belongs to.
        #[test]
        fn pieces_are_what_is_out_second_by_second(
            outs in prop::collection::vec((0_usize..4, 0_u64..40, 1_u64..12), 0..10),
        ) {
            // One cause is never out twice at once; where two of its outages touch, both count.
            let mut free = [0_u64; 4];
            let outs: Vec<Out> = outs
                .into_iter()
                .map(|(cause, gap, lasts)| {
                    let from = free[cause] + gap % 7;
                    free[cause] = from + lasts;
                    Out { cause, from, until: from + lasts }
                })
                .collect();
            let pieces = pieces(&outs);
            prop_assert!(pieces.is_sorted_by(|a, b| a.until <= b.from));
            prop_assert!(pieces.iter().all(|piece| piece.from < piece.until));
            for second in 0..200 {
                let mut expected: Vec<usize> = outs
                    .iter()
                    .filter(|out| (out.from..out.until).contains(&second))
                    .map(|out| out.cause)
                    .collect();
                expected.sort_unstable();
                let found = pieces.iter().find(|piece| (piece.from..piece.until).contains(&second));
                prop_assert_eq!(found.map_or(Vec::new(), |piece| piece.causes.clone()), expected);
            }
        }
    }
}
