//! The set as its clients and its orders meet it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::Set;
use crate::deed::Deed;

struct Played {
    journal: tempfile::TempPath,
    set: Set,
}

fn set() -> Played {
    let journal = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let words = ["--journal", journal.to_str().unwrap(), "a=0", "b=0"];
    let set = Set::start(words.iter().map(ToString::to_string)).unwrap();
    Played { journal, set }
}

impl Played {
    /// All that the channel sends until it closes; nothing where it refuses or resets.
    fn ask(&self, channel: usize, path: &str, request: &Value) -> String {
        let body = request.to_string();
        let Ok(mut stream) = TcpStream::connect(self.set.channels[channel].channel.address()) else {
            return String::new();
        };
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        String::from_utf8(all).unwrap()
    }

    fn chat(&self, channel: usize, prompt: &str, stream: bool) -> String {
        let request = json!({"messages": [{"role": "user", "content": prompt}], "stream": stream});
        self.ask(channel, "/v1/chat/completions", &request)
    }

    fn end(self) -> Vec<Value> {
        self.set.obey(std::iter::empty()).unwrap();
        let text = std::fs::read_to_string(&self.journal).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn a_call_gets_its_deeds_in_order_over_all_channels_and_is_then_answered_well() {
    let set = set();
    let prompt = "Hello. soak/7/3x4/0/500+reset/ Thanks.";
    assert!(set.chat(0, prompt, false).starts_with("HTTP/1.1 500 "));
    assert_eq!(set.chat(1, prompt, false), "");
    assert!(
        set.chat(0, prompt, false)
            .contains(r#""content":"7.0. 7.1. 7.2. ""#)
    );
    let lines = set.end();
    let acts: Vec<&Value> = lines
        .iter()
        .filter(|line| line["t"] == "asked")
        .map(|line| &line["act"])
        .collect();
    assert_eq!(acts, ["500", "reset", "ok"]);
    let ends: Vec<&Value> = lines
        .iter()
        .filter(|line| line["t"] == "ended")
        .map(|line| &line["end"])
        .collect();
    assert_eq!(ends, ["complete", "reset", "complete"]);
    assert_eq!(
        (&lines[0]["call"], &lines[0]["input"], &lines[0]["output"]),
        (&json!(7), &json!(57), &json!(3))
    );
}

#[test]
fn an_answer_is_gone_on_with_where_it_broke_off() {
    let set = set();
    let asked = |said: &str| {
        let user = json!({"role": "user", "content": [{"type": "text", "text": "soak/7/3x4/0//"}]});
        let assistant = json!({"role": "assistant", "content": said});
        json!({"messages": [user, assistant], "stream": false})
    };
    let check = |said: &str, expected: &str| {
        let answer = set.ask(0, "/v1/messages", &asked(said));
        assert!(
            answer.contains(&format!(r#""text":"{expected}""#)),
            "{said:?}: {answer}"
        );
    };
    check("7.0. 7.", "1. 7.2. ");
    check("7.0. ", "7.1. 7.2. ");
    // Whoever drops the blank at its end gets it back.
    check("7.0.", " 7.1. 7.2. ");
    check("something else", "7.0. 7.1. 7.2. ");
}

#[test]
fn trouble_overrides_what_calls_say_until_the_channel_is_well() {
    let set = set();
    let order = |order: &str| set.set.order(order);
    order("a trouble 503 100").unwrap();
    assert!(
        set.chat(0, "soak/1/1x1/0/reset/", false)
            .starts_with("HTTP/1.1 503 ")
    );
    assert!(set.chat(1, "soak/2/1x1/0//", false).starts_with("HTTP/1.1 200 "));
    order("a well").unwrap();
    assert!(set.chat(0, "soak/3/1x1/0//", false).starts_with("HTTP/1.1 200 "));
    order("a down").unwrap();
    assert_eq!(set.chat(0, "soak/4/1x1/0//", false), "");
    order("a up").unwrap();
    assert!(set.chat(0, "soak/5/1x1/0//", false).starts_with("HTTP/1.1 200 "));
    order("a trouble 500 30").unwrap();
    let failed = (100..200).filter(|call| {
        set.chat(0, &format!("soak/{call}/1x1/0//"), false)
            .contains(" 500 ")
    });
    let failed = failed.count();
    assert!((15..=45).contains(&failed), "{failed} of 100");
    for wrong in [
        "",
        "c well",
        "a trouble 500",
        "a trouble sing 100",
        "a trouble 500 101",
        "a dance",
    ] {
        assert!(order(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_deed_plays_in_both_dialects_and_forms() {
    let set = set();
    for (number, deed) in Deed::ALL.iter().enumerate() {
        if matches!(deed, Deed::Silent | Deed::Stall) {
            continue;
        }
        assert_eq!(Deed::from_name(deed.name()), Some(*deed));
        for (path, stream) in [
            ("/v1/chat/completions", true),
            ("/v1/messages", true),
            ("/v1/messages", false),
        ] {
            let prompt = format!(
                "soak/{number}{}/4x8/0/{}/",
                path.len() + usize::from(stream),
                deed.name()
            );
            let request = json!({"messages": [{"role": "user", "content": prompt}], "stream": stream});
            let answer = set.ask(0, path, &request);
            assert!(!answer.contains("the script asks for"), "{deed:?}: {answer}");
            let is_whole =
                answer.contains("[DONE]") || answer.contains("message_stop") || answer.contains("end_turn");
            let said = answer.contains(&format!("{number}{}.3.", path.len() + usize::from(stream)));
            let harmless = matches!(
                deed.possible(stream),
                Deed::Junk | Deed::Late | Deed::Ok | Deed::Twice
            );
            assert!(!harmless || (is_whole && said), "{deed:?}: {answer}");
            let breaks = matches!(deed, Deed::Close | Deed::Cut | Deed::ErrorEvent);
            assert!(!breaks || !said, "{deed:?}: {answer}");
        }
    }
    assert!(
        set.chat(0, "What is a tie line?", false)
            .starts_with("HTTP/1.1 400 ")
    );
    assert!(set.chat(0, "soak/1/0x1/0//", false).starts_with("HTTP/1.1 400 "));
    assert!(
        set.chat(0, "soak/1/1x1/0/sing/", false)
            .starts_with("HTTP/1.1 400 ")
    );
}
