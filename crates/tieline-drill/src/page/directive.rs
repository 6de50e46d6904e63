//! The page of a directive: who loses service by it, who is a bystander and who is undetermined, always side by side, and
//! which losses it makes worse.

use super::document::{Document, Figure, Section, cell, more, number, small, table, tagged, word};
use super::markup::{Markup, markup};
use super::sections::{Pictured, doubt, grid, people, supplied};
use super::sources::sources;
use super::streams::Streams;
use super::words::{PerCent, Sure, noun, or_dash, spoken_all};
use super::{Ground, Known, answer};
use crate::consequence::Consequence;
use crate::table::{count, few};
use crate::under_order::LossUnderOrder;

/// Parties named of one kind, and losses in the table: a screen each.
const NAMED_MAX: usize = 40;
const ROWS_MAX: usize = 40;

/// What is known of a directive.
#[derive(Clone, Debug)]
pub struct DirectiveShown<'d> {
    pub after: &'d Streams,
    /// Parties outside its scope whose calls would change.
    pub bystanders: &'d [String],
    pub consequence: &'d Consequence,
    /// What must be looked at before it is signed, what it names and is not here among it: lower-case fragments.
    pub findings: &'d [String],
    /// Its id and version.
    pub id: String,
    pub losses: &'d [LossUnderOrder],
    /// In sentences.
    pub notes: &'d [String],
    /// Parties that would be held because their facts do not say.
    pub undetermined: &'d [String],
}

/// The page of a directive.
pub fn directive_page(ground: Ground<'_>, shown: &DirectiveShown<'_>) -> String {
    let known = Known::of(ground);
    let sure = Sure::of(ground.rehearsal.basis());
    let says = format!("under {}", shown.id);
    let pictured = Pictured {
        after: shown.after,
        gone: &[],
        is_lasting: true,
        says: says.clone(),
        sure,
    };
    let losing = [(shown.id.clone(), shown.consequence)];
    let losing = if shown.consequence.tally.unserved() > 0 {
        &losing[..]
    } else {
        &[]
    };
    let mut notes = ground.rehearsal.traffic().notes();
    let more: Vec<String> = (shown.notes.iter())
        .filter(|note| !notes.contains(note))
        .cloned()
        .collect();
    notes.extend(more);
    let sections = vec![
        grid(&known, Some(&pictured)),
        standing(shown),
        people(losing, Some((&says, shown.consequence)), sure),
        worse(shown, sure),
        supplied(&known, Some(&pictured)),
        sources(&known, &notes, &[]),
    ];
    let document = Document {
        answer: format!(
            "Directive {} would {}, with {} {} and {} undetermined; {}.",
            shown.id,
            answer::does(shown.consequence, Some(known.critical)),
            count(shown.bystanders.len() as u64),
            noun(shown.bystanders.len() as u64, "bystander", "bystanders"),
            count(shown.undetermined.len() as u64),
            answer::exposed(&known)
        ),
        banner: ground.doubt.map(doubt),
        command: "drill directive",
        figures: figures(shown, sure),
        lede: format!(
            "The directive laid over the rules in force and over {}, and each channel and component gone in turn under it.",
            ground.rehearsal.basis().counted(ground.rehearsal.base().calls)
        ),
        sections,
    };
    document.html()
}

fn figures(shown: &DirectiveShown<'_>, sure: Sure) -> Vec<Figure> {
    let tally = shown.consequence.tally;
    let worse = shown.losses.iter().filter(|loss| loss.is_worse()).count() as u64;
    let figure = |value: String, says: &str, is_bad: bool, sure: Sure| Figure {
        is_bad,
        says: says.to_owned(),
        sure,
        value,
    };
    let unserved = PerCent(tally.unserved(), tally.served_before()).to_string();
    let (bystanders, undetermined) = (shown.bystanders.len() as u64, shown.undetermined.len() as u64);
    vec![
        figure(unserved, "of calls unserved under it", tally.unserved() > 0, sure),
        figure(
            count(bystanders),
            "bystanders: outside its scope, and hit",
            bystanders > 0,
            Sure::Exact,
        ),
        figure(
            count(undetermined),
            "undetermined: held, for their facts do not say",
            undetermined > 0,
            Sure::Exact,
        ),
        figure(
            format!("{} of {}", count(worse), count(shown.losses.len() as u64)),
            "losses that it makes worse",
            worse > 0,
            sure,
        ),
    ]
}

/// Bystanders and undetermined, side by side.
fn standing(shown: &DirectiveShown<'_>) -> Section {
    let list = |m: &mut Markup, head: &str, says: &str, parties: &[String]| {
        m.element("div", &[], |m| {
            m.leaf("h3", &[], format!("{head}: {}", count(parties.len() as u64)));
            small(m, says);
            if !parties.is_empty() {
                m.leaf("p", &[], few(parties, NAMED_MAX));
            }
        });
    };
    let body = markup(|m| {
        m.element("div", &[("class", &"pair")], |m| {
            list(
                m,
                "Bystanders",
                "Outside the scope of the directive, and refused or held because of it.",
                shown.bystanders,
            );
            list(
                m,
                "Undetermined",
                "Held because their recorded facts do not say whether they are in its scope.",
                shown.undetermined,
            );
        });
        if !shown.findings.is_empty() {
            m.element("ul", &[("class", &"notes")], |m| {
                for says in shown.findings {
                    let mut rest = says.chars();
                    let first = rest.next().into_iter().flat_map(char::to_uppercase);
                    m.leaf(
                        "li",
                        &[],
                        format!("{}{}.", first.collect::<String>(), rest.as_str()),
                    );
                }
            });
        }
    });
    Section::new("standing", "Whom it should not hit", "", body)
}

/// The losses that are worse under it than without it.
fn worse(shown: &DirectiveShown<'_>, sure: Sure) -> Section {
    let worse: Vec<&LossUnderOrder> = shown.losses.iter().filter(|loss| loss.is_worse()).collect();
    let body = markup(|m| {
        if worse.is_empty() {
            return small(
                m,
                "Under it, no single loss leaves more calls unserved than without it.",
            );
        }
        let columns = [
            word("gone"),
            number("unserved under it"),
            number("without it"),
            number("parties under it"),
            number("parties without it"),
            word("how sure"),
        ];
        let rows = worse.iter().take(ROWS_MAX).map(|loss| {
            let (under, without) = (loss.under, loss.without);
            let numbers = [
                under.unserved,
                without.unserved,
                under.parties_losing,
                without.parties_losing,
            ];
            let numbers = numbers.map(|n| cell(or_dash(n)));
            let head = std::iter::once(cell(spoken_all(&loss.gone)));
            head.chain(numbers).chain(std::iter::once(tagged(sure))).collect()
        });
        m.append(table(
            ("Calls unserved over and above those with nothing gone", None),
            &columns,
            rows.collect(),
        ));
        more(m, worse.len(), ROWS_MAX, "");
    });
    Section::new(
        "losses",
        "Which losses it makes worse",
        "Who has fewer ways left has less to fall back on.",
        body,
    )
}
