//! The laws of the translation: what is written reads back as it was, no field disappears unreported, a stream says what
//! the whole answer says however it is cut, and no bytes make it panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use tieline_core::{Dialect, Mark, Stop, Usage};
use tieline_wire::convert::{self, BridgeOut, StreamBridge};
use tieline_wire::convert_fuzz::{fuzz_bridge, fuzz_convert_request, fuzz_convert_response};
use tieline_wire::dialect::{self, LimitField, Reply, StreamWriter, Target};
use tieline_wire::model::{
    Answer, Ask, Choice, Effort, Event, Halt, Image, ImageSource, Kind, Losses, Names, Number, Part, Place,
    Raw, Role, Sampling, Shape, Text, Tool, ToolCall, ToolResult, Turn,
};
use tieline_wire::{Loss, LossKind};

use crate::convert_data::{Said, said_by_anthropic, said_by_openai, said_whole};
use crate::convert_golden::{DIALECTS, bridge, context, events, fixtures, other};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_reads_back_as_it_was(
        (dialect, ask) in prop_oneof![
            openai_ask().prop_map(|ask| (Dialect::OpenaiChat, ask)),
            anthropic_ask().prop_map(|ask| (Dialect::AnthropicMessages, ask)),
        ],
    ) {
        let mut losses = Losses::default();
        let mut target = Target::new(dialect, &ask.model);
        target.limit_field = LimitField::MaxTokens;
        let mut names = Names::default();
        let body = dialect::write_ask(&target, &ask, &mut names, &mut losses).unwrap();
        let again = dialect::read_ask(dialect, &body, &mut losses).unwrap();
        prop_assert_eq!(again, ask);
        prop_assert_eq!(losses.into_vec(), vec![]);
        prop_assert!(names.is_empty());
    }

    #[test]
    fn a_stream_says_what_the_whole_answer_says(
        dialect in prop::sample::select(DIALECTS.to_vec()),
        answer in answer(),
        cuts in vec(1..7_usize, 1..6),
    ) {
        let reply = Reply { include_usage: true, model: "m".to_owned(), ..Reply::default() };
        let mut losses = Losses::default();
        let body = dialect::write_answer(dialect, &reply, &answer, &mut losses);
        let stream = written_stream(dialect, reply, &answer, &cuts);
        let context = context(other(dialect), dialect);
        let whole = convert::response(&context, &body).unwrap();
        let out = bridge(&context, &events(&stream));
        prop_assert!(out.complete, "{:?}", out.fault);
        let (said, usage) = folded(context.near, &out);
        prop_assert_eq!(said, said_whole(context.near, &serde_json::from_slice(&whole.body).unwrap()));
        prop_assert_eq!(usage, answer.usage);
        prop_assert_eq!(last_stop(&out.marks), last_stop(&whole.marks));
        prop_assert_eq!(out.loss, whole.loss);
    }

    #[test]
    fn calls_that_interleave_come_out_one_after_the_other(
        arguments in vec(arguments(), 1..5),
        first_index in 0..2_u64,
        order in vec(any::<prop::sample::Index>(), 0..40),
        cut in 1..9_usize,
    ) {
        let chunks = interleave(&arguments, first_index, &order, cut);
        let context = context(Dialect::AnthropicMessages, Dialect::OpenaiChat);
        let out = bridge(&context, &chunks);
        prop_assert!(out.complete, "{:?}", out.fault);
        let written = events(std::str::from_utf8(&out.bytes).unwrap());
        check_blocks(&written);
        prop_assert_eq!(said_by_anthropic(&written).0, said_by_openai(&chunks).0);
    }

    #[test]
    fn a_stream_that_is_cut_off_is_never_whole(
        dialect in prop::sample::select(DIALECTS.to_vec()),
        answer in answer(),
        keep in any::<prop::sample::Index>(),
    ) {
        let reply = Reply { model: "m".to_owned(), ..Reply::default() };
        let stream = written_stream(dialect, reply, &answer, &[3]);
        let all = events(&stream);
        // The event that says how the answer stopped is the first after which it may be whole.
        let stop = all.iter().position(|event| says_stop(event)).unwrap();
        let out = bridge(&context(other(dialect), dialect), &all[..keep.index(stop + 1)]);
        prop_assert!(!out.complete && out.fault.is_some());
        let text = String::from_utf8(out.bytes).unwrap();
        prop_assert!(!text.contains("[DONE]") && !text.contains("message_stop") && !text.contains("message_delta"));
        prop_assert!(!text.contains("\"finish_reason\":\""));
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        fuzz_convert_request(&bytes);
        fuzz_convert_response(&bytes);
        fuzz_bridge(&bytes);
    }

    #[test]
    fn any_damage_to_a_fixture_is_answered(
        dialect in prop::sample::select(DIALECTS.to_vec()),
        pick in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        for kind in ["requests", "responses", "streams"] {
            let all = fixtures(dialect, kind);
            let mut bytes = all[pick.index(all.len())].1.clone().into_bytes();
            for (at, byte, how) in &damage {
                let at = at.index(bytes.len().max(1));
                match how {
                    0 if !bytes.is_empty() => bytes[at] = *byte,
                    1 => bytes.insert(at, b"{}[]\",:0n"[usize::from(*byte) % 9]),
                    2 if bytes.len() > 1 => { bytes.remove(at); }
                    _ => bytes.truncate(at.max(1)),
                }
            }
            match kind {
                "requests" => fuzz_convert_request(&bytes),
                "responses" => fuzz_convert_response(&bytes),
                _ => {
                    let text = String::from_utf8_lossy(&bytes);
                    fuzz_bridge(events(&text).join("\n").as_bytes());
                }
            }
        }
    }
}

#[test]
fn no_field_disappears_unreported() {
    let mut fields = 0;
    for dialect in DIALECTS {
        for (name, body) in fixtures(dialect, "requests") {
            fields += check_request(dialect, &name, &body);
        }
        for (name, body) in fixtures(dialect, "responses") {
            fields += check_response(dialect, &name, &body);
        }
        for (name, body) in fixtures(dialect, "streams") {
            fields += check_stream(dialect, &name, &events(&body));
        }
    }
    assert!(fields > 900, "only {fields} fields were tried");
}

#[test]
fn fixtures_satisfy_the_fuzz_entry_points() {
    for dialect in DIALECTS {
        for (_, body) in fixtures(dialect, "requests") {
            fuzz_convert_request(body.as_bytes());
        }
        for (_, body) in fixtures(dialect, "responses") {
            fuzz_convert_response(body.as_bytes());
        }
        for (_, body) in fixtures(dialect, "streams") {
            fuzz_bridge(events(&body).join("\n").as_bytes());
        }
    }
}

#[test]
fn arguments_that_outgrow_the_buffer_end_the_stream() {
    let context = context(Dialect::AnthropicMessages, Dialect::OpenaiChat);
    let mut bridge = StreamBridge::new(&context);
    let mut out = BridgeOut::default();
    let chunk = |index: u64, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "function": function}]}}]})
            .to_string()
    };
    bridge.feed_event(None, chunk(0, "a", "{").as_bytes(), &mut out);
    let big = "x".repeat(1024 * 1024);
    for _ in 0..4 {
        bridge.feed_event(None, chunk(1, "b", &big).as_bytes(), &mut out);
        assert_eq!(out.fault, None);
    }
    bridge.feed_event(None, chunk(1, "b", &big).as_bytes(), &mut out);
    assert_eq!(out.fault, Some(tieline_core::FaultKind::Garbage));

    let mut bridge = StreamBridge::new(&context);
    let mut out = BridgeOut::default();
    for index in 0..1000 {
        bridge.feed_event(None, chunk(index, "a", "{}").as_bytes(), &mut out);
    }
    assert_eq!(
        out.fault,
        Some(tieline_core::FaultKind::Garbage),
        "calls without end"
    );
}

// === requests ===

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9\u{e9}\u{1f600}\"\\\\/\n{}]{0,12}[a-z]"
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,64}"
}

fn text_part() -> impl Strategy<Value = Part> {
    text().prop_map(|text| {
        Part::Text(Text {
            at: Place::ROOT,
            text,
        })
    })
}

fn image_part(detail: bool) -> impl Strategy<Value = Part> {
    let source = prop_oneof![
        "[a-z]{3,9}".prop_map(|path| ImageSource::Url(format!("https://example.com/{path}"))),
        "[A-Za-z0-9+/]{4}".prop_map(|data| ImageSource::Bytes {
            data,
            media_type: "image/png".to_owned()
        }),
    ];
    (source, option::of(Just("high".to_owned()))).prop_map(move |(source, hint)| {
        Part::Image(Image {
            at: Place::ROOT,
            detail: hint.filter(|_| detail),
            source,
        })
    })
}

/// An object as a model writes it: with spaces, exponents and integers beyond 2^53.
fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r"{}".to_owned()),
        Just(r#"{"a": 1.50, "b": [1e3, {"c": "}\"{"}]}"#.to_owned()),
        Just(r#"{"id":12345678901234567890}"#.to_owned()),
        text().prop_map(|text| json!({ "text": text }).to_string()),
    ]
}

fn call() -> impl Strategy<Value = ToolCall> {
    (arguments(), name(), name()).prop_map(|(arguments, id, name)| ToolCall {
        arguments,
        at: Place::ROOT,
        id,
        name,
    })
}

fn tool() -> impl Strategy<Value = Tool> {
    let schema = r#"{"type":"object","properties":{"x":{"type":"number","maximum":0.70}},"required":["x"],"additionalProperties":false}"#;
    (name(), option::of(text()), option::of(any::<bool>())).prop_map(move |(name, description, strict)| {
        Tool {
            at: Place::ROOT,
            description,
            name,
            parameters: Raw::parse(schema),
            strict,
        }
    })
}

fn number(range: &'static [&'static str]) -> impl Strategy<Value = Option<Number>> {
    option::of(prop::sample::select(range.to_vec()).prop_map(|text| Number::parse(text).unwrap()))
}

fn choice(has_tools: bool) -> BoxedStrategy<Option<Choice>> {
    if !has_tools {
        return Just(None).boxed();
    }
    option::of(prop_oneof![
        Just(Choice::Auto),
        Just(Choice::None),
        Just(Choice::Required),
        name().prop_map(Choice::Named),
    ])
    .boxed()
}

fn turn(role: Role, parts: impl Strategy<Value = Vec<Part>>) -> impl Strategy<Value = Turn> {
    parts.prop_map(move |parts| Turn {
        at: Place::ROOT,
        parts,
        role,
    })
}

fn result(parts: impl Strategy<Value = Vec<Part>>, is_error: bool) -> impl Strategy<Value = Part> {
    (name(), parts, any::<bool>()).prop_map(move |(call, parts, failed)| {
        Part::Result(ToolResult {
            at: Place::ROOT,
            call,
            is_error: failed && is_error,
            parts,
        })
    })
}

fn schema() -> Raw {
    Raw::parse(r#"{"type":"object","properties":{},"additionalProperties":false}"#).unwrap()
}

/// What both dialects can say in the same way.
fn common() -> impl Strategy<Value = Ask> {
    let scalars = (name(), option::of(text()), any::<bool>(), vec("[a-z]{1,4}", 0..4));
    let sampling = (
        number(&["0", "0.70", "1e-1", "1"]),
        number(&["0.95", "0.1000000000000000000001"]),
    );
    (
        scalars,
        sampling,
        vec(tool(), 0..3),
        vec(text(), 0..2),
        option::of(any::<bool>()),
    )
        .prop_flat_map(|(scalars, (temperature, top_p), tools, system, parallel)| {
            choice(!tools.is_empty()).prop_map(move |choice| Ask {
                // Anthropic says it within the choice, which `none` does not have.
                parallel: parallel
                    .filter(|on| !on && matches!(choice, Some(Choice::Auto | Choice::Required))),
                choice,
                model: scalars.0.clone(),
                output_tokens_max: Some(64),
                sampling: Sampling {
                    temperature: temperature.clone(),
                    top_p: top_p.clone(),
                    ..Sampling::default()
                },
                stops: scalars.3.clone(),
                stream: scalars.2,
                system: system
                    .iter()
                    .map(|text| Text {
                        at: Place::ROOT,
                        text: text.clone(),
                    })
                    .take(1)
                    .collect(),
                tools: tools.clone(),
                user: scalars.1.clone(),
                ..Ask::default()
            })
        })
}

fn openai_ask() -> impl Strategy<Value = Ask> {
    let assistant =
        (option::of(text_part()), vec(call(), 0..3), text_part()).prop_map(|(text, calls, other)| {
            let mut parts: Vec<_> = text
                .into_iter()
                .chain(calls.into_iter().map(Part::Call))
                .collect();
            if parts.is_empty() {
                parts.push(other);
            }
            parts
        });
    let user = turn(Role::User, vec(prop_oneof![text_part(), image_part(true)], 1..4));
    let any_turn = prop_oneof![
        user,
        turn(Role::Assistant, assistant),
        turn(Role::System, vec(text_part(), 1..3)),
        turn(Role::User, vec(result(vec(text_part(), 0..3), false), 1..2)),
    ];
    let shape = prop_oneof![
        Just(Shape::Free),
        Just(Shape::Json),
        (name(), option::of(text()), option::of(any::<bool>())).prop_map(|(name, description, strict)| {
            Shape::Schema {
                description,
                name: Some(name),
                schema: schema(),
                strict,
            }
        }),
    ];
    let efforts = vec![
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::Xhigh,
        Effort::Max,
    ];
    let last = turn(Role::User, vec(text_part(), 1..2));
    let first = turn(Role::User, vec(text_part(), 1..2));
    let rest = (
        shape,
        option::of(prop::sample::select(efforts)),
        number(&["0.5", "-2"]),
        number(&["7"]),
    );
    (common(), first, vec(any_turn, 0..5), last, rest).prop_map(|(ask, first, middle, last, rest)| {
        let (shape, effort, penalty, seed) = rest;
        let turns = std::iter::once(first)
            .chain(middle)
            .chain(std::iter::once(last))
            .collect();
        let sampling = Sampling {
            frequency_penalty: penalty,
            seed,
            ..ask.sampling
        };
        Ask {
            effort,
            include_usage: ask.stream,
            sampling,
            shape,
            turns,
            ..ask
        }
    })
}

fn anthropic_ask() -> impl Strategy<Value = Ask> {
    let inner = vec(prop_oneof![text_part(), image_part(false)], 0..3);
    let user = (
        vec(result(inner, true), 0..3),
        vec(prop_oneof![text_part(), image_part(false)], 1..3),
    )
        .prop_map(|(results, rest)| results.into_iter().chain(rest).collect::<Vec<_>>())
        .boxed();
    let assistant = vec(prop_oneof![text_part(), call().prop_map(Part::Call)], 1..4);
    let shape = prop_oneof![
        Just(Shape::Free),
        Just(Shape::Schema {
            description: None,
            name: None,
            schema: schema(),
            strict: Some(true)
        }),
    ];
    let efforts = vec![
        Effort::None,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::Xhigh,
        Effort::Max,
    ];
    let pair = (turn(Role::User, user.clone()), turn(Role::Assistant, assistant));
    let rest = (
        shape,
        option::of(prop::sample::select(efforts)),
        option::of(1..100_u64),
        vec(text(), 0..3),
    );
    (common(), vec(pair, 0..3), turn(Role::User, user), rest).prop_map(|(ask, pairs, last, rest)| {
        let (shape, effort, top_k, system) = rest;
        let turns = pairs
            .into_iter()
            .flat_map(|(user, model)| [user, model])
            .chain(std::iter::once(last))
            .collect();
        let system = system
            .into_iter()
            .map(|text| Text {
                at: Place::ROOT,
                text,
            })
            .collect();
        let sampling = Sampling {
            top_k,
            ..ask.sampling
        };
        Ask {
            effort,
            include_usage: true,
            sampling,
            shape,
            system,
            turns,
            ..ask
        }
    })
}

// === loss honesty ===

const UNKNOWN: &str = "zz_unknown";

/// Puts an unknown field into each object of the request in turn, and expects it, or something around it, in the report.
fn check_request(dialect: Dialect, name: &str, body: &str) -> usize {
    let variants = with_unknown(body);
    for (path, body) in &variants {
        if let Ok((_, _, loss)) = convert::request(dialect, other(dialect), body.as_bytes(), "far") {
            assert!(tells(&loss, path), "{name}: {path} is missing in {loss:?}");
        }
    }
    variants.len()
}

fn check_response(dialect: Dialect, name: &str, body: &str) -> usize {
    let variants = with_unknown(body);
    for (path, body) in &variants {
        if let Ok(out) = convert::response(&context(other(dialect), dialect), body.as_bytes()) {
            assert!(
                tells(&out.loss, path),
                "{name}: {path} is missing in {:?}",
                out.loss
            );
        }
    }
    variants.len()
}

fn check_stream(dialect: Dialect, name: &str, events: &[String]) -> usize {
    let mut fields = 0;
    for (at, event) in events.iter().enumerate() {
        let value: Value = serde_json::from_str(event).unwrap_or_default();
        // Errors are not translated field by field, nor are events that are reported as a whole, mean nothing or repeat.
        let is_whole =
            value["error"].is_object() || value["type"] == "ping" || value["type"] == "from_the_future";
        if is_whole || (name == "message_start_twice" && at == 1) {
            continue;
        }
        for (path, changed) in with_unknown(event) {
            let mut events = events.to_vec();
            events[at] = changed;
            let out = bridge(&context(other(dialect), dialect), &events);
            // The path within the event is not the path within the answer; the field's own name is in both.
            let is_told = |loss: &Loss| loss.path.ends_with(UNKNOWN) || loss.why.contains("only Anthropic");
            let is_told = out.fault.is_some() || tells(&out.loss, &path) || out.loss.iter().any(is_told);
            assert!(is_told, "{name}, event {at}: {path} is missing in {:?}", out.loss);
            fields += 1;
        }
    }
    fields
}

fn tells(loss: &[Loss], path: &str) -> bool {
    let covers = |loss: &Loss| match loss.kind {
        LossKind::More => true,
        LossKind::Dropped => path
            .strip_prefix(loss.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
        _ => false,
    };
    loss.iter().any(covers)
}

/// The document once for each object whose fields the dialect defines, with an unknown field in it, and where.
fn with_unknown(body: &str) -> Vec<(String, String)> {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    objects(&value, "", "", &mut paths);
    let insert = |(pointer, path): (String, String)| {
        let mut value = value.clone();
        value.pointer_mut(&pointer).unwrap()[UNKNOWN] = json!({ "deep": [1, { "er": null }] });
        let path = if path.is_empty() {
            UNKNOWN.to_owned()
        } else {
            format!("{path}.{UNKNOWN}")
        };
        (path, value.to_string())
    };
    paths.into_iter().map(insert).collect()
}

fn objects(value: &Value, pointer: &str, path: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            out.push((pointer.to_owned(), path.to_owned()));
            for (key, inner) in fields {
                // The fields of these are the caller's own, and carried whole.
                if matches!(
                    key.as_str(),
                    "parameters" | "input_schema" | "schema" | "input" | "arguments"
                ) {
                    continue;
                }
                let inner_path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                objects(inner, &format!("{pointer}/{key}"), &inner_path, out);
            }
        }
        Value::Array(list) => {
            for (i, inner) in list.iter().enumerate() {
                objects(inner, &format!("{pointer}/{i}"), &format!("{path}[{i}]"), out);
            }
        }
        _ => {}
    }
}

// === answers ===

fn answer() -> impl Strategy<Value = Answer> {
    let stops = vec![Stop::End, Stop::Length, Stop::Refusal];
    let usage = (0..9_u64, 0..9_u64, 0..99_u64, 0..99_u64, 0..9_u64).prop_map(|counts| Usage {
        cache_read: counts.0,
        cache_write: counts.1,
        input: counts.2,
        output: counts.3,
        reasoning: counts.4,
        ..Usage::default()
    });
    (
        option::of(text_part()),
        vec(call(), 0..4),
        prop::sample::select(stops),
        usage,
    )
        .prop_map(|(text, calls, stop, usage)| Answer {
            halt: Halt::plain(stop),
            id: "id".to_owned(),
            model: "m".to_owned(),
            parts: text
                .into_iter()
                .chain(calls.into_iter().map(Part::Call))
                .collect(),
            usage: Some(usage),
        })
}

/// The answer as a server of the dialect would stream it, its texts cut as `cuts` says, again and again.
fn written_stream(dialect: Dialect, reply: Reply, answer: &Answer, cuts: &[usize]) -> String {
    let mut losses = Losses::default();
    let mut out = Vec::new();
    let mut writer = StreamWriter::new(dialect, reply);
    let mut sizes = cuts.iter().copied().cycle();
    let mut write = |event: Event| writer.write(event, &mut out, &mut losses).unwrap();
    write(Event::Start {
        id: answer.id.clone(),
        model: answer.model.clone(),
    });
    for (at, part) in (0_u32..).zip(&answer.parts) {
        let (kind, text) = match part {
            Part::Call(call) => (
                Kind::Call {
                    id: call.id.clone(),
                    name: call.name.clone(),
                },
                call.arguments.as_str(),
            ),
            Part::Text(text) => (Kind::Text, text.text.as_str()),
            _ => continue,
        };
        let is_call = matches!(kind, Kind::Call { .. });
        write(Event::Open { at, kind });
        for delta in cut(text, &mut sizes) {
            write(if is_call {
                Event::Args { at, delta }
            } else {
                Event::Text { at, delta }
            });
        }
        write(Event::Close { at });
    }
    writer.finish(&answer.halt, answer.usage, &mut out, &mut losses);
    String::from_utf8(out).unwrap()
}

fn cut(text: &str, sizes: &mut impl Iterator<Item = usize>) -> Vec<String> {
    let mut rest: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let size = sizes.next().unwrap().min(rest.len());
        out.push(rest.drain(..size).collect());
    }
    out
}

/// Chunks of several calls whose fragments come in the order that `order` draws.
fn interleave(
    arguments: &[String],
    first_index: u64,
    order: &[prop::sample::Index],
    size: usize,
) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
            .to_string()
    };
    let mut queues: Vec<std::collections::VecDeque<Value>> = Vec::new();
    for (i, text) in (first_index..).zip(arguments) {
        let head = json!({"index": i, "id": format!("call_{i}"), "function": {"name": format!("f{i}"), "arguments": ""}});
        let mut sizes = std::iter::repeat(size);
        let tail = cut(text, &mut sizes).into_iter();
        // Later fragments repeat an empty name, as some servers do.
        let tail = tail.map(|text| json!({"index": i, "function": {"name": "", "arguments": text}}));
        queues.push(std::iter::once(head).chain(tail).collect());
    }
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    let mut opened = 0;
    let mut draws = order.iter();
    while queues.iter().any(|queue| !queue.is_empty()) {
        // Calls begin in their order; what follows may come in any.
        let candidates: Vec<usize> = (0..queues.len())
            .filter(|i| !queues[*i].is_empty() && *i <= opened)
            .collect();
        let pick = draws
            .next()
            .map_or(candidates[0], |draw| candidates[draw.index(candidates.len())]);
        opened = opened.max(pick + 1);
        let call = queues[pick].pop_front().unwrap();
        chunks.push(chunk(json!({ "tool_calls": [call] }), Value::Null));
    }
    chunks.push(chunk(json!({}), json!("tool_calls")));
    chunks.push("[DONE]".to_owned());
    chunks
}

/// The grammar of Anthropic's blocks: dense indices, one open at a time.
fn check_blocks(events: &[String]) {
    let (mut next, mut open) = (0_u64, None);
    for event in events {
        let event: Value = serde_json::from_str(event).unwrap();
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)));
                open = index;
                next += 1;
            }
            "content_block_delta" => assert!(open.is_some() && index == open),
            "content_block_stop" => {
                assert!(open.is_some() && index == open);
                open = None;
            }
            _ => assert_eq!(open, None),
        }
    }
}

fn folded(near: Dialect, out: &BridgeOut) -> (Said, Option<Usage>) {
    let written = events(std::str::from_utf8(&out.bytes).unwrap());
    match near {
        Dialect::AnthropicMessages => {
            check_blocks(&written);
            said_by_anthropic(&written)
        }
        Dialect::OpenaiChat => said_by_openai(&written),
    }
}

fn last_stop(marks: &[Mark]) -> Option<Mark> {
    marks
        .iter()
        .rev()
        .find(|mark| matches!(mark, Mark::Stop(_)))
        .copied()
}

fn says_stop(event: &str) -> bool {
    let value: Value = serde_json::from_str(event).unwrap_or_default();
    value["delta"]["stop_reason"].is_string() || value["choices"][0]["finish_reason"].is_string()
}
