//! What the story came to, as JSON and as lines for a terminal.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

/// `tieline demo june-12`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct JuneReport {
    /// Always `tieline/demo-june-12/v1`.
    pub(in crate::commands) schema: &'static str,
    /// What is wrong with how it went; empty is as it should be.
    pub(in crate::commands) findings: Vec<String>,
    pub(in crate::commands) log: LogReport,
    /// The models that the letter named.
    pub(in crate::commands) models: Vec<String>,
    /// The letter, the exemption, the withdrawal.
    pub(in crate::commands) phases: Vec<PhaseReport>,
}

/// One paper, from its signature to the next.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct PhaseReport {
    /// Parties that the paper does not concern and that were refused or held.
    pub(in crate::commands) bystanders: u32,
    /// Long answers that were in flight when it came: those that it cut, and those that went on.
    pub(in crate::commands) calls_in_flight: FlightReport,
    /// Calls held for a fact that is missing.
    pub(in crate::commands) held: u64,
    /// From the call of `apply` until it had returned and no call was treated as before any more.
    pub(in crate::commands) in_force_seconds: f64,
    /// Calls for the pool that another model served.
    pub(in crate::commands) moved: u64,
    pub(in crate::commands) parties: Vec<PartyReport>,
    /// `letter`, `exemption` or `withdrawal`.
    pub(in crate::commands) phase: &'static str,
    /// Calls denied.
    pub(in crate::commands) refused: u64,
    /// Parties held because their facts do not say.
    pub(in crate::commands) undetermined: u32,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct FlightReport {
    pub(in crate::commands) cut: u32,
    pub(in crate::commands) went_on: u32,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct PartyReport {
    pub(in crate::commands) held: u64,
    /// What the caller was told when it was first held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) held_for: Option<String>,
    pub(in crate::commands) moved: u64,
    pub(in crate::commands) party: String,
    pub(in crate::commands) refused: u64,
    /// `eligible`, `controlled` or `unknown`.
    pub(in crate::commands) role: &'static str,
    /// By the model that was asked for, or the first of the pool.
    pub(in crate::commands) served: u64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct LogReport {
    /// Entries that were exported.
    pub(in crate::commands) entries: u64,
    /// Where the export stands, if it is kept.
    pub(in crate::commands) export: Option<String>,
    /// Whether the verifier of another project (aics-tlog) accepts it; null if it could not be run.
    pub(in crate::commands) other_verifier_accepts: Option<bool>,
    /// Why it could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) other_verifier_missing: Option<String>,
    /// Whether every hash of the log recomputes.
    pub(in crate::commands) verifies: bool,
}

impl JuneReport {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for phase in &self.phases {
            let _ = writeln!(text, "{}", phase.text());
        }
        let log = &self.log;
        let verifies = if log.verifies {
            "every hash recomputes"
        } else {
            "A HASH IS WRONG"
        };
        let _ = writeln!(text, "Log: {} entries exported; {verifies}.", log.entries);
        let _ = match (log.other_verifier_accepts, &log.other_verifier_missing) {
            (Some(true), _) => writeln!(text, "aics-tlog, another project's verifier, accepts it."),
            (Some(false), _) => writeln!(text, "aics-tlog, another project's verifier, REFUSES it."),
            (None, why) => writeln!(
                text,
                "aics-tlog, another project's verifier, could not be run: {}.",
                why.as_deref().unwrap_or("unknown")
            ),
        };
        for finding in &self.findings {
            let _ = writeln!(text, "Not as it should be: {finding}");
        }
        text
    }
}

impl PhaseReport {
    pub(super) fn text(&self) -> String {
        let title = match self.phase {
            "letter" => "12 June, 17:21: the letter. A licence is required for any foreign person.",
            "exemption" => "26 June: trusted partners are exempt for one of the models.",
            _ => "30 June: withdrawn.",
        };
        let mut text = format!("{title}\n  in force after {:.3} s\n", self.in_force_seconds);
        for party in &self.parties {
            let _ = writeln!(
                text,
                "  {:<10} {:>5} served, {:>5} moved to a permitted model, {:>5} refused, {:>5} held",
                party.role, party.served, party.moved, party.refused, party.held
            );
            if let Some(why) = &party.held_for {
                let _ = writeln!(text, "             held: {why}");
            }
        }
        let flight = &self.calls_in_flight;
        let _ = write!(
            text,
            "  bystanders {}, undetermined {}; answers in flight: {} cut, {} went on",
            self.bystanders, self.undetermined, flight.cut, flight.went_on
        );
        text
    }
}
