//! The load generator against channels that misbehave: what it must not count as an answer.

use tieline_testkit::{Act, Auto, Channel, Cut, Script};

use super::{Report, run};
use crate::options::Options;
use crate::report::Histogram;

fn load(script: impl Into<Script>, words: &[&str]) -> Report {
    load_at(&Channel::start(script).unwrap(), words)
}

fn load_at(channel: &Channel, words: &[&str]) -> Report {
    let url = format!("{}/v1/chat/completions", channel.url());
    let own = ["--url", &url, "--connections", "2", "--seconds", "20"];
    let words = own.iter().chain(words).map(ToString::to_string);
    run(&Options::parse(words).unwrap()).unwrap()
}

fn errors(report: &Report) -> Vec<(String, u64)> {
    report
        .errors
        .iter()
        .map(|(fault, count)| (fault.name(), *count))
        .collect()
}

#[test]
fn whole_answers_are_counted_once_each() {
    let channel = Channel::start(Auto::default()).unwrap();
    let report = load_at(&channel, &["--calls", "100"]);
    assert_eq!(
        (report.answered, report.calls, errors(&report)),
        (100, 100, Vec::new())
    );
    assert_eq!(channel.seen_count(), 100);
    assert_eq!(channel.seen()[0].body.len(), 1024);
    assert_eq!(channel.accepted_count(), 2, "connections are kept");
    assert!(report.bytes > 100 * 300);
}

#[test]
fn streams_are_whole_with_their_last_event_in_any_pieces() {
    for act in [Act::auto(), Act::auto().drip(1, std::time::Duration::ZERO)] {
        for loop_of in [&[][..], &["--sweep-us", "200"]] {
            let report = load(act.clone(), &[&["--calls", "6", "--stream"], loop_of].concat());
            assert_eq!((report.answered, errors(&report)), (6, Vec::new()));
        }
    }
    let last = 5;
    for loop_of in [&[][..], &["--sweep-us", "200"]] {
        let words = [&["--calls", "4", "--stream"], loop_of].concat();
        let report = load(Act::auto().drop_frame(last), &words);
        assert_eq!(
            (report.answered, errors(&report)),
            (0, vec![("no last event".to_owned(), 4)])
        );
    }
}

#[test]
fn what_is_cut_or_refused_is_no_answer() {
    let check = |act: Act, name: &str| {
        for loop_of in [&["--calls", "6"][..], &["--calls", "6", "--sweep-us", "200"]] {
            let report = load(act.clone(), loop_of);
            assert_eq!(
                (report.answered, errors(&report)),
                (0, vec![(name.to_owned(), 6)])
            );
        }
    };
    check(Act::auto().cut_at_body_byte(100, Cut::Close), "incomplete");
    check(Act::auto().cut_at_byte(30, Cut::Reset), "incomplete");
    check(Act::auto().with_status(503), "503");
    check(Act::raw("SMTP 220\r\n\r\n").close(), "malformed");
    check(Act::json("0123456789").header("content-length", "9"), "malformed");
}

#[test]
fn a_server_that_is_gone_ends_the_run() {
    let channel = Channel::start(Script::new().then(Act::auto()).otherwise(Act::refuse())).unwrap();
    let report = load_at(&channel, &[]);
    assert_eq!(report.answered, 1);
    assert!(report.errors.values().sum::<u64>() >= 10);
}

#[test]
fn an_open_loop_is_no_faster_than_its_rate() {
    let begin = std::time::Instant::now();
    let report = load(Auto::default(), &["--rate", "200", "--calls", "51"]);
    assert_eq!((report.answered, errors(&report)), (51, Vec::new()));
    assert!(
        begin.elapsed().as_millis() >= 250,
        "the last call is due 50 gaps of 5 ms after the first"
    );
}

#[test]
fn quantiles_are_within_two_percent() {
    let mut histogram = Histogram::new();
    for ns in 1..=100_000_u64 {
        histogram.add(std::time::Duration::from_nanos(ns));
    }
    for (quantile, wanted_us) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (1.0, 100.0)] {
        let got = histogram.quantile_us(quantile);
        assert!((got / wanted_us - 1.0).abs() < 0.02, "{quantile}: {got}");
    }
}

#[test]
fn wrong_options_are_named() {
    let check = |words: &[&str], part: &str| {
        let error = Options::parse(words.iter().map(ToString::to_string))
            .err()
            .unwrap();
        assert!(error.contains(part), "{error}");
    };
    check(&[], "--url is missing");
    check(&["--url", "https://x"], "only http://");
    check(&["--url"], "needs a value");
    check(&["--connections", "0"], "--connections 0");
    check(&["--rate", "NaN"], "--rate NaN");
    check(&["--sweep-us", "0"], "--sweep-us 0");
    check(
        &["--url", "http://127.0.0.1:9", "--rate", "5", "--sweep-us", "5"],
        "closed loop",
    );
    check(&["--header", "x"], "'name: value'");
    check(&["--colour", "red"], "unknown option --colour");
}
