//! The JSON objects of `tieline policy`. Rulings are `allow`, `hold` or `deny`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;
use tieline_policy::{Change, ChangeKind, Lint, Pack, PackProblem, Reach, Tally};

use super::super::reports::printed;
use super::bench::ruling;

/// `tieline policy check`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PolicyChecked {
    /// Always `tieline/policy-check/v1`.
    pub(super) schema: &'static str,
    /// Combinations of facts that were tried.
    pub(super) combinations: u64,
    /// What is suspicious.
    pub(super) findings: Vec<LintShown>,
    /// Whether there is neither a problem nor a warning.
    pub(super) ok: bool,
    pub(super) packs: Vec<PackChecked>,
    /// Why packs are refused.
    pub(super) problems: Vec<ProblemShown>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct LintShown {
    file: Arc<str>,
    /// `always_forbidden`, `empty_set`, `implied`, `impossible`, `never_applies`, `unsearched`, `unused_set` or
    /// `unverified`.
    kind: &'static str,
    line: u32,
    says: String,
    /// The rule or set; empty for a file.
    subject: Arc<str>,
    /// Whether it is more than a note.
    warning: bool,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PackChecked {
    cases: usize,
    /// SHA-256 of its archived form.
    digest: String,
    id: Arc<str>,
    rules: usize,
    sets: usize,
    /// Names of trusted keys that signed it; absent where no keys are trusted, or not enough of them signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<Vec<String>>,
    status: &'static str,
    /// Why its signatures do not suffice, where keys are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<String>,
    version: Arc<str>,
}

/// Who signed a pack, or why that is not enough; `None` where it is asked of nobody.
pub(super) type Signed = Option<std::result::Result<Vec<String>, PackProblem>>;

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ProblemShown {
    col: u32,
    file: Arc<str>,
    help: Option<String>,
    line: u32,
    says: String,
}

/// `tieline policy test`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PolicyTested {
    /// Always `tieline/policy-test/v1`.
    pub(super) schema: &'static str,
    pub(super) failed: usize,
    pub(super) failures: Vec<CaseFailed>,
    pub(super) packs: Vec<PackTested>,
    pub(super) passed: usize,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CaseFailed {
    /// What the verdict consumes and obliges to, if the case expects something else.
    pub(super) brings: Option<String>,
    pub(super) expected: &'static str,
    pub(super) expected_rules: Vec<Arc<str>>,
    /// The fact without which the call would be allowed, if that is what failed.
    pub(super) favours_missing: Option<Arc<str>>,
    pub(super) file: Arc<str>,
    pub(super) found: &'static str,
    pub(super) found_rules: Vec<Arc<str>>,
    pub(super) line: u32,
    pub(super) says: Arc<str>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PackTested {
    pub(super) cases: usize,
    pub(super) failed: usize,
    pub(super) id: Arc<str>,
}

/// A row of `tieline policy matrix`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct MatrixRow {
    /// Always `tieline/policy-matrix/v1`.
    pub(super) schema: &'static str,
    /// The instant that was asked about, µs UTC.
    pub(super) at_us: u64,
    /// In the order of the configuration.
    pub(super) cells: Vec<CellShown>,
    /// For people.
    pub(super) name: String,
    pub(super) party: String,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct CellShown {
    pub(super) model: Arc<str>,
    /// Null if no channel serves the model.
    pub(super) reach: Option<ReachShown>,
    /// What it would be if the rules of every status enforced, where that differs.
    pub(super) would: Option<ReachShown>,
}

/// The best ruling over the channels that serve a model.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct ReachShown {
    /// The channels with this ruling.
    pub(super) channels: Vec<Arc<str>>,
    /// Ids of the rules that determine it.
    pub(super) rules: Vec<Arc<str>>,
    pub(super) ruling: &'static str,
}

/// `tieline policy diff`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PolicyDiffered {
    /// Always `tieline/policy-diff/v1`.
    pub(super) schema: &'static str,
    /// The instant that was asked about, µs UTC.
    pub(super) at_us: u64,
    /// Past calls; null without `--against`.
    pub(super) calls: Option<CallsDiffered>,
    /// Pairs of a party and a model that change.
    pub(super) changes: u64,
    /// Parties for which the same changes.
    pub(super) groups: Vec<GroupDiffered>,
    pub(super) new: String,
    pub(super) old: String,
    /// Parties that were looked at.
    pub(super) parties: u64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct GroupDiffered {
    pub(super) changes: Vec<ChangeShown>,
    pub(super) parties: Vec<String>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct ChangeShown {
    pub(super) from: Option<ReachShown>,
    /// `ruling`, `channels` or `rules`: the strongest thing that changes.
    pub(super) kind: &'static str,
    pub(super) model: Arc<str>,
    pub(super) to: Option<ReachShown>,
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(super) struct CallsDiffered {
    /// Calls that would be ruled otherwise.
    pub(super) differ: u64,
    pub(super) groups: Vec<CallsGroup>,
    /// Calls that the packs and directives of then, replayed, rule otherwise than was recorded; only where one side is
    /// `then`. A counted licence that was used up is a reason, and any other is a matter for whoever answers for the log.
    pub(super) not_reproduced: u64,
    /// Calls that were ruled by both.
    pub(super) ruled: u64,
    /// Calls whose party's record, grid or directive is not archived or cannot be read, or that asked for nothing that
    /// there is.
    pub(super) unruled: u64,
}

/// Calls of parties with the same facts, for the same, with the same change.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CallsGroup {
    /// The pool or model that was asked for.
    pub(super) asked: String,
    pub(super) calls: u64,
    /// The first of them.
    pub(super) first_calls: Vec<String>,
    pub(super) from: ReachShown,
    pub(super) kind: &'static str,
    pub(super) parties: Vec<Arc<str>>,
    pub(super) to: ReachShown,
}

/// `tieline policy explain`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PolicyExplained {
    /// Always `tieline/policy-explain/v1`.
    pub(super) schema: &'static str,
    /// The instant that was asked about, µs UTC.
    pub(super) at_us: u64,
    /// The best first.
    pub(super) channels: Vec<ChannelExplained>,
    pub(super) end_use: Option<String>,
    /// What is known of the party.
    pub(super) facts: Vec<FactShown>,
    /// Contradictions in the evidence about it.
    pub(super) flags: Vec<Value>,
    pub(super) model: String,
    pub(super) name: String,
    pub(super) party: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct FactShown {
    /// What asserts it, as recorded.
    pub(super) evidence: Vec<Value>,
    /// µs UTC; null if it does not expire.
    pub(super) expires_us: Option<u64>,
    pub(super) fact: String,
    pub(super) value: Value,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ChannelExplained {
    pub(super) channel: Arc<str>,
    /// Where the question stands under each directive in force.
    pub(super) directives: Vec<StandingShown>,
    /// Missing facts that rules of the ruling read, and what would follow from values of them, the most helpful first.
    pub(super) missing: Vec<Value>,
    /// Rules that apply or fail; those that do not enforce are marked.
    pub(super) rules: Vec<Value>,
    pub(super) ruling: &'static str,
    /// Ids of the rules that determine the ruling.
    pub(super) ruled_by: Vec<Arc<str>>,
    /// µs UTC; null if nothing that is known ends it.
    pub(super) valid_until_us: Option<u64>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StandingShown {
    /// `<id>@<version>`.
    pub(super) directive: Arc<str>,
    /// For `undetermined`: the facts that would decide; none if they are not the party's.
    pub(super) facts: Vec<String>,
    /// `inside`, `exempt`, `outside` or `undetermined`.
    pub(super) standing: &'static str,
}

/// `tieline policy coverage`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PolicyCovered {
    /// Always `tieline/policy-coverage/v1`.
    pub(super) schema: &'static str,
    /// The instant that was asked about, µs UTC.
    pub(super) at_us: u64,
    /// Calls that could not be counted: of parties or for models that are no more, or unreadable.
    pub(super) calls_left_out: u64,
    pub(super) decidable: TallyShown,
    /// Facts that undecidable calls wait for, the most helpful first.
    pub(super) missing: Vec<MissingShown>,
    /// What is decidable as far as one pack goes.
    pub(super) packs: BTreeMap<Arc<str>, TallyShown>,
    pub(super) whole: TallyShown,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct MissingShown {
    /// What this fact alone would make decidable.
    pub(super) alone: TallyShown,
    /// What does not wait for it.
    pub(super) decidable: TallyShown,
    pub(super) fact: String,
    /// What waits for it, alone or among others.
    pub(super) waiting: TallyShown,
}

/// Parties, calls and spend.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(super) struct TallyShown {
    pub(super) calls: u64,
    /// Share of all calls in thousandths; null where there are none.
    pub(super) calls_permille: Option<u16>,
    pub(super) parties: u64,
    pub(super) parties_permille: Option<u16>,
    /// In billionths of a dollar, as far as calls have a known cost.
    pub(super) spend_nano: u64,
    pub(super) spend_permille: Option<u16>,
}

/// `tieline policy adopt`: a line for each pack.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct AdoptReport {
    /// Always `tieline/policy-adopt/v1`.
    pub(super) schema: &'static str,
    /// False if the same text was adopted for this entity before.
    pub(super) changed: bool,
    /// SHA-256 of the pack.
    pub(super) digest: String,
    pub(super) entity: String,
    pub(super) pack: String,
    /// Rules and sets of it that nobody has verified: they may hold, and never deny.
    pub(super) unverified: Vec<String>,
}

impl AdoptReport {
    pub(super) fn text(&self, notice: &str) -> String {
        let verb = if self.changed {
            "adopted"
        } else {
            "was adopted before"
        };
        let mut text = format!(
            "{} for {}: {verb} ({})\n{notice}",
            self.pack, self.entity, self.digest
        );
        if !self.unverified.is_empty() {
            text.push_str("\nunverified, so that it may hold and never deny: ");
            text.push_str(&self.unverified.join(", "));
        }
        text
    }
}

pub(in super::super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("policy-adopt", printed::<AdoptReport>()),
        ("policy-check", printed::<PolicyChecked>()),
        ("policy-coverage", printed::<PolicyCovered>()),
        ("policy-diff", printed::<PolicyDiffered>()),
        ("policy-explain", printed::<PolicyExplained>()),
        ("policy-matrix", printed::<MatrixRow>()),
        ("policy-test", printed::<PolicyTested>()),
    ]
}

impl LintShown {
    pub(super) fn new(lint: &Lint) -> Self {
        Self {
            file: lint.file.clone(),
            kind: lint.kind.name(),
            line: lint.line,
            says: lint.says.clone(),
            subject: lint.subject.clone(),
            warning: lint.kind.is_warning(),
        }
    }
}

impl PackChecked {
    pub(super) fn new(pack: &Pack, signed: &Signed) -> Self {
        let manifest = pack.manifest();
        Self {
            cases: pack.cases().len(),
            digest: pack.digest().to_string(),
            id: manifest.id.clone(),
            rules: pack.rules().len(),
            sets: manifest.sets.len(),
            signed_by: signed.as_ref().and_then(|signed| signed.as_ref().ok().cloned()),
            status: manifest.status.name(),
            unsigned: (signed.as_ref())
                .and_then(|signed| signed.as_ref().err().map(|problem| problem.says.clone())),
            version: manifest.version.clone(),
        }
    }
}

impl ProblemShown {
    pub(super) fn new(problem: &PackProblem) -> Self {
        Self {
            col: problem.col,
            file: problem.file.clone(),
            help: problem.help.clone(),
            line: problem.line,
            says: problem.says.clone(),
        }
    }
}

impl ReachShown {
    pub(super) fn new(reach: &Reach) -> Self {
        Self {
            channels: reach.channels.clone(),
            rules: reach.rules.clone(),
            ruling: ruling(reach.ruling),
        }
    }

    /// As `deny by a/b, a/c`.
    pub(super) fn text(&self) -> String {
        format!("{} by {}", self.ruling, self.rules.join(", "))
    }
}

/// A reach in words; `none` where no channel serves the model.
pub(super) fn reach_text(reach: Option<&ReachShown>) -> String {
    reach.map_or_else(|| "none".to_owned(), ReachShown::text)
}

impl ChangeShown {
    pub(super) fn new(change: &Change) -> Self {
        Self {
            from: change.from.as_ref().map(ReachShown::new),
            kind: kind(change.kind),
            model: change.model.clone(),
            to: change.to.as_ref().map(ReachShown::new),
        }
    }
}

pub(super) const fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Channels => "channels",
        ChangeKind::Rules => "rules",
        ChangeKind::Ruling => "ruling",
    }
}

impl TallyShown {
    pub(super) fn new(part: Tally, whole: Tally) -> Self {
        let share = tieline_policy::share_permille;
        Self {
            calls: part.calls,
            calls_permille: share(part.calls.into(), whole.calls.into()),
            parties: part.parties,
            parties_permille: share(part.parties.into(), whole.parties.into()),
            spend_nano: u64::try_from(part.spend_nano).unwrap_or(u64::MAX),
            spend_permille: share(part.spend_nano, whole.spend_nano),
        }
    }
}
