//! LiteLLM's spend log: in whatever form it comes, it is the same traffic; what is none of it is counted; nobody is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::{GridRecord, Snapshot};
use tieline_drill::{
    Deployed, LeftOut, Mapping, Onto, PartyKind, SpendLog, SpendReader, SpendTraffic, TraceOptions,
    TraceReader, Traffic, Window, is_spend_log,
};

use crate::grids::{self, Ledger};

fn fixture(name: &str) -> Vec<u8> {
    let file = tieline_testkit_fixtures().join(name);
    std::fs::read(file).unwrap()
}

fn tieline_testkit_fixtures() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/litellm")
}

fn read_in(pieces: &[&[u8]], salt: &[u8]) -> Result<SpendLog, String> {
    let mut reader = SpendReader::new(salt);
    for piece in pieces {
        reader.feed(piece);
    }
    reader
        .end_file()
        .and_then(|()| reader.finish())
        .map_err(|no_log| no_log.says)
}

fn read(bytes: &[u8]) -> SpendLog {
    read_in(&[bytes], b"").unwrap()
}

/// Two pools with one channel.
fn grid() -> GridRecord {
    GridRecord {
        channels: vec![grids::channel("a", &["cloud:x"], &[("m", None)])],
        models: vec![grids::model("m", "l")],
        labs: vec![grids::lab("l")],
        pools: vec![grids::pool("claude", &["m"]), grids::pool("cheap", &["m"])],
        ..grids::small_grid()
    }
}

fn laid(log: SpendLog) -> SpendTraffic {
    laid_on(log, &Ledger::default().archive(&grid()))
}

/// The log on that grid; of calls of `cheap` nobody knows who answered.
fn laid_on(log: SpendLog, snapshot: &Snapshot) -> SpendTraffic {
    let lane = Some((Arc::from("a"), Arc::from("m")));
    let of = |deployed: &Deployed| lane.clone().filter(|_| &*deployed.group != "cheap");
    let lanes: Vec<_> = log.deployed().iter().map(of).collect();
    let pools = [
        ("claude", "claude"),
        ("cheap", "cheap"),
        ("gemini", "no pool of the grid"),
    ];
    let pools = pools.map(|(ask, pool)| (ask.to_owned(), pool.to_owned())).into();
    let onto = Onto {
        parties: &[],
        snapshot,
    };
    log.onto(onto, Window::default(), &pools, &lanes)
}

#[test]
fn csv_and_every_form_of_json_are_the_same_traffic() {
    let csv = fixture("spend.csv");
    let json = String::from_utf8(fixture("spend.json")).unwrap();
    let rows = json.trim().trim_start_matches('[').trim_end_matches(']').trim();
    let forms = [
        json.clone(),
        format!("{{\"data\": [{rows}], \"total\": 82}}"),
        rows.replace("},\n", "}\n"),
    ];
    let said = |bytes: &[u8]| {
        let log = read(bytes);
        let counts = format!(
            "{:?} {:?} {:?} {:?}",
            log.rows(),
            log.left_out(),
            log.asked(),
            log.prices()
        );
        format!("{counts} {:?}", laid(log))
    };
    let expected = said(&csv);
    for form in &forms {
        assert_eq!(said(form.as_bytes()), expected);
        assert!(is_spend_log(form.as_bytes()));
    }
    assert!(is_spend_log(&csv));
    let windows = String::from_utf8(csv).unwrap().replace('\n', "\r\n");
    assert_eq!(said(format!("\u{feff}{windows}").as_bytes()), expected);
}

#[test]
fn what_is_no_call_is_counted() {
    let log = read(&fixture("spend.csv"));
    let left_out: u64 = log.left_out().values().sum();
    assert_eq!(log.rows(), left_out + log.calls());
    insta::assert_snapshot!(format!("{} calls of {} rows: {:?}", log.calls(), log.rows(), log.left_out()),
        @"73 calls of 82 rows: {Failed: 4, FromCache: 2, NoCall: 1, Refused: 2}");
    let (calls, laid) = (log.calls(), laid(log));
    assert!(laid.unknown_asks > 0 && laid.unknown_channels > 0);
    assert_eq!(laid.traffic.calls.len() as u64 + laid.unknown_asks, calls);
    let times: Vec<_> = laid
        .traffic
        .calls
        .iter()
        .filter_map(tieline_drill::TrafficCall::usage)
        .collect();
    assert_eq!(times.len(), laid.traffic.calls.len());
}

#[test]
fn nobody_is_named_and_everybody_is_told_apart() {
    let ids = |log: &SpendLog| -> Vec<String> { log.parties().map(|(id, ..)| id.to_owned()).collect() };
    let log = read(&fixture("spend.csv"));
    let kinds: Vec<PartyKind> = log.parties().map(|(_, kind, _)| kind).collect();
    assert!(
        kinds.contains(&PartyKind::Team)
            && kinds.contains(&PartyKind::User)
            && kinds.contains(&PartyKind::Key)
    );
    let plain = ids(&log);
    let distinct: std::collections::BTreeSet<&String> = plain.iter().collect();
    assert_eq!(distinct.len(), plain.len());
    let traffic = format!("{:?}", laid(log));
    for secret in [
        "northwind",
        "support",
        "customer-",
        "10.1.2.",
        "d1a5ac9a",
        "LiteralSecret",
    ] {
        assert!(!traffic.contains(secret), "{secret}");
    }
    let salted = ids(&read_in(&[&fixture("spend.csv")], b"0123456789abcdef").unwrap());
    assert_eq!(
        salted,
        ids(&read_in(&[&fixture("spend.csv")], b"0123456789abcdef").unwrap())
    );
    assert_eq!(plain, ids(&read(&fixture("spend.csv"))));
    assert!(plain.iter().all(|id| !salted.contains(id)));
}

#[test]
fn prices_are_those_that_the_calls_agree_on() {
    let log = read(&fixture("spend.csv"));
    let by_model: BTreeMap<String, _> = log
        .prices()
        .into_iter()
        .map(|(ix, rates)| (log.deployed()[usize::from(ix)].model.to_string(), rates))
        .collect();
    assert_eq!(by_model["vertex_ai/gemini-2.5-pro"], (1_250_000, 10_000_000));
    assert_eq!(
        by_model["bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0"],
        (3_000_000, 15_000_000)
    );
}

#[test]
fn what_is_no_log_says_so() {
    let check = |text: &str, says: &str| {
        let problem = read_in(&[text.as_bytes()], b"").unwrap_err();
        assert!(problem.contains(says), "{text}: {problem}");
    };
    let header = "startTime,endTime,model_group,prompt_tokens,completion_tokens,spend\n";
    check("", "it is empty");
    check("  \n", "it is empty");
    check("a,b\n1,2\n", "no header of a spend log");
    check("\u{0}\u{1}", "no text in UTF-8");
    check(header, "none of its 0 rows");
    check(&format!("{header}x,y,chat,1,1,0\n"), "none of its 1 rows");
    check(&format!("{header}\"2026-03-02 09:00:00"), "within a quoted field");
    check("[]", "none of its 0 rows");
    check("[{\"startTime\": ", "within a row");
    check("[1, 2]", "none of its 0 rows");
    check("{\"detail\": \"Authentication Error\"}", "none of its 1 rows");
    check(
        "\u{feff}{\"detail\": \"Authentication Error\"}",
        "none of its 1 rows",
    );
    check(
        "startTime,model_group,prompt_tokens\n2026-03-02 09:00:00,chat,1\n",
        "neither `endTime` nor `request_duration_ms`",
    );
    check(
        "[{\"startTime\": \"2026-03-02 09:00:00\", \"model_group\": \"chat\", \"prompt_tokens\": 1}]",
        "the times or numbers of 1 cannot be read",
    );
    let long = format!(
        "{header}2026-03-02 09:00:00,2026-03-02 09:00:01,chat,1,1,0\n\"{}\n",
        "x".repeat(3 << 20)
    );
    let log = read(long.as_bytes());
    assert_eq!(
        (log.rows(), log.calls(), log.left_out()[&LeftOut::Unreadable]),
        (2, 1, 1)
    );
}

#[test]
fn what_comes_twice_counts_once() {
    let bytes = fixture("spend.csv");
    let of = |mut reader: SpendReader, files: &[&[u8]]| {
        for file in files {
            reader.feed(file);
            reader.end_file().unwrap();
        }
        reader.finish().unwrap()
    };
    let once = of(SpendReader::new(b""), &[&bytes]);
    let twice = of(SpendReader::new(b""), &[&bytes, &bytes]);
    assert_eq!(twice.rows(), 2 * once.rows());
    assert_eq!(twice.calls(), once.calls());
    assert_eq!(twice.left_out()[&LeftOut::Twice], once.calls());
    assert_eq!(once.left_out().get(&LeftOut::Twice), None);
    // Without ids nothing tells one from the other.
    let text =
        "startTime,endTime,model_group,prompt_tokens\n2026-03-02 09:00:00,2026-03-02 09:00:01,chat,1\n";
    assert_eq!(
        of(SpendReader::new(b""), &[text.as_bytes(), text.as_bytes()]).calls(),
        2
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn how_a_file_is_cut_does_not_matter(at in 0_usize..46_000, is_json in any::<bool>()) {
        let bytes = fixture(if is_json { "spend.json" } else { "spend.csv" });
        let (left, right) = bytes.split_at(at.min(bytes.len()));
        let cut = read_in(&[left, right], b"").unwrap();
        prop_assert_eq!(format!("{cut:?}"), format!("{:?}", read(&bytes)));
    }

    #[test]
    fn no_bytes_stop_the_reader(
        damage in prop::collection::vec((0_usize..46_000, any::<u8>()), 1..40), is_json in any::<bool>()) {
        let mut bytes = fixture(if is_json { "spend.json" } else { "spend.csv" });
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if let Ok(log) = read_in(&[&bytes], b"") {
            let _ = laid(log);
        }
    }
}

/// What is written of it is read as the same calls.
#[test]
fn a_log_can_be_kept_as_a_trace() {
    let mut ledger = Ledger::default();
    let snapshot = ledger.archive(&grid());
    let laid = laid_on(read(&fixture("spend.csv")), &snapshot);
    let written = |traffic: &Traffic| {
        let mut bytes = Vec::new();
        let done = traffic.write_calls(&mut |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), std::convert::Infallible>(())
        });
        done.unwrap();
        bytes
    };
    let bytes = written(&laid.traffic);
    let mapping = Mapping::none();
    let mut reader = TraceReader::new(TraceOptions {
        mapping: &mapping,
        onto: Some(Onto {
            parties: &[],
            snapshot: &snapshot,
        }),
        scale: None,
        seed: None,
        sort: false,
        window: Window::default(),
    });
    reader.file("calls.csv");
    reader.feed(&bytes);
    let again = reader.finish().unwrap();
    assert_eq!(format!("{:?}", again.calls), format!("{:?}", laid.traffic.calls));
    assert_eq!(written(&again), bytes);
}
