//! A set of channels for long runs: each call says in its prompt how it is to be answered, and orders on standard input
//! put a channel into trouble for a while. A journal tells afterwards what was done with each request.
//!
//! `channel_set --journal FILE NAME=PORT…` listens on loopback (port 0 picks one) and prints
//! `listening NAME=PORT…`. Orders, one a line, each answered by `done ORDER` or `refused ORDER: WHY`:
//! `NAME trouble DEED PERCENT` (so many of its requests get this in place of what their calls say), `NAME well`,
//! `NAME down` (resets what is under way, refuses connections), `NAME up`. The end of the input ends it.
//! A request that does not say how it is to be answered gets 400; both dialects are known by their paths.
//! Bounds: those of the library's `Channel`, [`ask::PIECES_MAX`], and [`journal::CALLS_MAX`] calls remembered.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tieline_testkit::{Act, Channel, Script, Seen};

use crate::ask::Ask;
use crate::deed::Deed;
use crate::journal::Journal;

mod ask;
mod deed;
mod journal;
#[cfg(test)]
mod tests;

fn main() -> ExitCode {
    let played = Set::start(std::env::args().skip(1)).and_then(|set| {
        let ports: Vec<String> = set.channels.iter().map(Member::listens).collect();
        say(&format!("listening {}", ports.join(" ")))?;
        set.obey(io::stdin().lock().lines())
    });
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            // Standard error may be closed; the exit code says it, too.
            let _ = writeln!(io::stderr(), "channel_set: {complaint}");
            ExitCode::from(2)
        }
    }
}

fn say(line: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    said.map_err(|error| format!("standard output: {error}"))
}

struct Set {
    channels: Vec<Member>,
    journal: Arc<Journal>,
}

struct Member {
    channel: Channel,
    name: String,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

/// What a channel does with a share of its requests, whatever their calls say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trouble {
    deed: Deed,
    percent: u64,
}

impl Set {
    fn start(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let usage = "channel_set --journal FILE NAME=PORT…";
        let (Some("--journal"), Some(path)) = (words.next().as_deref(), words.next()) else {
            return Err(format!("the journal is missing: {usage}"));
        };
        let journal = Journal::create(path.as_ref()).map_err(|error| format!("{path}: {error}"))?;
        let journal = Arc::new(journal);
        let mut channels: Vec<Member> = Vec::new();
        for word in words {
            let (name, port) = word.split_once('=').ok_or_else(|| format!("{word}: {usage}"))?;
            let port = port.parse().map_err(|_| format!("{word}: no port"))?;
            if channels.iter().any(|member| member.name == name) {
                return Err(format!("{word}: the name is taken"));
            }
            channels.push(Member::start(name, port, &journal).map_err(|error| format!("{word}: {error}"))?);
        }
        if channels.is_empty() {
            return Err(format!("no channel: {usage}"));
        }
        Ok(Self { channels, journal })
    }

    fn obey(self, orders: impl Iterator<Item = io::Result<String>>) -> Result<(), String> {
        for order in orders {
            let order = order.map_err(|error| format!("standard input: {error}"))?;
            let answer = match self.order(&order) {
                Ok(()) => format!("done {order}"),
                Err(why) => format!("refused {order}: {why}"),
            };
            say(&answer)?;
        }
        // Answers under way end with their channels, and are told of.
        drop(self.channels);
        self.journal
            .close()
            .map_err(|error| format!("the journal: {error}"))
    }

    fn order(&self, order: &str) -> Result<(), String> {
        let words: Vec<&str> = order.split_whitespace().collect();
        let (name, words) = words.split_first().ok_or("an empty line")?;
        let member = self.channels.iter().find(|member| member.name == *name);
        let member = member.ok_or("there is no such channel")?;
        let done = match words {
            ["trouble", deed, percent] => {
                let deed = Deed::from_name(deed).ok_or("there is no such deed")?;
                let percent = percent.parse().ok().filter(|percent| *percent <= 100);
                let percent = percent.ok_or("the share is a number up to 100")?;
                member.set(Some(Trouble { deed, percent }));
                Ok(())
            }
            ["well"] => {
                member.set(None);
                Ok(())
            }
            ["down"] => member.channel.kill(),
            ["up"] => member.channel.resume(),
            _ => return Err("there are `trouble DEED PERCENT`, `well`, `down` and `up`".to_owned()),
        };
        done.map_err(|error| error.to_string())
    }
}

impl Member {
    fn start(name: &str, port: u16, journal: &Arc<Journal>) -> io::Result<Self> {
        let trouble = Arc::new(Mutex::new(None));
        let (asked, ended) = (journal.clone(), journal.clone());
        let (of, troubled) = (name.to_owned(), trouble.clone());
        let answer = Act::from_call(move |seen| {
            let trouble = *troubled.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&of, seen, trouble, &asked)
        });
        let of = name.to_owned();
        let script = Script::new()
            .otherwise(answer)
            .on_end(move |seen| ended.ended(&of, seen));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            channel: Channel::start_at(address, script)?,
            name: name.to_owned(),
            trouble,
        })
    }

    fn listens(&self) -> String {
        format!("{}={}", self.name, self.channel.port())
    }

    fn set(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

fn answer(channel: &str, seen: &Seen, trouble: Option<Trouble>, journal: &Journal) -> Act {
    let Some(ask) = seen.json().and_then(|request| Ask::read(seen, &request)) else {
        return Act::status(400).body(r#"{"error":{"message":"the prompt does not say how to answer it"}}"#);
    };
    let nth = journal.nth(ask.call);
    // The same call at the same place draws the same, so that a run can be made again.
    let draw =
        (ask.call.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ nth as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let troubled = trouble.filter(|trouble| (draw >> 33) % 100 < trouble.percent);
    let wanted = troubled.map_or_else(|| ask.deed(nth), |trouble| trouble.deed);
    let (deed, answer) = (wanted.possible(ask.is_stream), ask.answer());
    let by = if troubled.is_some() { "trouble" } else { "script" };
    let fields = BTreeMap::from([
        ("act", deed.name().into()),
        ("by", by.into()),
        ("call", ask.call.into()),
        ("input", answer.usage.input.into()),
        ("nth", nth.into()),
        ("output", answer.usage.output.into()),
        ("resumes", ask.said.is_some().into()),
        ("stream", ask.is_stream.into()),
    ]);
    journal.asked(channel, seen, fields);
    deed.act(&ask, &answer)
}
