//! The world that the drill is measured in: a grid and calls of stated size, and every pack that is shipped in force. It is
//! made from its size alone. Bounds: those of [`BenchSize`].

use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{Ruling, Snapshot, Tick};
use tieline_drill::{BenchSize, Traffic, bench_grid, bench_snapshot, bench_traffic};
use tieline_policy::{Epoch, Judge, Pack, PartyFacts, Postures, Source, Targets};

use crate::commands::grid::World as Serving;
use crate::output::{Failure, Result};

/// Every pack that is shipped: its id, its head and its rules.
const PACKS: [(&str, &str, &str); 13] = [
    (
        "agency",
        include_str!("../../../../../../packs/agency/pack.toml"),
        include_str!("../../../../../../packs/agency/rules.cedar"),
    ),
    (
        "demo",
        include_str!("../../../../../../packs/demo/pack.toml"),
        include_str!("../../../../../../packs/demo/rules.cedar"),
    ),
    (
        "eu-ai-act",
        include_str!("../../../../../../packs/eu-ai-act/pack.toml"),
        include_str!("../../../../../../packs/eu-ai-act/rules.cedar"),
    ),
    (
        "eu-ai-act-high-risk",
        include_str!("../../../../../../packs/eu-ai-act-high-risk/pack.toml"),
        include_str!("../../../../../../packs/eu-ai-act-high-risk/rules.cedar"),
    ),
    (
        "provider-terms",
        include_str!("../../../../../../packs/provider-terms/pack.toml"),
        include_str!("../../../../../../packs/provider-terms/rules.cedar"),
    ),
    (
        "research",
        include_str!("../../../../../../packs/research/pack.toml"),
        include_str!("../../../../../../packs/research/rules.cedar"),
    ),
    (
        "residency",
        include_str!("../../../../../../packs/residency/pack.toml"),
        include_str!("../../../../../../packs/residency/rules.cedar"),
    ),
    (
        "sanctions",
        include_str!("../../../../../../packs/sanctions/pack.toml"),
        include_str!("../../../../../../packs/sanctions/rules.cedar"),
    ),
    (
        "us-ear",
        include_str!("../../../../../../packs/us-ear/pack.toml"),
        include_str!("../../../../../../packs/us-ear/rules.cedar"),
    ),
    (
        "us-ear-4e091",
        include_str!("../../../../../../packs/us-ear-4e091/pack.toml"),
        include_str!("../../../../../../packs/us-ear-4e091/rules.cedar"),
    ),
    (
        "us-ear-affiliates-2025",
        include_str!("../../../../../../packs/us-ear-affiliates-2025/pack.toml"),
        include_str!("../../../../../../packs/us-ear-affiliates-2025/rules.cedar"),
    ),
    (
        "us-ear-affiliates-2026",
        include_str!("../../../../../../packs/us-ear-affiliates-2026/pack.toml"),
        include_str!("../../../../../../packs/us-ear-affiliates-2026/rules.cedar"),
    ),
    (
        "us-ear-affiliates-suspended",
        include_str!("../../../../../../packs/us-ear-affiliates-suspended/pack.toml"),
        include_str!("../../../../../../packs/us-ear-affiliates-suspended/rules.cedar"),
    ),
];

/// The instant at which policy is asked.
const NOW: Tick = Tick(1_781_222_400_000_000);

/// Where the parties of the world are.
const COUNTRIES: [&str; 8] = ["US", "DE", "FR", "GB", "JP", "CA", "AU", "NL"];

/// A grid, and what every shipped pack rules on it.
pub(super) struct World {
    judge: Judge,
    /// Of the parties by their countries.
    postures: Vec<u32>,
    pub(super) rules: u64,
    pub(super) size: BenchSize,
    pub(super) snapshot: Arc<Snapshot>,
}

impl World {
    pub(super) const PACKS: usize = PACKS.len();

    pub(super) fn new(size: BenchSize) -> Result<Self> {
        let snapshot = bench_snapshot(bench_grid(size)).map_err(Failure::found)?;
        let packs: Vec<Pack> = PACKS.iter().map(pack).collect::<Result<_>>()?;
        let statuses: Vec<_> = packs.iter().map(|pack| pack.manifest().status).collect();
        let rules = packs.iter().map(|pack| pack.rules().len() as u64).sum();
        let epoch = Epoch::build(0, packs, &statuses)
            .map_err(|problems| Failure::found(format!("the packs do not hold together: {problems:?}")))?;
        let targets = Targets::of_grid(&snapshot, &[]).map_err(|error| Failure::found(error.to_string()))?;
        let postures = Arc::new(Postures::new());
        let of_countries = COUNTRIES.iter().map(|country| {
            let facts = facts(country)?;
            let posture = postures.intern(&facts);
            posture.map_err(|error| Failure::found(error.to_string()))
        });
        let of_countries: Vec<u32> = of_countries.collect::<Result<_>>()?;
        Ok(Self {
            judge: Judge::new(Arc::new(epoch), Arc::new(targets), postures),
            postures: of_countries,
            rules,
            size,
            snapshot,
        })
    }

    /// The day of calls.
    pub(super) fn traffic(&self) -> Traffic {
        bench_traffic(self.size, &self.snapshot, &|party, channel, model| {
            let model = self.snapshot.model_named(model);
            let model = model.and_then(|ix| self.snapshot.model(ix));
            let channel = self.snapshot.channel_named(channel);
            let candidates = model.map(|model| model.candidates.iter());
            let candidate = candidates.and_then(|mut all| all.find(|c| Some(c.channel) == channel));
            candidate.map_or(Ruling::Deny, |candidate| self.ruling(party, *candidate))
        })
    }

    /// What policy rules on a party's use of a candidate.
    pub(super) fn ruling(&self, party: u32, candidate: Candidate) -> Ruling {
        let posture = self.postures.get(party as usize % self.postures.len().max(1));
        posture.map_or(Ruling::Deny, |posture| {
            let question = Serving::question(*posture, candidate);
            self.judge.verdict(question, "p", NOW).ruling
        })
    }
}

fn pack((id, head, rules): &(&str, &str, &str)) -> Result<Pack> {
    let file = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.into(),
    };
    let pack = Pack::parse(&[file("pack.toml", head), file("rules.cedar", rules)]);
    pack.map_err(|problems| Failure::found(format!("the pack {id} does not hold: {problems:?}")))
}

/// An enterprise of which everything is known, and which may have its data processed elsewhere.
fn facts(country: &str) -> Result<PartyFacts> {
    let text = format!(
        r#"{{"class":"enterprise","data_centre":"{country}","end_uses":["research"],"headquarters":"{country}",
            "jurisdiction":"{country}","kind":"organisation","licences":["data-transfer"],"listed":[],
            "parent_headquarters":"{country}","person_class":[],"statements":["ownership-review"]}}"#
    );
    serde_json::from_str(&text).map_err(|error| Failure::found(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tieline_drill::{Known, Rehearsal};

    use super::*;

    #[test]
    fn every_shipped_pack_is_in_force() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs");
        let folders = std::fs::read_dir(folder).unwrap();
        let mut shipped: Vec<String> = folders
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        shipped.sort();
        assert_eq!(shipped, PACKS.map(|(id, _, _)| id));
    }

    #[test]
    fn the_measured_world_is_mostly_served() {
        let world = World::new(BenchSize::of_day(500)).unwrap();
        let traffic = world.traffic();
        let rehearsal = Rehearsal::new(&world.snapshot, &traffic, Known::default());
        let base = rehearsal.base();
        assert!(base.carried * 10 >= base.calls * 9, "{base:?}");
        assert!(base.attempts >= base.carried);
    }
}
