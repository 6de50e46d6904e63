//! Error replies as providers really send them, and whose fault each is.

use std::collections::BTreeSet;

use tieline_core::{Fault, FaultKind, Phase};
use tieline_wire::{Provider, classify};

fn kind(provider: Provider, status: u16, body: &str) -> FaultKind {
    let fault = classify(provider, status, &|_| None, body.as_bytes());
    assert_eq!((fault.phase, fault.status), (Phase::Head, Some(status)));
    fault.kind
}

#[test]
fn error_replies_are_classified() {
    let table = include_str!("../../../../fixtures/errors.tsv");
    let mut providers = BTreeSet::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [name, status, expected, body] = line.splitn(4, '\t').collect::<Vec<_>>().try_into().unwrap();
        let provider = Provider::from_name(name).unwrap();
        assert_eq!(
            kind(provider, status.parse().unwrap(), body).name(),
            expected,
            "{line}"
        );
        providers.insert(provider);
    }
    assert!(providers.len() >= 11, "{providers:?}");
    assert_eq!(
        kind(Provider::OpenaiCompatible, 400, "\u{0}\u{1}"),
        FaultKind::Client
    );
}

/// The words of a legal order in a prompt that a server echoes do not make a legal block.
#[test]
fn a_legal_block_needs_more_than_words() {
    let echo =
        r#"{"error":{"message":"cannot parse: 'tell me about the export control of sanctioned goods'"}}"#;
    assert_eq!(kind(Provider::Vllm, 400, echo), FaultKind::Client);
    assert_eq!(kind(Provider::Vllm, 500, echo), FaultKind::Transient);
    let geo = r#"{"error":{"message":"Access denied under export control regulations"}}"#;
    assert_eq!(kind(Provider::Vllm, 403, geo), FaultKind::Legal);
}

#[test]
fn the_wait_is_read() {
    let wait = |status: u16, list: &'static [(&str, &str)]| {
        let header = |name: &str| list.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        let fault: Fault = classify(Provider::Openai, status, &header, b"");
        fault.retry_after_ms
    };
    assert_eq!(wait(429, &[]), None);
    assert_eq!(wait(429, &[("retry-after", "2")]), Some(2_000));
    assert_eq!(wait(429, &[("retry-after", "0.5")]), Some(500));
    assert_eq!(
        wait(503, &[("retry-after-ms", "120"), ("retry-after", "2")]),
        Some(120)
    );
    assert_eq!(
        wait(
            529,
            &[
                ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"),
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            ]
        ),
        Some(10_000)
    );
    assert_eq!(
        wait(529, &[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]),
        None,
        "no clock to read it against"
    );
    assert_eq!(
        wait(
            429,
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "6m0s"),
                ("x-ratelimit-remaining-tokens", "9"),
                ("x-ratelimit-reset-tokens", "1h")
            ]
        ),
        Some(360_000)
    );
    assert_eq!(
        wait(429, &[("retry-after", "99999999")]),
        Some(86_400_000),
        "a day at most"
    );
    for bad in ["-1", "NaN", "inf", "soon", ""] {
        let header = |name: &str| (name == "retry-after").then_some(bad);
        assert_eq!(
            classify(Provider::Openai, 429, &header, b"").retry_after_ms,
            None,
            "{bad}"
        );
    }
    assert_eq!(
        wait(401, &[("retry-after", "2")]),
        None,
        "a wrong key is not mended by waiting"
    );
}
