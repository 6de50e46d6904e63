//! What became of another gateway's configuration: what was mapped to what, what was assumed, what could not be mapped and
//! what that means for the answer. A report of its own beside the drill's.
//!
//! Remarks that say the same are one remark with several places. Bounds: [`REMARKS_MAX`] remarks, [`PLACES_MAX`] places of
//! each; the rest is counted.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_drill::{Side, table};

use super::yaml::Place;

/// Remarks of one kind: two screens.
const REMARKS_MAX: usize = 100;

/// Places of one remark: a line of them.
const PLACES_MAX: usize = 8;

/// Rows of the tables of the text; the JSON has all.
const ROWS_SHOWN_MAX: usize = 40;

/// What another gateway's configuration was taken to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Mapping {
    /// What was assumed, for the files do not say it.
    pub(crate) assumed: Vec<Remark>,
    /// One for each way to reach a model.
    pub(crate) channels: Vec<MappedChannel>,
    /// The files that were read.
    pub(crate) files: Vec<String>,
    /// Whose they are.
    pub(crate) gateway: &'static str,
    /// What could not be mapped.
    pub(crate) not_mapped: Vec<Remark>,
    /// What applications may ask for.
    pub(crate) pools: Vec<MappedPool>,
    /// The log of calls, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<MappedTraffic>,
}

/// A deployment as a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MappedChannel {
    pub(crate) channel: String,
    /// What it depends on directly.
    pub(crate) components: Vec<String>,
    pub(crate) models: Vec<String>,
    /// Where the deployment stands, as `file:line`.
    pub(crate) place: String,
    pub(crate) price: PriceBasis,
}

/// Where the price of a channel is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PriceBasis {
    /// The files state it.
    Stated,
    /// The log's calls on the channel agree on it.
    Observed,
    /// Nobody says; it is not zero.
    Unknown,
}

/// A group as a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MappedPool {
    /// What applications ask for; the pool's name differs where that cannot be a name here.
    pub(crate) asked: String,
    /// The models, most wanted first.
    pub(crate) models: Vec<String>,
    /// Where it stands first, as `file:line`.
    pub(crate) place: String,
    pub(crate) pool: String,
    /// Ways that a call may see.
    pub(crate) ways: usize,
}

/// What became of the rows of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MappedTraffic {
    /// Calls that are laid on the grid.
    pub(crate) calls: u64,
    pub(crate) file: String,
    /// Rows that are no call of a model, by why they are left out.
    pub(crate) left_out: Vec<Counted>,
    pub(crate) parties: u64,
    pub(crate) rows: u64,
    /// What of the calls could not be mapped.
    pub(crate) unknown: Vec<Counted>,
}

/// How many, and what that means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    pub(crate) means: String,
    pub(crate) says: String,
}

/// What is said of places in the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Remark {
    /// What it means for the answer.
    pub(crate) means: String,
    /// Places beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more: usize,
    /// As `file:line`.
    pub(crate) places: Vec<String>,
    pub(crate) says: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Where remarks are collected.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    assumed: Vec<Noted>,
    not_mapped: Vec<Noted>,
}

#[derive(Debug)]
struct Noted {
    means: String,
    more: usize,
    places: Vec<Place>,
    says: String,
}

impl Remarks {
    pub(crate) fn assumed(&mut self, place: Place, says: String, means: &str) {
        note(&mut self.assumed, place, says, means);
    }

    pub(crate) fn not_mapped(&mut self, place: Place, says: String, means: &str) {
        note(&mut self.not_mapped, place, says, means);
    }

    /// A credential stands in a file.
    pub(crate) fn secret(&mut self, place: Place) {
        self.not_mapped(
            place,
            "a credential stands in the file itself".to_owned(),
            "it was not read; configurations are copied and committed, so keep it elsewhere and replace it",
        );
    }

    /// The remarks in the order of the files: assumed, not mapped.
    pub(crate) fn finish(self, files: &[String]) -> (Vec<Remark>, Vec<Remark>) {
        (finish(self.assumed, files), finish(self.not_mapped, files))
    }
}

fn note(list: &mut Vec<Noted>, place: Place, says: String, means: &str) {
    if let Some(noted) = list
        .iter_mut()
        .find(|noted| noted.says == says && noted.means == means)
    {
        if noted.places.contains(&place) {
            return;
        }
        if noted.places.len() < PLACES_MAX {
            noted.places.push(place);
        } else {
            noted.more += 1;
        }
        return;
    }
    if list.len() < REMARKS_MAX {
        list.push(Noted {
            means: means.to_owned(),
            more: 0,
            places: vec![place],
            says,
        });
    } else if let Some(last) = list.last_mut() {
        *last = Noted {
            means: "they are not listed; correct those above first".to_owned(),
            more: 0,
            places: Vec::new(),
            says: "more remarks than a report holds".to_owned(),
        };
    }
}

fn finish(mut list: Vec<Noted>, files: &[String]) -> Vec<Remark> {
    for noted in &mut list {
        noted.places.sort();
    }
    list.sort_by_key(|noted| {
        noted
            .places
            .first()
            .copied()
            .map_or((1, Place::default()), |place| (0, place))
    });
    list.into_iter()
        .map(|noted| Remark {
            means: noted.means,
            more: noted.more,
            places: noted
                .places
                .iter()
                .map(|place| shown_place(*place, files))
                .collect(),
            says: noted.says,
        })
        .collect()
}

/// The names of files without their folders, unless two have the same.
pub(crate) fn short(files: &[String]) -> Vec<String> {
    let name = |file: &String| {
        let name = std::path::Path::new(file).file_name();
        name.map_or_else(|| file.clone(), |name| name.to_string_lossy().into_owned())
    };
    let names: Vec<String> = files.iter().map(name).collect();
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    if distinct.len() == names.len() {
        names
    } else {
        files.to_vec()
    }
}

/// `file:line`.
pub(crate) fn shown_place(place: Place, files: &[String]) -> String {
    let file = files.get(place.file).map_or("", String::as_str);
    if place.line == 0 {
        file.to_owned()
    } else {
        format!("{file}:{}", place.line)
    }
}

// === impl Mapping ===

impl Mapping {
    /// One line before the answer.
    pub(crate) fn head(&self) -> String {
        let files = self.files.join(", ");
        let calls = self.traffic.as_ref().map_or(String::new(), |traffic| {
            format!(
                "; {} of {} rows of {} are calls",
                traffic.calls, traffic.rows, traffic.file
            )
        });
        format!(
            "{files} ({}): {} channels, {} pools{calls}. Assumed: {}; not mapped: {} (below).",
            self.gateway,
            self.channels.len(),
            self.pools.len(),
            self.assumed.len(),
            self.not_mapped.len()
        )
    }

    /// The report for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut out = format!(
            "Mapping: what {} is taken to be\n\n",
            short(&self.files).join(", ")
        );
        out.push_str(&self.channel_table());
        out.push('\n');
        out.push_str(&self.pool_table());
        if let Some(traffic) = &self.traffic {
            traffic.write(&mut out);
        }
        for (title, remarks) in [("Assumed", &self.assumed), ("Not mapped", &self.not_mapped)] {
            if remarks.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{title}:");
            for remark in remarks {
                remark.write(&mut out);
            }
        }
        out
    }

    fn channel_table(&self) -> String {
        let head = ["channel", "from", "models", "needs", "price"].map(|name| (name, Side::Left));
        let rows = self.channels.iter().take(ROWS_SHOWN_MAX).map(|channel| {
            let price = match channel.price {
                PriceBasis::Stated => "stated",
                PriceBasis::Observed => "observed",
                PriceBasis::Unknown => "unknown",
            };
            vec![
                channel.channel.clone(),
                channel.place.clone(),
                channel.models.join(" "),
                channel.components.join(" "),
                price.to_owned(),
            ]
        });
        with_rest(table(&head, &rows.collect::<Vec<_>>()), self.channels.len())
    }

    fn pool_table(&self) -> String {
        let head = [
            ("pool", Side::Left),
            ("from", Side::Left),
            ("ways", Side::Right),
            ("models, most wanted first", Side::Left),
        ];
        let rows = self.pools.iter().take(ROWS_SHOWN_MAX).map(|pool| {
            vec![
                pool.pool.clone(),
                pool.place.clone(),
                pool.ways.to_string(),
                pool.models.join(", "),
            ]
        });
        with_rest(table(&head, &rows.collect::<Vec<_>>()), self.pools.len())
    }
}

fn with_rest(mut table: String, rows: usize) -> String {
    if rows > ROWS_SHOWN_MAX {
        let _ = writeln!(table, "… and {} more (--json has all)", rows - ROWS_SHOWN_MAX);
    }
    table
}

impl Remark {
    fn write(&self, out: &mut String) {
        let mut places = self.places.join(", ");
        if self.more > 0 {
            let _ = write!(places, " and {} more", self.more);
        }
        let _ = writeln!(out, "- {places}: {}\n    {}", self.says, self.means);
    }
}

impl MappedTraffic {
    fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n{}: {} rows, {} calls of {} parties",
            self.file, self.rows, self.calls, self.parties
        );
        for counted in self.left_out.iter().chain(&self.unknown) {
            let _ = writeln!(
                out,
                "- {} × {}\n    {}",
                counted.count, counted.says, counted.means
            );
        }
    }
}
