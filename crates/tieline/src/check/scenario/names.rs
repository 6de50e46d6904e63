//! What events name, held against what is here; and their numbers. A name that is absent is an error that says what is
//! here, or, where the event may be left out, the reason why it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::Ask;
use tieline_drill::{Element, ElementKind, FACTOR_MAX, PartyClass, Permille, ServedOf, served_by};

use super::Ground;
use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw::scenario::RawDecimal;
use crate::raw::{At, nearest};

/// Names that a message lists.
const LISTED_MAX: usize = 12;

/// Far beyond any operator's quota.
const NUMBER_MAX: u64 = 1_000_000_000_000;

/// The names of one event.
pub(super) struct Names<'g, 's> {
    absent: Vec<String>,
    pub(super) ground: Ground<'g>,
    is_optional: bool,
    pub(super) sink: &'s mut Sink,
}

impl<'g, 's> Names<'g, 's> {
    pub(super) const fn new(ground: Ground<'g>, is_optional: bool, sink: &'s mut Sink) -> Self {
        Self {
            absent: Vec::new(),
            ground,
            is_optional,
            sink,
        }
    }

    /// Why the event is left out: clauses.
    pub(super) fn absent(self) -> Vec<String> {
        self.absent
    }

    /// Report a mistake.
    pub(super) fn complain<T>(&mut self, code: Code, message: &str, span: Span, label: &str) -> Option<T> {
        self.sink.push(Diagnostic::error(code, message).at(span, label));
        None
    }

    /// A channel or a component: one of the two keys.
    pub(super) fn element(
        &mut self,
        channel: Option<&At<String>>,
        component: Option<&At<String>>,
        span: Span,
    ) -> Option<Element> {
        match (channel, component) {
            (Some(at), None) => self.channel(at).map(|name| element(ElementKind::Channel, &name)),
            (None, Some(at)) => self
                .component(at)
                .map(|name| element(ElementKind::Component, &name)),
            _ => self.complain(
                Code::EventBad,
                "an event names one thing that fails",
                span,
                "wants one of `channel` and `component`",
            ),
        }
    }

    /// A component or a channel, by its name alone.
    pub(super) fn any_element(&mut self, at: &At<String>) -> Option<Element> {
        if self.ground.snapshot.channel_named(&at.value).is_some() {
            return Some(element(ElementKind::Channel, &at.value));
        }
        self.component(at)
            .map(|name| element(ElementKind::Component, &name))
    }

    pub(super) fn channel(&mut self, at: &At<String>) -> Option<Arc<str>> {
        let channels = &self.ground.snapshot.channels;
        let there: Vec<Arc<str>> = channels.iter().map(|channel| channel.name.clone()).collect();
        self.one_of(at, "channel", &there)
    }

    fn component(&mut self, at: &At<String>) -> Option<Arc<str>> {
        let there = self.ground.snapshot.components.clone();
        self.one_of(at, "component", &there)
    }

    fn lab(&mut self, at: &At<String>) -> Option<Arc<str>> {
        let there = self.ground.snapshot.labs.clone();
        self.one_of(at, "lab", &there)
    }

    fn model(&mut self, at: &At<String>) -> Option<Arc<str>> {
        let models = &self.ground.snapshot.models;
        let there: Vec<Arc<str>> = models.iter().map(|model| model.name.clone()).collect();
        self.one_of(at, "model", &there)
    }

    pub(super) fn party(&mut self, at: &At<String>) -> Option<Arc<str>> {
        let there: Vec<Arc<str>> = self.ground.parties.keys().cloned().collect();
        self.one_of(at, "party", &there)
    }

    pub(super) fn licence(&mut self, at: &At<String>) -> Option<String> {
        let there: Vec<Arc<str>> = self
            .ground
            .licences
            .iter()
            .map(|id| Arc::from(id.as_str()))
            .collect();
        self.one_of(at, "licence", &there).map(|id| id.to_string())
    }

    /// A pool, or a model that is asked for by its name.
    pub(super) fn asked(&mut self, at: &At<String>) -> Option<Arc<str>> {
        let snapshot = self.ground.snapshot;
        if !matches!(snapshot.resolve(&at.value), Ask::Unknown(_) | Ask::Unreadable(_)) {
            return Some(Arc::from(at.value.as_str()));
        }
        let there: Vec<Arc<str>> = snapshot.names().map(|(name, _)| name.clone()).collect();
        self.one_of(at, "pool", &there)
    }

    /// The parties of a class; some are.
    pub(super) fn of_class(&mut self, class: PartyClass, span: Span) -> Option<BTreeSet<Arc<str>>> {
        let parties = self.ground.parties.iter();
        let of: BTreeSet<Arc<str>> = parties
            .filter(|(_, theirs)| **theirs == Some(class))
            .map(|(party, _)| party.clone())
            .collect();
        if !of.is_empty() {
            return Some(of);
        }
        let classes: BTreeSet<PartyClass> = self.ground.parties.values().flatten().copied().collect();
        let there: Vec<Arc<str>> = classes.into_iter().map(|class| Arc::from(class.name())).collect();
        let is = format!("no party here is of the class `{}`", class.name());
        self.not_here(Code::SelectionEmpty, is, span, "selects nobody", None, &there)
    }

    /// Models on channels: at least one key, and something that all of them mean.
    pub(super) fn served_of(
        &mut self,
        keys: [Option<&At<String>>; 3],
        models: Option<&At<Vec<At<String>>>>,
        span: Span,
    ) -> Option<ServedOf> {
        let [channel, component, lab] = keys;
        if keys.iter().all(Option::is_none) && models.is_none() {
            return self.complain(
                Code::EventBad,
                "an event does not say what it is about",
                span,
                "wants `channel`, `component`, `lab` or `models`",
            );
        }
        if let Some(empty) = models.filter(|list| list.value.is_empty()) {
            let message = "an event is about no model at all";
            return self.complain(Code::SelectionEmpty, message, empty.span, "selects nothing");
        }
        let (before, errors) = (self.absent.len(), self.sink.errors());
        let list = models.into_iter().flat_map(|list| &list.value);
        let of = ServedOf {
            channel: channel.and_then(|at| self.channel(at)),
            component: component.and_then(|at| self.component(at)),
            lab: lab.and_then(|at| self.lab(at)),
            models: list.filter_map(|at| self.model(at)).collect(),
        };
        if self.absent.len() > before || self.sink.errors() > errors {
            return None;
        }
        if served_by(self.ground.snapshot, &of).is_empty() {
            let there = self.near_miss(&of);
            let is = format!("no channel of this grid serves what is meant: {of}");
            return self.not_here(Code::SelectionEmpty, is, span, "selects nothing", None, &there);
        }
        Some(of)
    }

    /// What would be meant if lab and models were left open: the labs that are there.
    fn near_miss(&self, of: &ServedOf) -> Vec<Arc<str>> {
        let open = ServedOf {
            lab: None,
            models: BTreeSet::new(),
            ..of.clone()
        };
        let snapshot = self.ground.snapshot;
        let served = served_by(snapshot, &open).into_iter();
        let labs: BTreeSet<Arc<str>> = served
            .filter_map(|(_, model)| {
                let record = snapshot.record.models.iter().find(|record| record.name == model);
                record.map(|record| record.lab.clone())
            })
            .collect();
        labs.into_iter()
            .map(|lab| Arc::from(format!("lab {lab}")))
            .collect()
    }

    fn one_of(&mut self, at: &At<String>, kind: &str, there: &[Arc<str>]) -> Option<Arc<str>> {
        if let Some(found) = there.iter().find(|name| ***name == *at.value) {
            return Some(found.clone());
        }
        let near = nearest(&at.value, there.iter().map(|name| &**name)).map(str::to_owned);
        // Of components, those of the same kind say most.
        let prefix = at.value.split_once(':').map(|(kind, _)| format!("{kind}:"));
        let alike: Vec<Arc<str>> = there
            .iter()
            .filter(|name| prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix)))
            .cloned()
            .collect();
        let shown_ones = if alike.is_empty() { there } else { &alike };
        let is = format!("there is no {kind} `{}` here", shown(&at.value));
        self.not_here(
            Code::ScenarioAbsent,
            is,
            at.span,
            "not here",
            near.as_deref(),
            shown_ones,
        )
    }

    pub(super) fn not_here<T>(
        &mut self,
        code: Code,
        is: String,
        span: Span,
        label: &str,
        near: Option<&str>,
        there: &[Arc<str>],
    ) -> Option<T> {
        if self.is_optional {
            self.absent.push(is);
            return None;
        }
        let listed = match there {
            [] => "here are none".to_owned(),
            _ => format!("here are {}", few(there)),
        };
        self.sink.push(
            Diagnostic::error(code, is)
                .at(span, label)
                .did_you_mean(near)
                .note(listed)
                .hint("`--skip-absent` leaves such events out, with a note"),
        );
        None
    }

    // === numbers ===

    /// A factor that must be stated, above 0.
    pub(super) fn factor(&mut self, at: Option<&At<RawDecimal>>, span: Span, key: &str) -> Option<Permille> {
        if let Some(at) = at {
            return self.decimal(at, key, 1, FACTOR_MAX);
        }
        let message = format!("an event has no `{key}`");
        self.complain(Code::KeyMissing, &message, span, &format!("wants `{key}`"))
    }

    /// A share of 0 to 1.
    pub(super) fn share(&mut self, at: &At<RawDecimal>, key: &str) -> Option<Permille> {
        self.decimal(at, key, 0, 1_000)
    }

    /// A decimal number in thousandths.
    pub(super) fn decimal(
        &mut self,
        at: &At<RawDecimal>,
        key: &str,
        min: Permille,
        max: Permille,
    ) -> Option<Permille> {
        let number = permille(&at.value.0).filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let message = format!("`{key}` cannot be `{}`", shown(&at.value.0));
            let label = format!(
                "wants {} to {}, with at most three decimals",
                plain(min),
                plain(max)
            );
            return self.complain(Code::FactorBad, &message, at.span, &label);
        }
        number
    }

    pub(super) fn number(&mut self, at: &At<u64>, key: &str) -> Option<u64> {
        if (1..=NUMBER_MAX).contains(&at.value) {
            return Some(at.value);
        }
        let message = format!("`{key}` is out of range");
        self.complain(
            Code::OutOfRange,
            &message,
            at.span,
            "wants 1 to 1,000,000,000,000",
        )
    }
}

fn element(kind: ElementKind, name: &str) -> Element {
    Element {
        kind,
        name: name.to_owned(),
    }
}

fn few(names: &[Arc<str>]) -> String {
    let first: Vec<String> = names
        .iter()
        .take(LISTED_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().checked_sub(LISTED_MAX) {
        None | Some(0) => first.join(", "),
        Some(more) => format!("{} and {more} more", first.join(", ")),
    }
}

/// A decimal number with at most three decimals, in thousandths.
fn permille(text: &str) -> Option<Permille> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 3 || text.ends_with('.') {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let fraction: u32 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(fraction)
}

/// `0.001` for 1, `3` for 3,000.
fn plain(permille: Permille) -> String {
    match permille % 1_000 {
        0 => (permille / 1_000).to_string(),
        rest => format!("{}.{rest:03}", permille / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly_or_refused() {
        let check = |text: &str, expected| assert_eq!(permille(text), expected, "{text}");
        check("3", Some(3_000));
        check("0.5", Some(500));
        check("1.25", Some(1_250));
        check("0.001", Some(1));
        check("1_000", None);
        for bad in ["", ".5", "5.", "-1", "1e3", "0.0001", "inf", "nan", "99999999999"] {
            check(bad, None);
        }
        assert_eq!(
            (plain(1), plain(1_000_000)),
            ("0.001".to_owned(), "1000".to_owned())
        );
    }
}
