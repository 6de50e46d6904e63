//! What a report says of a trace: which numbers are the trace's own, which are modelled, which assumed, and what was left
//! out.

use std::sync::Arc;

use super::mapped::Seen;
use super::mapping::{Format, Mapping};
use super::reader::TraceOptions;
use crate::arrivals::{MS_PER_TOKEN_ASSUMED, TTFT_MS_ASSUMED};
use crate::problem::Problems;
use crate::table::{count, few, plural};
use crate::traffic::Traffic;

/// Names of files that a remark lists.
const FILES_SHOWN: usize = 4;

/// A file that was read.
pub(super) struct Read {
    pub(super) format: Option<Format>,
    pub(super) name: Arc<str>,
}

pub(super) fn add(
    traffic: &mut Traffic,
    seen: &Seen,
    files: &[Read],
    options: &TraceOptions<'_>,
    rows: &Problems,
) {
    let mut say = |is_so: bool, text: String| {
        if is_so {
            traffic.remarks.push(text);
        }
    };
    let is_series = |read: &&Read| read.format == Some(Format::Servegen);
    let named = |files: Vec<&Read>| {
        let names: Vec<String> = files.iter().map(|read| read.name.to_string()).collect();
        few(&names, FILES_SHOWN)
    };
    let recorded: Vec<&Read> = files.iter().filter(|read| !is_series(read)).collect();
    let series: Vec<&Read> = files.iter().filter(is_series).collect();
    say(
        !recorded.is_empty(),
        format!("Exact: when calls came, from {}.", named(recorded)),
    );
    let mapping = options.mapping;
    say(
        !series.is_empty(),
        format!(
            "Exact: how many calls came in each window of {}, at {} times their rate. Modelled: when they came within it, \
             drawn with seed {} from the family of gaps that the series names.",
            named(series),
            options.scale.unwrap_or(1.0),
            options.seed.unwrap_or(mapping.seed)
        ),
    );
    if let Some(start) = mapping.start {
        say(true, format!("Assumed: the trace begins at {}.", start.rfc3339()));
    }
    say(
        seen.outside > 0,
        format!(
            "Left out: {} outside of --since and --until.",
            plural(seen.outside, "call")
        ),
    );
    whose(seen, mapping, &mut say);
    sizes_and_times(seen, files, mapping, &mut say);
    let warnings = [
        (
            seen.unmapped,
            "is chosen by no group of the mapping, and left out",
            "are chosen by no group of the mapping, and left out",
        ),
        (
            seen.cut,
            "takes longer than 71 minutes, and counts as that",
            "take longer than 71 minutes, and count as that",
        ),
    ];
    for (n, one, many) in warnings {
        if n > 0 {
            let does = if n == 1 { one } else { many };
            traffic.warnings.push(format!("{} {does}.", plural(n, "call")));
        }
    }
    if let Some(first) = rows.shown.first() {
        let lines = plural(rows.count(), "line");
        traffic.warnings.push(format!(
            "{lines} of the trace could not be read, and left out, first {}:{}: {}.",
            first.file, first.line, first.says
        ));
    }
    if files.iter().any(|read| read.format != Some(Format::Servegen)) {
        traffic.warnings.extend(traffic.silence());
    }
}

/// Whose calls they are, and what they ask for.
fn whose(seen: &Seen, mapping: &Mapping, say: &mut dyn FnMut(bool, String)) {
    if let Some(name) = &mapping.name {
        let calls = plural(seen.calls, "call");
        say(
            true,
            format!(
                "Assumed: whose the {calls} are and what they ask for, where the mapping {name} says it."
            ),
        );
    }
    say(
        seen.whose_assumed > 0,
        format!(
            "Assumed: {} that say nothing of it are of the only party, and ask for the only pool.",
            plural(seen.whose_assumed, "call")
        ),
    );
}

fn sizes_and_times(seen: &Seen, files: &[Read], mapping: &Mapping, say: &mut dyn FnMut(bool, String)) {
    let Seen {
        calls,
        costed,
        read_from_cache,
        sized,
        timed,
        unsized_calls,
        untimed,
        ..
    } = *seen;
    say(sized > 0, format!("Exact: tokens of {}.", plural(sized, "call")));
    say(
        calls - sized > unsized_calls,
        format!(
            "Assumed: tokens of {}, drawn as the mapping says.",
            plural(calls - sized - unsized_calls, "call")
        ),
    );
    say(
        unsized_calls > 0,
        format!(
            "Assumed: tokens of {}, of which neither trace nor mapping says both: 1,000 of a prompt, 500 of an answer.",
            plural(unsized_calls, "call")
        ),
    );
    let is_mooncake = files.iter().any(|read| read.format == Some(Format::Mooncake));
    say(
        is_mooncake,
        format!(
            "Modelled: {} prompt tokens are read from a cache: the blocks that a prompt begins with and that were seen in \
             the last {}.",
            count(read_from_cache),
            crate::traffic::spelled(mapping.cache_lifetime)
        ),
    );
    say(
        timed > 0,
        format!("Exact: the time of {}.", plural(timed, "call")),
    );
    say(
        calls - timed > untimed,
        format!(
            "Assumed: the time of {}, drawn as the mapping says.",
            plural(calls - timed - untimed, "call")
        ),
    );
    say(
        untimed > 0,
        format!(
            "Assumed: the time of {}: {TTFT_MS_ASSUMED} ms to the first content and {MS_PER_TOKEN_ASSUMED} ms for each token \
             of the answer, where the mapping does not say otherwise.",
            plural(untimed, "call")
        ),
    );
    say(
        costed > 0,
        format!(
            "Exact: the cost of {}, as the trace has it.",
            plural(costed, "call")
        ),
    );
}
