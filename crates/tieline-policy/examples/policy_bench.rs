//! What a verdict costs: from the cache, and made from nothing, with the demo pack and with 64 more rules; and with
//! directives in force, for a model that they touch and for one that they do not; with every shipped pack enforcing; and
//! what it takes to bring directives into force over a large registry.
//!
//! `cargo run --release -p tieline-policy --example policy_bench`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and has nobody to report to"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Tick};
use tieline_policy::{
    Action, ChannelFacts, Country, Directive, EndUseIx, Epoch, Judge, Lineage, ModelFacts, Order, Overlay,
    Pack, PartyFacts, Postures, Question, RegionIx, Registry, Source, Status, Targets,
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
        directives(&judge, parties);
    }
    all_packs(&targets, &postures, parties);
    activation(&targets);
}

/// The demo pack, which permits, and every pack that is shipped, all of them enforcing.
fn all_packs(targets: &Arc<Targets>, postures: &Arc<Postures>, parties: u32) {
    let packs = shipped();
    let statuses: Vec<Status> = packs.iter().map(|pack| pack.manifest().status).collect();
    let rules: usize = packs.iter().map(|pack| pack.rules().len()).sum();
    let number = packs.len();
    let epoch = Arc::new(Epoch::build(3, packs, &statuses).unwrap());
    let judge = Judge::new(epoch, targets.clone(), postures.clone());
    println!("all {number} packs enforcing, {rules} rules:");
    let known = best(|| made(&judge, parties)) / 1_000.0;
    println!("  made from nothing: {known:.2} µs");
    let unknown = postures.intern(&PartyFacts::default()).unwrap();
    let nothing = || {
        let fresh = Judge::new(judge.epoch().clone(), targets.clone(), postures.clone());
        let started = Instant::now();
        for at in 0..16 {
            black_box(fresh.verdict(question(unknown, at), "p", NOW));
        }
        started.elapsed().as_secs_f64() * 1e6 / 16.0
    };
    println!(
        "  made for a party of which nothing is known: {:.2} µs",
        best(nothing)
    );
}

/// Directives come into force over an organisation of [`LISTED`] members, one by a condition and one by its name.
fn activation(targets: &Arc<Targets>) {
    let record = |n: u32| {
        let text = format!(
            r#"{{"evidence":[{{"issuer":"r","kind":"registration","obtained":1,"value":{{"jurisdiction":"DE"}}}}],"id":"{n:05}","kind":"person","parent":"organisation"}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let organisation = serde_json::from_str(r#"{"id":"organisation","kind":"organisation"}"#).unwrap();
    let records = std::iter::once(organisation).chain((0..LISTED).map(record));
    let registry = Arc::new(Registry::new(Tick(2), records.collect()).unwrap());
    let epoch = Arc::new(Epoch::build(1, vec![demo()], &[Status::Company]).unwrap());
    let judge = Judge::new(epoch, targets.clone(), Arc::new(Postures::new()));
    let orders = [order(0), order(3)];
    let round = || {
        let started = Instant::now();
        let lineage = registry.clone().into_lineage();
        let overlay = Overlay::build(9, orders.to_vec(), judge.epoch(), lineage).unwrap();
        black_box(judge.with_overlay(Arc::new(overlay)));
        started.elapsed().as_secs_f64() * 1e6
    };
    println!(
        "activation over a registry of {LISTED} parties: {:.0} µs",
        best(round)
    );
    let posture = judge.postures().intern(&party(0)).unwrap();
    let overlay = Overlay::build(9, orders.to_vec(), judge.epoch(), registry.clone().into_lineage()).unwrap();
    let laid = judge.with_overlay(Arc::new(overlay));
    let started = Instant::now();
    for n in 0..LISTED {
        black_box(laid.verdict(question(posture, 3), &format!("{n:05}"), NOW));
    }
    println!(
        "  the first verdict of each of its members under them: {} ms for all",
        started.elapsed().as_millis()
    );
}

fn shipped() -> Vec<Pack> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let files = |folder: PathBuf| -> Vec<Source> {
        let files = std::fs::read_dir(folder).unwrap();
        let source = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            Source {
                path: Arc::from(path.file_name().unwrap().to_str().unwrap()),
                text: Arc::from(std::fs::read_to_string(&path).unwrap()),
            }
        };
        files.map(source).collect()
    };
    let folders = std::fs::read_dir(root).unwrap();
    folders
        .map(|folder| Pack::parse(&files(folder.unwrap().path())).unwrap())
        .collect()
}

/// Parties that one directive lists.
const LISTED: u32 = 100_000;

/// Three directives about one of the four models, the last with a list of parties.
fn directives(judge: &Judge, parties: u32) {
    let started = Instant::now();
    let orders: Vec<_> = (0..3).map(order).collect();
    println!(
        "  three directives read in {} ms, one of them with {LISTED} parties",
        started.elapsed().as_millis()
    );
    let lineage: Lineage = Arc::new(|party| vec![Arc::from(party), Arc::from("organisation")]);
    let started = Instant::now();
    let overlay = Arc::new(Overlay::build(9, orders, judge.epoch(), lineage).unwrap());
    let laid = judge.with_overlay(overlay);
    println!("  laid over in {} µs", started.elapsed().as_micros());
    let names: Vec<String> = (0..LISTED).map(|n| format!("{n:05}")).collect();
    let started = Instant::now();
    for (name, n) in names.iter().zip(0..) {
        black_box(laid.verdict(question(n % parties, 3), name, NOW));
    }
    println!(
        "  {LISTED} parties found in it and judged in {} ms",
        started.elapsed().as_millis()
    );
    let each = |at: u16| {
        let round = || {
            let started = Instant::now();
            for (name, n) in names.iter().zip(0..) {
                black_box(laid.verdict(black_box(question(n % parties, at)), name, NOW));
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(LISTED)
        };
        best(round)
    };
    println!("  cached, a model that no directive touches: {:.1} ns", each(0));
    println!(
        "  cached, a model that three touch, {LISTED} parties in turn: {:.1} ns",
        each(3)
    );
    let one = || {
        let started = Instant::now();
        for _ in 0..LISTED {
            black_box(laid.verdict(black_box(question(7, 3)), "00007", NOW));
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(LISTED)
    };
    println!(
        "  cached, the same of one party again and again: {:.1} ns",
        best(one)
    );
    let unknown = judge.postures().intern(&PartyFacts::default()).unwrap();
    let made = || {
        let fresh = laid.with_overlay(laid.overlay().clone());
        fresh.verdict(question(unknown, 0), "x", NOW);
        let started = Instant::now();
        black_box(fresh.verdict(question(unknown, 3), "x", NOW));
        started.elapsed().as_secs_f64() * 1e6
    };
    println!(
        "  made for a party of which nothing is known: {:.1} µs",
        best(made)
    );
}

fn order(n: u32) -> Arc<Directive> {
    let who = match n {
        0 => "who.condition = '''if principal has kind && principal.kind == Kind::\"person\" then \
              !(principal has person_class && principal.person_class.contains(\"us_person\")) else \
              !(principal has jurisdiction && principal.jurisdiction == Country::\"US\")'''"
            .to_owned(),
        1 => "who.groups = [\"watched\"]".to_owned(),
        3 => "who.parties = [\"organisation\"]".to_owned(),
        _ => {
            let names: Vec<String> = (0..LISTED).map(|n| format!("\"{n:05}\"")).collect();
            format!("who.parties = [{}]", names.join(","))
        }
    };
    let text = format!(
        "t = \"tieline/directive/v1\"\nid = \"d{n}\"\nversion = 1\nissuer = \"I\"\nauthority = \"A\"\ntitle = \"T\"\n\
         reason = \"R.\"\nissued = 2026-06-01T00:00:00Z\nvalid_from = 2026-06-01T00:00:00Z\neffect = \"deny\"\n\
         in_flight = \"finish\"\nscope.models = [\"model-3\"]\n{who}\n"
    );
    match Order::parse("order.toml", &text).unwrap() {
        Order::Directive(directive) => Some(directive),
        Order::Revocation(_) => None,
    }
    .unwrap()
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
