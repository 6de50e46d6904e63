//! `pack.toml`: what a pack is, when it holds, and the sets that its rules name. Every wrong key is reported in one run,
//! with its place; the file is read as spans, not through a deserializer that stops at the first mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use toml::Spanned;
use toml::de::DeValue;

use crate::country::Country;
use crate::date::Edge;
use crate::fields::{self, Fields, ID_HELP, is_id};
use crate::problem::{Problems, Sheet};

/// The file that every pack has.
pub(crate) const MANIFEST: &str = "pack.toml";

/// Sets of one pack. The largest body of rules described to us, the country groups of the EAR, has 17.
const SETS_MAX: usize = 256;

/// Dated members of all sets of one pack: the seventeen country groups of the EAR changed less often in ten years. Each
/// makes at most two eras, which the epoch bounds again for all its packs.
pub(crate) const HISTORY_MAX: usize = 64;

/// How far a body of rules binds. Which of these enforce is the operator's choice, not the pack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Law, or an order, that is enforced.
    InForce,
    /// Printed law that its authority says it does not enforce.
    CodifiedUnenforced,
    /// Law whose effect is suspended for a time.
    Suspended,
    /// Not law yet.
    Proposed,
    /// Terms of a provider that bind by contract.
    ProviderTerms,
    /// A commitment without sanction.
    Voluntary,
    /// The operator's own rules.
    Company,
}

/// The checked content of `pack.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it covers, in sentences for people.
    pub covers: Vec<Arc<str>>,
    pub does_not_cover: Vec<Arc<str>>,
    /// `[a-z0-9-]{1,64}`; the first part of each rule's id.
    pub id: Arc<str>,
    /// Says that it is not legal advice.
    pub notice: Arc<str>,
    /// When the pack was written down, which may be later than the day from which it holds.
    pub recorded_at: Tick,
    /// Sets of countries by name; rules cite them as `CountryGroup::"<pack>/<name>"`.
    pub sets: BTreeMap<Arc<str>, CountrySet>,
    pub status: Status,
    pub title: Arc<str>,
    pub valid_from: Tick,
    /// The first instant at which it no longer holds.
    pub valid_to: Option<Tick>,
    pub version: Arc<str>,
}

/// A set of countries. Who is in it may depend on the day: the law changes, and a verdict of a past day is judged by the
/// members of that day. What was known on that day is another matter: that is the version of the pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountrySet {
    pub citation: Option<Arc<str>>,
    /// Members at all times of the pack.
    pub constant: BTreeSet<Country>,
    /// Members for a time, by country and time, without overlaps.
    pub history: Vec<Membership>,
    pub title: Option<Arc<str>>,
    /// Why nobody should rely on it; only rules that hold may name such a set.
    pub unverified: Option<Arc<str>>,
}

/// A country's time in a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    pub country: Country,
    /// The first instant at which it is a member; `None`: since before the pack.
    pub added: Option<Tick>,
    /// The first instant at which it is none; in a file, the first day.
    pub removed: Option<Tick>,
    pub citation: Arc<str>,
}

/// Reads `pack.toml`; `None` after a problem.
pub(crate) fn read(sheet: Sheet<'_>, problems: &mut Problems) -> Option<Manifest> {
    let root = fields::parse(sheet, problems)?;
    let mut fields = Fields {
        sheet,
        table: root.get_ref(),
        place: 0..0,
        problems,
    };
    fields.only(&[
        "covers",
        "does_not_cover",
        "id",
        "notice",
        "recorded_at",
        "sets",
        "status",
        "title",
        "valid_from",
        "valid_to",
        "version",
    ]);
    // Each line reads its own field, so that one wrong field does not hide the next.
    let covers = fields.texts("covers");
    let does_not_cover = fields.texts("does_not_cover");
    let id = fields.id();
    let notice = fields.notice();
    let recorded_at = fields.date("recorded_at", Edge::Begin);
    let sets = fields.sets();
    let status = fields.status();
    let title = fields.text("title");
    let valid_from = fields.date("valid_from", Edge::Begin);
    let valid_to = if fields.has("valid_to") {
        fields.date("valid_to", Edge::End).map(Some)
    } else {
        Some(None)
    };
    let version = fields.text("version");
    if let (Some(from), Some(Some(to))) = (valid_from, valid_to)
        && to <= from
    {
        fields.complain(
            "valid_to",
            "`valid_to` lies before `valid_from`",
            Some("a pack holds for at least a day"),
        );
        return None;
    }
    Some(Manifest {
        covers: covers?,
        does_not_cover: does_not_cover?,
        id: id?,
        notice: notice?,
        recorded_at: recorded_at?,
        sets: sets?,
        status: status?,
        title: title?,
        valid_from: valid_from?,
        valid_to: valid_to?,
        version: version?,
    })
}

/// First parts of ids of rules that are in no pack: the engine's own, those of directives, and confidential ones.
const RESERVED: [&str; 3] = [crate::engine::OWN_PACK, "directive", "sealed"];

impl Fields<'_, '_> {
    fn id(&mut self) -> Option<Arc<str>> {
        let id = self.text("id")?;
        if !is_id(&id) {
            self.complain("id", format!("`{id}` is no id of a pack"), Some(ID_HELP));
            return None;
        }
        if RESERVED.contains(&&*id) {
            let says = format!("the id `{id}` is taken: rules that are in no pack have it");
            self.complain("id", says, Some("choose another id"));
            return None;
        }
        Some(id)
    }

    fn notice(&mut self) -> Option<Arc<str>> {
        let notice = self.text("notice")?;
        if notice.to_lowercase().contains("not legal advice") {
            return Some(notice);
        }
        let help = "readers take a cited rule for counsel; write, for example, `notice = \"This is not legal advice.\"`";
        self.complain(
            "notice",
            "`notice` does not say that the pack is not legal advice",
            Some(help),
        );
        None
    }

    fn status(&mut self) -> Option<Status> {
        let text = self.text("status")?;
        let status = Status::parse(&text);
        if status.is_none() {
            let names = Status::ALL.map(Status::name).join(", ");
            self.complain(
                "status",
                format!("unknown status `{text}`"),
                Some(&format!("one of {names}")),
            );
        }
        status
    }

    fn sets(&mut self) -> Option<BTreeMap<Arc<str>, CountrySet>> {
        let Some(value) = self.table.get("sets") else {
            return Some(BTreeMap::new());
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type("sets", "a table");
            return None;
        };
        if table.len() > SETS_MAX {
            self.complain(
                "sets",
                format!("more than {SETS_MAX} sets"),
                Some("split the pack"),
            );
            return None;
        }
        let mut out = BTreeMap::new();
        let mut sound = true;
        for (key, value) in table {
            let name = key.get_ref();
            if !is_id(name) {
                let says = format!("`{name}` is no name of a set");
                self.problems
                    .push(self.sheet.problem(key.span().start, says, Some(ID_HELP)));
                sound = false;
            }
            match self.set(name, key.span(), value) {
                Some(set) => drop(out.insert(Arc::from(name.as_ref()), set)),
                None => sound = false,
            }
        }
        let dated = out.values().map(|set| set.history.len()).sum::<usize>();
        if dated > HISTORY_MAX {
            let says = format!("the sets have {dated} dated members, and {HISTORY_MAX} are the limit");
            self.complain("sets", says, Some("leave out what ended before the pack begins"));
            return None;
        }
        sound.then_some(out)
    }

    fn set(&mut self, name: &str, place: Range<usize>, value: &Spanned<DeValue<'_>>) -> Option<CountrySet> {
        let Some(table) = value.get_ref().as_table() else {
            let says = format!("the set `{name}` is not a table");
            let help = format!("write `[sets.{name}]` and `countries = [\"DE\"]`");
            self.problems
                .push(self.sheet.problem(place.start, says, Some(&help)));
            return None;
        };
        let mut fields = Fields {
            sheet: self.sheet,
            table,
            place,
            problems: &mut *self.problems,
        };
        fields.only(&["citation", "countries", "history", "title", "unverified"]);
        let citation = fields.optional_text("citation");
        let title = fields.optional_text("title");
        let unverified = fields.optional_text("unverified");
        let constant = if fields.has("countries") || !fields.has("history") {
            fields.countries(name)
        } else {
            Some(BTreeSet::new())
        };
        let history = fields.history(name, constant.as_ref());
        Some(CountrySet {
            citation: citation.ok()?,
            constant: constant?,
            history: history?,
            title: title.ok()?,
            unverified: unverified.ok()?,
        })
    }

    fn countries(&mut self, set: &str) -> Option<BTreeSet<Country>> {
        let Some(array) = self.required("countries")?.get_ref().as_array() else {
            self.wrong_type("countries", "an array of country codes");
            return None;
        };
        if array.is_empty() {
            let help = "a rule that names an empty set forbids nobody; leave the rule out";
            self.complain("countries", format!("the set `{set}` is empty"), Some(help));
            return None;
        }
        let mut out = BTreeSet::new();
        let mut sound = true;
        for item in array {
            let says = match item.get_ref().as_str().map(Country::parse) {
                None => format!("a value of type {} is no country code", item.get_ref().type_str()),
                Some(Err(bad)) => bad.to_string(),
                Some(Ok(country)) if out.contains(&country) => format!("`{country}` stands twice in `{set}`"),
                Some(Ok(country)) => {
                    out.insert(country);
                    continue;
                }
            };
            sound = false;
            self.problems
                .push(self.sheet.problem(item.span().start, says, None));
        }
        sound.then_some(out)
    }

    /// The dated members of a set, in order of country and time.
    fn history(&mut self, set: &str, constant: Option<&BTreeSet<Country>>) -> Option<Vec<Membership>> {
        if !self.has("history") {
            return Some(Vec::new());
        }
        let Some(array) = self.required("history")?.get_ref().as_array() else {
            self.wrong_type("history", "an array of tables");
            return None;
        };
        if array.is_empty() {
            self.complain(
                "history",
                format!("the history of `{set}` is empty"),
                Some("leave it out"),
            );
            return None;
        }
        let mut out: Vec<Membership> = Vec::new();
        let mut sound = true;
        for item in array {
            let Some(next) = self.membership(item) else {
                sound = false;
                continue;
            };
            let country = &next.country;
            let says = if constant.is_some_and(|constant| constant.contains(country)) {
                format!("`{country}` stands in the history of `{set}` and among its constant members")
            } else if out.iter().any(|other| other.overlaps(&next)) {
                format!("two memberships of `{country}` in `{set}` overlap")
            } else {
                out.push(next);
                continue;
            };
            sound = false;
            let help = "`countries` are members at all times; a dated member stands in `history` alone";
            self.problems
                .push(self.sheet.problem(item.span().start, says, Some(help)));
        }
        out.sort();
        sound.then_some(out)
    }

    fn membership(&mut self, item: &Spanned<DeValue<'_>>) -> Option<Membership> {
        let Some(table) = item.get_ref().as_table() else {
            let says = format!("a value of type {} is no dated member", item.get_ref().type_str());
            let help = "write `{ country = \"DE\", added = 2026-01-01, citation = \"…\" }`";
            self.problems
                .push(self.sheet.problem(item.span().start, says, Some(help)));
            return None;
        };
        let mut fields = Fields {
            sheet: self.sheet,
            table,
            place: item.span(),
            problems: &mut *self.problems,
        };
        fields.only(&["added", "citation", "country", "removed"]);
        let country = fields.text("country").and_then(|code| {
            Country::parse(&code)
                .map_err(|bad| fields.complain("country", bad.to_string(), None))
                .ok()
        });
        let citation = fields.text("citation");
        let added = fields.optional_date("added");
        let removed = fields.optional_date("removed");
        if !fields.has("added") && !fields.has("removed") {
            let help = "a member without dates stands in `countries`";
            fields.complain("country", "a dated member has no date", Some(help));
            return None;
        }
        let membership = Membership {
            country: country?,
            added: added.ok()?,
            removed: removed.ok()?,
            citation: citation?,
        };
        if let (Some(added), Some(removed)) = (membership.added, membership.removed)
            && removed <= added
        {
            fields.complain("removed", "`removed` does not lie after `added`", None);
            return None;
        }
        Some(membership)
    }
}

// === impl Manifest, CountrySet, Membership ===

impl Manifest {
    /// The instants at which a set gains or loses a member while the pack holds.
    pub fn set_changes(&self) -> BTreeSet<Tick> {
        (self.sets.values())
            .flat_map(|set| &set.history)
            .flat_map(|member| [member.added, member.removed])
            .flatten()
            .filter(|at| *at > self.valid_from && self.valid_to.is_none_or(|end| *at < end))
            .collect()
    }

    /// The sets as they are at `now`, by their full names.
    pub fn sets_at(&self, now: Tick) -> impl Iterator<Item = (String, BTreeSet<Country>)> + '_ {
        let full = |name: &Arc<str>| format!("{}/{name}", self.id);
        self.sets.iter().map(move |(name, set)| (full(name), set.at(now)))
    }
}

impl CountrySet {
    /// Who is in it at `now`.
    pub fn at(&self, now: Tick) -> BTreeSet<Country> {
        let dated = self.history.iter().filter(|member| member.holds(now));
        self.constant
            .iter()
            .chain(dated.map(|member| &member.country))
            .cloned()
            .collect()
    }
}

impl Membership {
    fn holds(&self, now: Tick) -> bool {
        self.added.is_none_or(|added| added <= now) && self.removed.is_none_or(|removed| now < removed)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let before = |a: &Self, b: &Self| {
            a.removed
                .zip(b.added)
                .is_some_and(|(removed, added)| removed <= added)
        };
        self.country == other.country && !before(self, other) && !before(other, self)
    }
}

// === impl Status ===

impl Status {
    pub const ALL: [Self; 7] = [
        Self::InForce,
        Self::CodifiedUnenforced,
        Self::Suspended,
        Self::Proposed,
        Self::ProviderTerms,
        Self::Voluntary,
        Self::Company,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::CodifiedUnenforced => "codified_unenforced",
            Self::Suspended => "suspended",
            Self::Proposed => "proposed",
            Self::ProviderTerms => "provider_terms",
            Self::Voluntary => "voluntary",
            Self::Company => "company",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}
