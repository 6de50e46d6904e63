//! Every path passes the same gate. The table of the public listener's paths is asked whole, by every name that a model
//! has; a path that is in the table and neither gated nor among those that carry no model's answer fails here.

use tieline_core::Code;
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_testkit::{Act, Auto, Channel, Gate};
use tieline_wire::{PATHS, Path, Surface};

use crate::caller::{Ask, Caller};
use crate::directives::{GERMANS, applied, letter, plan, revocation, send, signed};
use crate::house::{self, ALLOWED, DENIED, HELD, House, LIMIT, Plan};
use crate::ledger::ended;

/// Paths that carry no model's answer, whoever asks.
const WITHOUT_ANSWER: [&str; 6] = [
    "/",
    "/healthz",
    "/messages/count_tokens",
    "/models",
    "/models/{name}",
    "/readyz",
];

/// A pool, its models, and an alias of each: every way to name a model.
const NAMES: [&str; 5] = ["chat", "m1", "m2", "first", "second"];

/// Two models on a channel of each dialect.
fn two(channels: &[Channel; 2]) -> Plan {
    let mut plan = plan(&channels[0]);
    plan.models = vec!["m1", "m2"];
    plan.aliases = vec![("first", vec!["m1"]), ("second", vec!["m2"])];
    plan.ways = vec![
        house::openai("a", &channels[0]).models(&["m1", "m2"]),
        house::anthropic("b", &channels[1]).models(&["m1", "m2"]),
    ];
    plan
}

fn request(path: &str, dialect: Dialect, name: &str, stream: bool, key: u8) -> Ask {
    let body = serde_json::json!({
        "max_tokens": 64, "messages": [{ "content": "Hello there", "role": "user" }], "model": name, "stream": stream,
    });
    Ask::post(dialect, body.to_string()).at(path).key(key)
}

/// The dialect of a path that is gated; `None` of one that carries no answer. Anything else is a hole.
fn gated(path: &Path) -> Option<Dialect> {
    if let Surface::Call(dialect) = path.surface {
        return Some(dialect);
    }
    let is_listed = WITHOUT_ANSWER.contains(&path.path);
    assert!(
        is_listed,
        "{} is neither gated nor known to carry no answer",
        path.path
    );
    None
}

/// By every gated path, name, form and repetition: 403 with the code, and a recorded decision. Returns how many calls.
async fn refused(house: &House, key: u8, code: Code) -> usize {
    let mut calls = 0;
    for path in &PATHS {
        let Some(dialect) = gated(path) else { continue };
        for version in ["", "/v1"] {
            for name in NAMES {
                for stream in [false, true] {
                    let at = format!("{version}{}", path.path);
                    let ask = request(&at, dialect, name, stream, key);
                    let mut caller = Caller::connect(house.listen).await;
                    // As SDKs do: the same again, on the same connection.
                    for retry in ["0", "1"] {
                        caller
                            .send(&ask.clone().header("x-stainless-retry-count", retry))
                            .await;
                        let reply = caller.reply().await;
                        let (status, _, found) = reply.problem(dialect);
                        let expected = (403, Some(code.name()));
                        assert_eq!((status, found.as_deref()), expected, "{at} {name} {stream}");
                        calls += 1;
                    }
                }
            }
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_is_refused_by_every_path_and_name() {
    let channels = [(); 2].map(|()| Channel::start(Auto::default()).unwrap());
    let house = two(&channels).start().await;
    let mut calls = refused(&house, DENIED, Code::Denied).await;
    calls += refused(&house, HELD, Code::Held).await;
    let both = letter("us-1", 1, "finish", GERMANS).replace("[\"m1\"]", "[\"m1\", \"m2\"]");
    applied(&send(&house, &signed(&both)).await);
    calls += refused(&house, ALLOWED, Code::Denied).await;
    for channel in &channels {
        assert_eq!(channel.accepted_count(), 0, "no channel sees a byte");
    }
    let book = house.stop().await;
    assert_eq!(book.decisions.len(), calls);
    for (id, decision) in &book.decisions {
        assert!(
            matches!(decision.code, Some(Code::Denied | Code::Held)),
            "{decision:?}"
        );
        assert_eq!(ended(&book.outcomes[id]), (Outcome::Refused, decision.code));
        assert!(book.outcomes[id].attempts.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_gated_reaches_no_channel() {
    let channels = [(); 2].map(|()| Channel::start(Auto::default()).unwrap());
    let house = two(&channels).start().await;
    for path in PATHS.iter().filter(|path| gated(path).is_none()) {
        for key in [ALLOWED, DENIED, HELD] {
            for name in NAMES {
                let at = path.path.replace("{name}", name);
                for dialect in [OpenaiChat, AnthropicMessages] {
                    house.ask(request(&at, dialect, name, false, key)).await;
                }
                for method in path.allow.split(", ") {
                    let mut caller = Caller::connect(house.listen).await;
                    caller.send(&Ask::new(method, &at, "").key(key)).await;
                    caller.reply_to(method).await;
                }
            }
        }
    }
    for channel in &channels {
        assert_eq!(channel.accepted_count(), 0, "no channel sees a byte");
    }
    let book = house.stop().await;
    assert!(book.decisions.is_empty());
}

/// What the list of models has for a key.
async fn listed(house: &House, key: u8) -> Vec<String> {
    let list = house.ask(Ask::get("/v1/models").key(key)).await.json();
    let names = list["data"].as_array().unwrap().iter();
    names.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Who would be denied does not see the name; who would be held does, for an officer may let the call through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_models_leaves_out_what_is_denied_and_has_what_is_held() {
    let channels = [(); 2].map(|()| Channel::start(Auto::default()).unwrap());
    let house = two(&channels).start().await;
    let all = ["chat", "first", "m1", "m2", "second"];
    for (key, expected) in [(ALLOWED, &all[..]), (DENIED, &[]), (HELD, &all)] {
        assert_eq!(listed(&house, key).await, expected);
    }
    // One model of the pool is denied to Germans: the pool stands, for it has another.
    let order = letter("us-1", 1, "finish", GERMANS);
    applied(&send(&house, &signed(&order)).await);
    assert_eq!(listed(&house, ALLOWED).await, ["chat", "m2", "second"]);
    assert_eq!(listed(&house, HELD).await, all);
    for (name, expected) in [("m1", 404), ("first", 404), ("m2", 200), ("chat", 200)] {
        let one = house
            .ask(Ask::get(&format!("/v1/models/{name}")).key(ALLOWED))
            .await;
        assert_eq!(one.status(), expected, "{name}");
    }
    applied(&send(&house, &signed(&revocation("us-1", 2))).await);
    assert_eq!(listed(&house, ALLOWED).await, all);
    house.stop().await;
}

/// A first attempt waits on a channel; an order about the `next` model comes; then the attempt fails. What would be next
/// is judged under the order, so that nothing more is dialled.
async fn next_is_judged_anew(dialect: Dialect, stream: bool, name: &str, next: &'static str) {
    let gate = Gate::new();
    // A fault after which this channel is not asked again.
    let one = Channel::start(Act::status(401).gate_before_head(&gate)).unwrap();
    let other = Channel::start(Auto::default()).unwrap();
    let mut plan = plan(&one);
    plan.models = vec!["m1", "m2"];
    plan.aliases = vec![("first", vec!["m1"])];
    plan.ways = vec![
        house::way("a", dialect, &one),
        house::way("b", dialect, &other).models(&[next]),
    ];
    if next == "m1" {
        plan.models.truncate(1);
    }
    let house = plan.start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller
        .send(&request(path_of(dialect), dialect, name, stream, ALLOWED))
        .await;
    assert!(gate.wait_reached(1, LIMIT).await);
    let order = letter("us-1", 1, "finish", GERMANS).replace("\"m1\"", &format!("{next:?}"));
    applied(&send(&house, &signed(&order)).await);
    gate.open();
    let reply = caller.reply().await;
    assert_ne!(reply.status(), 200, "{reply:?}");
    assert_eq!(
        (one.seen_count(), other.accepted_count()),
        (1, 0),
        "nothing more is dialled"
    );
    let book = house.stop().await;
    let (_, outcome) = book.only();
    assert_eq!(outcome.attempts.len(), 1);
}

fn path_of(dialect: Dialect) -> &'static str {
    let of = |path: &&Path| path.surface == Surface::Call(dialect);
    PATHS.iter().find(of).unwrap().path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_next_channel_nor_the_fallback_model_is_a_way_around() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            // The next channel of the same model, asked for by its name and by its alias; and the pool's other model.
            for (name, next) in [("m1", "m1"), ("first", "m1"), ("chat", "m1"), ("chat", "m2")] {
                next_is_judged_anew(dialect, stream, name, next).await;
            }
        }
    }
}
