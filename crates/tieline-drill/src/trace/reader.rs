//! Reads files of traces line by line into traffic.

use std::sync::Arc;

use tieline_core::Tick;

use super::azure;
use super::calls::Calls;
use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::mapped::{FileCalls, Mapped};
use super::mapping::{Format, Mapping};
use super::mooncake::Mooncake;
use super::remarks::{self, Read};
use super::row::{Row, Wrong};
use super::servegen::Series;
use crate::arrivals::{Chance, merged, real, whole};
use crate::problem::{Problem, Problems};
use crate::table::count;
use crate::traffic::{Basis, Builder, CALLS_MAX, Onto, Traffic, Window};

/// Files of one trace: a series for each client.
const FILES_MAX: usize = 10_000;

/// How traces are read.
#[derive(Clone, Copy, Debug)]
pub struct TraceOptions<'a> {
    pub mapping: &'a Mapping,
    /// The grid on which calls are judged; without one names are taken as they are.
    pub onto: Option<Onto<'a>>,
    /// Of arrivals that are drawn, every rate times this.
    pub scale: Option<f64>,
    /// Instead of the mapping's.
    pub seed: Option<u64>,
    /// Whether lines may be out of order.
    pub sort: bool,
    /// By the times of the traffic.
    pub window: Window,
}

/// Reads traces, file by file ([`Self::file`]), each in pieces ([`Self::feed`]).
pub struct TraceReader<'a> {
    current: Option<Reading>,
    files: Vec<Read>,
    /// What refuses the trace whatever the mapping says.
    fatal: Problems,
    lines: Lines,
    mapped: Mapped<'a>,
    options: TraceOptions<'a>,
    rows: Problems,
    series: Vec<(Series, FileCalls)>,
    /// From the trace's time to the traffic's, in µs; unknown before the first line.
    shift: Option<i64>,
}

/// A file that is being read.
struct Reading {
    calls: FileCalls,
    format: Option<Reader>,
    /// Whether nothing more of it is looked at.
    is_lost: bool,
    last: Tick,
    name: Arc<str>,
    rows: u64,
}

enum Reader {
    Azure(Calls),
    Calls(Calls),
    Mooncake(Mooncake),
    Servegen(Series),
}

/// Why a line gives no call.
enum Refused {
    /// It is earlier than the one before it.
    Early,
    Row(Wrong),
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        Self::Row(wrong)
    }
}

impl std::fmt::Debug for TraceReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceReader")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

// === impl TraceReader ===

impl<'a> TraceReader<'a> {
    pub fn new(options: TraceOptions<'a>) -> Self {
        let seed = options.seed.unwrap_or(options.mapping.seed);
        let builder = Builder::new(Basis::Trace, options.onto);
        Self {
            current: None,
            files: Vec::new(),
            fatal: Problems::default(),
            lines: Lines::default(),
            mapped: Mapped::new(builder, options.mapping, Chance::new(seed), options.window),
            options,
            rows: Problems::default(),
            series: Vec::new(),
            shift: None,
        }
    }

    /// Begin a file; `name` is what problems cite and `files` of the mapping choose.
    pub fn file(&mut self, name: &str) {
        self.end_file();
        let name: Arc<str> = name.into();
        let mut is_lost = false;
        if self.files.len() >= FILES_MAX {
            self.fatal.push(Problem::of_file(
                &name,
                format!("a trace has at most {FILES_MAX} files"),
            ));
            is_lost = true;
        }
        self.current = Some(Reading {
            calls: self
                .mapped
                .file(&name, self.files.iter().filter(|read| read.name == name).count()),
            format: None,
            is_lost,
            last: Tick(0),
            name,
            rows: 0,
        });
    }

    /// The next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.feed(bytes, &mut |line| self.line(line));
        self.lines = lines;
    }

    /// Whether more of the file would change nothing.
    pub fn is_done(&self) -> bool {
        self.current.as_ref().is_none_or(|reading| reading.is_lost)
    }

    /// The traffic of all files.
    ///
    /// # Errors
    /// What is wrong with them, each with its place.
    pub fn finish(mut self) -> Result<Traffic, Problems> {
        self.end_file();
        self.draw_series();
        if !self.fatal.is_empty() || !(self.rows.is_empty() || self.options.mapping.leaves_out) {
            let mut all = self.fatal;
            let more = self.rows.more;
            self.rows.shown.into_iter().for_each(|problem| all.push(problem));
            all.more += more;
            return Err(all);
        }
        let mut traffic = self.mapped.builder.finish();
        traffic.left_out += self.rows.count();
        if traffic.calls.is_empty() {
            let name = self
                .files
                .first()
                .map_or_else(|| "the trace".into(), |read| read.name.clone());
            let outside = self.mapped.seen.outside;
            let says = format!(
                "no call is left: {} lie outside of --since and --until, {} are left out",
                count(outside),
                count(traffic.left_out)
            );
            return Err(Problem::of_file(&name, says).into());
        }
        remarks::add(
            &mut traffic,
            &self.mapped.seen,
            &self.files,
            &self.options,
            &self.rows,
        );
        Ok(traffic)
    }

    fn end_file(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(&mut |line| self.line(line));
        let Some(mut reading) = self.current.take() else {
            return;
        };
        if let Some(Reader::Azure(calls) | Reader::Calls(calls)) = &mut reading.format
            && let Some((number, record)) = calls.rest()
        {
            let says = "the file ends within a quoted field that begins here";
            let line = record.split(|b| *b == b'\n').next().unwrap_or_default();
            self.rows
                .push(Problem::of_line(&reading.name, number, line, says));
        }
        let is_empty = match &reading.format {
            Some(Reader::Servegen(series)) => series.is_empty(),
            _ => reading.rows == 0,
        };
        if is_empty && !reading.is_lost && self.rows.is_empty() {
            let says = if reading.format.is_some() {
                "has no call"
            } else {
                "is empty"
            };
            self.fatal.push(Problem::of_file(&reading.name, says));
        }
        self.files.push(Read {
            format: reading.format.as_ref().map(Reader::format),
            name: reading.name,
        });
        if let Some(Reader::Servegen(series)) = reading.format {
            self.series.push((series, reading.calls));
        }
    }

    fn line(&mut self, line: Line<'_>) {
        let Some(mut reading) = self.current.take() else {
            return;
        };
        match line {
            _ if reading.is_lost => {}
            Line::TooLong(number, text) => {
                let says = format!("the line is longer than {} bytes", count(LINE_BYTES_MAX as u64));
                self.rows
                    .push(Problem::of_line(&reading.name, number, text, says));
                reading.is_lost = reading.format.is_none();
            }
            Line::Text(number, text) => self.text(&mut reading, number, text),
        }
        self.current = Some(reading);
    }

    fn text(&mut self, reading: &mut Reading, number: u64, text: &[u8]) {
        if reading.format.is_none() {
            if text.trim_ascii().is_empty() {
                return;
            }
            match begun(&reading.name, text, self.options.mapping) {
                Ok((format, is_header)) => {
                    reading.format = Some(format);
                    if is_header {
                        return;
                    }
                }
                Err(wrong) => {
                    reading.is_lost = true;
                    for wrong in wrong {
                        self.fatal.push(placed(&reading.name, number, text, wrong));
                    }
                    return;
                }
            }
        }
        let Some(mut format) = reading.format.take() else {
            return;
        };
        match self.row(reading, &mut format, number, text) {
            Ok(()) => {}
            Err(Refused::Row(wrong)) => self.rows.push(placed(&reading.name, number, text, wrong)),
            Err(Refused::Early) => {
                let says = "the line is earlier than the one before it";
                let problem = Problem::of_line(&reading.name, number, text, says);
                self.fatal
                    .push(problem.hint("--sort takes the calls in the order of their times"));
                reading.is_lost = true;
            }
        }
        reading.format = Some(format);
    }

    fn row(
        &mut self,
        reading: &mut Reading,
        format: &mut Reader,
        number: u64,
        text: &[u8],
    ) -> Result<(), Refused> {
        match format {
            Reader::Azure(calls) | Reader::Calls(calls) => {
                if text.is_empty() && !calls.is_open() {
                    return Ok(());
                }
                let Some(record) = calls.record(number, text)? else {
                    return Ok(());
                };
                calls.row(&record, |row| self.take(reading, row))?
            }
            _ if text.trim_ascii().is_empty() => Ok(()),
            Reader::Mooncake(mooncake) => {
                let row = mooncake.row(text)?;
                self.take(reading, &row)
            }
            Reader::Servegen(series) => {
                let text = String::from_utf8_lossy(text);
                let first = series.line(&text)?;
                self.shift_from(first);
                reading.rows += 1;
                Ok(())
            }
        }
    }

    /// A call in the trace's time.
    fn take(&mut self, reading: &mut Reading, row: &Row<'_>) -> Result<(), Refused> {
        reading.rows += 1;
        if row.at < reading.last && !self.options.sort {
            return Err(Refused::Early);
        }
        reading.last = row.at;
        let shift = self.shift_from(row.at);
        let at = shifted(row.at, shift)
            .ok_or_else(|| Wrong::line("the time, shifted by `start`, is before 1970"))?;
        self.mapped.row(&mut reading.calls, &Row { at, ..*row })?;
        Ok(())
    }

    /// From the trace's time to the traffic's; the first instant that is met lies at the mapping's `start`.
    fn shift_from(&mut self, first: Tick) -> i64 {
        let start = self.options.mapping.start;
        *self.shift.get_or_insert_with(|| {
            let start = start.unwrap_or(first);
            let difference = i128::from(start.0) - i128::from(first.0);
            // 292,000 years: what is cut here is no time of a trace.
            i64::try_from(difference).unwrap_or_default()
        })
    }

    /// Draw the arrivals of all client series, and take them.
    fn draw_series(&mut self) {
        let scale = self.options.scale.unwrap_or(1.0);
        let name = || {
            self.files
                .first()
                .map_or_else(|| "the trace".into(), |read| read.name.clone())
        };
        if self.series.is_empty() {
            if self.options.scale.is_some() {
                let says = "was recorded, and is not scaled; only arrivals that are drawn are";
                self.fatal.push(Problem::of_file(&name(), says));
            }
            return;
        }
        if !(scale.is_finite() && scale > 0.0) {
            self.fatal
                .push(Problem::of_file(&name(), "the scale is no number above 0"));
            return;
        }
        let shift = self.shift.unwrap_or_default();
        let back = |at: Option<Tick>| at.map(|at| Tick(at.0.saturating_add_signed(shift.saturating_neg())));
        let taken = Window {
            since: back(self.options.window.since),
            until: back(self.options.window.until),
        };
        let series = std::mem::take(&mut self.series);
        let expected: f64 = series
            .iter()
            .map(|(series, _)| series.expected(taken, scale))
            .sum();
        if expected > real(CALLS_MAX as u64) {
            let says = format!(
                "{} calls would be drawn; at most {} are",
                count(whole(expected)),
                count(CALLS_MAX as u64)
            );
            let problem = Problem::of_file(&name(), says);
            self.fatal
                .push(problem.hint("take less with --since and --until, or with --scale"));
            return;
        }
        let chance = Chance::new(self.options.seed.unwrap_or(self.options.mapping.seed));
        let (series, mut files): (Vec<Series>, Vec<FileCalls>) = series.into_iter().unzip();
        let streams: Vec<_> = series
            .iter()
            .map(|series| series.arrivals(chance, taken, scale))
            .collect();
        for (at, ix) in merged(streams) {
            let (Some(file), Some(at)) = (files.get_mut(ix), shifted(at, shift)) else {
                continue;
            };
            let row = Row { at, ..Row::default() };
            if let (Err(wrong), Some(series)) = (self.mapped.row(file, &row), series.get(ix)) {
                self.rows.push(placed(&series.file, 0, b"", wrong));
            }
        }
    }
}

impl Reader {
    const fn format(&self) -> Format {
        match self {
            Self::Azure(_) => Format::Azure,
            Self::Calls(_) => Format::Calls,
            Self::Mooncake(_) => Format::Mooncake,
            Self::Servegen(_) => Format::Servegen,
        }
    }
}

const fn shifted(at: Tick, shift: i64) -> Option<Tick> {
    match at.0.checked_add_signed(shift) {
        Some(at) => Some(Tick(at)),
        None => None,
    }
}

/// The reader of a file that begins with this line, and whether the line is a header.
fn begun(name: &Arc<str>, line: &[u8], mapping: &Mapping) -> Result<(Reader, bool), Vec<Wrong>> {
    if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) || line.contains(&0) {
        return Err(vec![
            Wrong::line("the file is no text in UTF-8").hint("save it as UTF-8"),
        ]);
    }
    let text = String::from_utf8_lossy(line);
    let looks = match text.trim_start() {
        text if text.starts_with('{') => Format::Mooncake,
        text if azure::is_header(text) => Format::Azure,
        text if Series::is_line(text) => Format::Servegen,
        _ => Format::Calls,
    };
    let lifetime = mapping.cache_lifetime;
    match mapping.format.unwrap_or(looks) {
        Format::Azure if azure::is_header(&text) => Ok((Reader::Azure(azure::reader()), true)),
        Format::Azure => Err(vec![Wrong::line(
            "the header of Azure's traces is TIMESTAMP,ContextTokens,GeneratedTokens",
        )]),
        Format::Mooncake => Ok((Reader::Mooncake(Mooncake::new(lifetime)), false)),
        Format::Servegen => Ok((Reader::Servegen(Series::new(name)), false)),
        Format::Calls => {
            let calls = Calls::with_header(line, &mapping.columns, &mapping.ignored)?;
            Ok((Reader::Calls(calls), true))
        }
    }
}

fn placed(file: &Arc<str>, number: u64, text: &[u8], wrong: Wrong) -> Problem {
    let problem = match wrong.offset {
        _ if number == 0 => Problem::of_file(file, wrong.says),
        Some(offset) => Problem::at(file, number, text, offset, wrong.says),
        None => Problem::of_line(file, number, text, wrong.says),
    };
    match wrong.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
