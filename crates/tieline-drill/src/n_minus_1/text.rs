//! The N-1 report on a terminal.

use super::NMinus1Report;
use crate::bars;
use crate::contingency::rows::{self, heading};
use crate::elements::named;
use crate::table::{few, wrapped};

/// Elements named whose loss changes nothing.
const HARMLESS_MAX: usize = 12;

impl NMinus1Report {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = heading(
            "Each channel and each component gone in turn",
            &self.base,
            self.basis,
            self.loss,
        );
        text.push('\n');
        let touching = self.contingencies.iter().filter(|c| !c.consequence.is_nothing());
        let touching: Vec<_> = touching.collect();
        text.push_str(&rows::table(&touching));
        let harmless = self.contingencies.iter().filter(|c| c.consequence.is_nothing());
        let harmless: Vec<String> = harmless.map(|c| named(&c.gone)).collect();
        if !harmless.is_empty() {
            let names = few(&harmless, HARMLESS_MAX);
            text.push_str(&wrapped(
                &format!("Changes nothing, whichever of them is gone: {names}."),
                0,
            ));
            text.push('\n');
        }
        text.push_str(rows::LEGEND);
        text.push_str(&rows::who_loses(&touching));
        for note in &self.notes {
            text.push('\n');
            text.push_str(&wrapped(note, 0));
        }
        if !self.bars_missed.is_empty() {
            text.push('\n');
            text.push_str(&bars::text("n_1", &self.bars_missed));
        }
        text
    }
}
