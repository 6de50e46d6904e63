//! Verdicts alone: one that directives touch, from the cache, and one made from nothing under every shipped pack.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use tieline_core::{ChannelIx, ModelIx};
use tieline_policy::{
    Action, Directive, EndUseIx, Epoch, Judge, Order, Overlay, Pack, PartyFacts, Postures, Question,
    RegionIx, Source, Status, Targets,
};

use crate::scenario::Scenario;
use crate::world::{NOW, SetUp, World};

const PARTY: &str = "p_bench";

/// The same question, again and again.
#[derive(Debug)]
pub(crate) struct Verdicts {
    is_made: bool,
    judge: Judge,
    question: Question,
}

impl Verdicts {
    /// Under three directives on the model, one of which lists parties.
    pub(crate) fn touched() -> SetUp<Self> {
        let judge = judge(vec![pack(&packs().join("demo"))?])?;
        let directives = (0..3).map(directive).collect::<SetUp<Vec<_>>>()?;
        let lineage = Arc::new(|party: &str| vec![Arc::from(party)]);
        let overlay = Overlay::build(2, directives, judge.epoch(), lineage);
        let overlay = overlay.map_err(|problems| format!("{problems:?}"))?;
        Ok(Self {
            is_made: false,
            question: question(&judge)?,
            judge: judge.with_overlay(Arc::new(overlay)),
        })
    }

    /// With every pack that is shipped, each of which enforces.
    pub(crate) fn made() -> SetUp<Self> {
        let mut folders = std::fs::read_dir(packs())?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?;
        folders.sort();
        let judge = judge(folders.iter().map(|folder| pack(folder)).collect::<SetUp<_>>()?)?;
        Ok(Self {
            is_made: true,
            question: question(&judge)?,
            judge,
        })
    }
}

impl Scenario for Verdicts {
    fn run(&mut self) -> SetUp<()> {
        let verdict = if self.is_made {
            self.judge.verdict_without(self.question, PARTY, NOW, &[])
        } else {
            self.judge.verdict(self.question, PARTY, NOW)
        };
        black_box(verdict);
        Ok(())
    }
}

fn judge(packs: Vec<Pack>) -> SetUp<Judge> {
    let statuses = [
        Status::CodifiedUnenforced,
        Status::Company,
        Status::InForce,
        Status::Proposed,
        Status::ProviderTerms,
        Status::Suspended,
        Status::Voluntary,
    ];
    let epoch = Epoch::build(1, packs, &statuses).map_err(|problems| format!("{problems:?}"))?;
    let targets = Targets::of_grid(&World::new()?.snapshot, &[])?;
    Ok(Judge::new(
        Arc::new(epoch),
        Arc::new(targets),
        Arc::new(Postures::new()),
    ))
}

/// An enterprise of which everything is known.
fn question(judge: &Judge) -> SetUp<Question> {
    let facts: PartyFacts = serde_json::from_str(
        r#"{"class":"enterprise","data_centre":"DE","end_uses":["research"],"headquarters":"DE","jurisdiction":"DE",
            "kind":"organisation","listed":[],"parent_headquarters":"DE","person_class":[]}"#,
    )?;
    Ok(Question {
        action: Action::Call,
        channel: ChannelIx(0),
        end_use: EndUseIx::UNSTATED,
        model: ModelIx(0),
        posture: judge.postures().intern(&facts)?,
        region: RegionIx::OWN,
    })
}

fn directive(number: u8) -> SetUp<Arc<Directive>> {
    let who = if number == 0 {
        "parties = [\"p_1\", \"p_2\"]"
    } else {
        "groups = [\"watched\"]"
    };
    let text = format!(
        "t = \"tieline/directive/v1\"\nid = \"bench-{number}\"\nversion = 1\nissuer = \"An authority\"\n\
         authority = \"A source\"\ntitle = \"A letter\"\nreason = \"It is so.\"\nissued = 2026-01-01T00:00:00Z\n\
         valid_from = 2026-01-01T00:00:00Z\neffect = \"deny\"\nin_flight = \"finish\"\n[scope]\nmodels = [\"m\"]\n\
         [who]\n{who}\n"
    );
    match Order::parse("bench", &text) {
        Ok(Order::Directive(directive)) => Ok(directive),
        Ok(Order::Revocation(_)) => Err("a revocation".into()),
        Err(problems) => Err(format!("{problems:?}").into()),
    }
}

fn packs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs")
}

fn pack(folder: &Path) -> SetUp<Pack> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or("a file without a name")?;
        sources.push(Source {
            path: name.into(),
            text: std::fs::read_to_string(&path)?.into(),
        });
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Pack::parse(&sources).map_err(|problems| format!("{problems:?}").into())
}
