//! Pages of drills: well formed whatever names say, the same twice, self-contained, and their numbers those of the report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roxmltree::{Document, Node};
use tieline_core::{GridRecord, Ruling, Scope, Snapshot, Span};
use tieline_drill::{
    Assumed, Bars, Basis, Catalogue, Contingencies, DirectiveShown, Downtimes, Failure, Ground, Known, Load,
    Loss, NMinus1Report, PAGE_START, Pairs, PartyClass, PartyView, PlanReport, Rehearsal, Rehearsed,
    ScenariosReport, Source, Staged, Traffic, What, Year, YearOptions, YearReport, board_page,
    directive_page, n_minus_1_page, n_minus_2_page, order_shown, plan_page, play_scenario_shown,
    scenarios_page, worst, year_page,
};

use crate::grids::{Ledger, channel, model, pool, small_grid};
use crate::live::{Live, Script};
use crate::plan::{offered, planned};
use crate::scenario::{START, component, event, scenario};

const HOSTILE: &str = "<script>alert(1)</script>";
const QUOTES: &str = "\"'><img src=x onerror=alert(2)>&amp;\u{202e}\u{0}";

/// Some calls of four parties on the small grid, as they were recorded.
fn recorded() -> (Arc<Snapshot>, Traffic) {
    let mut live = Live::new(&small_grid());
    for (ask, party, calls) in [
        ("frontier", "bank", 6),
        ("sonnet-only", "ministry", 3),
        ("cheap", "homework", 8),
        ("frontier", "start", 2),
    ] {
        for _ in 0..calls {
            live.call(ask, &Script::default().by(party));
        }
    }
    let snapshot = live.snapshot.clone();
    (snapshot, live.into_ledger().traffic())
}

fn known() -> Known {
    let classes = [
        ("bank", PartyClass::Enterprise),
        ("ministry", PartyClass::Agency),
        ("homework", PartyClass::Consumer),
        ("start", PartyClass::Startup),
        (HOSTILE, PartyClass::Academic),
    ];
    Known {
        classes: classes.map(|(party, class)| (party.into(), class)).into(),
        ..Known::default()
    }
}

/// The small grid, with names that want to be markup.
fn hostile_grid() -> GridRecord {
    let mut record = small_grid();
    record.channels.push(channel(
        HOSTILE,
        &["cloud:<b>", QUOTES, "region:\"x\""],
        &[("<i>model</i>", Some(1))],
    ));
    record
        .channels
        .push(channel(QUOTES, &["cloud:<b>"], &[("<i>model</i>", None)]));
    record.models.push(model("<i>model</i>", "anthropic"));
    record.pools.push(pool("<pool>", &["<i>model</i>"]));
    record
}

fn hostile() -> (Arc<Snapshot>, Traffic) {
    let snapshot = Ledger::default().archive(&hostile_grid());
    let view = |party: &str| PartyView {
        allowed: &|_| true,
        party: party.into(),
        scope: Scope::All,
    };
    let traffic = Traffic::synthetic(&snapshot, &[view(HOSTILE), view(QUOTES)]);
    (snapshot, traffic)
}

fn singles(rehearsal: &Rehearsal<'_>, doubt: Option<&str>, bars: &Bars) -> (NMinus1Report, String) {
    let assumed = Assumed {
        loss: Loss::Cut,
        ..Assumed::default()
    };
    let contingencies = Contingencies::single(rehearsal, assumed);
    let plays: Vec<_> = (0..contingencies.plays())
        .map(|play| contingencies.play(play))
        .collect();
    let report = contingencies.n_minus_1(&plays, bars);
    let remarks = [format!("A remark with {HOSTILE}.")];
    let ground = Ground {
        doubt,
        rehearsal,
        remarks: &remarks,
    };
    let page = n_minus_1_page(ground, &report, &|gone| contingencies.streams(gone));
    (report, page)
}

fn pairs(rehearsal: &Rehearsal<'_>) -> String {
    let pairs = Pairs::new(rehearsal, Assumed::default());
    let singles: Vec<_> = (0..pairs.singles()).map(|ix| pairs.single(ix)).collect();
    let judged: Vec<_> = (0..pairs.plays()).map(|ix| pairs.judge(ix)).collect();
    let plan = pairs.plan(&singles, &judged, 1);
    let chosen = (0..plan.chosen()).map(|ix| pairs.play(&plan, ix)).collect();
    let report = pairs.n_minus_2(&plan, &singles, chosen, &Bars::default());
    n_minus_2_page(ground(rehearsal), &report, &|gone| pairs.streams(gone))
}

const fn ground<'g>(rehearsal: &'g Rehearsal<'g>) -> Ground<'g> {
    Ground {
        doubt: None,
        rehearsal,
        remarks: &[],
    }
}

/// A scenario in which a component is out for ten minutes, over an hour of calls.
fn scenarios(snapshot: &Arc<Snapshot>, gone: &str, says: &str, url: &str) -> String {
    played(snapshot, gone, says, url).1
}

fn played(snapshot: &Arc<Snapshot>, gone: &str, says: &str, url: &str) -> (ScenariosReport, String) {
    let traffic = Traffic::steady(snapshot, &[], START, Span::from_s(3_600), Span::from_s(60));
    let rehearsal = Rehearsal::new(snapshot, &traffic, Known::default());
    let what = What::Out {
        element: component(gone),
        how: Failure::Refused,
    };
    let mut out = event(600, Some(1_200), what);
    says.clone_into(&mut out.says);
    let mut one = scenario(vec![out]);
    says.clone_into(&mut one.title);
    one.description = format!("What {says} means.");
    one.assumed = vec![format!("That {says} is so.")];
    one.sources = vec![Source {
        retrieved: "2026-11-28".to_owned(),
        says: says.to_owned(),
        url: url.to_owned(),
    }];
    let staged = Staged {
        notes: vec![says.to_owned()],
        orders: Vec::new(),
        scenario: one,
        set: BTreeMap::new(),
    };
    let load = Load::of(&rehearsal);
    let (report, shown) = play_scenario_shown(&rehearsal, &load, staged).unwrap();
    let report = ScenariosReport::new(&rehearsal, vec![report]);
    let page = scenarios_page(ground(&rehearsal), &report, &[shown]);
    (report, page)
}

fn directive(snapshot: &Arc<Snapshot>, traffic: &Traffic, id: &str) -> String {
    let rehearsal = Rehearsal::new(snapshot, traffic, known());
    let ordered = |_: &str, _: &str, model: &str| {
        if model == "sonnet" {
            Ruling::Deny
        } else {
            Ruling::Allow
        }
    };
    let (consequence, after) = order_shown(&rehearsal, Box::new(ordered));
    let named = [HOSTILE.to_owned(), "bank".to_owned()];
    let shown = DirectiveShown {
        after: &after,
        bystanders: &named,
        consequence: &consequence,
        findings: &named,
        id: id.to_owned(),
        losses: &[],
        notes: &[],
        undetermined: &[],
    };
    directive_page(ground(&rehearsal), &shown)
}

/// Some years of the traffic.
fn years(rehearsal: &Rehearsal<'_>) -> String {
    year_page(ground(rehearsal), &drawn(rehearsal))
}

fn drawn(rehearsal: &Rehearsal<'_>) -> YearReport {
    let options = YearOptions {
        assumed: Assumed::default(),
        common: 500,
        runs: 40,
        seed: 7,
    };
    let downtimes = Downtimes::default();
    let year = Year::new(rehearsal, &downtimes, options).unwrap();
    let years = year.gather((0..year.runs()).map(|ix| year.run(ix)).collect());
    let episodes = (0..year.episodes(&years)).map(|ix| year.episode(&years, ix));
    year.report(&years, episodes.collect())
}

/// All of it on one page.
fn board(snapshot: &Arc<Snapshot>, traffic: &Traffic, gone: &str, says: &str) -> String {
    let (bought, traffic) = offering(snapshot, traffic, says);
    let rehearsal = Rehearsal::new(snapshot, &traffic, known());
    let today = Contingencies::single(&rehearsal, Assumed::default());
    let (losses, _) = singles(&rehearsal, None, &Bars::default());
    let (scenarios, _) = played(snapshot, gone, says, "https://example.org/");
    let rehearsed = Rehearsed {
        losses: &losses,
        plan: Some(&bought),
        scenarios: Some((&scenarios, Basis::Steady)),
        year: &drawn(&rehearsal),
    };
    board_page(ground(&rehearsal), rehearsed, &|gone| today.streams(gone))
}

/// What to buy for a grid, of one offer.
fn plan(snapshot: &Arc<Snapshot>, traffic: &Traffic, name: &str) -> String {
    let (report, traffic) = offering(snapshot, traffic, name);
    let rehearsal = Rehearsal::new(snapshot, &traffic, known());
    let today = Contingencies::single(&rehearsal, Assumed::default());
    plan_page(ground(&rehearsal), &report, &|gone| today.streams(gone))
}

/// The plan, and the traffic that knows what is ruled on what is offered.
fn offering(snapshot: &Arc<Snapshot>, traffic: &Traffic, name: &str) -> (PlanReport, Traffic) {
    let offer = offered(name, 1_234, &["cloud:new"], &["sonnet", "gpt", "small"]);
    let catalogue = Catalogue {
        components: BTreeMap::new(),
        offers: vec![offer],
    };
    let mut traffic = traffic.clone();
    traffic.judge(&catalogue.lanes(), &|_, _, _, _| Ruling::Allow);
    let report = planned(snapshot, &traffic, &catalogue, Loss::Refused, true);
    (report, traffic)
}

/// Elements that a page is made of; what runs or loads is none of them.
const TAGS: &str = "html head meta title style body a header main footer p h1 h2 h3 div strong dl dt dd nav section span \
                    table caption thead tbody tr th td ul ol li figure figcaption b small time svg desc rect path text g \
                    circle";

/// Everything that must hold of any page.
#[track_caller]
fn check(page: &str) {
    assert!(page.starts_with(PAGE_START));
    let parsed = Document::parse(page.strip_prefix("<!DOCTYPE html>\n").unwrap());
    assert!(parsed.is_ok(), "{parsed:?}\n{page}");
    let document = parsed.unwrap();
    let all: Vec<Node<'_, '_>> = document.descendants().filter(Node::is_element).collect();
    let tags: BTreeSet<&str> = TAGS.split_whitespace().collect();
    for node in &all {
        let tag = node.tag_name().name();
        assert!(tags.contains(tag), "<{tag}>");
        loads_nothing(*node);
        says_what_it_is(*node);
    }
    joins_up(&all);
    let policies = all
        .iter()
        .filter(|node| node.attribute("http-equiv") == Some("Content-Security-Policy"));
    let policies: Vec<&str> = policies.filter_map(|node| node.attribute("content")).collect();
    assert_eq!(policies.len(), 1);
    assert!(policies[0].starts_with("default-src 'none'; style-src 'sha256-"));
    let heads = all.iter().filter(|node| node.tag_name().name() == "h1");
    assert_eq!(heads.count(), 1);
}

#[track_caller]
fn loads_nothing(node: Node<'_, '_>) {
    let tag = node.tag_name().name();
    for attribute in node.attributes() {
        let (name, value) = (attribute.name(), attribute.value());
        assert!(
            !name.starts_with("on") && !["style", "src", "srcset"].contains(&name),
            "{tag} {name}"
        );
        let is_link = tag == "a" && (value.starts_with("https://") || value.starts_with('#'));
        assert!(name != "href" || is_link, "{tag} {name} {value}");
    }
}

/// Pictures have a title and a description, or are hidden from who does not see; heads of tables say of what they are.
#[track_caller]
fn says_what_it_is(node: Node<'_, '_>) {
    match (node.tag_name().name(), node.attribute("role")) {
        ("th", _) => assert!(node.attribute("scope").is_some()),
        ("svg", Some("img")) => {
            let first: Vec<&str> = node
                .children()
                .map(|child| child.tag_name().name())
                .take(2)
                .collect();
            assert_eq!(first, ["title", "desc"]);
        }
        ("svg", _) => assert_eq!(node.attribute("aria-hidden"), Some("true")),
        _ => {}
    }
}

/// Ids are there once, and what refers to one finds it.
#[track_caller]
fn joins_up(all: &[Node<'_, '_>]) {
    let named: Vec<&str> = all.iter().filter_map(|node| node.attribute("id")).collect();
    let ids: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(ids.len(), named.len(), "{named:?}");
    for name in ["aria-labelledby", "href"] {
        let values = all.iter().filter_map(|node| node.attribute(name));
        let own = values
            .flat_map(|value| value.split(' '))
            .filter(|value| !value.starts_with("https://"));
        for id in own {
            assert!(ids.contains(id.trim_start_matches('#')), "{name} {id}");
        }
    }
}

#[test]
fn a_page_says_what_the_report_says() {
    let (snapshot, traffic) = recorded();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, known());
    let (report, page) = singles(&rehearsal, None, &Bars::default());
    check(&page);
    let worst = worst(&report.contingencies).unwrap();
    assert_eq!(worst.gone[0].name, "own");
    assert!(page.contains("<h1>Loss of "), "the answer comes first");
    assert_eq!(
        page,
        singles(&rehearsal, None, &Bars::default()).1,
        "the same report, the same bytes"
    );
    assert!(!page.contains("class=\"banner\"") && !page.contains("class=\"bars\""));
    let digest = tieline_core::record::Hex32(snapshot.digest).to_string();
    assert!(page.contains(&digest));
    let (start, styled) = page.split_once("<style>").unwrap();
    let (_, rest) = styled.split_once("</style>").unwrap();
    let start = start.split("<meta http-equiv").next().unwrap();
    insta::assert_snapshot!(format!("{start}[policy and style]{rest}"));
}

#[test]
fn doubts_and_missed_bars_stand_out() {
    let (snapshot, traffic) = recorded();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, known());
    let bars = Bars {
        lost_permille_max: Some(100),
        ..Bars::default()
    };
    let (report, page) = singles(&rehearsal, Some("the ledger does not verify: <entry> 7"), &bars);
    check(&page);
    assert!(page.contains("The ledger does not verify: &lt;entry&gt; 7. What follows"));
    assert!(page.contains(&format!(
        "Stated in [bars.n_1] and missed: {}",
        report.bars_missed.len()
    )));
}

#[test]
fn names_never_become_markup() {
    let (snapshot, traffic) = hostile();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, known());
    let pages = [
        singles(&rehearsal, Some(HOSTILE), &Bars::default()).1,
        pairs(&rehearsal),
        scenarios(&snapshot, "cloud:<b>", HOSTILE, "javascript:alert(1)"),
        scenarios(
            &snapshot,
            "cloud:<b>",
            QUOTES,
            "https://example.com/?a=<b>&c=\"d\"",
        ),
        directive(&snapshot, &traffic, QUOTES),
        years(&rehearsal),
        plan(&snapshot, &traffic, HOSTILE),
        board(&snapshot, &traffic, "cloud:<b>", HOSTILE),
    ];
    for page in pages {
        check(&page);
        assert!(page.contains("&lt;script&gt;") || page.contains("&lt;img"));
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'));
        assert!(!page.contains("href=\"javascript"));
    }
}

#[test]
fn a_scenario_is_shown_over_time_with_its_sources() {
    let snapshot = Ledger::default().archive(&small_grid());
    let page = scenarios(
        &snapshot,
        "lab:anthropic",
        "An outage",
        "https://example.com/outage",
    );
    check(&page);
    let parsed = Document::parse(page.strip_prefix("<!DOCTYPE html>\n").unwrap()).unwrap();
    let course = parsed
        .descendants()
        .find(|node| node.attribute("class") == Some("course"))
        .unwrap();
    for class in ["kept", "degraded", "lost"] {
        assert!(
            course
                .children()
                .any(|node| node.attribute("class") == Some(class)),
            "{class}"
        );
    }
    assert!(page.contains("href=\"https://example.com/outage\" rel=\"noopener noreferrer nofollow\""));
    assert!(page.contains("out for a time"), "it came back");
    assert!(page.contains("That An outage is so."));
}

#[test]
fn a_directive_has_bystanders_and_undetermined_side_by_side() {
    let (snapshot, traffic) = recorded();
    let page = directive(&snapshot, &traffic, "order-7 (version 1)");
    check(&page);
    assert!(page.contains("<h1>Directive order-7 (version 1) would leave "));
    assert!(page.contains("with 2 bystanders and 0 undetermined"));
    assert!(page.contains("Bystanders: 2") && page.contains("Undetermined: 0"));
}

#[test]
fn years_open_with_what_is_lost_and_name_their_priors() {
    let (snapshot, traffic) = recorded();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, known());
    let page = years(&rehearsal);
    check(&page);
    assert!(
        page.contains(" of calls a year go unserved, in "),
        "the answer comes first"
    );
    assert!(page.contains("40 years of outages drawn from priors"));
    assert!(
        page.contains("nobody publishes a series"),
        "the source of a prior"
    );
    assert_eq!(page, years(&rehearsal));
}

#[test]
fn a_plan_opens_with_what_to_buy_and_what_it_costs() {
    let (snapshot, traffic) = recorded();
    let page = plan(&snapshot, &traffic, "elsewhere");
    check(&page);
    let answer = "<h1>elsewhere makes every critical party secure against any single loss, for 1,234.00 USD a month.</h1>";
    assert!(page.contains(answer), "{page}");
    assert!(page.contains("without channel own, and without any offer"));
}

#[test]
fn there_is_a_page_of_nothing() {
    let snapshot = Ledger::default().archive(&small_grid());
    let traffic = Ledger::default().traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let (_, page) = singles(&rehearsal, None, &Bars::default());
    check(&page);
    assert!(
        page.contains("<h1>No loss examined would change anything; no party has calls that are served.</h1>")
    );
}

#[test]
fn a_large_grid_is_cut_and_what_is_cut_is_counted() {
    let mut record = small_grid();
    let names: Vec<String> = (0..237).map(|ix| format!("ch-{ix:03}")).collect();
    for (ix, name) in names.iter().enumerate() {
        let own = format!("m-{:03}", ix / 2);
        record
            .channels
            .push(channel(name, &["cloud:many"], &[(&own, Some(1))]));
        if ix % 2 == 0 {
            record.models.push(model(&own, "open"));
            record.pools.push(pool(&format!("p-{ix:03}"), &[&own]));
        }
    }
    let snapshot = Ledger::default().archive(&record);
    let traffic = Traffic::synthetic(&snapshot, &[]);
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let (report, page) = singles(&rehearsal, None, &Bars::default());
    check(&page);
    assert!(report.contingencies.len() > 250);
    assert!(
        page.contains(">and ") && page.contains(" more</text>"),
        "the diagram says how many it leaves out"
    );
    assert!(page.contains("… and ") && page.contains(" more; --json has all of them."));
    assert!(page.len() < 400_000, "{} bytes", page.len());
}
