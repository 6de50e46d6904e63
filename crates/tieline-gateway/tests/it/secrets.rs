//! Credentials, keys, names and prompts stand in no log, no error, no metric, no status and no entry.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tieline_testkit::{Act, Auto, Channel, Cut, Script, canned};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::caller::Ask;
use crate::house::{self, CREDENTIAL, DENIED, HELD, OPERATOR, Plan, READER, REVOKED, key};

/// Everything that is logged, as text.
#[derive(Clone, Debug, Default)]
struct Logged(Arc<Mutex<String>>);

impl Logged {
    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Visit for Logged {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(text, "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Logged {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

const PROMPT: &str = "the-prompt-nobody-may-see";
const ANSWER: &str = "the-answer-nobody-may-keep";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_stands_anywhere() {
    let logged = Logged::default();
    tracing::subscriber::set_global_default(logged.clone()).unwrap();
    let script = Script::new()
        .then(canned::OPENAI_KEY.act())
        .then(Act::refuse())
        .then(Act::json(format!("garbage {ANSWER}")))
        .then(Act::from(Auto::saying(ANSWER)).cut_at_body_byte(60, Cut::Reset))
        .then(canned::OPENAI_INVALID_REQUEST.act())
        .otherwise(Auto::saying(ANSWER));
    let channel = Channel::start(script).unwrap();
    // One attempt a call, so that each meets the next of the channel's faults.
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.settings(|settings| settings.attempts_max = 1).start().await;
    let body = format!(
        r#"{{"model":"chat","user":"{PROMPT}","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#
    );
    let mut said = String::new();
    for number in [1, 1, 1, 1, 1, DENIED, HELD, REVOKED, 77] {
        let reply = house.ask(Ask::chat(&body).key(number)).await;
        assert_ne!(reply.status(), 200);
        writeln!(said, "{:?}{}", reply.head, reply.text()).unwrap();
    }
    for broken in [
        PROMPT.to_owned(),
        format!(r#"{{"model":"{PROMPT} with spaces"}}"#),
        format!("{body}{PROMPT}"),
    ] {
        let reply = house.ask(Ask::chat(broken)).await;
        assert!(reply.status() >= 400);
        said.push_str(&reply.text());
    }
    assert_eq!(house.ask(Ask::chat(&body)).await.said(), ANSWER);
    house
        .reload(|plan| plan.broken = Some("it does not parse".into()))
        .unwrap_err();
    for path in ["/admin/v1/status", "/admin/v1/keys", "/metrics"] {
        said.push_str(&house.admin(READER, "GET", path, "").await.text());
    }
    said.push_str(&house.cut("nothing").await.text());
    let denied = house.admin(77, "GET", "/admin/v1/status", "").await;
    said.push_str(&denied.text());
    let book = house.stop().await;
    let kept = format!("{:?}", book.entries);
    let mut files = String::new();
    for file in std::fs::read_dir(book.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        files.push_str(&String::from_utf8_lossy(&bytes));
    }
    let logged = logged.text();
    assert!(
        logged.contains("call not served"),
        "the log was listened to: {logged}"
    );
    let keys = [1, DENIED, HELD, REVOKED, 77, OPERATOR, READER].map(key);
    let secrets = keys
        .iter()
        .map(String::as_str)
        .chain([CREDENTIAL, PROMPT, ANSWER]);
    for secret in secrets {
        for (place, text) in [
            ("log", &logged),
            ("reply", &said),
            ("ledger", &kept),
            ("folder", &files),
        ] {
            assert!(!text.contains(secret), "{secret} stands in the {place}: {text}");
        }
    }
    // People's names stand in the state file alone.
    for (place, text) in [("log", &logged), ("reply", &said), ("ledger", &kept)] {
        assert!(!text.contains("The name of p_"), "a name stands in the {place}");
    }
}
