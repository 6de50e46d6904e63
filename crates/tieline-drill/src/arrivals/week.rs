//! Hours of the week, UTC, from Monday on: how long each was watched, and how many calls are expected up to an instant.

use tieline_core::{Span, Tick};

use super::{real, whole};

pub(crate) const HOUR: Span = Span::from_s(3_600);
pub(crate) const HOURS: u16 = 168;

/// The longest window that a law is fitted to or drawn for: twenty years of hours are 175,320.
pub(crate) const WINDOW_MAX: Span = Span::from_s(20 * 366 * 86_400);

/// 1970-01-01 was a Thursday.
const EPOCH_HOUR: u64 = 3 * 24;

/// Expected calls an hour, by hour of the week.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rates(Vec<f64>);

/// The number of an instant's hour since Monday 00:00.
pub(crate) fn hour_of_week(at: Tick) -> u16 {
    let hour = (at.0 / HOUR.0 + EPOCH_HOUR) % u64::from(HOURS);
    u16::try_from(hour).unwrap_or_default()
}

/// The first instant of the hour after this one.
pub(crate) const fn next_hour(at: Tick) -> Tick {
    Tick((at.0 / HOUR.0).saturating_add(1).saturating_mul(HOUR.0))
}

/// How long each hour of the week lies within a window, in µs.
pub(crate) fn watched(from: Tick, until: Tick) -> Vec<u64> {
    let span = until.since(from).0;
    let week = HOUR.0 * u64::from(HOURS);
    let mut watched = vec![span / week * HOUR.0; usize::from(HOURS)];
    // What is beyond whole weeks is shorter than one.
    let (mut at, end) = (from, Tick(from.0.saturating_add(span % week)));
    while at < end {
        let next = next_hour(at).min(end);
        if let Some(hour) = watched.get_mut(usize::from(hour_of_week(at))) {
            *hour += next.since(at).0;
        }
        at = next;
    }
    watched
}

impl Rates {
    /// From the hours that are known; the others have the mean.
    pub(crate) fn new(known: &[(u16, f64)], mean: f64) -> Self {
        let mut rates = vec![mean; usize::from(HOURS)];
        for (hour, rate) in known {
            if let Some(place) = rates.get_mut(usize::from(*hour)) {
                *place = *rate;
            }
        }
        Self(rates)
    }

    pub(crate) fn scaled(&self, scale: f64) -> Self {
        Self(self.0.iter().map(|rate| rate * scale).collect())
    }

    pub(crate) fn at(&self, at: Tick) -> f64 {
        self.0
            .get(usize::from(hour_of_week(at)))
            .copied()
            .unwrap_or_default()
    }

    /// Calls that are expected between two instants.
    pub(crate) fn expected(&self, from: Tick, until: Tick) -> f64 {
        let hours = watched(from, until).into_iter().zip(&self.0);
        hours.map(|(us, rate)| real(us) * rate / real(HOUR.0)).sum()
    }

    /// The same for two instants that are close: without a walk over the week if both are in one hour.
    pub(crate) fn between(&self, from: Tick, until: Tick) -> f64 {
        if until < next_hour(from) {
            real(until.since(from).0) * self.at(from) / real(HOUR.0)
        } else {
            self.expected(from, until)
        }
    }

    /// The instant by which so many more calls are expected than by `from`; none if that lies at or beyond `until`.
    pub(crate) fn advance(&self, from: Tick, calls: f64, until: Tick) -> Option<Tick> {
        let (mut at, mut left) = (from, calls);
        while at < until {
            let (end, rate) = (next_hour(at), self.at(at) / real(HOUR.0));
            let here = real(end.since(at).0) * rate;
            if left < here {
                let arrival = Tick(at.0.saturating_add(whole(left / rate + 0.5)));
                return Some(arrival).filter(|arrival| *arrival < until);
            }
            left -= here;
            at = end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday 2026-06-12 17:21 UTC.
    const LETTER: Tick = Tick(1_781_284_860_000_000);

    #[test]
    fn hours_count_from_monday() {
        assert_eq!(hour_of_week(LETTER), 4 * 24 + 17);
        assert_eq!(hour_of_week(Tick(0)), 72);
    }

    #[test]
    fn a_window_is_watched_once() {
        let until = LETTER.plus(Span(HOUR.0 * 400 + 1));
        let hours = watched(LETTER, until);
        assert_eq!(hours.iter().sum::<u64>(), until.since(LETTER).0);
        assert_eq!(hours[4 * 24 + 17], HOUR.0 * 2 + HOUR.0 * 39 / 60);
        assert!(watched(LETTER, LETTER).iter().all(|us| *us == 0));
    }

    #[test]
    fn calls_are_expected_hour_by_hour() {
        let rates = Rates::new(&[(113, 60.0), (114, 0.0)], 6.0);
        // 39 minutes of 60 an hour, an hour of none, 10 minutes of 6 an hour.
        let until = LETTER.plus(Span::from_s(109 * 60));
        assert!((rates.expected(LETTER, until) - 40.0).abs() < 1e-9);
        let at = |calls: f64| {
            rates
                .advance(LETTER, calls, until)
                .map(|at| at.since(LETTER).as_s_ceil())
        };
        assert_eq!(at(0.0), Some(0));
        assert_eq!(at(30.0), Some(30 * 60));
        assert_eq!(at(39.5), Some(104 * 60), "past the hour without calls");
        assert_eq!(at(40.1), None);
        assert_eq!(Rates::new(&[], 0.0).advance(LETTER, 0.1, until), None);
    }
}
