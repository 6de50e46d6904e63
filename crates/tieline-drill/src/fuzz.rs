//! Entry points for fuzzers: each takes any bytes as a file of somebody else. Beside not panicking they assert that the
//! pieces in which a file comes do not matter, and that what is written is read as the same.

use tieline_core::{Span, Tick};

use crate::arrivals::{Drawing, Law};
use crate::instant;
use crate::trace::{Mapping, TraceOptions, TraceReader};
use crate::traffic::{Traffic, Window};

/// Reads any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Name (also of the corpus folder under `fuzz/corpus`) and entry point.
pub const TARGETS: &[Target] = &[
    ("drill_law", law),
    ("drill_mapping", mapping),
    ("drill_trace", trace),
];

/// What traces are mapped by, chosen by the first byte.
const MAPPINGS: [&str; 3] = [
    "[defaults]\npool = 'a'",
    "bad_rows = 'leave_out'\nignore = ['*']\nstart = 2026-06-12\n[[groups]]\npool = 'a'\n[[groups]]\nmodel = 'b'\nshare = 2",
    "columns = { x = 'prompt_tokens', y = 'completion_tokens', z = 'at_ms' }\n[[groups]]\nfrom_party = ['p']\npool = 'a'",
];

/// A law; one that is read is written as the same, and draws the same calls twice.
///
/// # Panics
/// Where it is not, or does not, which are the defects that fuzzing looks for.
pub fn law(data: &[u8]) {
    let Ok(law) = Law::parse("law", &String::from_utf8_lossy(data)) else {
        return;
    };
    let again = Law::parse("law", &law.to_toml());
    assert_eq!(again.as_ref(), Ok(&law), "a law that is written is the law");
    let is_slow = law.groups.len() > 8
        || law.groups.iter().any(|group| {
            let rates = group.arrivals.hours.iter().map(|(_, rate)| *rate);
            rates.chain([group.arrivals.per_hour]).any(|rate| rate > 100.0)
        });
    let from = instant::parse(&law.from).unwrap_or(Tick(0));
    let drawing = Drawing {
        scale: 1.0,
        seed: 1,
        window: Window {
            since: Some(from),
            until: Some(from.plus(Span::from_s(7_200))),
        },
    };
    if !is_slow {
        let digest = || law.draw(None, &drawing).map(|traffic| traffic.digest());
        assert_eq!(digest(), digest(), "a seed draws the same calls");
    }
}

/// A mapping.
pub fn mapping(data: &[u8]) {
    let _ = Mapping::parse("mapping", &String::from_utf8_lossy(data));
}

/// A trace; the first byte says how it is mapped.
///
/// # Panics
/// If it is another trace when it comes in pieces, which is the defect that fuzzing looks for.
pub fn trace(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let text = MAPPINGS.get(usize::from(*first) % MAPPINGS.len());
    let Some(Ok(mapping)) = text.map(|text| Mapping::parse("mapping", text)) else {
        return;
    };
    let read = |size: usize| {
        let mut reader = TraceReader::new(TraceOptions {
            mapping: &mapping,
            onto: None,
            // Rates of fuzzers are large.
            scale: rest.first().is_some_and(u8::is_ascii_digit).then_some(1e-4),
            seed: None,
            sort: first % 2 == 0,
            window: Window::default(),
        });
        reader.file("trace");
        rest.chunks(size).for_each(|piece| reader.feed(piece));
        reader
            .finish()
            .map(|traffic: Traffic| (traffic.digest(), traffic.notes()))
    };
    assert_eq!(
        read(rest.len().max(1)),
        read(3),
        "the pieces of a trace do not matter"
    );
}
