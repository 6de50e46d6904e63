//! Directives: dated orders that change who may use what, on top of the packs in force, and revocations that end them.
//!
//! An order is TOML text ([`Order::parse`]), in force only as a signed note ([`SignedOrder::open`]) with as many distinct
//! co-signers as the operator demands. A directive only ever forbids or holds: it can make no verdict less strict. An
//! order with a problem is refused whole, with every problem and its place. Bounds: those of a note
//! ([`tieline_note::note::NOTE_BYTES_MAX`]), which is a list of 100,000 short names of parties.

mod condition;
mod read;
mod signed;
mod standing;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tieline_core::{Rule, Ruling, Span, Tick};
use tieline_note::Digest;

pub use condition::Condition;
pub(crate) use read::table as order_of_table;
pub use signed::{OrderError, SIGNERS_MAX, SignedOrder, Signers};
pub use standing::{ASSIGNMENTS_MAX, Standing};
pub(crate) use standing::{Named, Weighed};

use crate::facts::ModelFacts;
use crate::pack::Disclosure;

/// The type tag of version 1 of a directive's text.
pub const DIRECTIVE_V1: &str = "tieline/directive/v1";

/// The type tag of version 1 of a revocation's text.
pub const REVOCATION_V1: &str = "tieline/revocation/v1";

/// The longest drain of calls in flight: no call lives for longer than a day.
pub const DRAIN_S_MAX: u64 = 86_400;

/// What somebody orders.
#[derive(Clone, Debug)]
pub enum Order {
    Directive(Arc<Directive>),
    Revocation(Revocation),
}

/// An order that changes who may use what, from one instant until another or until it is revoked.
#[derive(Clone, Debug)]
pub struct Directive {
    /// What it is issued under, such as `15 CFR 744.22`.
    pub authority: Arc<str>,
    /// SHA-256 of the signed note, or of the text alone as long as nobody has signed it.
    pub digest: Digest,
    /// What callers, logs and reports may show of it.
    pub disclosure: Disclosure,
    pub effect: Effect,
    /// Who of them is spared.
    pub exempt: Option<Selector>,
    /// `[a-z0-9-]{1,64}`; an amendment has the same id and a greater version.
    pub id: Arc<str>,
    pub in_flight: InFlight,
    pub issued: Tick,
    pub issuer: Arc<str>,
    /// For the operator's own people.
    pub note: Option<Arc<str>>,
    /// A sentence for the caller.
    pub reason: Arc<str>,
    /// What the caller can do about it.
    pub remedy: Option<Arc<str>>,
    pub scope: Scope,
    pub title: Arc<str>,
    pub valid_from: Tick,
    /// The first instant at which it no longer holds.
    pub valid_to: Option<Tick>,
    pub version: u32,
    /// Whom it concerns; `None` is everybody.
    pub who: Option<Selector>,
}

/// An order that ends the directive of the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// SHA-256 of the signed note, or of the text alone as long as nobody has signed it.
    pub digest: Digest,
    pub id: Arc<str>,
    pub issued: Tick,
    pub issuer: Arc<str>,
    pub reason: Arc<str>,
    /// Greater than that of the directive that it ends.
    pub version: u32,
}

/// What becomes of the calls of those whom a directive concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Deny,
    /// An officer decides.
    Hold,
    /// Denied to who has none of these; any one suffices.
    Require {
        /// Ids of licences.
        licences: BTreeSet<Arc<str>>,
        /// Kinds of statements.
        statements: BTreeSet<Arc<str>>,
    },
}

/// What becomes of the calls that are under way when it comes into force, from lenient to strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    Finish,
    /// They may go on for this long.
    Drain(Span),
    Cut,
}

/// Which models it concerns: those in any of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub labs: BTreeSet<Arc<str>>,
    pub models: BTreeSet<Arc<str>>,
    /// Training compute from which on models are concerned, as a decimal number of operations.
    pub training_flop_min: Option<Arc<str>>,
    pub(crate) eflop_min: Option<i64>,
}

/// Parties: those of any of the three.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// Over facts.
    pub condition: Option<Condition>,
    pub groups: BTreeSet<Arc<str>>,
    /// By id, with everyone below them.
    pub parties: BTreeSet<Arc<str>>,
}

/// Whether a directive concerns a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    No,
    /// It goes by training compute, which is not known of the model.
    Unknown,
    Yes,
}

// === impl Order ===

/// Orders are the same if their texts are.
impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Order {}

impl Order {
    /// Reads an order that nobody has signed, such as one that is being written. `path` is what problems cite.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<crate::PackProblem>> {
        read::order(path, text, tieline_note::sha256(text.as_bytes()))
    }

    pub fn id(&self) -> &Arc<str> {
        match self {
            Self::Directive(directive) => &directive.id,
            Self::Revocation(revocation) => &revocation.id,
        }
    }

    pub fn digest(&self) -> Digest {
        match self {
            Self::Directive(directive) => directive.digest,
            Self::Revocation(revocation) => revocation.digest,
        }
    }

    pub fn issued(&self) -> Tick {
        match self {
            Self::Directive(directive) => directive.issued,
            Self::Revocation(revocation) => revocation.issued,
        }
    }

    pub fn version(&self) -> u32 {
        match self {
            Self::Directive(directive) => directive.version,
            Self::Revocation(revocation) => revocation.version,
        }
    }

    /// Whether it may be applied at `now`, where `in_force` is the version of the same id that is in force, and `last`
    /// the greatest that ever was.
    pub fn check(&self, now: Tick, in_force: Option<u32>, last: Option<u32>) -> Result<(), OrderError> {
        let id = self.id().clone();
        if self.issued() > now {
            return Err(OrderError::IssuedLater { id });
        }
        if let Self::Directive(directive) = self
            && directive.valid_to.is_some_and(|to| to <= now)
        {
            return Err(OrderError::Over { id });
        }
        if matches!(self, Self::Revocation(_)) && in_force.is_none() {
            return Err(OrderError::NothingToRevoke { id });
        }
        match in_force.max(last) {
            Some(last) if self.version() <= last => Err(OrderError::Version {
                id,
                last,
                version: self.version(),
            }),
            _ => Ok(()),
        }
    }
}

// === impl Directive ===

impl Directive {
    /// `<id>@<version>`.
    pub fn label(&self) -> Arc<str> {
        Arc::from(format!("{}@{}", self.id, self.version))
    }

    /// The id of its rule in verdicts.
    pub fn rule_id(&self) -> Arc<str> {
        if self.disclosure == Disclosure::Sealed {
            let hex = self.digest.to_string();
            return Arc::from(format!("{}{}", Rule::SEALED, hex.get(..16).unwrap_or_default()));
        }
        Arc::from(format!("directive/{}@{}", self.id, self.version))
    }

    pub fn holds(&self, now: Tick) -> bool {
        self.valid_from <= now && self.valid_to.is_none_or(|to| now < to)
    }

    /// What it rules for those inside.
    pub fn ruling(&self) -> Ruling {
        match self.effect {
            Effect::Deny | Effect::Require { .. } => Ruling::Deny,
            Effect::Hold => Ruling::Hold,
        }
    }

    /// The last of its own instants up to `now`, and the first after it.
    pub(crate) fn instants_around(&self, now: Tick) -> (Option<Tick>, Option<Tick>) {
        let all = || [Some(self.valid_from), self.valid_to].into_iter().flatten();
        (
            all().filter(|at| *at <= now).max(),
            all().filter(|at| *at > now).min(),
        )
    }
}

// === impl Scope ===

impl Scope {
    pub(crate) fn reach(&self, model: &ModelFacts) -> Reach {
        if self.models.contains(&model.name) || self.labs.contains(&model.lab) {
            return Reach::Yes;
        }
        match (self.eflop_min, model.training_eflop()) {
            (Some(_), None) => Reach::Unknown,
            (Some(min), Some(eflop)) if eflop >= min => Reach::Yes,
            _ => Reach::No,
        }
    }
}

// === impl Selector ===

impl Selector {
    /// Whether it names the party or one above it.
    pub(crate) fn names(&self, chain: &[Arc<str>]) -> bool {
        chain.iter().any(|id| self.parties.contains(id))
    }
}

// === impl InFlight, Effect ===

impl InFlight {
    /// The stricter of two; of two drains the shorter.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Cut, _) | (_, Self::Cut) => Self::Cut,
            (Self::Drain(one), Self::Drain(two)) => Self::Drain(one.min(two)),
            (drain @ Self::Drain(_), Self::Finish) | (Self::Finish, drain) => drain,
        }
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finish => f.write_str("finish"),
            Self::Drain(span) => write!(f, "drain {}", span.0 / 1_000_000),
            Self::Cut => f.write_str("cut"),
        }
    }
}

impl Effect {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::Require { .. } => "require",
        }
    }
}
