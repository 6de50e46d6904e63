//! LiteLLM's spend log: the table `LiteLLM_SpendLogs` as CSV (`\copy … csv header`, or what a tool exports), or rows as
//! JSON (a list, a list under `data`, or one object after the other), as its endpoints give them.
//!
//! It is read before the grid is known, for what it asks for decides what the grid must have: [`SpendReader`] makes a
//! [`SpendLog`] of it, which [`SpendLog::onto`] lays onto a grid. Teams, users and keys become digests: whoever has the
//! log can tell who is meant ([`SpendLog::parties`]), and nobody else if the salt is secret. A row that is no call is
//! counted by why ([`LeftOut`]); no row is quoted, for it may hold names. Calls that failed are left out, too: what had
//! failed already no loss can take away.
//!
//! Bounds: 64 bytes a call and some 16 for its `request_id`, at most [`CALLS_MAX`]; [`ROW_BYTES_MAX`] a row, [`NAMES_MAX`]
//! names asked for; deployments by 16 bits.

mod cut;
mod price;
mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tieline_core::Dialect;
use tieline_core::record::Outcome;

use self::cut::{Cut, Cutter};
pub use self::price::Rates;
use self::price::Samples;
pub use self::row::PartyKind;
use self::row::{Call, Cells, Column};
use super::fields::{Fields, NoFields};
use super::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::traffic::{
    Asked, Basis, Builder, CALLS_MAX, COST_KNOWN, NO_LANE, NONE, Onto, STREAMED, Traffic, TrafficCall,
    USAGE_KNOWN, Unserved, Window, flag, narrow, push,
};

/// Bytes of a row. LiteLLM cuts what it stores of prompts and answers to a few thousand characters each.
pub(crate) const ROW_BYTES_MAX: usize = LINE_BYTES_MAX;

/// Different names that are asked for; what is asked beyond them is counted as unknown.
const NAMES_MAX: usize = 16_384;

/// Bytes of a request for each token of its prompt: a token of English text is about four.
const BYTES_PER_TOKEN: u64 = 4;

/// Why a row is no call of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// Whoever was asked failed, and with it the call.
    Failed,
    /// What was asked is at fault.
    FailedByCaller,
    /// LiteLLM answered from its own cache.
    FromCache,
    /// A call of something else than a model, or a check of LiteLLM's own.
    NoCall,
    /// LiteLLM refused it: a limit, a budget or a key.
    Refused,
    /// Beyond [`CALLS_MAX`].
    TooMany,
    /// A row before it has the same `request_id`: files overlap.
    Twice,
    /// Its times or numbers cannot be read.
    Unreadable,
}

/// What tells which deployment answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deployed {
    /// The address, as the row has it.
    pub api_base: Arc<str>,
    /// The group that answered.
    pub group: Arc<str>,
    pub model: Arc<str>,
    pub model_id: Arc<str>,
    pub provider: Arc<str>,
}

/// A log that was read.
#[derive(Debug)]
pub struct SpendLog {
    calls: Vec<TrafficCall>,
    asks: Vec<Arc<str>>,
    deployed: Vec<Deployed>,
    /// Party and what it asks for.
    kinds: Vec<(u32, u32)>,
    left_out: BTreeMap<LeftOut, u64>,
    parties: Vec<(Arc<str>, PartyKind, Arc<str>)>,
    rows: u64,
    samples: Samples,
}

/// A log laid onto a grid.
#[derive(Debug)]
pub struct SpendTraffic {
    pub traffic: Traffic,
    /// Calls of parties and asks beyond those that a grid takes; they are left out.
    pub beyond: u64,
    /// Calls that began outside of the window; they are left out.
    pub outside: u64,
    /// Calls that ask for what the grid does not have; they are left out.
    pub unknown_asks: u64,
    /// Calls of which the grid has no such channel; who answered them is unknown.
    pub unknown_channels: u64,
    /// Calls whose cost the log does not say.
    pub unpriced: u64,
}

/// Reads a log in pieces.
#[derive(Debug)]
pub struct SpendReader {
    ask_ix: BTreeMap<Arc<str>, u32>,
    deployed_ix: BTreeMap<Box<str>, u16>,
    form: Option<Form>,
    /// What the indexes look up, put together anew for each call.
    key: String,
    kind_ix: BTreeMap<(u32, u32), u32>,
    log: SpendLog,
    party_ix: BTreeMap<Box<str>, u32>,
    salt: Box<[u8]>,
    /// The calls by 64 bits of the digest of their `request_id`: among ten million, two are taken for one with a chance of
    /// 3 in a million.
    seen: BTreeSet<u64>,
}

#[derive(Debug)]
enum Form {
    Csv(Box<Csv>),
    Json(Box<Cutter>),
    /// Neither; why.
    None(&'static str),
}

#[derive(Debug, Default)]
struct Csv {
    columns: Vec<Option<Column>>,
    fields: Fields,
    lines: Lines,
    /// Lines of a record whose quotes have not ended.
    open: Option<Vec<u8>>,
}

/// Why a file is no spend log, or none of it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLog {
    /// A lower-case fragment.
    pub says: String,
}

/// Whether a file begins as a spend log does.
pub fn is_spend_log(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with(['[', '{']) {
        let folded = text.replace('_', "").to_ascii_lowercase();
        return folded.contains("\"starttime\"") || folded.trim_end() == "[]";
    }
    let header = text.lines().next().unwrap_or_default();
    let columns: Vec<Option<Column>> = header
        .split(',')
        .map(|name| Column::named(name.trim_matches('"').trim()))
        .collect();
    is_header(&columns)
}

fn is_header(columns: &[Option<Column>]) -> bool {
    let has = |column| columns.contains(&Some(column));
    has(Column::StartTime) && (has(Column::Group) || has(Column::Model)) && has(Column::PromptTokens)
}

// === impl SpendReader ===

impl SpendReader {
    /// `salt` goes into the digests of teams, users and keys.
    pub fn new(salt: &[u8]) -> Self {
        Self {
            ask_ix: BTreeMap::new(),
            deployed_ix: BTreeMap::new(),
            form: None,
            key: String::new(),
            kind_ix: BTreeMap::new(),
            log: SpendLog {
                calls: Vec::new(),
                asks: Vec::new(),
                deployed: Vec::new(),
                kinds: Vec::new(),
                left_out: BTreeMap::new(),
                parties: Vec::new(),
                rows: 0,
                samples: Samples::default(),
            },
            party_ix: BTreeMap::new(),
            salt: salt.into(),
            seen: BTreeSet::new(),
        }
    }

    /// The next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut form = match self.form.take() {
            Some(form) => form,
            None => match Form::of(bytes) {
                Some(form) => form,
                None => return,
            },
        };
        match &mut form {
            Form::Csv(csv) => {
                let mut lines = std::mem::take(&mut csv.lines);
                let mut wrong = None;
                lines.feed(bytes, &mut |line| wrong = csv.line(line, self).err().or(wrong));
                csv.lines = lines;
                if let Some(wrong) = wrong {
                    form = Form::None(wrong);
                }
            }
            Form::Json(cutter) => cutter.feed(bytes, &mut |cut| self.cut(cut)),
            Form::None(_) => {}
        }
        self.form = Some(form);
    }

    /// The file ends; another may follow.
    ///
    /// # Errors
    /// If the file is no spend log, or not whole.
    pub fn end_file(&mut self) -> Result<(), NoLog> {
        let says = match self.form.take() {
            None => Some("it is empty"),
            Some(Form::None(says)) => Some(says),
            Some(Form::Json(cutter)) if cutter.is_open() => {
                Some("it ends within a row: the file is not whole")
            }
            Some(Form::Json(_)) => None,
            Some(Form::Csv(mut csv)) => {
                let mut lines = std::mem::take(&mut csv.lines);
                let mut wrong = None;
                lines.finish(&mut |line| wrong = csv.line(line, self).err().or(wrong));
                let is_open = csv
                    .open
                    .is_some()
                    .then_some("it ends within a quoted field: the file is not whole");
                wrong.or(is_open)
            }
        };
        says.map_or(Ok(()), |says| {
            Err(NoLog {
                says: says.to_owned(),
            })
        })
    }

    /// The log, once its last file has ended.
    ///
    /// # Errors
    /// If it has no call.
    pub fn finish(self) -> Result<SpendLog, NoLog> {
        if self.log.calls.is_empty() {
            let rows = self.log.rows;
            let unreadable = self
                .log
                .left_out
                .get(&LeftOut::Unreadable)
                .copied()
                .unwrap_or_default();
            let why = if unreadable > 0 {
                format!(
                    "; the times or numbers of {unreadable} cannot be read: a row has `startTime`, `endTime` or \
                     `request_duration_ms`, and `prompt_tokens`"
                )
            } else {
                String::new()
            };
            let says = format!("none of its {rows} rows is a call that a model answered{why}");
            return Err(NoLog { says });
        }
        Ok(self.log)
    }

    fn cut(&mut self, cut: Cut<'_>) {
        self.log.rows += 1;
        let cells = match cut {
            Cut::Row(row) => Cells::of_json(row),
            Cut::TooLong => None,
        };
        match cells {
            Some(cells) => self.row(&cells),
            None => self.leave_out(LeftOut::Unreadable),
        }
    }

    fn row(&mut self, cells: &Cells<'_>) {
        match cells.call() {
            Ok(_) if self.was_seen(cells.request_id()) => self.leave_out(LeftOut::Twice),
            Ok(_) if self.log.calls.len() >= CALLS_MAX => self.leave_out(LeftOut::TooMany),
            Ok(call) => self.call(&call),
            Err(why) => self.leave_out(why),
        }
    }

    /// Whether a call was there already. One without an id never was.
    fn was_seen(&mut self, request_id: &str) -> bool {
        if request_id.is_empty() || self.seen.len() >= CALLS_MAX {
            return false;
        }
        let digest = tieline_note::sha256(request_id.as_bytes()).0;
        let bits = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        !self.seen.insert(bits)
    }

    fn leave_out(&mut self, why: LeftOut) {
        *self.log.left_out.entry(why).or_default() += 1;
    }

    fn call(&mut self, call: &Call<'_>) {
        let party = self.party(call.party);
        let ask = self.ask(call.ask);
        let lane = self.deployed(call);
        let next = narrow(self.log.kinds.len() as u64);
        let kind = *self.kind_ix.entry((party, ask)).or_insert(next);
        if kind == next {
            self.log.kinds.push((party, ask));
        }
        if let Some(cost) = call.cost_nano {
            self.log.samples.take(lane, call.tokens, cost);
        }
        let [input, _, read, written, _] = call.tokens.map(u64::from);
        let prompt = input + read + written;
        let flags =
            USAGE_KNOWN | flag(COST_KNOWN, call.cost_nano.is_some()) | flag(STREAMED, call.is_streamed);
        let call = TrafficCall {
            at: call.at,
            cost_nano: call.cost_nano.unwrap_or_default(),
            tokens: call.tokens,
            body_bytes: narrow(prompt.saturating_mul(BYTES_PER_TOKEN)),
            failures: NONE,
            kind,
            output_max: NONE,
            took_us: narrow(call.took.0),
            ttft_us: narrow(call.ttft.0),
            lane,
            flags,
            result: Outcome::Served,
        };
        push(&mut self.log.calls, call);
    }

    /// A party by the digest of its kind and name; 64 bits are enough to tell millions apart.
    fn party(&mut self, (kind, name): (PartyKind, &str)) -> u32 {
        self.key.clear();
        self.key.extend([kind.name(), "\0", name]);
        if let Some(ix) = self.party_ix.get(self.key.as_str()) {
            return *ix;
        }
        let parts: [&[u8]; 4] = [b"tieline/party/v1\0", &self.salt, b"\0", self.key.as_bytes()];
        let digest = tieline_note::sha256(&parts.concat());
        let id = format!("p_{:.16}", digest.to_string());
        let ix = narrow(self.log.parties.len() as u64);
        self.log.parties.push((id.into(), kind, name.into()));
        self.party_ix.insert(self.key.as_str().into(), ix);
        ix
    }

    fn ask(&mut self, name: &str) -> u32 {
        if let Some(ix) = self.ask_ix.get(name) {
            return *ix;
        }
        if self.log.asks.len() >= NAMES_MAX {
            return u32::MAX;
        }
        let (ix, name): (u32, Arc<str>) = (narrow(self.log.asks.len() as u64), name.into());
        self.log.asks.push(name.clone());
        self.ask_ix.insert(name, ix);
        ix
    }

    fn deployed(&mut self, call: &Call<'_>) -> u16 {
        self.key.clear();
        for part in [call.api_base, call.ask, call.model, call.model_id, call.provider] {
            self.key.extend([part, "\0"]);
        }
        if let Some(ix) = self.deployed_ix.get(self.key.as_str()) {
            return *ix;
        }
        let ix = u16::try_from(self.log.deployed.len()).unwrap_or(NO_LANE);
        if ix != NO_LANE {
            self.deployed_ix.insert(self.key.as_str().into(), ix);
            self.log.deployed.push(Deployed {
                api_base: call.api_base.into(),
                group: call.ask.into(),
                model: call.model.into(),
                model_id: call.model_id.into(),
                provider: call.provider.into(),
            });
        }
        ix
    }
}

impl Form {
    /// What the first bytes are; nothing if they are but spaces.
    fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
        Some(match first {
            b'[' | b'{' => Self::Json(Box::default()),
            0 | 0xfe | 0xff => Self::None("it is no text in UTF-8"),
            _ => Self::Csv(Box::default()),
        })
    }
}

impl Csv {
    fn line(&mut self, line: Line<'_>, reader: &mut SpendReader) -> Result<(), &'static str> {
        let (number, text) = match line {
            Line::Text(number, text) => (number, text),
            Line::TooLong(..) if self.columns.is_empty() => {
                return Err("its first line is no header of a spend log");
            }
            Line::TooLong(..) => {
                // The record that it belongs to is lost; what follows is a record of its own, or unreadable.
                self.open = None;
                reader.log.rows += 1;
                reader.leave_out(LeftOut::Unreadable);
                return Ok(());
            }
        };
        if self.columns.is_empty() {
            return self.header(number, text);
        }
        if text.is_empty() && self.open.is_none() {
            return Ok(());
        }
        let open = self.open.take();
        let (record, split) = match open {
            None => (text.to_vec(), self.fields.split(text)),
            Some(mut open) => {
                open.push(b'\n');
                open.extend_from_slice(text);
                let split = self.fields.go_on(&open);
                (open, split)
            }
        };
        match split {
            Err(NoFields::Open(_)) if record.len() <= ROW_BYTES_MAX => {
                self.open = Some(record);
                return Ok(());
            }
            Ok(()) if self.fields.len() == self.columns.len() => {
                let mut cells = Cells::default();
                for (ix, column) in self.columns.iter().enumerate() {
                    if let Some(column) = column {
                        cells.put(*column, self.fields.text(&record, ix));
                    }
                }
                reader.log.rows += 1;
                reader.row(&cells);
            }
            _ => {
                reader.log.rows += 1;
                reader.leave_out(LeftOut::Unreadable);
            }
        }
        Ok(())
    }

    fn header(&mut self, number: u64, text: &[u8]) -> Result<(), &'static str> {
        if text.trim_ascii().is_empty() && number < 8 {
            return Ok(());
        }
        self.fields
            .split(text)
            .map_err(|_| "its first line is no header of a spend log")?;
        self.columns = (0..self.fields.len())
            .map(|ix| Column::named(&self.fields.text(text, ix)))
            .collect();
        if !is_header(&self.columns) {
            return Err(
                "its first line is no header of a spend log: that has `startTime`, `model_group` or `model`, and \
                 `prompt_tokens`",
            );
        }
        let ends = [Column::EndTime, Column::DurationMs];
        if !ends.iter().any(|column| self.columns.contains(&Some(*column))) {
            return Err(
                "it has neither `endTime` nor `request_duration_ms`: how long its calls took is not there",
            );
        }
        Ok(())
    }
}

// === impl SpendLog ===

impl SpendLog {
    /// Rows of the file, calls and others.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    pub fn calls(&self) -> u64 {
        self.calls.len() as u64
    }

    /// Rows that are no calls, by why.
    pub const fn left_out(&self) -> &BTreeMap<LeftOut, u64> {
        &self.left_out
    }

    /// What is asked for.
    pub fn asked(&self) -> BTreeSet<String> {
        self.asks.iter().map(ToString::to_string).collect()
    }

    /// What tells who answered, in the order of their numbers.
    pub fn deployed(&self) -> &[Deployed] {
        &self.deployed
    }

    /// The parties' ids, and whom they stand for.
    pub fn parties(&self) -> impl Iterator<Item = (&str, PartyKind, &str)> {
        self.parties
            .iter()
            .map(|(id, kind, name)| (&**id, *kind, &**name))
    }

    /// Prices that the calls agree on, by the number of what tells who answered.
    pub fn prices(&self) -> BTreeMap<u16, Rates> {
        self.samples.agreed()
    }

    /// The calls on a grid: `pools` are its pools by what is asked for, `channels` the channel and model of each number of
    /// [`Self::deployed`]. Only calls of the window are taken.
    pub fn onto(
        self,
        onto: Onto<'_>,
        window: Window,
        pools: &BTreeMap<String, String>,
        channels: &[Option<(Arc<str>, Arc<str>)>],
    ) -> SpendTraffic {
        let mut builder = Builder::new(Basis::Trace, Some(onto));
        let lanes: Vec<u16> = channels
            .iter()
            .map(|lane| {
                lane.as_ref()
                    .map_or(NO_LANE, |(channel, model)| builder.lane(channel, model))
            })
            .collect();
        let mut kind = |(party, ask): &(u32, u32)| {
            let party = self.parties.get(*party as usize).ok_or(Unserved::Party)?;
            let pool = self.asks.get(*ask as usize).and_then(|ask| pools.get(&**ask));
            let pool = pool.ok_or(Unserved::Ask)?;
            let party = builder.party(&party.0);
            builder.judged(party, &Asked::Pool(pool.as_str().into()), Dialect::OpenaiChat)
        };
        let kinds: Vec<Result<u32, Unserved>> = self.kinds.iter().map(&mut kind).collect();
        let (mut beyond, mut outside, mut unknown_asks) = (0, 0, 0);
        let (mut unknown_channels, mut unpriced) = (0, 0);
        let mut calls = self.calls;
        calls.retain_mut(|call| {
            if !window.holds(call.at) {
                outside += 1;
                return false;
            }
            match kinds.get(call.kind as usize) {
                Some(Ok(kind)) => call.kind = *kind,
                Some(Err(Unserved::Kinds)) => {
                    beyond += 1;
                    return false;
                }
                _ => {
                    unknown_asks += 1;
                    return false;
                }
            }
            call.lane = lanes.get(usize::from(call.lane)).copied().unwrap_or(NO_LANE);
            unknown_channels += u64::from(call.lane == NO_LANE);
            unpriced += u64::from(call.cost_nano().is_none());
            true
        });
        builder.traffic.calls = calls;
        let too_many = self.left_out.get(&LeftOut::TooMany).copied();
        builder.traffic.left_out = beyond + unknown_asks + too_many.unwrap_or_default();
        let mut traffic = builder.finish();
        traffic.warnings.extend(traffic.silence());
        SpendTraffic {
            traffic,
            beyond,
            outside,
            unknown_asks,
            unknown_channels,
            unpriced,
        }
    }
}
