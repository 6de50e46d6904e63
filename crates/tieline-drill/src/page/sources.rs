//! What the numbers rest on: what is exact, modelled and assumed, where facts are from, and the digests by which anybody
//! can see that it was this grid.

use tieline_core::record::Hex32;

use super::Known;
use super::document::{Section, more, tag};
use super::markup::{Markup, markup};
use super::words::{Sure, between};
use crate::scenario::Source;

/// Sources and lists of prices that are named: a scenario has a dozen.
const NAMED_MAX: usize = 100;

pub(super) fn sources(known: &Known<'_>, notes: &[String], cited: &[(&str, &Source)]) -> Section {
    let body = markup(|m| {
        m.element("dl", &[("class", &"sure")], |m| {
            let says = [
                (
                    Sure::Exact,
                    "counted, or decided call by call by the code that serves",
                ),
                (
                    Sure::Modelled,
                    "computed from what is recorded: it would be near this",
                ),
                (Sure::Assumed, "chosen, because nobody knows"),
            ];
            for (sure, says) in says {
                m.element("div", &[], |m| {
                    m.element("dt", &[], |m| tag(m, sure));
                    m.leaf("dd", &[], says);
                });
            }
        });
        m.element("ul", &[("class", &"notes")], |m| {
            for note in known.ground.remarks.iter().chain(notes) {
                m.leaf("li", &[], note);
            }
        });
        m.leaf("h3", &[], "Inputs");
        m.element("dl", &[("class", &"inputs")], |m| inputs(m, known));
        links(m, cited);
    });
    Section::new("sources", "What this rests on", "", body)
}

fn inputs(m: &mut Markup, known: &Known<'_>) {
    let rehearsal = known.ground.rehearsal;
    let traffic = rehearsal.traffic();
    let mut say = |name: &str, value: &str| {
        m.element("div", &[], |m| {
            m.leaf("dt", &[], name);
            m.leaf("dd", &[], value);
        });
    };
    say("calls", &rehearsal.basis().counted(rehearsal.base().calls));
    if let Some((first, last)) = traffic.window() {
        say("from the first to the last", &between(first.0, last.0));
    }
    say("grid, SHA-256", &Hex32(rehearsal.snapshot().digest).to_string());
    say("calls, SHA-256", &Hex32(traffic.digest().0).to_string());
    for (name, list) in rehearsal.snapshot().record.prices.iter().take(NAMED_MAX) {
        say(
            &format!("prices of {name}"),
            &format!("{}, {}", list.date, list.source),
        );
    }
}

fn links(m: &mut Markup, cited: &[(&str, &Source)]) {
    if cited.is_empty() {
        return;
    }
    m.leaf("h3", &[], "Sources");
    m.element("ol", &[("class", &"cited")], |m| {
        for (of, source) in cited.iter().take(NAMED_MAX) {
            m.element("li", &[], |m| {
                m.say(format!("{}. ", source.says.trim_end_matches('.')));
                link(m, &source.url);
                m.say(format!(", read {} ({of})", source.retrieved));
            });
        }
    });
    more(m, cited.len(), NAMED_MAX, "");
}

/// An address, which can be followed if it is one of the web. Nothing is loaded from it.
fn link(m: &mut Markup, url: &str) {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if is_web {
        m.leaf(
            "a",
            &[("href", &url), ("rel", &"noopener noreferrer nofollow")],
            url,
        );
    } else {
        m.say(url);
    }
}
