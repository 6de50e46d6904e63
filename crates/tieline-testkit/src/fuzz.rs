//! One entry point per parser of untrusted bytes, and the list of them that the replay test and `fuzz/` go through.
//!
//! Contract: an entry point takes any bytes and returns; what must hold of the parser beside not panicking, it
//! asserts. To add one: write the function, add a row to [`TARGETS`], a file in `fuzz/fuzz_targets` and its
//! `[[bin]]`.

use crate::request::{Limits, Request, RequestReader};

/// Name (also of the corpus folder under `fuzz/corpus`) and entry point.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this workspace.
pub const TARGETS: &[Target] = &[
    ("http_request", http_request),
    ("wire_scan", wire_scan),
    ("wire_sse", wire_sse),
    ("wire_tap", wire_tap),
    ("wire_buffered", wire_buffered),
    ("wire_classify", wire_classify),
    ("wire_exchange", wire_exchange),
    ("wire_resume", wire_resume),
    ("wire_seam", wire_seam),
    ("wire_convert_request", wire_convert_request),
    ("wire_convert_answer", wire_convert_answer),
    ("wire_convert_stream", wire_convert_stream),
    ("ledger_texts", ledger_texts),
    ("ledger_bundle", ledger_bundle),
    ("ledger_json", ledger_json),
    ("policy_order", policy_order),
    ("policy_pack", policy_pack),
];

/// Request bodies of both dialects.
pub fn wire_scan(data: &[u8]) {
    tieline_wire::fuzz::fuzz_scan(data);
}

/// Server-sent events; the first byte says how the rest is split.
pub fn wire_sse(data: &[u8]) {
    tieline_wire::fuzz::fuzz_sse(data);
}

/// Streams on the verbatim path; the first byte says how the rest is split.
pub fn wire_tap(data: &[u8]) {
    tieline_wire::fuzz::fuzz_tap(data);
}

/// Whole answers.
pub fn wire_buffered(data: &[u8]) {
    tieline_wire::fuzz::fuzz_buffered(data);
}

/// Error replies; the first two bytes are the status.
pub fn wire_classify(data: &[u8]) {
    tieline_wire::fuzz::fuzz_classify(data);
}

/// Streams on their way from one dialect to the other; the first byte says how the rest is split.
pub fn wire_exchange(data: &[u8]) {
    tieline_wire::fuzz::fuzz_exchange(data);
}

/// Streams that break off and are gone on with; the first byte says how the second half is split.
pub fn wire_resume(data: &[u8]) {
    tieline_wire::fuzz::fuzz_resume(data);
}

/// Two texts that are joined, separated by a zero byte; the first byte says how the second is cut.
pub fn wire_seam(data: &[u8]) {
    tieline_wire::resume::fuzz_seam(data);
}

/// Requests that are translated; what was written can be read.
pub fn wire_convert_request(data: &[u8]) {
    tieline_wire::convert_fuzz::fuzz_convert_request(data);
}

/// Whole answers that are translated; what was written can be read.
pub fn wire_convert_answer(data: &[u8]) {
    tieline_wire::convert_fuzz::fuzz_convert_response(data);
}

/// Streams that are translated, the data of one event on each line; whole or at fault, and never both.
pub fn wire_convert_stream(data: &[u8]) {
    tieline_wire::convert_fuzz::fuzz_bridge(data);
}

/// Checkpoints, signed notes, keys and tile paths.
pub fn ledger_texts(data: &[u8]) {
    tieline_ledger::fuzz::texts(data);
}

/// Bundles of entries.
pub fn ledger_bundle(data: &[u8]) {
    tieline_ledger::fuzz::bundle(data);
}

/// Entries and canonical JSON.
pub fn ledger_json(data: &[u8]) {
    tieline_ledger::fuzz::json(data);
}

/// A directive or a revocation, signed or not.
pub fn policy_order(data: &[u8]) {
    tieline_policy::fuzz_order(data);
}

/// A pack: manifest, rules and cases, separated by zero bytes.
pub fn policy_pack(data: &[u8]) {
    tieline_policy::fuzz_pack(data);
}

/// The scripted channel's own request reader: whole, byte by byte, and in two parts, the requests are the same.
///
/// # Panics
/// Where they are not, or a body is over its limit.
pub fn http_request(data: &[u8]) {
    let whole = read_all([data]);
    let bytewise = read_all(data.chunks(1));
    assert_eq!(whole, bytewise, "requests depend on how their bytes are split");
    let (left, right) = data.split_at(data.len() / 2);
    assert_eq!(
        whole,
        read_all([left, right]),
        "requests depend on where their bytes are split"
    );
}

/// The requests in these bytes, and whether the rest was refused.
fn read_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Request>, bool) {
    let mut reader = RequestReader::new(FUZZ_LIMITS);
    let mut requests = Vec::new();
    for part in parts {
        reader.feed(part);
        loop {
            match reader.next_request() {
                Ok(Some(request)) => {
                    assert!(
                        request.body.len() <= FUZZ_LIMITS.body_bytes_max,
                        "a body over its limit"
                    );
                    requests.push(request);
                }
                Ok(None) => break,
                Err(_) => return (requests, true),
            }
        }
    }
    (requests, false)
}

/// Small, so that a fuzzer reaches them.
const FUZZ_LIMITS: Limits = Limits {
    head_bytes_max: 1024,
    body_bytes_max: 4096,
};
