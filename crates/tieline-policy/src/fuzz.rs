//! The entry point of fuzzing: any bytes as a pack, and whatever is a pack through the engine.

use std::sync::Arc;

use tieline_core::Tick;
use tieline_core::grid::Weights;

use crate::engine::Epoch;
use crate::facts::{Action, ChannelFacts, Facts, ModelFacts, PartyFacts};
use crate::pack::{Pack, Source, Status};

/// Reads `data` as `pack.toml`, `rules.cedar` and `cases.toml`, separated by zero bytes. A pack that is
/// accepted survives its archive, compiles, and gives a verdict on empty facts.
///
/// # Panics
/// Only if an accepted pack is another one after its archive, which is the defect that fuzzing looks for.
pub fn fuzz_pack(data: &[u8]) {
    let names = ["pack.toml", "rules.cedar", "cases.toml"];
    let texts = data
        .splitn(names.len(), |byte| *byte == 0)
        .map(String::from_utf8_lossy);
    let sources: Vec<Source> = names
        .into_iter()
        .zip(texts)
        .map(|(path, text)| Source {
            path: path.into(),
            text: text.into(),
        })
        .collect();
    let Ok(pack) = Pack::parse(&sources) else { return };
    let rebuilt = Pack::from_archive(pack.archive()).map(|again| again.digest());
    assert_eq!(rebuilt.ok(), Some(pack.digest()), "an archived pack is the pack");
    if let Ok(epoch) = Epoch::build(1, vec![pack], &Status::ALL) {
        epoch.judge(&nothing_known(), Tick(1_781_222_400_000_000));
    }
}

fn nothing_known() -> Facts {
    let name: Arc<str> = Arc::from("x");
    Facts {
        action: Action::Call,
        channel: ChannelFacts {
            components: std::collections::BTreeSet::default(),
            name: name.clone(),
            operator_jurisdiction: None,
            provider: name.clone(),
            region: None,
            region_country: None,
        },
        end_use: None,
        model: ModelFacts {
            lab: name.clone(),
            lab_jurisdiction: None,
            name,
            training_flop: None,
            weights: Weights::Unknown,
        },
        party: PartyFacts::default(),
        region: None,
    }
}
