//! The N-2 report on a terminal.

use std::fmt::Write as _;

use super::NMinus2Report;
use crate::bars;
use crate::contingency::rows::{self, heading};
use crate::table::{count, plural, wrapped};

impl NMinus2Report {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let what = "Every two channels and components gone at once";
        let mut text = heading(what, &self.base, self.basis, self.loss);
        let _ = writeln!(
            text,
            "{}; {} take out no more than one of the two alone (see drill n-1).",
            plural(self.pairs, "pair"),
            count(self.pairs_as_one)
        );
        let _ = writeln!(
            text,
            "Of {} of channels, {} decided call by call and {} modelled.\n",
            plural(self.plays_exact + self.plays_modelled, "different set"),
            count(self.plays_exact),
            count(self.plays_modelled)
        );
        let touching = self.contingencies.iter().filter(|c| !c.consequence.is_nothing());
        let touching: Vec<_> = touching.collect();
        text.push_str(&rows::table(&touching));
        let harmless = self.contingencies.len() - touching.len();
        if harmless > 0 {
            let pairs = plural(harmless as u64, "pair");
            let _ = writeln!(text, "Of {pairs} the loss changes nothing.\n");
        }
        text.push_str(rows::LEGEND);
        text.push_str(&rows::who_loses(&touching));
        for note in &self.notes {
            text.push('\n');
            text.push_str(&wrapped(note, 0));
        }
        if !self.bars_missed.is_empty() {
            text.push('\n');
            text.push_str(&bars::text("n_2", &self.bars_missed));
        }
        text
    }
}
