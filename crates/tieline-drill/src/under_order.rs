//! What an order does to the grid's security: each loss with the order in force, compared with the same loss without it.
//!
//! The order is laid into the traffic itself, as if policy had ruled so when the calls were recorded, so that "with nothing
//! gone" means with the order and nothing gone: what the order alone refuses is no loss of the grid's.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Ruling;

use crate::contingency::Contingency;
use crate::elements::{Element, named};
use crate::n_minus_1::NMinus1Report;
use crate::table::{Side, count, few, table, wrapped};
use crate::timeline::Ordered;
use crate::traffic::Traffic;

/// One loss, without an order and under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LossUnderOrder {
    pub gone: Vec<Element>,
    pub under: Toll,
    pub without: Toll,
}

/// What a loss costs, over and above what happens with nothing gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Toll {
    /// Calls that another model answers.
    pub degraded: u64,
    /// Parties with calls that are held or lost.
    pub parties_losing: u64,
    /// Calls that are held or lost.
    pub unserved: u64,
}

impl Traffic {
    /// The same calls with an order in force when they were judged, strictest wins.
    #[must_use]
    pub fn under(&self, order: &Ordered<'_>) -> Self {
        let mut traffic = self.clone();
        for kind in &mut traffic.kinds {
            let Some(party) = traffic.parties.get(kind.party as usize) else {
                continue;
            };
            for (lane, ruling) in &mut kind.rulings {
                if let Some((channel, model)) = traffic.lanes.get(usize::from(*lane)) {
                    let ordered: Ruling = order(party, channel, model);
                    *ruling = ordered.max(*ruling);
                }
            }
        }
        traffic
    }
}

/// Each loss without the order and under it, those first that the order makes worse, by how much.
pub fn under_order(without: &NMinus1Report, under: &NMinus1Report) -> Vec<LossUnderOrder> {
    let pairs = under.contingencies.iter().filter_map(|under| {
        let same = without
            .contingencies
            .iter()
            .find(|without| without.gone == under.gone)?;
        Some(LossUnderOrder {
            gone: under.gone.clone(),
            under: Toll::of(under),
            without: Toll::of(same),
        })
    });
    let mut losses: Vec<LossUnderOrder> = pairs.collect();
    losses.sort_by(|a, b| b.grows().cmp(&a.grows()).then_with(|| a.gone.cmp(&b.gone)));
    losses
}

/// Losses of one list on a terminal.
const ROWS_MAX: usize = 20;

/// What the order makes worse, what it makes no worse, as lines for a terminal.
pub fn under_order_text(losses: &[LossUnderOrder]) -> String {
    let worse: Vec<&LossUnderOrder> = losses.iter().filter(|loss| loss.is_worse()).collect();
    if worse.is_empty() {
        return "Under it, no single loss leaves more calls unserved than without it.\n".to_owned();
    }
    let head = [
        ("gone", Side::Left),
        ("unserved", Side::Right),
        ("without", Side::Right),
        ("parties", Side::Right),
        ("without", Side::Right),
    ];
    let rows = worse.iter().take(ROWS_MAX).map(|loss| {
        let [after, before] = [loss.under, loss.without];
        let numbers = [
            after.unserved,
            before.unserved,
            after.parties_losing,
            before.parties_losing,
        ];
        std::iter::once(named(&loss.gone))
            .chain(numbers.map(count))
            .collect()
    });
    let mut text = "Under it, the loss of these leaves more calls unserved than without it:\n\n".to_owned();
    text.push_str(&table(&head, &rows.collect::<Vec<_>>()));
    if worse.len() > ROWS_MAX {
        let more: Vec<String> = worse
            .iter()
            .skip(ROWS_MAX)
            .map(|loss| named(&loss.gone))
            .collect();
        text.push_str(&wrapped(&format!("and {}", few(&more, ROWS_MAX)), 2));
    }
    text
}

impl LossUnderOrder {
    /// Whether the loss leaves more unserved under the order than without it.
    pub const fn is_worse(&self) -> bool {
        self.under.unserved > self.without.unserved
    }

    /// By how much it is worse: calls unserved, then parties, then calls degraded; below zero where it is better.
    fn grows(&self) -> [i128; 3] {
        let grows = |of: fn(&Toll) -> u64| i128::from(of(&self.under)) - i128::from(of(&self.without));
        [
            grows(|toll| toll.unserved),
            grows(|toll| toll.parties_losing),
            grows(|toll| toll.degraded),
        ]
    }
}

impl Toll {
    const fn of(contingency: &Contingency) -> Self {
        let consequence = &contingency.consequence;
        Self {
            degraded: consequence.tally.degraded,
            parties_losing: consequence.parties_losing,
            unserved: consequence.tally.unserved(),
        }
    }
}
