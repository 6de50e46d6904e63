//! Changes of licences, statements and clearances: each is checked with all others before anything is committed, so that
//! a change which fails leaves all as it was. The admin API and a command without a server make the same changes by this
//! file.
//!
//! A term is never rewritten: a licence's id is given once, and a statement gives way to a later version of itself alone.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tieline_core::{Span, Tick};
use tieline_note::Digest;
use tieline_policy::{Licence, OWN_PACK, Statement};

use crate::members::MemberError;
use crate::state::{Disposition, HoldRow, LicenceRow, State, StateError, StatementRow};

/// What is to be done to terms.
#[derive(Clone, Debug)]
pub enum TermChange {
    AddLicence(Box<Licence>),
    AddStatement(Box<Statement>),
    Dispose(Disposal),
    RevokeLicence(String),
    RevokeStatement(String),
}

/// What an officer says of a hold.
#[derive(Clone, Debug)]
pub struct Disposal {
    /// Whether it replaces what was said before and still holds.
    pub again: bool,
    pub grant: bool,
    /// Stays in the state file.
    pub reason: String,
    pub ticket: String,
    /// The first instant at which a grant counts no more; [`GRANT_SPAN`] from now if absent.
    pub until: Option<Tick>,
}

/// What a change did.
#[derive(Clone, Debug)]
pub struct TermDone {
    /// False if it was so before.
    pub changed: bool,
    /// Of the licence or statement.
    pub digest: Option<Digest>,
    /// The hold as it was disposed of.
    pub hold: Option<HoldRow>,
    pub id: String,
    /// Parties that it names and that are not recorded: it waits for them.
    pub strangers: Vec<String>,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    #[error("the hold `{0}` was disposed of before; say `again` to replace what was said")]
    Disposed(String),
    #[error("the {what} `{id}` has ended before now, and would never count; correct `valid_to`")]
    Ended { what: &'static str, id: String },
    #[error("there is a {what} `{id}` already; {help}")]
    Exists {
        what: &'static str,
        id: String,
        help: &'static str,
    },
    #[error("a reason takes 1 to {REASON_BYTES_MAX} bytes: say why, for whoever asks in years")]
    Reason,
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "the hold `{0}` is the engine's own, which no officer can clear: mend the rule or the facts that it is about"
    )]
    Uncleared(String),
    #[error("a grant ends after now and within twelve months; a refusal has no end")]
    Until,
    #[error(
        "the hold `{0}` is a legal block, which a grant ends for good; leave `until` out, and refuse it if it is to stand"
    )]
    UntilOfBlock(String),
    #[error("{0}")]
    Unusable(String),
}

/// A licence in a list.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct LicenceLine {
    /// SHA-256, as decisions cite it.
    pub digest: String,
    pub id: String,
    /// Whether it counts at the moment of asking.
    pub in_force: bool,
    /// As it was recorded; instants are µs UTC.
    pub licence: Value,
    /// µs UTC.
    pub revoked_us: Option<u64>,
    /// Calls that used a unit of it, where it is counted.
    pub used: Option<u64>,
}

/// A statement in a list.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct StatementLine {
    /// SHA-256, as decisions cite it.
    pub digest: String,
    pub id: String,
    /// Whether it counts at the moment of asking.
    pub in_force: bool,
    pub party: String,
    /// µs UTC.
    pub revoked_us: Option<u64>,
    /// As it was recorded; instants are µs UTC.
    pub statement: Value,
}

/// How long a grant lasts if nothing is said: 30 days.
pub const GRANT_SPAN: Span = Span::from_s(30 * 86_400);

/// The longest grant: a year that has a leap day.
const GRANT_MAX: Span = Span::from_s(366 * 86_400);

/// Bytes of a disposition's reason: a page.
const REASON_BYTES_MAX: usize = 4_096;

// === impl TermChange ===

impl TermChange {
    /// What the ledger calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::AddLicence(_) => "licence-add",
            Self::AddStatement(_) => "statement-add",
            Self::Dispose(_) => "hold-dispose",
            Self::RevokeLicence(_) => "licence-revoke",
            Self::RevokeStatement(_) => "statement-revoke",
        }
    }

    /// Make the change by itself, in one transaction, without a server; `officer` is the id of the key of who makes it.
    pub fn carry_out(&self, state: &State, now: Tick, officer: &str) -> Result<TermDone, TermError> {
        state.atomically(|state| {
            let done = self.write(state, now, officer)?;
            state.registry(now)?;
            Ok(done)
        })
    }

    /// Write the change. The caller's transaction ends well only if all terms together are sound.
    pub(crate) fn write(&self, state: &State, now: Tick, officer: &str) -> Result<TermDone, TermError> {
        match self {
            Self::AddLicence(licence) => add_licence(state, now, licence),
            Self::AddStatement(statement) => add_statement(state, now, statement),
            Self::Dispose(disposal) => dispose(state, now, disposal, officer),
            Self::RevokeLicence(id) => {
                let changed = state.revoke_licence(id, now.0)?;
                let row = state.licences()?.into_iter().find(|row| row.id == *id);
                let licence = row.and_then(|row| parse::<Licence>(&row.body));
                let digest = licence.and_then(|licence| licence.digest());
                Ok(TermDone::new(id, changed, digest))
            }
            Self::RevokeStatement(id) => {
                let changed = state.revoke_statement(id, now.0)?;
                let row = state.statements()?.into_iter().find(|row| row.id == *id);
                let statement = row.and_then(|row| parse::<Statement>(&row.body));
                let digest = statement.and_then(|statement| statement.digest());
                Ok(TermDone::new(id, changed, digest))
            }
        }
    }
}

fn add_licence(state: &State, now: Tick, licence: &Licence) -> Result<TermDone, TermError> {
    let id = licence.id.to_string();
    let mut done = TermDone::new(&id, true, licence.digest());
    let known = state.licences()?.into_iter().find(|row| row.id == id);
    if let Some(known) = known {
        if known.revoked_us.is_none() && parse::<Licence>(&known.body).as_ref() == Some(licence) {
            done.changed = false;
            return Ok(done);
        }
        return Err(TermError::Exists {
            what: "licence",
            id,
            help: "revoke it, and give the new one another id",
        });
    }
    if licence.valid_to.is_some_and(|to| to <= now) {
        return Err(TermError::Ended { what: "licence", id });
    }
    done.strangers = strangers(state, licence.parties.iter().map(|party| &*party.id))?;
    state.put_licence(&LicenceRow {
        body: text(licence)?,
        id,
        revoked_us: None,
    })?;
    Ok(done)
}

fn add_statement(state: &State, now: Tick, statement: &Statement) -> Result<TermDone, TermError> {
    let id = statement.id.to_string();
    let mut done = TermDone::new(&id, true, statement.digest());
    let known = state.statements()?.into_iter().find(|row| row.id == id);
    let before = known
        .as_ref()
        .and_then(|row| Some((row.revoked_us, parse::<Statement>(&row.body)?)));
    if let Some((revoked_us, before)) = before {
        if revoked_us.is_none() && before == *statement {
            done.changed = false;
            return Ok(done);
        }
        if before.version >= statement.version || before.party != statement.party {
            return Err(TermError::Exists {
                what: "statement",
                id,
                help: "a later `version` of the same party's replaces it; else give it another id",
            });
        }
    }
    if statement.valid_to <= now {
        return Err(TermError::Ended {
            what: "statement",
            id,
        });
    }
    done.strangers = strangers(state, std::iter::once(&*statement.party))?;
    state.put_statement(&StatementRow {
        body: text(statement)?,
        id,
        party: statement.party.to_string(),
        revoked_us: None,
    })?;
    Ok(done)
}

fn dispose(state: &State, now: Tick, said: &Disposal, officer: &str) -> Result<TermDone, TermError> {
    let reason = said.reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(TermError::Reason);
    }
    let hold = state.hold(&said.ticket)?.ok_or_else(|| StateError::Missing {
        what: "hold",
        id: said.ticket.clone(),
    })?;
    if hold.is_legal_block() && said.until.is_some() {
        return Err(TermError::UntilOfBlock(said.ticket.clone()));
    }
    let until = match (said.grant, said.until) {
        (false, None) => now,
        (true, None) if hold.is_legal_block() => now,
        (true, until) => until.unwrap_or(now.plus(GRANT_SPAN)),
        (false, Some(_)) => return Err(TermError::Until),
    };
    if said.grant && !hold.is_legal_block() {
        if until <= now || until > now.plus(GRANT_MAX) {
            return Err(TermError::Until);
        }
        let is_own = |rule: &String| rule.split_once('/').is_some_and(|(pack, _)| pack == OWN_PACK);
        if hold.rules.iter().any(is_own) {
            return Err(TermError::Uncleared(said.ticket.clone()));
        }
    }
    // What was said of a legal block stands, a grant too: it has no end.
    let stands = |said: &Disposition| said.holds(now) || hold.is_legal_block();
    let is_said = hold.disposition.as_ref().is_some_and(stands);
    if is_said && !said.again {
        return Err(TermError::Disposed(said.ticket.clone()));
    }
    let disposition = Disposition {
        decided_us: now.0,
        grant: said.grant,
        officer: officer.to_owned(),
        reason: reason.to_owned(),
        until_us: until.0,
    };
    state.dispose(&said.ticket, &disposition)?;
    let mut done = TermDone::new(&said.ticket, true, None);
    done.hold = Some(HoldRow {
        disposition: Some(disposition),
        ..hold
    });
    Ok(done)
}

fn strangers<'a>(state: &State, ids: impl Iterator<Item = &'a str>) -> Result<Vec<String>, StateError> {
    let mut out = Vec::new();
    for id in ids {
        if state.party(id)?.is_none() {
            out.push(id.to_owned());
        }
    }
    Ok(out)
}

fn text(value: &impl Serialize) -> Result<String, TermError> {
    serde_json::to_string(value).map_err(|error| TermError::Unusable(error.to_string()))
}

fn parse<T: DeserializeOwned>(body: &str) -> Option<T> {
    serde_json::from_str(body).ok()
}

impl TermDone {
    fn new(id: &str, changed: bool, digest: Option<Digest>) -> Self {
        Self {
            changed,
            digest,
            hold: None,
            id: id.to_owned(),
            strangers: Vec::new(),
        }
    }
}

impl From<MemberError> for TermError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Posture { .. } => Self::Unusable(error.to_string()),
            MemberError::State(error) => Self::State(error),
        }
    }
}

// === impl LicenceLine, StatementLine ===

impl LicenceLine {
    /// `used` is what is known to be used of it. None for a row that holds no licence.
    pub fn new(row: LicenceRow, used: Option<u64>, now: Tick) -> Option<Self> {
        let licence: Licence = parse(&row.body)?;
        let is_valid = licence.valid_from <= now && licence.valid_to.is_none_or(|to| to > now);
        let used = licence.quantity.map(|_| used.unwrap_or_default());
        let is_spent = licence.quantity.map(|quantity| quantity.calls) <= used && used.is_some();
        Some(Self {
            digest: licence.digest()?.to_string(),
            id: row.id,
            in_force: is_valid && row.revoked_us.is_none() && !is_spent,
            licence: serde_json::to_value(&licence).ok()?,
            revoked_us: row.revoked_us,
            used,
        })
    }
}

impl StatementLine {
    /// None for a row that holds no statement.
    pub fn new(row: StatementRow, now: Tick) -> Option<Self> {
        let statement: Statement = parse(&row.body)?;
        let is_valid = statement.valid_from <= now && statement.valid_to > now;
        Some(Self {
            digest: statement.digest()?.to_string(),
            id: row.id,
            in_force: is_valid && row.revoked_us.is_none(),
            party: row.party,
            revoked_us: row.revoked_us,
            statement: serde_json::to_value(&statement).ok()?,
        })
    }
}
