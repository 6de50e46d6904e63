//! The page around its sections: head, answer, figures, sections, sources. It loads nothing and runs nothing: its policy
//! for content allows the one style sheet by its digest and refuses everything else.
//!
//! Whatever a drill reports becomes a [`Section`]; this module knows none of them.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tieline_note::sha256;

use super::markup::{Markup, markup};
use super::words::Sure;

const STYLE: &str = include_str!("page.css");

/// How every page begins: what tells a file that may be written over from one that may not.
pub const PAGE_START: &str = "<!DOCTYPE html>\n<html lang=\"en\" data-page=\"tieline-drill\">";

/// A page before it is text.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The answer, in one sentence.
    pub(super) answer: String,
    /// What must be known before anything is believed.
    pub(super) banner: Option<String>,
    /// The command, as it is typed.
    pub(super) command: &'static str,
    pub(super) figures: Vec<Figure>,
    /// What was done, over what.
    pub(super) lede: String,
    pub(super) sections: Vec<Section>,
}

/// A number that stands for the whole.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) is_bad: bool,
    pub(super) says: String,
    pub(super) sure: Sure,
    pub(super) value: String,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) body: Markup,
    pub(super) id: &'static str,
    /// A sentence or two under the title.
    pub(super) lede: String,
    pub(super) title: String,
}

impl Document {
    pub(super) fn html(self) -> String {
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            STANDARD.encode(sha256(STYLE.as_bytes()).0)
        );
        let mut page = Markup::default();
        page.own(PAGE_START);
        page.own("\n");
        page.element("head", &[], |m| self.head(m, &policy));
        page.element("body", &[], |m| {
            m.leaf("a", &[("class", &"skip"), ("href", &"#main")], "Skip to the content");
            m.element("header", &[("class", &"page")], |m| self.top(m));
            m.element("main", &[("class", &"page"), ("id", &"main")], |m| {
                for section in self.sections {
                    section.write(m);
                }
            });
            m.element("footer", &[("class", &"page")], |m| {
                m.leaf(
                    "p",
                    &[],
                    "Made by tieline. The same inputs give the same page. It loads nothing, runs nothing, and is no legal advice.",
                );
            });
        });
        page.own("</html>\n");
        page.finish()
    }

    fn head(&self, m: &mut Markup, policy: &str) {
        m.empty("meta", &[("charset", &"utf-8")]);
        m.empty(
            "meta",
            &[("http-equiv", &"Content-Security-Policy"), ("content", &policy)],
        );
        let wide: &dyn Display = &"width=device-width, initial-scale=1";
        m.empty("meta", &[("name", &"viewport"), ("content", wide)]);
        m.empty("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
        m.empty("meta", &[("name", &"referrer"), ("content", &"no-referrer")]);
        m.empty("meta", &[("name", &"generator"), ("content", &"tieline")]);
        m.leaf(
            "title",
            &[],
            format!("{} – tieline {}", self.answer, self.command),
        );
        // As it is: a style sheet is not text, and this one has none of the characters that would be escaped.
        m.element("style", &[], |m| m.own(STYLE));
    }

    fn top(&self, m: &mut Markup) {
        m.leaf("p", &[("class", &"eyebrow")], format!("tieline {}", self.command));
        // No line ends between a number and its sign.
        m.leaf("h1", &[], self.answer.replace(" %", "\u{a0}%"));
        m.leaf("p", &[("class", &"lede")], &self.lede);
        if let Some(banner) = &self.banner {
            m.element("div", &[("class", &"banner"), ("role", &"note")], |m| {
                m.leaf("strong", &[], "Unverified");
                m.leaf("p", &[], banner);
            });
        }
        if !self.figures.is_empty() {
            m.element("dl", &[("class", &"figures")], |m| {
                for figure in &self.figures {
                    let class = if figure.is_bad { "figure bad" } else { "figure" };
                    m.element("div", &[("class", &class)], |m| {
                        m.element("dt", &[], |m| {
                            m.say(&figure.says);
                            m.own(" ");
                            tag(m, figure.sure);
                        });
                        m.leaf("dd", &[], &figure.value);
                    });
                }
            });
        }
        if self.sections.len() > 2 {
            m.element("nav", &[("aria-label", &"Sections")], |m| {
                for section in &self.sections {
                    m.leaf("a", &[("href", &format!("#{}", section.id))], &section.title);
                    m.own("\n");
                }
            });
        }
    }
}

impl Section {
    pub(super) fn new(
        id: &'static str,
        title: impl Into<String>,
        lede: impl Into<String>,
        body: Markup,
    ) -> Self {
        Self {
            body,
            id,
            lede: lede.into(),
            title: title.into(),
        }
    }

    fn write(self, m: &mut Markup) {
        let head = format!("{}-head", self.id);
        m.element("section", &[("id", &self.id), ("aria-labelledby", &head)], |m| {
            m.leaf("h2", &[("id", &head)], &self.title);
            if !self.lede.is_empty() {
                m.leaf("p", &[("class", &"lede")], &self.lede);
            }
            m.append(self.body);
        });
    }
}

/// How sure a number is, in a word; its frame says it again.
pub(super) fn tag(m: &mut Markup, sure: Sure) {
    let class = format!("tag {}", sure.name());
    m.leaf("span", &[("class", &class)], sure.name());
}

/// A sentence in small type.
pub(super) fn small(m: &mut Markup, text: impl Display) {
    m.leaf("p", &[("class", &"small")], text);
}

/// What may be wider than a phone, in a box of its own that scrolls.
pub(super) fn scrolling(m: &mut Markup, label: &str, inside: impl FnOnce(&mut Markup)) {
    let attrs: &[(&str, &dyn Display)] = &[
        ("class", &"scroll"),
        ("role", &"region"),
        ("aria-label", &label),
        ("tabindex", &0),
    ];
    m.element("div", attrs, inside);
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) is_number: bool,
}

pub(super) const fn word(head: &'static str) -> Column {
    Column {
        head,
        is_number: false,
    }
}

pub(super) const fn number(head: &'static str) -> Column {
    Column {
        head,
        is_number: true,
    }
}

/// A table whose rows become cards on a phone: each cell says there what its column is. The first of a row is its head.
/// `caption` says how sure its numbers are, unless its rows do.
pub(super) fn table(caption: (&str, Option<Sure>), columns: &[Column], rows: Vec<Vec<Markup>>) -> Markup {
    markup(|m| {
        m.element("table", &[("class", &"cards")], |m| {
            captioned(m, caption);
            m.element("thead", &[], |m| {
                m.element("tr", &[], |m| {
                    for column in columns {
                        let class = if column.is_number { "num" } else { "word" };
                        m.leaf("th", &[("scope", &"col"), ("class", &class)], column.head);
                    }
                });
            });
            m.element("tbody", &[], |m| {
                for row in rows {
                    m.element("tr", &[], |m| cells(m, columns, row));
                }
            });
        });
    })
}

/// What a table shows, and how sure it is.
pub(super) fn captioned(m: &mut Markup, (caption, sure): (&str, Option<Sure>)) {
    m.element("caption", &[], |m| {
        m.say(caption);
        if let Some(sure) = sure {
            m.own(" ");
            tag(m, sure);
        }
    });
}

fn cells(m: &mut Markup, columns: &[Column], row: Vec<Markup>) {
    for (ix, (cell, column)) in row.into_iter().zip(columns).enumerate() {
        let class = match (column.is_number, cell.is_nil()) {
            (true, true) => "num nil",
            (true, false) => "num",
            (false, _) => "word",
        };
        if ix == 0 {
            m.element("th", &[("scope", &"row"), ("class", &class)], |m| m.append(cell));
        } else {
            m.element("td", &[("class", &class), ("data-label", &column.head)], |m| {
                m.append(cell);
            });
        }
    }
}

/// A cell of text.
pub(super) fn cell(text: impl Display) -> Markup {
    markup(|m| m.say(text))
}

/// A cell of a tag.
pub(super) fn tagged(sure: Sure) -> Markup {
    markup(|m| tag(m, sure))
}

/// So many more rows than are shown, if any are.
pub(super) fn more(m: &mut Markup, all: usize, shown: usize, what: &str) {
    let rest = all.saturating_sub(shown) as u64;
    if rest > 0 {
        let rest = crate::table::count(rest);
        let space = if what.is_empty() { "" } else { " " };
        small(
            m,
            format!("… and {rest} more{space}{what}; --json has all of them."),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The custom properties of one scheme.
    fn scheme(is_dark: bool) -> Vec<(String, [f64; 3])> {
        let of = STYLE.split("@media (prefers-color-scheme: dark)");
        let part: &str = of
            .map(|part| part.split('}').next().unwrap())
            .nth(usize::from(is_dark))
            .unwrap();
        let stated = part
            .split([';', '{'])
            .filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
        let colour = |hex: &str| {
            [0, 2, 4]
                .map(|ix| f64::from(u8::from_str_radix(hex.get(ix..ix + 2).unwrap(), 16).unwrap()) / 255.0)
        };
        stated.map(|(name, hex)| (name.to_owned(), colour(hex))).collect()
    }

    /// Contrast as WCAG 2 counts it.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let linear = |c: f64| {
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        let light = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        let (a, b) = (light(a) + 0.05, light(b) + 0.05);
        (a / b).max(b / a)
    }

    #[test]
    fn colours_stand_out_in_both_schemes() {
        for is_dark in [false, true] {
            let colours = scheme(is_dark);
            let of = |name: &str| colours.iter().find(|(own, _)| own == name).unwrap().1;
            let check = |name: &str, on: &str, least: f64| {
                let found = contrast(of(name), of(on));
                assert!(found >= least, "{name} on {on}, dark: {is_dark}: {found:.2}");
            };
            for on in ["ground", "surface"] {
                for text in ["ink", "soft", "lost"] {
                    check(text, on, 4.5);
                }
                check("degraded", on, 3.0);
            }
            check("accent", "ground", 4.5);
            for text in ["heat1", "heat2", "heat3", "heat4", "lost-soft"] {
                check("ink", text, 4.5);
            }
            for text in ["heat1", "heat2"] {
                check("soft", text, 4.5);
            }
            for part in ["kept", "moved", "degraded", "held", "lost", "grid"] {
                check(part, "ground", 3.0);
            }
        }
    }

    #[test]
    fn the_style_sheet_is_what_the_policy_allows() {
        assert!(!STYLE.contains(['<', '&']), "it stands in the page as it is");
        for word in ["url(", "@import", "http"] {
            assert!(!STYLE.contains(word), "it loads nothing");
        }
    }
}
