//! One year: what was out when, and what that left unserved, summed in integers.

use std::collections::BTreeMap;

use super::Year;
use super::causes::{Behaviour, Bits, Piece, YEAR_S, pieces};
use super::demand::GROUPS;
use crate::arrivals::week::HOURS;
use crate::scenario::draw::{Draws, Purpose};

const HOUR_S: u64 = 3_600;

/// One year's sums; calls are in millionths, times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// By cause, sparse: (cause, unserved while it was out, unserved that would not be without it, seconds out).
    pub(super) causes: Vec<(usize, [u64; 3])>,
    /// By class of calls, sparse.
    pub(super) classes: Vec<(u32, u64)>,
    pub(super) episodes: u32,
    /// By class of party, then what is critical: unserved, and seconds in which some went unserved.
    pub(super) groups: [(u64, u64); GROUPS],
    pub(super) seconds: u64,
    pub(super) unserved: u64,
    /// The episode that lost most.
    pub(super) worst: Option<Stretch>,
}

/// A time without a break in which calls went unserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) unserved: u64,
    pub(super) until: u64,
}

/// The sums of all years.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// By cause: unserved while out, unserved because of it, seconds out.
    pub(super) causes: Vec<[u128; 3]>,
    /// Unserved by class of calls.
    pub(super) classes: Vec<u128>,
}

/// What was out in a year, and when it began in the week.
pub(super) struct Drawn {
    pub(super) first_hour: u16,
    pub(super) pieces: Vec<Piece>,
}

/// Sums on their way, in millionths of calls an hour times seconds.
#[derive(Default)]
struct Adding {
    causes: BTreeMap<usize, [u128; 3]>,
    classes: BTreeMap<u32, u128>,
    groups: [(u128, u64); GROUPS],
    seconds: u64,
    unserved: u128,
}

/// Draw a year's outages.
pub(super) fn drawn(year: &Year<'_, '_>, run: usize) -> Drawn {
    let of_run = Draws::for_number(year.options.seed, run as u64);
    let seed = of_run.draw(Purpose::Start, 0);
    let mut outs = Vec::new();
    for (ix, (cause, name)) in year.causes.iter().zip(&year.names).enumerate() {
        outs.extend(cause.outages(ix, seed, name));
    }
    // Years begin in any hour of the week: 52 weeks and a day and a quarter would count some hours more than others.
    let first_hour = of_run.draw(Purpose::Start, 1) % u64::from(HOURS);
    Drawn {
        first_hour: u16::try_from(first_hour).unwrap_or_default(),
        pieces: pieces(&outs),
    }
}

impl Drawn {
    /// The hour of the week at a second of the year.
    pub(super) fn hour_at(&self, second: u64) -> u16 {
        let hour = (u64::from(self.first_hour) + second / HOUR_S) % u64::from(HOURS);
        u16::try_from(hour).unwrap_or_default()
    }
}

/// The parts of a time that lie in one clock hour each: (from, until).
pub(super) fn hours(from: u64, until: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let begun = at;
        at = until.min((begun / HOUR_S + 1) * HOUR_S);
        (begun < until).then_some((begun, at))
    })
}

/// The channels that some causes take out together.
pub(super) fn gone(year: &Year<'_, '_>, causes: impl Iterator<Item = usize>) -> Bits {
    let mut gone = vec![0_u64; year.used.len().div_ceil(64)];
    for mask in causes
        .filter_map(|ix| year.causes.get(ix))
        .map(|cause| &cause.mask)
    {
        for (word, more) in gone.iter_mut().zip(mask) {
            *word |= more;
        }
    }
    gone.into()
}

pub(super) fn run(year: &Year<'_, '_>, ix: usize) -> Run {
    let drawn = drawn(year, ix);
    let mut adding = Adding::default();
    let (mut episodes, mut current, mut worst) = (0_u32, None::<(u64, u64, u128)>, None);
    let mut close = |ended: Option<(u64, u64, u128)>| {
        if let Some((from, until, unserved)) = ended {
            episodes += 1;
            let stretch = Stretch {
                from,
                unserved: of_hour(unserved),
                until,
            };
            if worst.is_none_or(|worst: Stretch| stretch.unserved > worst.unserved) {
                worst = Some(stretch);
            }
        }
    };
    for piece in &drawn.pieces {
        let lost = adding.piece(year, &drawn, piece);
        current = match current {
            Some((from, until, unserved)) if until == piece.from && lost > 0 => {
                Some((from, piece.until, unserved + lost))
            }
            ended => {
                close(ended);
                (lost > 0).then_some((piece.from, piece.until, lost))
            }
        };
    }
    close(current);
    adding.sums(episodes, worst)
}

/// What is out in some pieces, with what would be served if that alone were not.
pub(super) fn causes_of(year: &Year<'_, '_>, drawn: &Drawn, pieces: &[Piece]) -> Vec<(usize, u64)> {
    let mut adding = Adding::default();
    for piece in pieces {
        adding.piece(year, drawn, piece);
    }
    let causes = adding.causes.into_iter();
    causes
        .map(|(cause, [_, because, _])| (cause, of_hour(because)))
        .collect()
}

impl Adding {
    /// Add what a piece leaves unserved; that.
    fn piece(&mut self, year: &Year<'_, '_>, drawn: &Drawn, piece: &Piece) -> u128 {
        let set = year.supply.set(&gone(year, piece.causes.iter().copied()));
        let mut without = None;
        let mut lost = 0;
        for (from, until) in hours(piece.from, piece.until) {
            let hour = drawn.hour_at(from);
            let unserved = year.supply.unserved(&set, hour);
            let seconds = until - from;
            for cause in &piece.causes {
                let [_, _, out] = self.causes.entry(*cause).or_default();
                *out += u128::from(seconds);
            }
            if unserved.total == 0 {
                continue;
            }
            let times = |rate: u64| u128::from(rate) * u128::from(seconds);
            lost += times(unserved.total);
            self.seconds += seconds;
            for (class, rate) in &unserved.classes {
                *self.classes.entry(*class).or_default() += times(*rate);
            }
            for ((sum, of_group), rate) in self.groups.iter_mut().zip(unserved.groups) {
                *sum += times(rate);
                *of_group += if rate > 0 { seconds } else { 0 };
            }
            // What would be unserved without each of what is out.
            let without = without.get_or_insert_with(|| {
                let each = piece.causes.iter().map(|cause| {
                    let others = piece.causes.iter().copied().filter(|other| other != cause);
                    (*cause, year.supply.set(&gone(year, others)))
                });
                each.collect::<Vec<_>>()
            });
            for (cause, set) in without.iter() {
                let rest = year.supply.unserved(set, hour).total;
                let [while_out, because, _] = self.causes.entry(*cause).or_default();
                *while_out += times(unserved.total);
                *because += times(unserved.total.saturating_sub(rest));
            }
        }
        self.unserved += lost;
        lost
    }

    fn sums(self, episodes: u32, worst: Option<Stretch>) -> Run {
        let causes = self.causes.into_iter().map(|(cause, [while_out, because, out])| {
            let out = u64::try_from(out).unwrap_or(u64::MAX);
            (cause, [of_hour(while_out), of_hour(because), out])
        });
        let classes = self.classes.into_iter().map(|(class, sum)| (class, of_hour(sum)));
        Run {
            causes: causes.collect(),
            classes: classes.collect(),
            episodes,
            groups: self.groups.map(|(sum, seconds)| (of_hour(sum), seconds)),
            seconds: self.seconds,
            unserved: of_hour(self.unserved),
            worst,
        }
    }
}

/// A rate an hour times seconds, as what it comes to.
fn of_hour(sum: u128) -> u64 {
    u64::try_from(sum / u128::from(HOUR_S)).unwrap_or(u64::MAX)
}

impl Sums {
    pub(super) fn of(year: &Year<'_, '_>, runs: &[Run]) -> Self {
        let mut sums = Self {
            causes: vec![[0; 3]; year.causes.len()],
            classes: vec![0; year.demand.classes.len()],
        };
        for run in runs {
            for (cause, of) in &run.causes {
                for (sum, more) in sums.causes.get_mut(*cause).into_iter().flatten().zip(of) {
                    *sum += u128::from(*more);
                }
            }
            for (class, more) in &run.classes {
                if let Some(sum) = sums.classes.get_mut(*class as usize) {
                    *sum += u128::from(*more);
                }
            }
        }
        sums
    }
}

impl Year<'_, '_> {
    /// Calls that are asked in a year, in millionths.
    pub(super) fn asked(&self) -> u64 {
        let week: u128 = (0..HOURS).map(|hour| u128::from(self.supply.asked(hour))).sum();
        let year = week * u128::from(YEAR_S) / u128::from(u64::from(HOURS) * HOUR_S);
        u64::try_from(year).unwrap_or(u64::MAX)
    }

    /// What goes out in words, by its number.
    pub(super) fn named(&self, cause: usize) -> Option<String> {
        self.causes.get(cause).map(Behaviour::named)
    }
}
