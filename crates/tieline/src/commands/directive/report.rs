//! What `tieline directive` prints with `--json`.

use std::fmt::Write as _;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;
use tieline_drill::{CostChange, OrderReport};
use tieline_gateway::DirectiveLine;
use tieline_policy::{Order, SignedOrder};

use crate::output::{Failure, Result};

/// `tieline directive key`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KeyReport {
    /// Always `tieline/directive-key/v1`.
    pub(super) schema: &'static str,
    pub(super) file: String,
    /// The verifier key, for `[policy.orders]`.
    pub(super) vkey: String,
}

/// `tieline directive verify`, and a row of `list` and `show`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct DirectiveReport {
    /// Always `tieline/directive/v1`.
    schema: &'static str,
    /// µs UTC; null if it is not applied.
    applied_us: Option<u64>,
    /// SHA-256 of the whole note.
    digest: String,
    id: String,
    /// `directive` or `revocation`.
    kind: &'static str,
    /// The whole signed note.
    note: String,
    /// µs UTC; null while it is not revoked.
    revoked_us: Option<u64>,
    pub(super) signers: Vec<String>,
    version: u32,
}

/// `tieline directive apply`, `amend` and `revoke`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct AppliedReport {
    /// Always `tieline/directive-apply/v1`.
    schema: &'static str,
    /// The activation that it began; null if no server runs, and it is in force from the next start on.
    epoch: Option<u64>,
    id: String,
    /// Directives that are in force with it, as `id@version`.
    in_force: Vec<String>,
    signers: Vec<String>,
    /// Models and labs that directives name and that the grid does not have.
    strangers: Vec<String>,
    /// Until nothing went out any more that it refuses, µs; null if no server runs.
    took_us: Option<u64>,
    version: u64,
}

/// `tieline directive rehearse`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct RehearsalReport {
    /// Always `tieline/directive-rehearse/v1`.
    pub(super) schema: &'static str,
    /// Parties outside its scope whose calls would change.
    pub(super) bystanders: Vec<String>,
    /// To compile it and lay it over the rules in force here, µs; applying adds one durable write. Absent within a drill,
    /// whose report is the same for the same inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compiled_us: Option<u64>,
    /// Why the exit code is 1, in sentences; empty if it is 0.
    pub(in crate::commands) findings: Vec<String>,
    pub(super) id: String,
    /// Facts that would decide about the undetermined, and how many parties each would help.
    pub(super) missing: Vec<MissingFact>,
    /// What is to be said of the calls, such as that their ledger does not verify, in sentences.
    pub(super) notes: Vec<String>,
    /// Everybody with a key or recorded calls, those first whose calls would change.
    pub(super) parties: Vec<PartyStanding>,
    /// Recorded calls decided again, without and with the directive; null if none are recorded.
    pub(super) replay: Option<OrderReport>,
    /// Models, labs and parties that it names and that are not here.
    pub(super) strangers: Vec<String>,
    /// Parties that would be held because their facts do not say.
    pub(super) undetermined: Vec<String>,
    pub(super) version: u32,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct MissingFact {
    pub(super) fact: String,
    pub(super) parties: u64,
}

/// Where a party stands, in the strictest case over the models in scope.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct PartyStanding {
    /// Facts for want of which it is undetermined.
    pub(super) missing: Vec<String>,
    pub(super) party: String,
    /// `outside`, `exempt`, `undetermined` or `inside`.
    pub(super) standing: &'static str,
    /// Its recorded calls; null if none would change.
    pub(super) tally: Option<tieline_drill::Tally>,
}

pub(in crate::commands) fn schemas() -> Vec<(&'static str, Schema)> {
    use crate::commands::reports::printed;
    vec![
        ("directive", printed::<DirectiveReport>()),
        ("directive-apply", printed::<AppliedReport>()),
        ("directive-key", printed::<KeyReport>()),
        ("directive-rehearse", printed::<RehearsalReport>()),
    ]
}

impl DirectiveReport {
    pub(super) fn of(signed: &SignedOrder, applied_us: Option<u64>, revoked_us: Option<u64>) -> Self {
        Self {
            schema: "tieline/directive/v1",
            applied_us,
            digest: signed.digest.to_string(),
            id: signed.order.id().to_string(),
            kind: match signed.order {
                Order::Directive(_) => "directive",
                Order::Revocation(_) => "revocation",
            },
            note: signed.text.to_string(),
            revoked_us,
            signers: signed.signers.clone(),
            version: signed.order.version(),
        }
    }

    pub(super) fn of_line(line: &DirectiveLine) -> Result<Self> {
        let signed =
            SignedOrder::from_archive(&line.note).map_err(|error| Failure::found(error.to_string()))?;
        Ok(Self::of(&signed, Some(line.applied_us), line.revoked_us))
    }

    pub(super) fn label(&self) -> String {
        format!("{} {}@{}", self.kind, self.id, self.version)
    }
}

impl AppliedReport {
    /// From the admin API's answer, or its offline likeness.
    pub(super) fn of(value: &Value) -> Self {
        let texts = |name: &str| {
            let list = value.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        Self {
            schema: "tieline/directive-apply/v1",
            epoch: number("epoch"),
            id: value
                .get("id")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            in_force: texts("in_force"),
            signers: texts("signers"),
            strangers: texts("strangers"),
            took_us: number("took_us"),
            version: number("version").unwrap_or_default(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = match (self.took_us, self.epoch) {
            (Some(took), Some(epoch)) => format!(
                "{}@{}, signed by {}: done in {}.{:03} ms, epoch {epoch}; in force: {}",
                self.id,
                self.version,
                self.signers.join(", "),
                took / 1_000,
                took % 1_000,
                if self.in_force.is_empty() {
                    "no directive".to_owned()
                } else {
                    self.in_force.join(", ")
                }
            ),
            _ => format!(
                "{}@{}: no server runs; it holds from the next start on",
                self.id, self.version
            ),
        };
        for stranger in &self.strangers {
            let _ = write!(text, "\nnot in this grid: {stranger}");
        }
        text
    }
}

impl RehearsalReport {
    /// Without how long it took.
    pub(in crate::commands) fn untimed(self) -> Self {
        Self {
            compiled_us: None,
            ..self
        }
    }

    pub(in crate::commands) fn text(&self) -> String {
        let mut text = format!("{}@{} laid over the rules in force here", self.id, self.version);
        if let Some(us) = self.compiled_us {
            let _ = write!(text, ", compiled in {}.{:03} ms", us / 1_000, us % 1_000);
        }
        text.push_str(".\n");
        match &self.replay {
            None => text.push_str("No call is recorded in the window; only standings are said.\n"),
            Some(replay) => {
                let tally = &replay.tally;
                let _ = writeln!(
                    text,
                    "Calls decided again: {} kept, {} moved, {} degraded, {} held, {} lost; {} were refused before.",
                    tally.kept, tally.moved, tally.degraded, tally.held, tally.lost, tally.refused_before
                );
                let _ = match replay.cost_change_nano {
                    CostChange::Nano(nano) => writeln!(
                        text,
                        "Spend on calls that are still served changes by {nano} nano-USD."
                    ),
                    CostChange::Unknown => writeln!(
                        text,
                        "How spend changes is unknown: {} calls would be served where no price is known.",
                        replay.cost_unknown_calls
                    ),
                };
            }
        }
        for party in self.parties.iter().take(PARTIES_SHOWN) {
            let _ = write!(text, "  {}  {}", party.party, party.standing);
            if !party.missing.is_empty() {
                let _ = write!(text, " for want of {}", party.missing.join(", "));
            }
            if let Some(tally) = &party.tally {
                let _ = write!(
                    text,
                    ": {} moved, {} degraded, {} held, {} lost",
                    tally.moved, tally.degraded, tally.held, tally.lost
                );
            }
            text.push('\n');
        }
        if self.parties.len() > PARTIES_SHOWN {
            let _ = writeln!(
                text,
                "  … and {} more; --json lists all",
                self.parties.len() - PARTIES_SHOWN
            );
        }
        let _ = writeln!(
            text,
            "{} bystanders, {} undetermined.",
            self.bystanders.len(),
            self.undetermined.len()
        );
        for fact in &self.missing {
            let _ = writeln!(
                text,
                "The fact {} would decide about {} of them.",
                fact.fact, fact.parties
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        for finding in &self.findings {
            let _ = writeln!(text, "Look at this before you sign: {finding}");
        }
        text
    }
}

/// Parties that a terminal shows.
const PARTIES_SHOWN: usize = 40;
