//! N-1: each channel and each component gone in turn, and what becomes of every recorded call. The calls are decided again
//! by the live core, once with nothing gone (the base) and once for each loss; the two ends of a call say what the loss
//! did to it.
//!
//! Bounds: those of [`Rehearsal`](crate::Rehearsal) for each play that is under way.

mod text;

use schemars::JsonSchema;
use serde::Serialize;

use crate::bars::{Bars, Miss};
use crate::consequence::Consequence;
use crate::contingency::{Assumed, Contingencies, Contingency, Loss};
use crate::rehearsal::Base;
use crate::table::tenths;
use crate::timeline::Permille;
use crate::traffic::{Basis, Traffic};

/// The schema of [`NMinus1Report`].
pub const N_MINUS_1_V1: &str = "tieline/drill-n-1/v1";

/// What the loss of each element would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NMinus1Report {
    /// Which bars of the configuration are missed, by which contingencies.
    pub bars_missed: Vec<Miss>,
    pub base: Base,
    pub basis: Basis,
    /// Worst first: by calls lost, held, degraded, moved; then channels before components, by name.
    pub contingencies: Vec<Contingency>,
    /// How what is gone shows itself.
    pub loss: Loss,
    /// What is modelled or assumed, in sentences.
    pub notes: Vec<String>,
    /// Always [`N_MINUS_1_V1`].
    pub schema: &'static str,
    /// What the limits of the channels that are left are worth, in thousandths.
    pub survivors_permille: Permille,
}

impl Contingencies<'_, '_> {
    /// The report of single losses, from the consequences of all plays in their order.
    pub fn n_minus_1(&self, consequences: &[Consequence], bars: &Bars) -> NMinus1Report {
        let base = self.rehearsal().base().clone();
        let (assumed, traffic) = (self.assumed(), self.rehearsal().traffic());
        let contingencies = self.rows(consequences);
        NMinus1Report {
            bars_missed: bars.missed(&base, &contingencies),
            notes: notes(&base, traffic, assumed),
            base,
            basis: traffic.basis,
            contingencies,
            loss: assumed.loss,
            schema: N_MINUS_1_V1,
            survivors_permille: assumed.survivors,
        }
    }
}

pub(crate) fn notes(base: &Base, traffic: &Traffic, assumed: Assumed) -> Vec<String> {
    let mut notes = traffic.notes();
    if assumed.survivors != 1_000 {
        notes.push(format!(
            "Assumed: while something is gone, the limits of every channel are worth {} of what they state.",
            tenths(assumed.survivors.into())
        ));
    }
    let mut say = |condition: bool, note: &str| {
        if condition {
            notes.push(note.to_owned());
        }
    };
    say(
        assumed.loss != Loss::Cut,
        "Nobody tells the gateway what is gone: its breakers find out by calls that fail first, and probe.",
    );
    say(
        base.as_recorded < base.answered_in_record,
        "With nothing gone, some calls are answered by another channel than in the record: the grid, or what an \
         operator had cut, was another then.",
    );
    say(
        base.unjudged > 0,
        "Some calls have candidates that policy was not asked about when they were recorded; these were not used.",
    );
    say(
        base.unmapped > 0,
        "Some calls ask for a pool or model that this grid does not have; they count as refused.",
    );
    notes
}
