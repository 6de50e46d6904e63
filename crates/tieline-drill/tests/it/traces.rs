//! Traces of other systems: the real ones to the last token, wrong ones with every mistake in its place, and any bytes
//! without a panic.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::{GridRecord, Snapshot, Span, Tick, Usage};
use tieline_drill::{
    Basis, Class, Known, Mapping, Onto, PartyView, Problems, Rehearsal, TraceOptions, TraceReader, Traffic,
    Window,
};

use crate::data::{self, real};
use crate::grids::{Ledger, small_grid};

/// A grid with one pool, so that a trace needs no mapping.
pub(crate) fn one_pool() -> Arc<Snapshot> {
    let mut record: GridRecord = small_grid();
    record.pools.retain(|pool| &*pool.name == "frontier");
    Ledger::default().archive(&record)
}

pub(crate) fn mapping(text: &str) -> Mapping {
    Mapping::parse("mapping.toml", text).unwrap()
}

/// What files make on a grid on which everyone may use everything.
pub(crate) fn read<'a>(
    snapshot: &'a Snapshot,
    mapping: &'a Mapping,
    files: &[(&str, &[u8])],
    with: impl FnOnce(&mut TraceOptions<'a>),
) -> Result<Traffic, Problems> {
    let mut options = TraceOptions {
        mapping,
        onto: Some(Onto {
            snapshot,
            parties: &[],
        }),
        scale: None,
        seed: None,
        sort: false,
        window: Window::default(),
    };
    with(&mut options);
    let mut reader = TraceReader::new(options);
    for (name, bytes) in files {
        reader.file(name);
        // Pieces of an odd size, so that lines lie across them.
        bytes.chunks(4_093).for_each(|piece| reader.feed(piece));
    }
    reader.finish()
}

fn text(snapshot: &Snapshot, map: &str, text: &str) -> Result<Traffic, Problems> {
    read(snapshot, &mapping(map), &[("calls.csv", text.as_bytes())], |_| {})
}

pub(crate) fn sum(traffic: &Traffic, of: impl Fn(Usage) -> u64) -> u64 {
    traffic
        .calls
        .iter()
        .filter_map(|call| call.usage().map(&of))
        .sum()
}

fn whole(path: &Path, mapping: &Mapping) -> Traffic {
    let name = path.file_name().unwrap().to_str().unwrap();
    read(
        &one_pool(),
        mapping,
        &[(name, &std::fs::read(path).unwrap())],
        |_| {},
    )
    .unwrap()
}

#[test]
fn the_traces_of_azure_are_read_to_the_last_token() {
    for (name, calls, prompt, answer, span_s) in [
        ("azure_2023_conv.csv", 19_366, 22_361_870, 4_088_665, 3_501),
        ("azure_2023_code.csv", 8_819, 18_059_974, 245_896, 3_435),
    ] {
        let Some(path) = data::traffic(name) else { return };
        let traffic = whole(&path, &Mapping::none());
        assert_eq!(
            (traffic.basis, traffic.calls.len()),
            (Basis::Trace, calls),
            "{name}"
        );
        assert_eq!(sum(&traffic, |usage| usage.input), prompt, "{name}");
        assert_eq!(sum(&traffic, |usage| usage.output), answer, "{name}");
        let (first, last) = (traffic.calls[0].at(), traffic.calls[calls - 1].at());
        assert_eq!(last.since(first).0 / 1_000_000, span_s, "{name}");
        assert_eq!(traffic.left_out, 0);
    }
}

#[test]
fn the_trace_of_mooncake_is_read_with_what_its_caches_had() {
    let Some(path) = data::traffic("mooncake_conversation.jsonl") else {
        return;
    };
    // Counted by another program, with caches that forget nothing, and that forget after five minutes.
    for (map, cached) in [
        ("cache_minutes = 1440", 54_098_411),
        ("", CACHED_5_MIN),
        ("cache_minutes = 0", 0),
    ] {
        let traffic = whole(&path, &mapping(map));
        assert_eq!(traffic.calls.len(), 12_031);
        assert_eq!(sum(&traffic, |usage| usage.input + usage.cache_read), 144_793_823);
        assert_eq!(sum(&traffic, |usage| usage.output), 4_122_048);
        assert_eq!(sum(&traffic, |usage| usage.cache_read), cached, "{map}");
    }
}

/// Prompt tokens of the trace that repeat what was seen at most five minutes before.
const CACHED_5_MIN: u64 = 42_445_349;

#[test]
fn client_series_have_as_many_calls_as_their_windows_say() {
    let Some(folder) = data::traffic("servegen") else {
        return;
    };
    let clients = ["client-2.csv", "client-105.csv", "client-100.csv"];
    let files: Vec<Vec<u8>> = clients
        .iter()
        .map(|name| std::fs::read(folder.join(name)).unwrap())
        .collect();
    let files: Vec<(&str, &[u8])> = clients
        .iter()
        .copied()
        .zip(files.iter().map(Vec::as_slice))
        .collect();
    let map = mapping(
        r#"
        start = 2026-06-01T00:00:00Z
        [defaults]
        pool = "frontier"
        prompt_tokens = { median = 800, sigma = 1.2, max = 30000 }
        output_tokens = 200
        [[groups]]
        files = ["client-2.csv"]
        party = "two"
        [[groups]]
        party = "others"
        "#,
    );
    let snapshot = one_pool();
    let from = 1_780_272_000_000_000;
    let six_hours = |scale: Option<f64>, seed: u64| {
        read(&snapshot, &map, &files, |options| {
            options.scale = scale;
            options.seed = Some(seed);
            options.window.until = Some(Tick(from).plus(Span::from_s(6 * 3_600)));
        })
        .unwrap()
    };
    let traffic = six_hours(None, 1);
    let of = |traffic: &Traffic, party: &str| {
        let calls = traffic
            .calls
            .iter()
            .filter(|call| &**traffic.party_of(call).unwrap() == party);
        calls.count() as u64
    };
    let expected = |files: &[(&str, &[u8])]| {
        files
            .iter()
            .map(|(_, bytes)| calls_before(bytes, 6 * 3_600))
            .sum::<u64>()
    };
    assert_eq!(of(&traffic, "two"), expected(&files[..1]));
    assert_eq!(of(&traffic, "others"), expected(&files[1..]));
    assert!(traffic.calls.iter().all(|call| call.at() >= Tick(from)));
    assert!(traffic.calls.is_sorted_by_key(tieline_drill::TrafficCall::at));
    assert_eq!(six_hours(None, 1).digest(), traffic.digest());
    let other = six_hours(None, 2);
    assert_ne!(other.digest(), traffic.digest());
    assert_eq!(of(&other, "two"), of(&traffic, "two"));
    // Half of everything: each window is off by less than a call.
    let half = six_hours(Some(0.5), 1);
    assert!(half.calls.len().abs_diff(traffic.calls.len() / 2) < 36 * 3);
    let too_many = read(&snapshot, &map, &files, |options| options.scale = Some(100.0)).unwrap_err();
    assert!(
        too_many
            .to_string()
            .contains("would be drawn; at most 10,000,000 are"),
        "{too_many}"
    );
}

/// The sum of rate × 600 s over the windows of a series that begin before a second.
fn calls_before(series: &[u8], until_s: u64) -> u64 {
    let text = std::str::from_utf8(series).unwrap();
    let calls = text.lines().filter_map(|line| {
        let mut fields = line.split(',');
        let at: u64 = fields.next()?.parse().ok()?;
        let rate: f64 = fields.next()?.parse().ok()?;
        (at < until_s).then(|| format!("{:.0}", rate * 600.0).parse::<u64>().unwrap())
    });
    calls.sum()
}

/// Gaps have the shape that a series names: bursts where it says so.
#[test]
fn gaps_of_a_series_have_their_family() {
    let snapshot = one_pool();
    let cv = |family: &str, shape: f64| {
        let mut series = String::new();
        for window in 0..40 {
            writeln!(series, "{},0.5,1,{family},{shape},1", window * 600).unwrap();
        }
        let traffic = read(
            &snapshot,
            &Mapping::none(),
            &[("c.csv", series.as_bytes())],
            |_| {},
        )
        .unwrap();
        assert_eq!(traffic.calls.len(), 12_000);
        let at = |ix: usize| traffic.calls[ix].at();
        let gaps: Vec<f64> = (1..traffic.calls.len())
            .map(|ix| at(ix).since(at(ix - 1)).0)
            .map(real)
            .collect();
        let mean = gaps.iter().sum::<f64>() / real(gaps.len());
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / real(gaps.len());
        variance.sqrt() / mean
    };
    for (family, shape, expected) in [
        ("Exponential", 1.0, 1.0),
        ("Gamma", 4.0, 0.5),
        ("Gamma", 0.25, 2.0),
        ("Weibull", 0.5, 2.236),
    ] {
        let found = cv(family, shape);
        assert!((found / expected - 1.0).abs() < 0.1, "{family} {shape}: {found}");
    }
}

const FULL: &str = "\
at,party,class,pool,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,reasoning_tokens,stream,dialect,\
output_max,took_ms,ttft_ms,cost_usd,channel,served_model
2026-06-12T17:21:00.5Z,acme,enterprise,frontier,100,20,30,40,5,false,anthropic_messages,4096,1500.25,300,0.0125,\
bedrock,sonnet
2026-06-12 17:21:01,\"b, inc\",startup,frontier,1,2,,,,,,,,,,,
";

#[test]
fn a_csv_of_ones_own_is_read_field_by_field() {
    let snapshot = one_pool();
    let traffic = text(&snapshot, "", FULL).unwrap();
    let [first, second] = traffic.calls.as_slice() else {
        panic!("two calls");
    };
    assert_eq!(first.at(), Tick(1_781_284_860_500_000));
    assert_eq!(
        first.usage().unwrap(),
        Usage {
            cache_read: 30,
            cache_write: 40,
            input: 100,
            output: 20,
            reasoning: 5,
            ..Usage::default()
        }
    );
    assert_eq!((first.cost_nano(), second.cost_nano()), (Some(12_500_000), None));
    assert_eq!((first.is_streamed(), second.is_streamed()), (false, true));
    // In one piece, the first content is the last; streamed and unknown, it is assumed.
    assert_eq!(first.times(), (Span(1_500_250), Span(1_500_250)));
    assert_eq!(second.times(), (Span(540_000), Span(500_000)));
    let parties: Vec<_> = traffic.parties().map(|(name, class)| (&**name, class)).collect();
    assert_eq!(
        parties,
        [
            ("acme", Some(Class::Enterprise)),
            ("b, inc", Some(Class::Startup))
        ]
    );
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    assert_eq!((rehearsal.base().carried, rehearsal.basis()), (2, Basis::Trace));
    insta::assert_snapshot!("trace_notes", traffic.notes().join("\n"));
}

/// The same calls by other names, in another order of columns, with other ends of lines.
#[test]
fn the_digest_is_that_of_the_calls_and_not_of_the_file() {
    let snapshot = one_pool();
    let plain = "at,party,input_tokens,output_tokens,cache_read_tokens\n\
                 2026-06-12T17:21:00Z,a,70,20,30\n2026-06-12T17:21:01Z,b,1,2,0\n";
    let other = "\u{feff}extra,prompt_tokens,at_ms,who,completion,cache_read_tokens\r\n\
                 ,100,1781284860000,a,20.0,30\r\n\r\n\"x\"\"\ny\",1,1781284861000,\"b\",2,\r\n";
    let map = "columns = { who = 'party', completion = 'output_tokens' }\nignore = ['extra']";
    let digest = |map: &str, calls: &str| text(&snapshot, map, calls).unwrap().digest();
    assert_eq!(digest("", plain), digest(map, other));
    assert_ne!(digest("", plain), digest("", &plain.replace(",70,", ",71,")));
    assert_ne!(digest("", plain), digest("", &plain.replace(",b,", ",c,")));
    assert_ne!(digest("", plain), digest("defaults.class = 'agency'", plain));
    assert_ne!(digest("", plain), digest("defaults.model = 'gpt'", plain));
    // The same on every machine.
    assert_eq!(
        digest("", plain).to_string(),
        "5b51ba256dde7fcac9885d964e4cd62dd7ecf4c67e58ff31635e9f933279888c"
    );
}

#[test]
fn groups_choose_share_and_name() {
    let snapshot = Ledger::default().archive(&small_grid());
    let mut calls = String::from("at_s,party,ask,prompt_tokens,output_tokens\n");
    for second in 0..4_000 {
        let (party, ask) = [("x", "gpt-4o"), ("y", "gpt-4o"), ("x", "cheap"), ("", "")][second % 4];
        writeln!(calls, "{second},{party},{ask},10,5").unwrap();
    }
    let map = r#"
        seed = 3
        [defaults]
        dialect = "anthropic_messages"
        [[groups]]
        from_ask = ["gpt-4o"]
        from_party = ["x"]
        party = "acme"
        model = "gpt"
        [[groups]]
        from_ask = ["gpt-4o"]
        pool = "frontier"
        [[groups]]
        from_party = ["x"]
        [[groups]]
        party = "many"
        pool = "cheap"
        share = 3
        [[groups]]
        party = "few"
        pool = "sonnet-only"
        class = "academic"
    "#;
    let traffic = text(&snapshot, map, &calls).unwrap();
    let count = |party: &str, ask: &str| {
        let is = |call: &&tieline_drill::TrafficCall| {
            &**traffic.party_of(call).unwrap() == party && &**traffic.ask_of(call).unwrap() == ask
        };
        traffic.calls.iter().filter(is).count()
    };
    assert_eq!(count("acme", "gpt"), 1_000);
    assert_eq!(count("y", "frontier"), 1_000);
    assert_eq!(count("x", "cheap"), 1_000);
    let (many, few) = (count("many", "cheap"), count("few", "sonnet-only"));
    assert_eq!(many + few, 1_000);
    assert!(many.abs_diff(750) < 50, "{many}");
    // A call more at the beginning changes nothing for the others but their numbers; another seed changes the draw.
    let other = text(&snapshot, &map.replace("seed = 3", "seed = 4"), &calls).unwrap();
    assert_ne!(other.digest(), traffic.digest());
}

#[test]
fn parties_are_judged_as_policy_judges_them() {
    let snapshot = Ledger::default().archive(&small_grid());
    let own = snapshot.channel_named("own").unwrap();
    let views = [
        PartyView {
            allowed: &|candidate| candidate.channel != own,
            party: "barred".into(),
            scope: tieline_core::Scope::All,
        },
        PartyView {
            allowed: &|_| true,
            party: "narrow".into(),
            scope: tieline_core::Scope::Names(Arc::new(["cheap".into()])),
        },
    ];
    let calls = "at_s,party,ask,prompt_tokens,output_tokens\n\
                 0,barred,cheap,1,1\n1,narrow,cheap,1,1\n2,narrow,frontier,1,1\n3,barred,frontier,1,1\n";
    let on = |calls: &str, leaves_out: bool| {
        let map = mapping(if leaves_out { "bad_rows = 'leave_out'" } else { "" });
        read(&snapshot, &map, &[("calls.csv", calls.as_bytes())], |options| {
            options.onto = Some(Onto {
                snapshot: &snapshot,
                parties: &views,
            });
        })
    };
    let traffic = on(calls, false).unwrap();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    assert_eq!((rehearsal.base().carried, rehearsal.base().refused), (2, 2));
    let strange = format!("{calls}4,stranger,cheap,1,1\n5,stranger,cheap,1,1\n6,narrow,nothing,1,1\n");
    insta::assert_snapshot!("trace_strangers", on(&strange, false).unwrap_err());
    let rest = on(&strange, true).unwrap();
    assert_eq!((rest.calls.len(), rest.left_out), (4, 3));
}

#[test]
fn a_window_takes_its_calls_and_draws_them_as_if_it_were_not_there() {
    let snapshot = one_pool();
    let mut calls = String::from("at_s,prompt_tokens,output_tokens\n");
    for second in 0..100 {
        writeln!(calls, "{second},10,5").unwrap();
    }
    let map = mapping("start = 2026-06-12\n[defaults]\nstream = 0.5");
    let from = Tick(1_781_222_400_000_000);
    let within = |since: u64, until: u64| {
        let window = Window {
            since: Some(from.plus(Span::from_s(since))),
            until: Some(from.plus(Span::from_s(until))),
        };
        read(&snapshot, &map, &[("c.csv", calls.as_bytes())], |options| {
            options.window = window;
        })
    };
    let streams = |traffic: &Traffic| -> Vec<bool> {
        traffic
            .calls
            .iter()
            .map(tieline_drill::TrafficCall::is_streamed)
            .collect()
    };
    let (all, part) = (within(0, 100).unwrap(), within(40, 60).unwrap());
    assert_eq!((all.calls.len(), part.calls.len()), (100, 20));
    assert_eq!(streams(&all)[40..60], streams(&part)[..]);
    assert!(
        part.notes()
            .iter()
            .any(|note| note.starts_with("Left out: 80 calls outside"))
    );
    assert!(
        within(200, 300)
            .unwrap_err()
            .to_string()
            .contains("100 lie outside of --since and --until")
    );
}

#[test]
fn more_parties_than_can_be_kept_apart_are_refused_once() {
    let snapshot = one_pool();
    let mut calls = String::from("at_s,party,prompt_tokens,output_tokens\n");
    for second in 0..100_010 {
        writeln!(calls, "{second},p{second},1,1").unwrap();
    }
    let error = text(&snapshot, "", &calls).unwrap_err();
    assert_eq!(error.count(), 1);
    assert!(
        error.to_string().contains("calls.csv:100002: the parties so far"),
        "{error}"
    );
    let left = text(&snapshot, "bad_rows = 'leave_out'", &calls).unwrap();
    assert_eq!((left.calls.len(), left.left_out), (100_000, 10));
    assert_eq!(
        text(&snapshot, "[[groups]]\nparty = 'all'", &calls)
            .unwrap()
            .calls
            .len(),
        100_010
    );
}

#[test]
fn lines_out_of_order_are_refused_or_sorted() {
    let snapshot = one_pool();
    let calls = "at_s,prompt_tokens,output_tokens\n5,1,1\n3,2,1\n4,3,1\n";
    let error = text(&snapshot, "", calls).unwrap_err().to_string();
    assert!(error.contains("calls.csv:3: the line is earlier"), "{error}");
    let map = Mapping::none();
    let sorted = read(&snapshot, &map, &[("calls.csv", calls.as_bytes())], |options| {
        options.sort = true;
    })
    .unwrap();
    let prompts: Vec<u64> = sorted
        .calls
        .iter()
        .map(|call| call.usage().unwrap().input)
        .collect();
    assert_eq!(prompts, [2, 3, 1]);
    // Files have an order of their own each.
    let files: [(&str, &[u8]); 2] = [
        ("a.csv", b"at_s,prompt_tokens,output_tokens\n5,1,1\n"),
        ("b.csv", b"at_s,prompt_tokens,output_tokens\n1,2,1\n"),
    ];
    assert_eq!(read(&snapshot, &map, &files, |_| {}).unwrap().calls.len(), 2);
}

#[test]
fn a_gap_is_told() {
    let snapshot = one_pool();
    let mut calls = String::from("at_s,prompt_tokens,output_tokens\n");
    for second in (0..600).chain(7_799..8_400) {
        writeln!(calls, "{second},10,5").unwrap();
    }
    let traffic = text(&snapshot, "", &calls).unwrap();
    assert_eq!(
        traffic.warnings,
        [
            "No call came from 1970-01-01T00:09:59Z to 1970-01-01T02:09:59Z, for 2 h: if calls are missing there, the numbers \
          are too low."
        ]
    );
}

#[test]
fn every_mistake_is_shown_with_its_line() {
    let head = "at,party,prompt_tokens,output_tokens,stream,class,took_ms,ttft_ms,cost_usd,dialect";
    let rows = [
        "2026-06-12T17:21:00Z,a,12x,1,,,,,,",
        "2026-06-12T17:21:00Z,a,-5,1,,,,,,",
        "2026-06-12T17:21:00Z,a,NaN,1,,,,,,",
        "2026-06-12T17:21:00Z,a,99999999999,1,,,,,,",
        "2026-06-12T17:21:00Z,a,1.5,1,,,,,,",
        "2026-06-12T17:21:00Z,a,,1,,,,,,",
        "yesterday,a,1,1,,,,,,",
        "1969-12-31T23:00:00Z,a,1,1,,,,,,",
        ",a,1,1,,,,,,",
        "2026-06-12T17:21:00Z,a,1,1,maybe,,,,,",
        "2026-06-12T17:21:00Z,a,1,1,,vip,,,,",
        "2026-06-12T17:21:00Z,a,1,1,,,-3,,,",
        "2026-06-12T17:21:00Z,a,1,1,,,10,20,,",
        "2026-06-12T17:21:00Z,a,1,1,,,,,1e99,",
        "2026-06-12T17:21:00Z,a,1,1,,,,,,latin",
        "2026-06-12T17:21:00Z,a,1,1",
        "2026-06-12T17:21:00Z,\"a\"b,1,1,,,,,,",
        "2026-06-12T17:21:00Z,a,1,1,,enterprise,,,,",
        "2026-06-12T17:21:00Z,a,1,1,,agency,,,,",
        "2026-06-12T17:21:00Z,\"a,1,1,,,,,,",
    ];
    let long = format!("2026-06-12T17:21:00Z,{},1,1,,,,,,", "x".repeat(1 << 20));
    let cases: [(&str, &str, String); 14] = [
        ("rows", "", format!("{head}\n{}\n", rows.join("\n"))),
        ("more rows than are shown", "", format!("{head}\n{}", "x,a,1,1,,,,,,\n".repeat(25))),
        ("a long line", "", format!("{head}\n{long}\n")),
        ("empty", "", String::new()),
        ("blank", "", "\n\r\n".to_owned()),
        ("a header alone", "", format!("{head}\n")),
        ("unknown columns", "", "at,prompt_tokens,output_tokens,user,at\n".to_owned()),
        ("no columns", "", "hello\nworld\n".to_owned()),
        ("two times", "", "at,at_ms,prompt_tokens,output_tokens\n".to_owned()),
        ("UTF-16", "", "a\0t\0".to_owned()),
        ("Azure by its format", "format = 'azure'", format!("{head}\n")),
        ("Mooncake", "", "{\"timestamp\": -3, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": []}\n\
            {\"timestamp\": 1, \"input_length\": 1e99, \"output_length\": 1, \"hash_ids\": []}\n\
            {\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [-1]}\n\
            {\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [], \"x\": 1}\n{\n".to_owned()),
        ("a series", "", "0,1,1,Gamma,1,1\n600,nan,1,Gamma,1,1\n600,-1,1,Gamma,1,1\n1200,1,1,Normal,1,1\n0,1,1,Gamma,1,1\n\
            1800,1,1,Gamma,x,1\n1,2\n2400,9999999,1,Gamma,1,1\n".to_owned()),
        ("before 1970 by its start", "start = 1970-01-01", "at_s,prompt_tokens,output_tokens\n5,1,1\n4,1,1\n".to_owned()),
    ];
    let snapshot = one_pool();
    let mut said = String::new();
    for (name, map, calls) in cases {
        let map = mapping(map);
        let is_sorted = name.starts_with("before");
        let file: &[(&str, &[u8])] = &[("calls.csv", calls.as_bytes())];
        let error = read(&snapshot, &map, file, |options| options.sort = is_sorted).unwrap_err();
        writeln!(said, "== {name}\n{error}\n").unwrap();
    }
    insta::assert_snapshot!("trace_mistakes", said);
}

#[test]
fn every_mistake_of_a_mapping_is_shown_with_its_line() {
    let mut said = String::new();
    for map in [
        "x = 1",
        "format = 'parquet'",
        "bad_rows = 'ignore'",
        "start = 17:21:00",
        "start = 1066-10-14",
        "cache_minutes = -1",
        "seed = -1",
        "columns = { user = 'name' }",
        "[defaults]\nshare = 2",
        "[defaults]\nfiles = ['a']",
        "[[groups]]\npool = 'a'\nmodel = 'b'",
        "[[groups]]\nshare = 0",
        "[[groups]]\nshare = nan",
        "[[groups]]\nstream = 1.5",
        "[[groups]]\noutput_max = 0",
        "[[groups]]\nparty = ''",
        "[[groups]]\nclass = 'vip'",
        "[[groups]]\nowner = 'x'",
        "[[groups]]\nttft_ms = { median = -1, sigma = 1 }\n\n[[groups]]\nshare = -1",
        "[[groups]\n",
    ] {
        let problems = Mapping::parse("mapping.toml", map).unwrap_err();
        writeln!(said, "{problems}\n").unwrap();
    }
    insta::assert_snapshot!("mapping_mistakes", said);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(start in prop::sample::select(STARTS.to_vec()), rest in prop::collection::vec(piece(), 0..40)) {
        let bytes = [start.as_bytes(), rest.concat().as_slice()].concat();
        let snapshot = one_pool();
        for map in ["", "bad_rows = 'leave_out'\nignore = ['*']"] {
            let map = mapping(map);
            let whole = read(&snapshot, &map, &[("a", &bytes)], |options| options.sort = true);
            let again = read(&snapshot, &map, &[("a", &bytes)], |options| options.sort = true);
            prop_assert_eq!(whole.as_ref().map(Traffic::digest).ok(), again.as_ref().map(Traffic::digest).ok());
            prop_assert_eq!(whole.err().map(|e| e.to_string()), again.err().map(|e| e.to_string()));
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = Mapping::parse("m", &text);
        let _ = tieline_drill::Law::parse("l", &text);
    }
}

const STARTS: [&str; 6] = [
    "",
    "at,prompt_tokens,output_tokens\n",
    "at_ms,party,ask,input_tokens,completion_tokens,reasoning_tokens,took_ms\n",
    "TIMESTAMP,ContextTokens,GeneratedTokens\n",
    "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]}\n",
    "0,0.1,1,Gamma,1,1\n",
];

/// Something that might stand in a trace.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "\n",
        "\r\n",
        ",",
        "\"",
        "2026-06-12T17:21:00Z",
        "2023-11-16 18:17:03.9799600",
        "17",
        "-1",
        "NaN",
        "1e9",
        "600",
        "99999999999999999999",
        "Weibull",
        "{",
        "}",
        "[[groups]]\n",
        "share = 1\n",
        "\u{feff}",
        "schema = ",
        "frontier",
        "{\"timestamp\": 7, \"input_length\": 9, \"output_length\": 5, \"hash_ids\": [1]}\n",
        "600,0.2,1,Weibull,0.3,1\n",
    ]);
    prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

/// The stable half of fuzzing: committed corpora, and random bytes, through every entry point.
#[test]
fn every_entry_point_survives_its_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    for (name, target) in tieline_drill::fuzz::TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is no binary of fuzz/"
        );
        let corpus = std::fs::read_dir(root.join("fuzz/corpus").join(name)).unwrap();
        let files: Vec<Vec<u8>> = corpus
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for bytes in files {
            target(&bytes);
            // Every one of its beginnings, and with each byte another.
            for at in 0..bytes.len().min(400) {
                target(&bytes[..at]);
                let mut other = bytes.clone();
                other[at] = other[at].wrapping_add(1);
                target(&other);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_point_survives_random_bytes(
        map in any::<u8>(),
        start in prop::sample::select(STARTS.to_vec()),
        rest in prop::collection::vec(piece(), 0..40),
    ) {
        let bytes = [&[map], start.as_bytes(), rest.concat().as_slice()].concat();
        for (_, target) in tieline_drill::fuzz::TARGETS {
            target(&bytes);
        }
    }
}
