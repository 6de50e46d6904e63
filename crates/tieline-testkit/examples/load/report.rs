//! What a run measured: counts, and quantiles from histograms that take no memory per call.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::options::Options;
use crate::reply::Fault;

pub(crate) struct Answer {
    /// `None` where the body is empty.
    pub(crate) first_byte: Option<Duration>,
    pub(crate) keep_alive: bool,
    pub(crate) bytes: u64,
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) started: u64,
    /// Whole answers with 200, warm-up and drain included.
    pub(crate) answered: u64,
    /// Those of them that ended within the measured time.
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: BTreeMap<Fault, u64>,
    pub(crate) latency: Histogram,
    pub(crate) first_byte: Histogram,
    pub(crate) elapsed: Duration,
}

/// Counts by size, in nanoseconds: 64 buckets for each power of two, so a quantile is off by 1.6 % at most.
#[derive(Default)]
pub(crate) struct Histogram {
    pub(crate) counts: Vec<u64>,
    pub(crate) total: u64,
    pub(crate) sum_ns: u64,
    pub(crate) max_ns: u64,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            latency: Histogram::new(),
            first_byte: Histogram::new(),
            ..Self::default()
        }
    }

    pub(crate) fn may_start(&mut self, calls_max: u64) -> bool {
        let may = self.started < calls_max;
        self.started += u64::from(may);
        may
    }

    pub(crate) fn record(&mut self, outcome: &Result<Answer, Fault>, latency: Duration, is_measured: bool) {
        match outcome {
            Err(fault) => *self.errors.entry(*fault).or_default() += 1,
            Ok(answer) => {
                self.answered += 1;
                if is_measured {
                    self.calls += 1;
                    self.bytes += answer.bytes;
                    self.latency.add(latency);
                    self.first_byte.add(answer.first_byte.unwrap_or(latency));
                }
            }
        }
    }

    pub(crate) fn rate(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub(crate) fn json(&self, options: &Options) -> String {
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(fault, count)| format!(r#""{}":{count}"#, fault.name()))
            .collect();
        format!(
            r#"{{"connections":{},"rate":{},"seconds":{:.3},"answered":{},"calls":{},"calls_per_second":{:.1},"bytes":{},"errors":{{{}}},"latency_us":{},"first_byte_us":{}}}"#,
            options.connections,
            options
                .rate
                .map_or_else(|| "null".to_owned(), |rate| rate.to_string()),
            self.elapsed.as_secs_f64(),
            self.answered,
            self.calls,
            self.rate(),
            self.bytes,
            errors.join(","),
            self.latency.json(),
            self.first_byte.json(),
        )
    }

    pub(crate) fn text(&self, options: &Options) -> String {
        let mut text = format!(
            "{} calls in {:.2} s on {} connections: {:.0} calls/s, {} bytes, {} answered in all\n",
            self.calls,
            self.elapsed.as_secs_f64(),
            options.connections,
            self.rate(),
            self.bytes,
            self.answered,
        );
        for (name, histogram) in [("latency", &self.latency), ("first byte", &self.first_byte)] {
            let at = |quantile| histogram.quantile_us(quantile);
            let _ = writeln!(
                text,
                "{name:>10}: p50 {:.1} µs, p90 {:.1} µs, p99 {:.1} µs, max {:.1} µs",
                at(0.5),
                at(0.9),
                at(0.99),
                histogram.max_ns as f64 / 1e3,
            );
        }
        for (fault, count) in &self.errors {
            let _ = writeln!(text, "{count} errors: {}", fault.name());
        }
        text
    }
}

impl Fault {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Write => "write".to_owned(),
            Self::Incomplete => "incomplete".to_owned(),
            Self::Malformed => "malformed".to_owned(),
            Self::NoLastEvent => "no last event".to_owned(),
        }
    }
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
        }
        self.total += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// The middle of the bucket that holds this share of all; 0 where there are none.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        let wanted = (self.total as f64 * quantile).ceil().max(1.0);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen as f64 >= wanted {
                return middle_ns(place).min(self.max_ns as f64) / 1e3;
            }
        }
        0.0
    }

    pub(crate) fn json(&self) -> String {
        let mean = self.sum_ns as f64 / 1e3 / (self.total as f64).max(1.0);
        format!(
            r#"{{"p50":{:.2},"p90":{:.2},"p99":{:.2},"mean":{mean:.2},"max":{:.2}}}"#,
            self.quantile_us(0.5),
            self.quantile_us(0.9),
            self.quantile_us(0.99),
            self.max_ns as f64 / 1e3,
        )
    }
}

/// Below 64 ns one bucket each; above, the six bits behind the leading one choose the bucket of its power of two.
fn bucket(ns: u64) -> usize {
    let power = u64::from(ns.max(64).ilog2() - 6);
    usize::try_from(power * 64 + (ns >> power)).unwrap_or(usize::MAX)
}

fn middle_ns(bucket: usize) -> f64 {
    let power = (bucket / 64).saturating_sub(1);
    let within = bucket - power * 64;
    (within as f64 + 0.5) * 2_f64.powi(i32::try_from(power).unwrap_or(i32::MAX))
}

/// 64 buckets for each of the 58 powers of two from 2^6 up, and 64 for what is below.
const BUCKETS: usize = 64 * 60;
