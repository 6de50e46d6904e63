//! Error replies as providers really send them, and whose fault each is.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tieline_core::{Fault, FaultKind, Phase};
use tieline_wire::{ChannelKind, Provider, classify};

fn fault(channel: ChannelKind, status: u16, body: &str) -> Fault {
    classify(channel, Phase::Head, Some(status), &|_| None, body.as_bytes())
}

fn kind(provider: Provider, status: u16, body: &str) -> FaultKind {
    let fault = fault(provider.into(), status, body);
    assert_eq!((fault.phase, fault.status), (Phase::Head, Some(status)));
    fault.kind
}

/// One row of `fixtures/errors/<provider>.tsv`, whose README says what the columns are.
fn check(provider: &str, row: &str) {
    let cells: [&str; 7] = row.splitn(7, '\t').collect::<Vec<_>>().try_into().unwrap();
    let [status, expected, feature, wait_ms, origin, headers, body] = cells;
    assert!(origin.len() > 4, "{row}: no origin");
    let headers: Vec<(&str, &str)> = headers.split(" | ").filter_map(|h| h.split_once('=')).collect();
    let header = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let channel = ChannelKind::from_name(provider).unwrap();
    let status: u16 = status.parse().unwrap();
    let phase = if status == 200 { Phase::Body } else { Phase::Head };
    let fault = classify(channel, phase, Some(status), &header, body.as_bytes());
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let got = [
        fault.kind.name().to_owned(),
        or_dash(fault.feature.map(|f| f.name().to_owned())),
        or_dash(fault.retry_after_ms.map(|ms| ms.to_string())),
    ];
    assert_eq!(got, [expected, feature, wait_ms], "{provider} {row}");
}

#[test]
fn error_replies_are_classified() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/errors");
    let mut counts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "tsv") {
            continue;
        }
        let provider = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let table = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
        for row in &rows {
            check(&provider, row);
        }
        counts.insert(provider, rows.len());
    }
    let of = |names: &[&str]| -> usize { names.iter().map(|name| counts[*name]).sum() };
    for family in [
        &["openai"][..],
        &["azure"],
        &["anthropic"],
        &["bedrock"],
        &["gemini", "vertex"],
        &[
            "deepseek",
            "groq",
            "llamacpp",
            "mistral",
            "ollama",
            "openai-compatible",
            "openrouter",
            "vllm",
            "xai",
        ],
    ] {
        assert!(of(family) >= 12, "{family:?}: {}", of(family));
    }
    assert_eq!(
        kind(Provider::OpenaiCompatible, 400, "\u{0}\u{1}"),
        FaultKind::Client
    );
}

/// What the phase alone decides.
#[test]
fn the_phase_is_considered() {
    let at = |phase, status, body: &str| {
        classify(ChannelKind::Openai, phase, status, &|_| None, body.as_bytes()).kind
    };
    let limit = r#"{"error":{"message":"x","type":"rate_limit_error"}}"#;
    for (phase, status, body, expected) in [
        (Phase::Connect, None, "", FaultKind::Connect),
        (Phase::Connect, Some(407), "", FaultKind::Connect),
        (Phase::Head, None, "", FaultKind::Reset),
        (Phase::Head, Some(429), "", FaultKind::Rate),
        (Phase::Head, Some(302), "", FaultKind::Garbage),
        (Phase::Body, Some(200), limit, FaultKind::Rate),
        (Phase::Body, Some(200), "", FaultKind::Reset),
        (Phase::Body, None, limit, FaultKind::Rate),
        // A status in the error counts as if it had come in the head.
        (
            Phase::Body,
            Some(200),
            r#"{"error":{"code":503,"message":"x"}}"#,
            FaultKind::Overload,
        ),
    ] {
        assert_eq!(at(phase, status, body), expected, "{phase:?} {status:?} {body}");
    }
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
    let bedrock =
        "Access to Anthropic models is not allowed from unsupported countries, regions, or territories.";
    let named = |status, message: &str| {
        let header = |name: &str| (name == "x-amzn-errortype").then_some("ValidationException:");
        let body = format!("{{\"message\":\"{message}\"}}");
        classify(
            ChannelKind::Bedrock,
            Phase::Head,
            Some(status),
            &header,
            body.as_bytes(),
        )
        .kind
    };
    assert_eq!(named(400, bedrock), FaultKind::Legal);
    assert_eq!(named(500, bedrock), FaultKind::Transient);
    assert_eq!(named(400, &format!("invalid: {bedrock}")), FaultKind::Client);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The laws that the fuzz entry point asserts, over words that classification looks for in any mixture.
    #[test]
    fn faults_keep_their_laws(
        status in prop_oneof![200_u16..600, Just(400), Just(403), Just(429), Just(451), Just(503)],
        words in prop::collection::vec(prop_oneof![
            Just("unsupported_country_region_territory"), Just("content_filter"), Just("sanction"),
            Just("insufficient_quota"), Just("prompt is too long"), Just("ValidationException"),
            Just("Access to Anthropic models is not allowed from unsupported countries, regions, or territories"),
            Just("does not support prefill"), Just("temperature"), Just("not available in your region"),
        ], 1..4),
    ) {
        let body = format!(
            r#"{{"error":{{"message":"{}","code":"{}","type":"{}"}}}}"#,
            words.join(" "), words[0], words[words.len() - 1]
        );
        let mut bytes = status.to_be_bytes().to_vec();
        bytes.extend_from_slice(body.as_bytes());
        tieline_wire::fuzz::fuzz_classify(&bytes);
    }
}

#[test]
fn the_wait_is_read() {
    let wait = |status: u16, list: &'static [(&str, &str)]| {
        let header = |name: &str| list.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        let fault: Fault = classify(ChannelKind::Openai, Phase::Head, Some(status), &header, b"");
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
            classify(ChannelKind::Openai, Phase::Head, Some(429), &header, b"").retry_after_ms,
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
