//! Client series of ServeGen: for each window of time (ten minutes there) a rate, the coefficient of variation of the gaps,
//! and the family and shape that fit them. The rate is a count over the window, so a window has as many calls as it says;
//! when they come is drawn from the renewal process, whose gaps are brought to fill the window.
//!
//! A line is `second,rate,cv,family,shape,scale`, without a header; a window without calls has no family. The scale
//! says the mean once more, and not always rightly, so it is not used. Bounds: [`WINDOWS_MAX`] of a series.

use std::sync::Arc;

use tieline_core::{Span, Tick};

use super::calls::{shown, since_epoch};
use super::row::Wrong;
use crate::arrivals::{Chance, Family, Purpose, Renewal, real, whole};
use crate::traffic::{CALLS_MAX, Window};

/// A window of a minute for two years: 1,051,200, at 40 bytes 42 MB.
const WINDOWS_MAX: usize = 1 << 20;

/// The length of a series' only window.
const LENGTH: Span = Span::from_s(600);

/// Above any rate of one client, so that a count fits.
const RATE_MAX: f64 = 1e6;

#[derive(Debug)]
pub(super) struct Series {
    pub(super) file: Arc<str>,
    windows: Vec<Rate>,
}

/// One window.
#[derive(Clone, Copy, Debug)]
struct Rate {
    at: Tick,
    per_s: f64,
    renewal: Renewal,
}

/// Arrivals of a series, in order.
pub(super) struct Arrivals<'s> {
    chance: Chance,
    /// Of the window at hand, those that are still to come, last first.
    ready: Vec<Tick>,
    scale: f64,
    series: &'s Series,
    taken: Window,
    window: usize,
}

impl Series {
    pub(super) fn new(file: &Arc<str>) -> Self {
        Self {
            file: file.clone(),
            windows: Vec::new(),
        }
    }

    /// Whether a line looks like one of a series: six fields, of which the first two are numbers.
    pub(super) fn is_line(line: &str) -> bool {
        let fields: Vec<&str> = line.trim().split(',').collect();
        let is_number = |field: &&str| field.trim().parse::<f64>().is_ok();
        fields.len() == 6 && fields.iter().take(2).all(is_number)
    }

    /// The beginning of the line's window.
    pub(super) fn line(&mut self, line: &str) -> Result<Tick, Wrong> {
        let mut places = Vec::with_capacity(6);
        let mut place = 0;
        for field in line.split(',') {
            places.push((place, field.trim()));
            place += field.len() + 1;
        }
        let Ok([at, rate, cv, family, shape, _]) = <[(usize, &str); 6]>::try_from(places) else {
            return Err(Wrong::line(
                "a line of a client series has six fields: second, rate, cv, family, shape, scale",
            ));
        };
        let per_s = number(rate, "rate").and_then(|rate_per_s| {
            if rate_per_s <= RATE_MAX {
                Ok(rate_per_s)
            } else {
                Err(Wrong::at(rate.0, "the rate is above a million calls a second"))
            }
        })?;
        let at = since_epoch(at.1, 6, at.0)?;
        number(cv, "cv")?;
        let renewal = match Family::named(family.1) {
            _ if per_s == 0.0 => Renewal::POISSON,
            Some(family) => Renewal::new(family, number(shape, "shape")?),
            None => {
                let says = format!("`{}` is no family of gaps", shown(family.1));
                return Err(Wrong::at(family.0, says).hint("families are Exponential, Gamma and Weibull"));
            }
        };
        if self.windows.last().is_some_and(|last| last.at >= at) {
            return Err(Wrong::line("the window does not begin after the one before it"));
        }
        if self.windows.len() >= WINDOWS_MAX {
            return Err(Wrong::line(format!(
                "the series has more than {WINDOWS_MAX} windows"
            )));
        }
        self.windows.push(Rate { at, per_s, renewal });
        Ok(at)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// When a window ends: where the next one begins; the last is as long as the one before it.
    fn end(&self, ix: usize) -> Tick {
        let at = |ix: usize| self.windows.get(ix).map(|window| window.at);
        match (at(ix), at(ix + 1)) {
            (_, Some(next)) => next,
            (Some(last), None) => {
                let before = ix.checked_sub(1).and_then(at);
                last.plus(before.map_or(LENGTH, |before| last.since(before)))
            }
            (None, None) => Tick(0),
        }
    }

    /// Calls that windows within `taken` say there were.
    pub(super) fn expected(&self, taken: Window, scale: f64) -> f64 {
        let windows = (0..self.windows.len()).filter(|ix| self.touches(*ix, taken));
        windows.map(|ix| self.calls(ix) * scale).sum()
    }

    pub(super) fn arrivals(&self, chance: Chance, taken: Window, scale: f64) -> Arrivals<'_> {
        Arrivals {
            chance: chance.of(&self.file),
            ready: Vec::new(),
            scale,
            series: self,
            taken,
            window: 0,
        }
    }

    fn calls(&self, ix: usize) -> f64 {
        let window = self.windows.get(ix);
        window.map_or(0.0, |window| {
            window.per_s * real(self.end(ix).since(window.at).0) / 1e6
        })
    }

    fn touches(&self, ix: usize, taken: Window) -> bool {
        let from = self.windows.get(ix).map_or(Tick(0), |window| window.at);
        let is_before = taken.since.is_some_and(|since| self.end(ix) <= since);
        let is_behind = taken.until.is_some_and(|until| from >= until);
        !is_before && !is_behind
    }
}

impl Arrivals<'_> {
    /// The arrivals of one window. Their number is what it says, the part of a call drawn; a gap more than there are calls
    /// fills it.
    fn fill(&mut self, ix: usize) {
        let Some(window) = self.series.windows.get(ix) else {
            return;
        };
        let numbers = self.chance.of(&ix.to_string());
        let part = numbers.at(Purpose::Count, 0).unit();
        let n = whole(self.series.calls(ix) * self.scale + part).min(CALLS_MAX as u64);
        let gaps = (0..=n).map(|k| window.renewal.gap(&mut numbers.at(Purpose::Gap, k)));
        let mut sum = 0.0;
        let places: Vec<f64> = gaps
            .map(|gap| {
                sum += gap;
                sum
            })
            .collect();
        let length = real(self.series.end(ix).since(window.at).0);
        let at = |place: &f64| {
            // Gaps that are all too small to be told from nothing come at once, in the middle.
            let part = if sum > 0.0 { place / sum } else { 0.5 };
            window.at.plus(Span(whole(part * length)))
        };
        let calls = places.len().saturating_sub(1);
        self.ready.extend(places.iter().take(calls).rev().map(at));
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        loop {
            if let Some(at) = self.ready.pop() {
                return Some(at);
            }
            if self.window >= self.series.windows.len() {
                return None;
            }
            if self.series.touches(self.window, self.taken) {
                self.fill(self.window);
            }
            self.window += 1;
        }
    }
}

/// A number from 0 on.
fn number((place, text): (usize, &str), what: &str) -> Result<f64, Wrong> {
    let read: Option<f64> = text.parse().ok();
    read.filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| {
        Wrong::at(
            place,
            format!("the {what} `{}` is no number from 0 on", shown(text)),
        )
    })
}
