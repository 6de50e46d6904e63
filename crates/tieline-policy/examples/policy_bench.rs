//! What a verdict costs: from the cache, and made from nothing, with the demo pack and with 64 more rules.
//!
//! `cargo run --release -p tieline-policy --example policy_bench`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and has nobody to report to"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Tick};
use tieline_policy::{
    Action, ChannelFacts, Country, EndUseIx, Epoch, Judge, ModelFacts, Pack, PartyFacts, Postures, Question,
    RegionIx, Source, Status, Targets,
};

const NOW: Tick = Tick(1_781_222_400_000_000);
const ROUNDS: usize = 5;

fn main() {
    let started = Instant::now();
    let demo = demo();
    println!(
        "demo pack: parsed and validated in {} µs",
        started.elapsed().as_micros()
    );
    let started = Instant::now();
    let epoch = Arc::new(Epoch::build(1, vec![demo.clone()], &[Status::Company]).unwrap());
    println!("epoch built in {} µs", started.elapsed().as_micros());
    let large = Arc::new(Epoch::build(2, vec![demo, many(64)], &[Status::Company]).unwrap());

    let postures = Arc::new(Postures::new());
    let parties = 1_000_u32;
    for n in 0..parties {
        postures.intern(&party(n)).unwrap();
    }
    let targets = Arc::new(targets());
    for (name, epoch) in [("demo pack, 6 rules", epoch), ("demo pack + 64 rules", large)] {
        let judge = Judge::new(epoch, targets.clone(), postures.clone());
        println!("{name}:");
        println!(
            "  made from nothing: {:.2} µs",
            best(|| made(&judge, parties)) / 1_000.0
        );
        warm(&judge, parties);
        println!(
            "  cached, one question again and again: {:.1} ns",
            best(|| cached(&judge, 1))
        );
        println!(
            "  cached, {} questions in turn: {:.1} ns",
            parties * 16,
            best(|| cached(&judge, parties))
        );
        println!("  verdicts kept: {}", judge.verdicts());
    }
}

/// The least of some rounds, in ns per verdict: the rest is noise of the machine.
fn best(mut round: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn made(judge: &Judge, parties: u32) -> f64 {
    let fresh = Judge::new(
        judge.epoch().clone(),
        judge.targets().clone(),
        judge.postures().clone(),
    );
    let started = Instant::now();
    for posture in 0..parties {
        black_box(fresh.verdict(question(posture, 0), "p", NOW));
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(parties)
}

fn warm(judge: &Judge, parties: u32) {
    for posture in 0..parties {
        for at in 0..16 {
            judge.verdict(question(posture, at), "p", NOW);
        }
    }
}

fn cached(judge: &Judge, parties: u32) -> f64 {
    let rounds = 1_000_000 / (parties * 16);
    let started = Instant::now();
    for _ in 0..rounds {
        for at in 0..16 {
            for posture in 0..parties {
                black_box(judge.verdict(black_box(question(posture, at)), "p", NOW));
            }
        }
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(rounds * parties * 16)
}

/// One of four models on one of four channels.
fn question(posture: u32, at: u16) -> Question {
    let (model, channel) = (ModelIx(at % 4), ChannelIx(at / 4));
    Question {
        action: Action::Call,
        channel,
        end_use: EndUseIx::UNSTATED,
        model,
        posture,
        region: RegionIx::OWN,
    }
}

fn party(n: u32) -> PartyFacts {
    let text = format!(
        r#"{{"class":"enterprise","jurisdiction":"{}","headquarters":"US","groups":["g{n}"],"statements":["end-use"]}}"#,
        if n.is_multiple_of(7) { "BY" } else { "DE" }
    );
    serde_json::from_str(&text).unwrap()
}

fn targets() -> Targets {
    let name = |kind: &str, n: usize| -> Arc<str> { Arc::from(format!("{kind}-{n}")) };
    let model = |n: usize| ModelFacts {
        lab: name("lab", n),
        lab_jurisdiction: Country::parse("US").ok(),
        name: name("model", n),
        training_flop: Some(Arc::from("2.1e26")),
        weights: if n == 0 { Weights::Open } else { Weights::Closed },
    };
    let channel = |n: usize| ChannelFacts {
        components: [Arc::from("cloud:aws"), name("region:aws", n)].into(),
        name: name("channel", n),
        operator_jurisdiction: Country::parse("US").ok(),
        provider: Arc::from("bedrock"),
        region: Some(name("region", n)),
        region_country: None,
    };
    Targets::new(
        (0..4).map(model).collect(),
        (0..4).map(channel).collect(),
        &[],
        &[],
    )
    .unwrap()
}

fn demo() -> Pack {
    let file = |path: &str, text: &str| Source {
        path: Arc::from(path),
        text: Arc::from(text),
    };
    Pack::parse(&[
        file("pack.toml", include_str!("../../../packs/demo/pack.toml")),
        file("rules.cedar", include_str!("../../../packs/demo/rules.cedar")),
    ])
    .unwrap()
}

/// Rules such as a law's: none of them applies to these parties, and each is evaluated.
fn many(count: usize) -> Pack {
    let mut rules = String::new();
    for n in 0..count {
        write!(
            rules,
            "@id(\"r{n}\") @citation(\"15 CFR 744.{n}\") @reason(\"R.\") forbid (principal, action, resource) when {{ \
             principal has headquarters && principal.headquarters in CountryGroup::\"many/s{}\" }} \
             unless {{ principal.licences.contains(\"l-{n}\") }};",
            n % 8
        )
        .unwrap();
    }
    let mut manifest =
        "id = \"many\"\nversion = \"1\"\ntitle = \"T\"\nstatus = \"company\"\nvalid_from = 2026-01-01\n\
        recorded_at = 2026-01-01\nnotice = \"Not legal advice.\"\ncovers = []\ndoes_not_cover = []\n"
            .to_owned();
    for n in 0..8 {
        write!(
            manifest,
            "[sets.s{n}]\ncountries = [\"CN\", \"IR\", \"KP\", \"RU\"]\n"
        )
        .unwrap();
    }
    let file = |path: &str, text: &str| Source {
        path: Arc::from(path),
        text: Arc::from(text),
    };
    Pack::parse(&[file("pack.toml", &manifest), file("rules.cedar", &rules)]).unwrap()
}
