//! The entry points of fuzzing: any bytes as a pack, and whatever is a pack through the engine; any bytes as an order,
//! and whatever is a directive laid over an epoch.

use std::sync::Arc;

use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Ruling, Tick};
use tieline_note::Signer;
use tieline_note::note;

use crate::cache::{Judge, Question};
use crate::directive::{Order, SignedOrder, Signers};
use crate::engine::Epoch;
use crate::facts::{Action, ChannelFacts, Facts, ModelFacts, PartyFacts};
use crate::overlay::{Lineage, Overlay};
use crate::pack::{Pack, Source, Status};
use crate::posture::Postures;
use crate::targets::{EndUseIx, RegionIx, Targets};

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

/// Reads `data` as an order, signed and not. A directive that is accepted lies over an epoch without rules, if that has
/// the sets that it names, and refuses no less than the epoch does.
///
/// # Panics
/// Only if an order is another one after it was signed, or lies over an epoch and allows what that denies, which are the
/// defects that fuzzing looks for.
pub fn fuzz_order(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let seed = Signer::new("fuzz", &[7; 32]);
    let Ok(signer) = seed else { return };
    let Ok(signers) = Signers::new(vec![signer.verifier().clone()], 1) else {
        return;
    };
    let _ = SignedOrder::open(data, &signers);
    let _ = SignedOrder::from_archive(&text);
    let Ok(order) = Order::parse("order", &text) else {
        return;
    };
    let opened = note::sign(&text, &signer).map(|note| SignedOrder::open(note.as_bytes(), &signers));
    let Ok(Ok(opened)) = opened else {
        // The line of the signature may take it over what a note holds.
        assert!(
            text.len() + 512 > note::NOTE_BYTES_MAX,
            "an order that is read can be signed"
        );
        return;
    };
    assert_eq!(
        (opened.order.id(), opened.order.version()),
        (order.id(), order.version()),
        "a signed order is the order"
    );
    let (Order::Directive(directive), Ok(epoch)) = (order, Epoch::build(1, Vec::new(), &[])) else {
        return;
    };
    let now = directive.valid_from;
    let facts = nothing_known();
    let targets = Targets::new(vec![facts.model], vec![facts.channel], &[], &[]);
    let lineage: Lineage = Arc::new(|party| vec![Arc::from(party)]);
    let overlay = Overlay::build(2, vec![directive], &epoch, lineage);
    let (Ok(targets), Ok(overlay)) = (targets, overlay) else {
        return;
    };
    let postures = Arc::new(Postures::new());
    let Ok(posture) = postures.intern(&facts.party) else {
        return;
    };
    let judge = Judge::new(Arc::new(epoch), Arc::new(targets), postures).with_overlay(Arc::new(overlay));
    let question = Question {
        action: Action::Call,
        channel: ChannelIx(0),
        end_use: EndUseIx::UNSTATED,
        model: ModelIx(0),
        posture,
        region: RegionIx::OWN,
    };
    assert_eq!(
        judge.verdict(question, "p", now).ruling,
        Ruling::Deny,
        "no order allows"
    );
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
