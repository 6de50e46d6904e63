//! Answers that break off and are gone on with: cut anywhere, over both dialects and by every method, the caller has one
//! answer.

mod world;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tieline_core::{Code, Dialect, FaultKind, Mark};
use tieline_wire::resume::{self, Bar, DELIVERED_BYTES_MAX, Delivered, Method, Splice};
use tieline_wire::{Far, Out, Provider, prepare, scan};

use Dialect::{AnthropicMessages as Anthropic, OpenaiChat as Openai};

use world::*;

const DIALECTS: [Dialect; 2] = [Anthropic, Openai];
const METHODS: [Method; 3] = [Method::Prefill, Method::Repeat, Method::Instruct];

/// Text in pieces, with white space at seams, letters of several bytes, and nothing that repeats.
const PIECES: [&str; 10] = [
    "Hel",
    "lo, ",
    "wörld 🐈",
    " – it ",
    "goes on ",
    "\n",
    "\nand ",
    "ends",
    " ",
    "here.",
];

#[test]
fn an_answer_cut_anywhere_is_whole_in_the_end() {
    let whole = PIECES.concat();
    for near in DIALECTS {
        for (one, two) in [
            (Anthropic, Anthropic),
            (Anthropic, Openai),
            (Openai, Anthropic),
            (Openai, Openai),
        ] {
            let first = frames(one, "id_one", "one", &PIECES);
            for method in METHODS {
                for cut in 1..first.len() {
                    let what = format!("{near:?} {one:?} {two:?} {method:?} cut {cut}");
                    let mut world = World::new(near, "").broken(one, &first[..cut]);
                    let before = see(near, &world.got);
                    if world.delivered.may_resume().is_err() {
                        assert_eq!(world.delivered.may_resume(), Err(Bar::Stopped), "{what}");
                        assert_eq!(before.stops, 1, "{what}");
                        continue;
                    }
                    let (_, mut continuation) = world.resume(method, two);
                    let rest = pieces_of(&rest(method, &whole, &before.text), 3);
                    let second = frames(two, "id_two", "two", &strs(&rest));
                    let size = 1 + cut * 7;
                    assert_eq!(world.feed(&mut continuation, &second, size), None, "{what}");
                    assert!(world.out.complete, "{what}");
                    assert_eq!(continuation.splice(), Splice::Through, "{what}");
                    let seen = see(near, &world.got);
                    assert_eq!(seen.text, whole, "{what}");
                    assert_eq!((seen.starts, seen.stops, seen.done), (1, 1, true), "{what}");
                    if before.starts == 1 {
                        assert_eq!((&seen.id, &seen.model), (&before.id, &before.model), "{what}");
                    }
                    if near == Anthropic && before.starts == 1 {
                        let is_whole = ["0+text 0-", "0+text 0- 1+text 1-"].contains(&&*blocks(&world.got));
                        assert!(is_whole, "{what}: {}", blocks(&world.got));
                    }
                    // The verbatim path takes it for a whole answer as well.
                    let (_, mut exchange) = prepare(near, &world.body, &world.head, &far(near, "m")).unwrap();
                    let mut out = Out::default();
                    exchange.feed(Bytes::from(world.got), &mut out);
                    exchange.end(&mut out);
                    assert!(out.complete && out.fault.is_none(), "{what}: {:?}", out.fault);
                }
            }
        }
    }
}

#[test]
fn a_continuation_may_break_off_and_be_continued() {
    let whole = PIECES.concat();
    for near in DIALECTS {
        for method in METHODS {
            let mut world = World::new(near, "").broken(Openai, &frames(Openai, "x", "one", &PIECES)[..4]);
            for (dialect, events) in [(Anthropic, 9), (Openai, 14)] {
                let text = see(near, &world.got).text;
                let (_, mut continuation) = world.resume(method, dialect);
                let rest = pieces_of(&rest(method, &whole, &text), 4);
                let second = frames(dialect, "y", "two", &strs(&rest));
                let fault = world.feed(&mut continuation, &second[..events.min(second.len() - 4)], 11);
                assert_eq!(fault, Some(FaultKind::Reset));
                world.out.clear();
            }
            let text = see(near, &world.got).text;
            assert!(whole.starts_with(&text), "{text}");
            let (_, mut continuation) = world.resume(method, Anthropic);
            let rest = pieces_of(&rest(method, &whole, &text), 9);
            let last = frames(Anthropic, "z", "three", &strs(&rest));
            assert_eq!(world.feed(&mut continuation, &last, 5), None);
            let seen = see(near, &world.got);
            assert_eq!((seen.text, seen.starts, seen.done), (whole.clone(), 1, true));
        }
    }
}

#[test]
fn the_request_for_the_rest_is_the_caller_s_with_turns_at_its_end() {
    let turn = json!({"role":"assistant","content":"Hello,"});
    let check = |provider, dialect, near, method, fields: &str, edit: &dyn Fn(&mut Value)| {
        let mut world = World::new(near, fields).broken(near, &begun(near, &PIECES, 2));
        let far = Far {
            dialect,
            model_name: "two",
            output_tokens_injected: None,
            provider,
        };
        let (plain, _) = prepare(near, &world.body, &world.head, &far).unwrap();
        let mut expected: Value = serde_json::from_slice(&plain.body.concat()).unwrap();
        edit(&mut expected);
        let (outgoing, _) =
            resume::prepare(method, &world.body, &world.head, &far, &mut world.delivered, None).unwrap();
        let sent: Value = serde_json::from_slice(&outgoing.body.concat()).unwrap();
        assert_eq!(sent, expected, "{far:?} {method:?}");
        assert_eq!(outgoing.path, plain.path);
    };
    // Two events of text came, so that at least two tokens are used.
    let shorter = |value: &mut Value, limit: u64| value["max_tokens"] = limit.into();
    let push = |value: &mut Value, turn: Value| value["messages"].as_array_mut().unwrap().push(turn);
    for near in DIALECTS {
        for (provider, dialect) in [(Provider::Anthropic, Anthropic), (Provider::Llamacpp, Openai)] {
            check(provider, dialect, near, Method::Repeat, "", &|_| {});
            check(provider, dialect, near, Method::Prefill, "", &|value| {
                push(value, turn.clone());
                shorter(value, 98);
            });
            check(provider, dialect, near, Method::Instruct, "", &|value| {
                push(value, turn.clone());
                push(
                    value,
                    json!({"role":"user","content":"Your answer was cut off. Go on exactly where it ends, even \
                    within a word. Repeat nothing of it, do not begin anew, and say nothing about this."}),
                );
                shorter(value, 98);
            });
        }
        check(Provider::Vllm, Openai, near, Method::Prefill, "", &|value| {
            push(value, turn.clone());
            shorter(value, 98);
            value["continue_final_message"] = true.into();
            value["add_generation_prompt"] = false.into();
        });
        check(Provider::Mistral, Openai, near, Method::Prefill, "", &|value| {
            let mut turn = turn.clone();
            turn["prefix"] = true.into();
            push(value, turn);
            shorter(value, 98);
        });
    }
    // Who thinks within the limit gets all of it; fields that nobody here knows stay.
    let fields = r#""thinking":{"type":"enabled","budget_tokens":50},"x":[1.0],"#;
    check(
        Provider::Anthropic,
        Anthropic,
        Anthropic,
        Method::Instruct,
        fields,
        &|value| {
            push(value, turn.clone());
            push(
                value,
                json!({"role":"user","content":"Your answer was cut off. Go on exactly where it ends, even \
            within a word. Repeat nothing of it, do not begin anew, and say nothing about this."}),
            );
        },
    );
}

/// Whether an answer that broke off after some text and these events may be continued.
fn check_bar(near: Dialect, fields: &str, far: Dialect, more: &[Value], expected: Result<(), Bar>) {
    let more = more.iter().map(|value| {
        let kind = value["type"].as_str().unwrap_or("x");
        format!("event: {kind}\ndata: {value}\n\n")
    });
    let frames: Vec<String> = begun(far, &PIECES, 3).into_iter().chain(more).collect();
    let world = World::new(near, fields).broken(far, &frames);
    assert_eq!(
        world.delivered.may_resume(),
        expected,
        "{near:?} {fields} {frames:?}"
    );
}

fn block(content_block: &Value) -> Value {
    json!({"type":"content_block_start","index":1,"content_block":content_block})
}

fn chunk(delta: &Value) -> Value {
    json!({"id":"x","object":"chat.completion.chunk","created":7,"model":"one",
        "choices":[{"index":0,"delta":delta,"finish_reason":null}]})
}

#[test]
fn what_began_beside_text_is_not_continued() {
    let call =
        json!({"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}]});
    for near in DIALECTS {
        check_bar(near, "", Anthropic, &[], Ok(()));
        check_bar(near, "", Openai, &[], Ok(()));
        for kind in ["tool_use", "server_tool_use"] {
            let block = block(&json!({"type":kind,"id":"t","name":"f","input":{}}));
            check_bar(near, "", Anthropic, &[block], Err(Bar::Call));
        }
        let thought = block(&json!({"type":"thinking","thinking":""}));
        check_bar(near, "", Anthropic, &[thought], Err(Bar::Thinking));
        let thought = chunk(&json!({"reasoning_content":"hm"}));
        check_bar(near, "", Openai, &[thought], Err(Bar::Thinking));
        check_bar(near, "", Openai, &[chunk(&call)], Err(Bar::Call));
        let long = chunk(&json!({"content":"x".repeat(DELIVERED_BYTES_MAX)}));
        check_bar(near, "", Openai, &[long], Err(Bar::Long));
    }
    check_bar(
        Openai,
        "",
        Openai,
        &[chunk(&json!({"refusal":"no"}))],
        Err(Bar::Refusal),
    );
    check_bar(
        Openai,
        "",
        Openai,
        &[json!({"choices":"x"})],
        Err(Bar::Unreadable),
    );
}

#[test]
fn what_was_not_asked_for_as_text_is_not_continued() {
    for (near, fields, bar) in [
        (Openai, r#""n":2,"#, Bar::Several),
        (
            Openai,
            r#""response_format":{"type":"json_object"},"#,
            Bar::Structured,
        ),
        (
            Anthropic,
            r#""output_config":{"format":{"type":"json_schema"}},"#,
            Bar::Structured,
        ),
    ] {
        check_bar(near, fields, near, &[], Err(bar));
    }
    // An answer that comes whole.
    let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
    let delivered = Delivered::new(Openai, &scan(Openai, &body).unwrap());
    assert_eq!(delivered.may_resume(), Err(Bar::Buffered));
}

#[test]
fn a_method_that_does_not_suit_is_refused() {
    let refused = |near, fields: &str, messages: &str, method| {
        let body = Bytes::from(format!(
            r#"{{"model":"m","max_tokens":9,"stream":true,{fields}"messages":[{messages}]}}"#
        ));
        let head = scan(near, &body).unwrap();
        let mut delivered = Delivered::new(near, &head);
        let answer = resume::prepare(method, &body, &head, &far(Anthropic, "m"), &mut delivered, None);
        answer.err().map(|problem| problem.code)
    };
    let prefilled = r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"}"#;
    for (method, expected) in [
        (Method::Prefill, Some(Code::TranslationImpossible)),
        (Method::Repeat, None),
        (Method::Instruct, Some(Code::TranslationImpossible)),
    ] {
        assert_eq!(refused(Anthropic, "", prefilled, method), expected, "{method:?}");
    }
    let user = r#"{"role":"user","content":"a"}"#;
    let thinking = r#""thinking":{"type":"enabled","budget_tokens":5},"#;
    assert_eq!(
        refused(Anthropic, thinking, user, Method::Prefill),
        Some(Code::TranslationImpossible)
    );
    assert_eq!(refused(Anthropic, thinking, user, Method::Instruct), None);
}

#[test]
fn a_repetition_that_differs_is_abandoned() {
    let whole = PIECES.concat();
    for near in DIALECTS {
        for (answer, is_abandoned) in [("Hello, world", true), ("Hel", true), ("Hello, w", false)] {
            let first = frames(Openai, "x", "one", &["Hello, ", "w"]);
            let mut world = World::new(near, "").broken(Openai, &first[..3]);
            let before = world.got.clone();
            let (_, mut continuation) = world.resume(Method::Repeat, Openai);
            let second = frames(
                Openai,
                "y",
                "two",
                &strs(&pieces_of(&answer.replace("world", "W"), 2)),
            );
            let fault = world.feed(&mut continuation, &second, 1_000);
            if is_abandoned {
                assert_eq!(fault, Some(FaultKind::Incapable), "{answer}");
                assert_eq!(continuation.splice(), Splice::Abandoned);
                assert!(!FaultKind::Incapable.hurts());
                assert_eq!(world.got, before, "nothing of it is written");
            } else {
                assert_eq!(
                    (fault, continuation.splice()),
                    (None, Splice::Through),
                    "{answer}"
                );
            }
        }
        // A repetition that breaks off itself is the channel's fault, and can be repeated.
        let mut world = World::new(near, "").broken(Openai, &frames(Openai, "x", "one", &PIECES)[..5]);
        let before = world.got.clone();
        let (_, mut continuation) = world.resume(Method::Repeat, Openai);
        let second = frames(Openai, "y", "two", &PIECES);
        assert_eq!(
            world.feed(&mut continuation, &second[..3], 9),
            Some(FaultKind::Reset)
        );
        assert_eq!((continuation.splice(), &world.got), (Splice::Held, &before));
        world.out.clear();
        let (_, mut continuation) = world.resume(Method::Repeat, Openai);
        assert_eq!(world.feed(&mut continuation, &second, 9), None);
        assert_eq!(see(near, &world.got).text, whole);
    }
}

#[test]
fn a_continuation_may_be_empty_or_fail() {
    for near in DIALECTS {
        for two in DIALECTS {
            for method in [Method::Prefill, Method::Instruct] {
                let first = frames(Openai, "x", "one", &["All said."]);
                let mut world = World::new(near, "").broken(Openai, &first[..2]);
                let (_, mut continuation) = world.resume(method, two);
                let fault = world.feed(&mut continuation, &frames(two, "y", "two", &[]), 13);
                assert_eq!((fault, world.out.complete), (None, true));
                let seen = see(near, &world.got);
                assert_eq!(
                    (seen.text.as_str(), seen.stops, seen.done),
                    ("All said.", 1, true)
                );

                let mut world = World::new(near, "").broken(Openai, &first[..2]);
                let (_, mut continuation) = world.resume(method, two);
                let mut second = frames(two, "y", "two", &[" And", " more"])[..3].to_vec();
                second.push(match two {
                    Anthropic => r#"event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

"#
                    .to_owned(),
                    Openai => {
                        "data: {\"error\":{\"message\":\"x\",\"code\":\"engine_overloaded\"}}\n\n".to_owned()
                    }
                });
                let fault = world.feed(&mut continuation, &second, 1_000);
                assert_eq!(fault, Some(FaultKind::Overload));
                let error = world.out.error.clone();
                assert_eq!(
                    error,
                    second.last().unwrap().as_bytes(),
                    "the channel's own words, for the shell to choose"
                );
                assert!(!see(near, &world.got).done, "no end is written");
            }
        }
    }
}

#[test]
fn a_continuation_may_begin_a_call() {
    let mut call = frames(Anthropic, "y", "two", &[" there."])[..4].to_vec();
    for value in [
        json!({"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}),
        json!({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}),
        json!({"type":"content_block_stop","index":1}),
        json!({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":5}}),
        json!({"type":"message_stop"}),
    ] {
        call.push(format!(
            "event: {}\ndata: {value}\n\n",
            value["type"].as_str().unwrap()
        ));
    }
    for near in DIALECTS {
        for skip in [false, true] {
            let mut world = World::new(near, "").broken(Openai, &frames(Openai, "x", "one", &["Hello"])[..2]);
            let (_, mut continuation) = world.resume(Method::Instruct, Anthropic);
            // Without text before it, and with.
            let second: Vec<String> = if skip {
                [&call[..1], &call[4..]].concat()
            } else {
                call.clone()
            };
            assert_eq!(world.feed(&mut continuation, &second, 21), None);
            let seen = see(near, &world.got);
            let text = if skip { "Hello" } else { "Hello there." };
            assert_eq!((seen.text.as_str(), seen.calls, seen.done), (text, 1, true));
            let got = String::from_utf8(world.got.clone()).unwrap();
            assert!(
                got.contains("tool_use") || got.contains("\"finish_reason\":\"tool_calls\""),
                "{got}"
            );
            if near == Anthropic {
                assert_eq!(blocks(&world.got), "0+text 0- 1+tool_use 1-");
            }
            assert_eq!(
                world.delivered.may_resume(),
                Err(Bar::Call),
                "and is not continued itself"
            );
        }
    }
}

#[test]
fn thoughts_of_the_continuation_stay_its_own() {
    let mut second = frames(Anthropic, "y", "two", &[])[..1].to_vec();
    for value in [
        json!({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}),
        json!({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}),
        json!({"type":"content_block_stop","index":0}),
        json!({"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}),
        json!({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":" there."}}),
        json!({"type":"content_block_stop","index":1}),
        json!({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}),
        json!({"type":"message_stop"}),
    ] {
        second.push(format!(
            "event: {}\ndata: {value}\n\n",
            value["type"].as_str().unwrap()
        ));
    }
    for near in DIALECTS {
        let mut world = World::new(near, "").broken(near, &begun(near, &["Hello"], 1));
        let (_, mut continuation) = world.resume(Method::Instruct, Anthropic);
        assert_eq!(world.feed(&mut continuation, &second, 1_000), None);
        assert_eq!(see(near, &world.got).text, "Hello there.");
        if near == Anthropic {
            assert_eq!(blocks(&world.got), "0+text 0-");
        }
    }
}

#[test]
fn a_block_with_the_number_of_the_caller_s_own_is_garbage() {
    let own = u32::MAX;
    let blocks = [
        json!({"type":"thinking","thinking":"","signature":""}),
        json!({"type":"text","text":"and"}),
        json!({"type":"tool_use","id":"toolu_1","name":"f","input":{}}),
    ];
    for near in DIALECTS {
        for content_block in &blocks {
            let mut second = frames(Anthropic, "y", "two", &[])[..1].to_vec();
            for value in [
                json!({"type":"content_block_start","index":own,"content_block":content_block}),
                json!({"type":"content_block_stop","index":own}),
            ] {
                let kind = value["type"].as_str().unwrap();
                second.push(format!("event: {kind}\ndata: {value}\n\n"));
            }
            let mut world = World::new(near, "").broken(near, &begun(near, &["Hello"], 1));
            let before = world.got.clone();
            let (_, mut continuation) = world.resume(Method::Instruct, Anthropic);
            let fault = world.feed(&mut continuation, &second, 1_000);
            assert_eq!(fault, Some(FaultKind::Garbage), "{content_block}");
            assert_eq!(
                world.got, before,
                "the caller's block stays open: {content_block}"
            );
        }
    }
}

#[test]
fn another_model_is_told_of_once_and_the_tokens_of_both() {
    for (near, fields) in [
        (Anthropic, ""),
        (Openai, r#""stream_options":{"include_usage":true},"#),
    ] {
        let mut world =
            World::new(near, fields).broken(Anthropic, &frames(Anthropic, "x", "one", &["Hello"])[..3]);
        let (_, mut continuation) = world.resume(Method::Instruct, Openai);
        let second = frames(Openai, "y", "two", &[" there", ", you."]);
        assert_eq!(world.feed(&mut continuation, &second, 40), None);
        let got = String::from_utf8(world.got.clone()).unwrap();
        assert_eq!(
            got.matches(": tieline resumed model=two channel=b__x\n\n")
                .count(),
            1,
            "{got}"
        );
        let comment = got.find(": tieline").unwrap();
        assert!(got.find("Hello").unwrap() < comment && comment < got.find(" there").unwrap());
        // 10 and 1 of the first, as far as it said; 10 and 20 of the second.
        let usage = match near {
            Anthropic => {
                r#""usage":{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":21"#
            }
            Openai => r#""usage":{"prompt_tokens":20,"completion_tokens":21,"total_tokens":41"#,
        };
        assert!(got.contains(usage), "{got}");
        let marks = world
            .out
            .marks
            .iter()
            .any(|mark| matches!(mark, Mark::Thinking | Mark::Tool));
        assert!(!marks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any text, cut anywhere, by a channel that repeats any part of its end.
    #[test]
    fn any_text_is_joined(
        whole in "[a-z äöü\n🐈]{20,120}",
        cut in 1_usize..100,
        back in 8_usize..60,
        near in prop::sample::select(&DIALECTS[..]),
        two in prop::sample::select(&DIALECTS[..]),
    ) {
        let chars: Vec<char> = whole.chars().collect();
        let cut = cut.min(chars.len() - 1);
        let text: String = chars[..cut].iter().collect();
        let mut world = World::new(near, "").broken(near, &begun(near, &[&text], 1));
        let (_, mut continuation) = world.resume(Method::Instruct, two);
        let again: String = chars[cut.saturating_sub(back)..].iter().collect();
        let is_found = back >= 8 && cut >= 8;
        let pieces = pieces_of(&again, 5);
        prop_assert_eq!(world.feed(&mut continuation, &frames(two, "y", "two", &strs(&pieces)), 33), None);
        let seen = see(near, &world.got);
        prop_assert!(seen.done && seen.text.starts_with(&text));
        // A text of few letters may repeat itself further on; then more than the repetition is left out, never less.
        if is_found {
            prop_assert!(seen.text.len() <= whole.len());
        }
    }

    #[test]
    fn any_seam_keeps_its_laws(bytes in prop::collection::vec(prop::sample::select(&b"ab \n\0\xc3\xa4"[..]), 0..60)) {
        resume::fuzz_seam(&bytes);
        tieline_wire::fuzz::fuzz_resume(&bytes);
    }
}
