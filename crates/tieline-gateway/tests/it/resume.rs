//! An answer that breaks off after content was delivered, where the pool wants another channel to go on with it: the caller
//! sees one stream, whole, and the record says who gave which part.

use std::sync::Arc;

use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::grid::Resume;
use tieline_core::record::Outcome;
use tieline_core::{Code, FaultKind, Method};
use tieline_testkit::{Act, Answer, Auto, Channel, Cut, canned};

use crate::caller::{Ask, Reply, events, is_terminated};
use crate::house::{self, Plan};
use crate::ledger::{attempts, ended};

const DIALECTS: [Dialect; 2] = [OpenaiChat, AnthropicMessages];

/// "Hello" of "Hello there", and then nothing.
fn cut(dialect: Dialect, cut: Cut) -> Act {
    match dialect {
        OpenaiChat => Act::stream(Answer::default().openai_stream(true)).cut_before_frame(2, cut),
        AnthropicMessages => Act::stream(Answer::default().anthropic_stream()).cut_before_frame(4, cut),
    }
}

fn plan(ways: [(Dialect, &Channel); 2]) -> Plan {
    let [a, b] = ways;
    let ways = vec![house::way("a", a.0, a.1), house::way("b", b.0, b.1)];
    Plan::new(ways).settings(|settings| {
        settings.idle_ms = 500;
        settings.resume = Resume::SameModel;
    })
}

/// One stream, whole: it begins once and ends once.
fn assert_one(near: Dialect, reply: &Reply, said: &str) {
    let bytes = reply.bytes();
    assert_eq!(
        (reply.status(), reply.said().as_str()),
        (200, said),
        "{}",
        reply.text()
    );
    assert!(is_terminated(near, &bytes), "{}", reply.text());
    let begins = match near {
        OpenaiChat => "\"role\":\"assistant\"",
        AnthropicMessages => "message_start\"",
    };
    assert_eq!(reply.text().matches(begins).count(), 1, "{}", reply.text());
    let ids: std::collections::BTreeSet<String> = events(&bytes)
        .into_iter()
        .filter_map(|(_, data)| serde_json::from_str::<serde_json::Value>(&data).ok())
        .filter_map(|event| {
            let id = match near {
                OpenaiChat => &event["id"],
                AnthropicMessages => &event["message"]["id"],
            };
            id.as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(ids.len(), 1, "the first id stays: {ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_stream_is_gone_on_with_across_all_dialects() {
    for near in DIALECTS {
        for (one, other) in [
            (near, near),
            (OpenaiChat, AnthropicMessages),
            (AnthropicMessages, OpenaiChat),
        ] {
            for way in [Cut::Reset, Cut::Close, Cut::Silence] {
                let first = Channel::start(cut(one, way)).unwrap();
                let second = Channel::start(Auto::saying(" there")).unwrap();
                let house = plan([(one, &first), (other, &second)]).start().await;
                let reply = house.ask(Ask::plain(near, true)).await;
                assert_one(near, &reply, "Hello there");
                let asked = second.seen()[0].json().unwrap();
                let turns = asked["messages"].as_array().unwrap();
                assert_eq!(turns[turns.len() - 2]["role"], "assistant", "{asked}");
                assert!(turns[turns.len() - 2].to_string().contains("Hello"), "{asked}");
                let book = house.stop().await;
                let (_, outcome) = book.only();
                assert_eq!(ended(outcome), (Outcome::Served, None));
                let broke = match way {
                    Cut::Silence => FaultKind::Timeout,
                    _ => FaultKind::Reset,
                };
                assert_eq!(attempts(outcome), [("a", Some(broke)), ("b", None)]);
                assert_eq!(outcome.attempts[1].resumes, Some(Method::Instruct));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deterministic_call_is_asked_again_and_spliced_or_given_up() {
    let ask = r#"{"model":"chat","stream":true,"temperature":0,"messages":[{"role":"user","content":"Hi"}]}"#;
    for (says, resumes) in [
        ("Hello there", vec![None, Some(Method::Repeat)]),
        (
            "Good day",
            vec![None, Some(Method::Repeat), Some(Method::Instruct)],
        ),
    ] {
        let first = Channel::start(cut(OpenaiChat, Cut::Reset)).unwrap();
        let says: Arc<str> = says.into();
        let second = Channel::start(Act::from_call(move |seen| {
            let turns = seen.json().unwrap()["messages"].as_array().map_or(0, Vec::len);
            let text = if turns > 1 { " there" } else { &*says };
            Act::from(Auto::saying(text))
        }))
        .unwrap();
        let house = plan([(OpenaiChat, &first), (OpenaiChat, &second)]).start().await;
        let reply = house.ask(Ask::chat(ask)).await;
        assert_one(OpenaiChat, &reply, "Hello there");
        let book = house.stop().await;
        let (_, outcome) = book.only();
        let methods: Vec<_> = outcome.attempts.iter().map(|attempt| attempt.resumes).collect();
        assert_eq!(methods, resumes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_gone_on_with_ends_with_the_error_event() {
    for near in DIALECTS {
        let first = Channel::start(cut(near, Cut::Reset)).unwrap();
        let second = Channel::start(canned::OPENAI_SERVER_ERROR.act()).unwrap();
        let house = plan([(near, &first), (OpenaiChat, &second)])
            .settings(|settings| settings.attempts_max = 2)
            .start()
            .await;
        let reply = house.ask(Ask::plain(near, true)).await;
        assert!(!is_terminated(near, &reply.bytes()), "{}", reply.text());
        assert!(reply.text().contains("answer_cut"), "{}", reply.text());
        let book = house.stop().await;
        assert_eq!(ended(book.only().1), (Outcome::Broken, Some(Code::AnswerCut)));
        // Where the pool does not want it, nobody else is asked.
        let second = Channel::start(Auto::saying(" there")).unwrap();
        let house = plan([(near, &first), (OpenaiChat, &second)])
            .settings(|settings| settings.resume = Resume::Off)
            .start()
            .await;
        let reply = house.ask(Ask::plain(near, true)).await;
        assert!(reply.text().contains("answer_cut"), "{}", reply.text());
        assert_eq!(second.seen_count(), 0);
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_part_kept_back_makes_an_early_cut_unseen() {
    for near in DIALECTS {
        let first = Channel::start(cut(near, Cut::Reset)).unwrap();
        let second = Channel::start(Auto::saying("Another answer")).unwrap();
        let ways = vec![house::way("a", near, &first), house::way("b", near, &second)];
        let house = Plan::new(ways)
            .settings(|settings| settings.hold_tokens = 8)
            .start()
            .await;
        let reply = house.ask(Ask::plain(near, true)).await;
        assert_one(near, &reply, "Another answer");
        let book = house.stop().await;
        assert_eq!(ended(book.only().1), (Outcome::Served, None));
    }
}
