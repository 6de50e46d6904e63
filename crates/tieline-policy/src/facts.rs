//! What rules may know about a call: facts about the party, the model and the channel, and the call's own region and end
//! use. A fact that nobody has established is absent, and so is one that has expired: absent is never favourable.
//!
//! These are classes and codes, not people: no field takes a name, an address, a passport or a raw nationality.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_core::grid::Weights;
use tieline_note::jcs::{self, JcsError};
use tieline_note::{Digest, sha256};

use crate::alternative::Alternative;
use crate::country::Country;
use crate::limits::{Block, Clearance, Limit};

/// What a verdict is a function of, together with the epoch and the instant. Its canonical JSON is the recorded form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    #[serde(default)]
    pub action: Action,
    pub channel: ChannelFacts,
    /// What the call is for, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_use: Option<Arc<str>>,
    pub model: ModelFacts,
    pub party: PartyFacts,
    /// Where the call is processed, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Arc<str>>,
}

/// What is to be done with the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// One request of an application.
    #[default]
    Call,
}

/// What has been established about a party.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartyFacts {
    /// What unexpired evidence asserts besides the values in the fields; each is judged, and the strictest verdict wins.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<Alternative>,
    /// Models that a channel refused to the party on legal grounds, until an officer ends the block.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub blocked: BTreeSet<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Rules that officers cleared for the party.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cleared: BTreeSet<Clearance>,
    /// Those of its licences of which each call uses a unit.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub counted: BTreeSet<Arc<str>>,
    /// Where the party's own computing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_centre: Option<Country>,
    /// The uses that the party has declared; absent is undeclared, empty is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_uses: Option<BTreeSet<Arc<str>>>,
    /// When a fact stops being one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expires: BTreeMap<FactName, Tick>,
    /// The operator's lists on which the party stands.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<Arc<str>>,
    /// Where the organisation has its headquarters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headquarters: Option<Country>,
    /// Where the party is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Country>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The names by which rules ask for licences that have ids of their own, by those ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub licence_kinds: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids of licences that it holds.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub licences: BTreeSet<Arc<str>>,
    /// Scopes of licences and statements: each counts only for a question that one of its scopes admits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<FactName, BTreeSet<Limit>>,
    /// Restricted-party lists on which it was found; absent is unscreened, empty is clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed: Option<BTreeSet<Arc<str>>>,
    /// Where its ultimate parent has its headquarters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_headquarters: Option<Country>,
    /// Classes that its employer asserts of a person, such as `us_person` or `nationality_group:A5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person_class: Option<BTreeSet<Arc<str>>>,
    /// Kinds of signed statements that are in force.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub statements: BTreeSet<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Academic,
    Agency,
    Consumer,
    Enterprise,
    Startup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Organisation,
    Person,
    Service,
    Unit,
}

/// What is known about a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    pub lab: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab_jurisdiction: Option<Country>,
    pub name: Arc<str>,
    /// Training compute in FLOP, as a decimal number (`2.1e25`, `100000000000000000000000000`), if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_flop: Option<Arc<str>>,
    pub weights: Weights,
}

/// What is known about a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelFacts {
    /// Everything it depends on, transitively, such as `cloud:aws`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub components: BTreeSet<Arc<str>>,
    pub name: Arc<str>,
    /// The law that its operator is under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_jurisdiction: Option<Country>,
    pub provider: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Arc<str>>,
    /// The country in which that region lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_country: Option<Country>,
}

/// The name of one fact of a party: a field, one licence or statement (`licences/<id>`, `statements/<kind>`), or what an
/// officer cleared (`clearances/<ticket>`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FactName {
    Class,
    Clearance(Arc<str>),
    DataCentre,
    EndUses,
    Headquarters,
    Jurisdiction,
    Kind,
    Licence(Arc<str>),
    Listed,
    ParentHeadquarters,
    PersonClass,
    Statement(Arc<str>),
}

/// A text that names no fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no fact that can expire: class, data_centre, end_uses, headquarters, jurisdiction, kind, listed, \
     parent_headquarters, person_class, clearances/…, licences/… or statements/…"
)]
pub struct BadFactName(pub String);

// === impl PartyFacts ===

impl PartyFacts {
    /// SHA-256 of the canonical JSON. Fails only on an expiry after the year 2255, which canonical JSON cannot write.
    pub fn digest(&self) -> Result<Digest, JcsError> {
        Ok(sha256(&jcs::to_vec(self)?))
    }

    /// The facts that are known, by name; groups are the operator's own lists and cannot be missing.
    pub fn names(&self) -> Vec<FactName> {
        let fields = FIELDS
            .iter()
            .filter(|(_, _, known)| known(self))
            .map(|(_, name, _)| name.clone());
        let tickets: BTreeSet<&Arc<str>> = self.cleared.iter().map(|one| &one.ticket).collect();
        let clearances = tickets.into_iter().cloned().map(FactName::Clearance);
        let licences = self.licences.iter().cloned().map(FactName::Licence);
        let statements = self.statements.iter().cloned().map(FactName::Statement);
        fields
            .chain(clearances)
            .chain(licences)
            .chain(statements)
            .collect()
    }

    /// Makes a fact missing.
    pub fn forget(&mut self, name: &FactName) {
        match name {
            FactName::Class => self.class = None,
            FactName::Clearance(ticket) => self.cleared.retain(|one| one.ticket != *ticket),
            FactName::DataCentre => self.data_centre = None,
            FactName::EndUses => self.end_uses = None,
            FactName::Headquarters => self.headquarters = None,
            FactName::Jurisdiction => self.jurisdiction = None,
            FactName::Kind => self.kind = None,
            FactName::Licence(id) => {
                self.licences.remove(id);
                self.counted.remove(id);
                self.licence_kinds.remove(id);
            }
            FactName::Listed => self.listed = None,
            FactName::ParentHeadquarters => self.parent_headquarters = None,
            FactName::PersonClass => self.person_class = None,
            FactName::Statement(kind) => drop(self.statements.remove(kind)),
        }
        self.also.retain(|other| other.value.fact() != *name);
        self.expires.remove(name);
        self.limits.remove(name);
    }

    /// The same without the ends that come at `at`: what holds until then, and is the same whenever that is.
    #[must_use]
    pub fn lasting_until(&self, at: Tick) -> Self {
        let mut lasting = self.clone();
        lasting.expires.retain(|_, end| *end != at);
        let also = std::mem::take(&mut lasting.also).into_iter();
        lasting.also = also
            .map(|other| Alternative {
                expires: other.expires.filter(|end| *end != at),
                ..other
            })
            .collect();
        lasting
    }

    /// The facts that are left at `now`: an expired fact is a missing fact, unless another value of it is asserted still.
    #[must_use]
    pub fn at(&self, now: Tick) -> Self {
        let mut left = self.clone();
        left.also.retain(|other| other.expires.is_none_or(|at| at > now));
        for (name, _) in self.expires.iter().filter(|(_, at)| **at <= now) {
            let Some(next) = left
                .also
                .iter()
                .find(|other| other.value.fact() == *name)
                .cloned()
            else {
                left.forget(name);
                continue;
            };
            left.also.remove(&next);
            left.expires.remove(name);
            left.expires.extend(next.expires.map(|at| (name.clone(), at)));
            left.set(next.value);
        }
        for limits in left.limits.values_mut() {
            limits.retain(|limit| limit.holds(now));
        }
        let limits = left.limits.iter().filter(|(_, limits)| limits.is_empty());
        let ended: Vec<FactName> = limits.map(|(name, _)| name.clone()).collect();
        for name in &ended {
            left.forget(name);
        }
        left
    }

    /// The last expiry up to `now`, and the first after it.
    pub(crate) fn expiries_around(&self, now: Tick) -> (Option<Tick>, Option<Tick>) {
        let all = || {
            let also = self.also.iter().filter_map(|other| other.expires);
            let limits = self.limits.values().flatten();
            let limits = limits.flat_map(|limit| limit.from.into_iter().chain(limit.expires));
            self.expires.values().copied().chain(also).chain(limits)
        };
        let before = all().filter(|at| *at <= now).max();
        let after = all().filter(|at| *at > now).min();
        (before, after)
    }

    pub(crate) fn countries(&self) -> impl Iterator<Item = &Country> {
        [
            &self.data_centre,
            &self.headquarters,
            &self.jurisdiction,
            &self.parent_headquarters,
        ]
        .into_iter()
        .flatten()
    }
}

// === impl ModelFacts ===

impl ModelFacts {
    /// Training compute in units of 10^18 FLOP, rounded up, so that a rule about a threshold sees a model that is just
    /// below it as on it and never the other way round. `None` for unknown, and for a text that is no number.
    pub fn training_eflop(&self) -> Option<i64> {
        eflop(self.training_flop.as_ref()?)
    }
}

/// A decimal number, with exponent or without, in units of 10^18, rounded up; saturates at `i64::MAX`.
pub(crate) fn eflop(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?,
        ),
        None => (text, 0_u32),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|b| i128::from(b - b'0'));
    // The first `whole.len() + exponent - 18` digits are units; anything other than zero behind them rounds up.
    let units_len = i64::try_from(whole.len()).ok()? + i64::from(exponent) - 18;
    let mut units: i128 = 0;
    let mut rest = false;
    let mut read: i64 = 0;
    for digit in digits {
        if read < units_len {
            units = units.saturating_mul(10).saturating_add(digit);
        } else {
            rest |= digit != 0;
        }
        read += 1;
    }
    while read < units_len && units != 0 && units < i128::from(i64::MAX) {
        units *= 10;
        read += 1;
    }
    Some(i64::try_from(units + i128::from(rest)).unwrap_or(i64::MAX))
}

// === impl ChannelFacts ===

impl ChannelFacts {
    /// The country in which the channel processes in this region, which is known of its own region only.
    pub(crate) fn country_at(&self, region: Option<&str>) -> Option<&Country> {
        self.region_country
            .as_ref()
            .filter(|_| self.region.as_deref() == region)
    }

    /// The cloud that it runs on, from its component `cloud:…`.
    pub fn cloud(&self) -> Option<&str> {
        self.components
            .iter()
            .find_map(|name| name.strip_prefix("cloud:"))
    }
}

// === impl Action, Class, Kind ===

impl Action {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
        }
    }
}

impl Class {
    pub const ALL: [Self; 5] = [
        Self::Academic,
        Self::Agency,
        Self::Consumer,
        Self::Enterprise,
        Self::Startup,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Academic => "academic",
            Self::Agency => "agency",
            Self::Consumer => "consumer",
            Self::Enterprise => "enterprise",
            Self::Startup => "startup",
        }
    }
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Organisation, Self::Person, Self::Service, Self::Unit];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Person => "person",
            Self::Service => "service",
            Self::Unit => "unit",
        }
    }
}

// === impl FactName ===

type IsKnown = fn(&PartyFacts) -> bool;

/// The facts that are fields: name in texts, name in code, whether it is known.
const FIELDS: [(&str, FactName, IsKnown); 9] = [
    ("class", FactName::Class, |f| f.class.is_some()),
    ("data_centre", FactName::DataCentre, |f| f.data_centre.is_some()),
    ("end_uses", FactName::EndUses, |f| f.end_uses.is_some()),
    ("headquarters", FactName::Headquarters, |f| {
        f.headquarters.is_some()
    }),
    ("jurisdiction", FactName::Jurisdiction, |f| {
        f.jurisdiction.is_some()
    }),
    ("kind", FactName::Kind, |f| f.kind.is_some()),
    ("listed", FactName::Listed, |f| f.listed.is_some()),
    ("parent_headquarters", FactName::ParentHeadquarters, |f| {
        f.parent_headquarters.is_some()
    }),
    ("person_class", FactName::PersonClass, |f| {
        f.person_class.is_some()
    }),
];

impl FactName {
    /// Names of the facts that are fields of a party: what can be missing of it as a whole.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|(name, _, _)| *name)
    }
}

impl TryFrom<String> for FactName {
    type Error = BadFactName;

    fn try_from(text: String) -> Result<Self, BadFactName> {
        if let Some((_, name, _)) = FIELDS.iter().find(|(field, _, _)| *field == text) {
            return Ok(name.clone());
        }
        match text.split_once('/') {
            Some(("clearances", ticket)) if !ticket.is_empty() => Ok(Self::Clearance(Arc::from(ticket))),
            Some(("licences", id)) if !id.is_empty() => Ok(Self::Licence(Arc::from(id))),
            Some(("statements", kind)) if !kind.is_empty() => Ok(Self::Statement(Arc::from(kind))),
            _ => Err(BadFactName(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for FactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clearance(ticket) => write!(f, "clearances/{ticket}"),
            Self::Licence(id) => write!(f, "licences/{id}"),
            Self::Statement(kind) => write!(f, "statements/{kind}"),
            field => f.write_str(
                FIELDS
                    .iter()
                    .find(|(_, name, _)| name == field)
                    .map_or("", |(text, _, _)| text),
            ),
        }
    }
}

impl From<FactName> for String {
    fn from(name: FactName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_compute_is_counted_in_units_and_rounded_up() {
        for (text, expected) in [
            ("1e26", Some(100_000_000)),
            ("1E+26", Some(100_000_000)),
            ("100000000000000000000000000", Some(100_000_000)),
            ("99999999999999999999999999", Some(100_000_000)),
            ("100000000000000000000000001", Some(100_000_001)),
            ("2.15e25", Some(21_500_000)),
            ("2.1500000000000000001e25", Some(21_500_001)),
            ("0", Some(0)),
            ("1", Some(1)),
            ("0.5", Some(1)),
            ("1e18", Some(1)),
            ("1e17", Some(1)),
            ("1e400", Some(i64::MAX)),
            ("0e4000000000", Some(0)),
            ("unknown", None),
            ("", None),
            ("-1", None),
            (".5", None),
            ("1e", None),
            ("1e-3", None),
            ("1,5e25", None),
        ] {
            assert_eq!(eflop(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_expired_fact_is_a_missing_fact() {
        let text = r#"{"expires":{"jurisdiction":100,"statements/end-use":200},"jurisdiction":"DE",
                       "statements":["end-use","other"]}"#;
        let facts: PartyFacts = serde_json::from_str(text).unwrap();
        assert_eq!(facts.at(Tick(99)), facts);
        assert!(facts.at(Tick(100)).jurisdiction.is_none());
        assert_eq!(facts.at(Tick(200)).statements.len(), 1);
        assert_eq!(
            facts.expiries_around(Tick(150)),
            (Some(Tick(100)), Some(Tick(200)))
        );
    }

    #[test]
    fn facts_that_are_unknown_to_us_are_refused() {
        for bad in [
            r#"{"nationality":"DE"}"#,
            r#"{"jurisdiction":"Germany"}"#,
            r#"{"class":"company"}"#,
            r#"{"expires":{"groups":1}}"#,
            r#"{"expires":{"licences/":1}}"#,
        ] {
            assert!(serde_json::from_str::<PartyFacts>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_fact_can_be_named_and_forgotten() {
        let text = r#"{"class":"agency","cleared":[{"model":"m","rule":"p/r","ticket":"t"},{"rule":"p/q","ticket":"t"}],
            "counted":["l"],"data_centre":"DE","end_uses":[],"headquarters":"DE","jurisdiction":"DE",
            "kind":"unit","licence_kinds":{"l":"k"},"licences":["l"],"limits":{"statements/s":[{"scope":{"models":["m"]}}]},"listed":[],"parent_headquarters":"DE","person_class":[],
            "statements":["s"]}"#;
        let mut facts: PartyFacts = serde_json::from_str(text).unwrap();
        let names = facts.names();
        assert_eq!(names.len(), 12);
        for name in names {
            assert_eq!(FactName::try_from(name.to_string()), Ok(name.clone()));
            facts.forget(&name);
        }
        assert_eq!(facts, PartyFacts::default());
    }
}
