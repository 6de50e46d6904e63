//! The TOML of orders, read field by field so that every mistake is reported in one run, each with its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::{Span, Tick};
use tieline_note::Digest;
use tieline_note::note::NOTE_BYTES_MAX;
use toml::Spanned;
use toml::de::DeValue;

use super::condition::{Condition, Site};
use super::{
    DIRECTIVE_V1, DRAIN_S_MAX, Directive, Effect, InFlight, Order, REVOCATION_V1, Revocation, Scope, Selector,
};
use crate::date::Edge;
use crate::facts::eflop;
use crate::fields::{self, Fields, ID_HELP, Reported, is_id};
use crate::pack::Disclosure;
use crate::problem::{PackProblem, Problems, Sheet};

const DIRECTIVE_KEYS: [&str; 19] = [
    "authority",
    "disclosure",
    "effect",
    "exempt",
    "id",
    "in_flight",
    "issued",
    "issuer",
    "note",
    "reason",
    "remedy",
    "require",
    "scope",
    "t",
    "title",
    "valid_from",
    "valid_to",
    "version",
    "who",
];

/// Reads a directive or a revocation; `digest` is what it will be known by.
pub(super) fn order(path: &str, text: &str, digest: Digest) -> Result<Order, Vec<PackProblem>> {
    let path = Arc::from(path);
    let mut problems = Problems::default();
    let order = check_text(&path, text, &mut problems).and_then(|sheet| read(sheet, digest, &mut problems));
    match order {
        Some(order) if problems.is_empty() => Ok(order),
        _ => Err(problems.into_sorted()),
    }
}

/// What a note cannot carry is no order, so that whoever writes one is told before it is signed.
fn check_text<'t>(path: &'t Arc<str>, text: &'t str, problems: &mut Problems) -> Option<Sheet<'t>> {
    let sheet = Sheet { path, text };
    if text.len() > NOTE_BYTES_MAX {
        let says = format!("the order is longer than {NOTE_BYTES_MAX} bytes");
        let help = "name an organisation, whose members follow, or a group";
        problems.push(sheet.problem(0, says, Some(help)));
        return None;
    }
    let control = text.bytes().position(|byte| byte < 0x20 && byte != b'\n');
    if let Some(at) = control {
        let help =
            "lines end with a single line feed and are indented with spaces: this text is signed as it is";
        problems.push(sheet.problem(
            at,
            "the order holds a tab, a carriage return or another control character",
            Some(help),
        ));
        return None;
    }
    if !text.ends_with('\n') {
        problems.push(sheet.problem(text.len(), "the last line does not end", Some("add a line feed")));
        return None;
    }
    Some(sheet)
}

fn read(sheet: Sheet<'_>, digest: Digest, problems: &mut Problems) -> Option<Order> {
    let root = fields::parse(sheet, problems)?;
    let mut fields = Fields {
        sheet,
        table: root.get_ref(),
        place: 0..0,
        problems,
    };
    table(&mut fields, digest)
}

/// An order that is a table of a larger text.
pub(crate) fn table(fields: &mut Fields<'_, '_>, digest: Digest) -> Option<Order> {
    let tag = fields.text("t")?;
    match &*tag {
        DIRECTIVE_V1 => directive(fields, digest).map(|one| Order::Directive(Arc::new(one))),
        REVOCATION_V1 => revocation(fields, digest).map(Order::Revocation),
        _ => {
            let says = format!("`{tag}` is no type of order");
            let help = format!("this version reads `{DIRECTIVE_V1}` and `{REVOCATION_V1}`");
            fields.complain("t", says, Some(&help));
            None
        }
    }
}

fn revocation(fields: &mut Fields<'_, '_>, digest: Digest) -> Option<Revocation> {
    fields.only(&["id", "issued", "issuer", "reason", "t", "version"]);
    let id = fields.order_id();
    let issued = fields.date("issued", Edge::Begin);
    let from_whom = fields.text("issuer");
    let reason = fields.text("reason");
    let version = fields.version();
    Some(Revocation {
        digest,
        id: id?,
        issued: issued?,
        issuer: from_whom?,
        reason: reason?,
        version: version?,
    })
}

fn directive(fields: &mut Fields<'_, '_>, digest: Digest) -> Option<Directive> {
    fields.only(&DIRECTIVE_KEYS);
    // Each line reads its own field, so that one wrong field does not hide the next.
    let authority = fields.text("authority");
    let disclosure = fields.disclosure();
    let effect = fields.effect();
    let exempt = fields.selector("exempt");
    let id = fields.order_id();
    let in_flight = fields.in_flight();
    let issued = fields.date("issued", Edge::Begin);
    let from_whom = fields.text("issuer");
    let note = fields.optional_text("note");
    let reason = fields.text("reason");
    let remedy = fields.optional_text("remedy");
    let scope = fields.scope();
    let title = fields.text("title");
    let valid_from = fields.date("valid_from", Edge::Begin);
    let valid_to = fields.end();
    let version = fields.version();
    let who = fields.selector("who");
    fields.check_dates(issued, valid_from, valid_to.as_ref().ok().copied().flatten());
    Some(Directive {
        authority: authority?,
        digest,
        disclosure: disclosure?,
        effect: effect?,
        exempt: exempt.ok()?,
        id: id?,
        in_flight: in_flight?,
        issued: issued?,
        issuer: from_whom?,
        note: note.ok()?,
        reason: reason?,
        remedy: remedy.ok()?,
        scope: scope?,
        title: title?,
        valid_from: valid_from?,
        valid_to: valid_to.ok()?,
        version: version?,
        who: who.ok()?,
    })
}

impl Fields<'_, '_> {
    fn order_id(&mut self) -> Option<Arc<str>> {
        let id = self.text("id")?;
        if is_id(&id) {
            return Some(id);
        }
        self.complain("id", format!("`{id}` is no id of an order"), Some(ID_HELP));
        None
    }

    fn version(&mut self) -> Option<u32> {
        let value = self.required("version")?;
        let number = value
            .get_ref()
            .as_integer()
            .map(|number| number.as_str().parse::<u32>());
        if let Some(Ok(version @ 1..)) = number {
            return Some(version);
        }
        let help = "the first is 1, and each amendment is one more";
        self.complain("version", "`version` is no number from 1", Some(help));
        None
    }

    fn disclosure(&mut self) -> Option<Disclosure> {
        if !self.has("disclosure") {
            return Some(Disclosure::default());
        }
        let text = self.text("disclosure")?;
        match &*text {
            "public" => Some(Disclosure::Public),
            "code" => Some(Disclosure::Code),
            "sealed" => Some(Disclosure::Sealed),
            other => {
                let says = format!("unknown disclosure `{other}`");
                self.complain("disclosure", says, Some("one of public, code, sealed"));
                None
            }
        }
    }

    fn effect(&mut self) -> Option<Effect> {
        let text = self.text("effect");
        if text.as_deref() != Some("require") && self.has("require") {
            let help = "write `effect = \"require\"`, or leave `require` out";
            self.complain("require", "`require` stands beside another effect", Some(help));
            return None;
        }
        match &*text? {
            "deny" => Some(Effect::Deny),
            "hold" => Some(Effect::Hold),
            "require" => self.papers(),
            other => {
                let says = format!("unknown effect `{other}`");
                self.complain("effect", says, Some("one of deny, hold, require"));
                None
            }
        }
    }

    fn papers(&mut self) -> Option<Effect> {
        let mut table = self.table("require")?;
        table.only(&["licences", "statements"]);
        let licences = table.names("licences");
        let statements = table.names("statements");
        let effect = Effect::Require {
            licences: licences.ok()?,
            statements: statements.ok()?,
        };
        if matches!(&effect, Effect::Require { licences, statements } if licences.is_empty() && statements.is_empty())
        {
            let help = "name `licences`, `statements` or both";
            self.complain("require", "`require` requires nothing", Some(help));
            return None;
        }
        Some(effect)
    }

    fn in_flight(&mut self) -> Option<InFlight> {
        let text = self.text("in_flight")?;
        match &*text {
            "finish" => return Some(InFlight::Finish),
            "cut" => return Some(InFlight::Cut),
            _ => {}
        }
        let seconds = text
            .strip_prefix("drain ")
            .and_then(|s| s.trim().parse::<u64>().ok());
        if let Some(seconds @ 1..=DRAIN_S_MAX) = seconds {
            return Some(InFlight::Drain(Span::from_s(seconds)));
        }
        let says = format!("`{text}` does not say what becomes of calls in flight");
        let help = format!("write `finish`, `cut`, or `drain SECONDS` with 1 to {DRAIN_S_MAX} seconds");
        self.complain("in_flight", says, Some(&help));
        None
    }

    fn scope(&mut self) -> Option<Scope> {
        let mut table = self.table("scope")?;
        table.only(&["labs", "models", "training_flop_min"]);
        let labs = table.names("labs");
        let models = table.names("models");
        let training_flop_min = table.optional_text("training_flop_min");
        let eflop_min = match &training_flop_min {
            Ok(Some(text)) => {
                let number = eflop(text);
                if number.is_none() {
                    let says = format!("`{text}` is no number of operations");
                    table.complain("training_flop_min", says, Some("write it as \"1e26\""));
                }
                Some(number?)
            }
            _ => None,
        };
        let scope = Scope {
            labs: labs.ok()?,
            models: models.ok()?,
            training_flop_min: training_flop_min.ok()?,
            eflop_min,
        };
        if scope == Scope::default() {
            let help = "name `models`, `labs` or `training_flop_min`";
            self.complain(
                "scope",
                "the scope is empty: the directive concerns no model",
                Some(help),
            );
            return None;
        }
        Some(scope)
    }

    fn selector(&mut self, key: &str) -> Result<Option<Selector>, Reported> {
        if !self.has(key) {
            return Ok(None);
        }
        let mut table = self.table(key).ok_or(Reported)?;
        table.only(&["condition", "groups", "parties"]);
        let condition = table.condition();
        let groups = table.names("groups");
        let parties = table.names("parties");
        let selector = Selector {
            condition: condition?,
            groups: groups?,
            parties: parties?,
        };
        if selector.condition.is_none() && selector.groups.is_empty() && selector.parties.is_empty() {
            let help = "name `condition`, `groups` or `parties`, or leave the table out";
            self.complain(key, format!("`{key}` selects nobody"), Some(help));
            return Err(Reported);
        }
        Ok(Some(selector))
    }

    fn condition(&mut self) -> Result<Option<Condition>, Reported> {
        let Some(value) = self.table.get("condition") else {
            return Ok(None);
        };
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type("condition", "a string that holds a Cedar expression");
            return Err(Reported);
        };
        if text.trim().is_empty() {
            self.complain("condition", "`condition` is empty", None);
            return Err(Reported);
        }
        let raw = self.sheet.text.get(value.span()).unwrap_or_default();
        let within = raw.find(text);
        let site = Site {
            sheet: self.sheet,
            offset: value.span().start + within.unwrap_or(0),
            verbatim: within.is_some(),
            problems: &mut *self.problems,
        };
        Condition::read(text, site).map(Some).ok_or(Reported)
    }

    /// A list of names, without doubles; none is the empty set, and a list that is there is not empty.
    fn names(&mut self, key: &str) -> Result<BTreeSet<Arc<str>>, Reported> {
        let Some(value) = self.table.get(key) else {
            return Ok(BTreeSet::new());
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, "an array of strings");
            return Err(Reported);
        };
        if array.is_empty() {
            self.complain(
                key,
                format!("`{key}` is empty"),
                Some("leave it out, or name at least one"),
            );
            return Err(Reported);
        }
        let mut out = BTreeSet::new();
        let mut sound = true;
        for item in array {
            let says = match name(item) {
                Err(says) => says,
                Ok(name) if out.contains(&name) => format!("`{name}` stands twice in `{key}`"),
                Ok(name) => {
                    out.insert(name);
                    continue;
                }
            };
            sound = false;
            self.problems
                .push(self.sheet.problem(item.span().start, says, None));
        }
        if sound { Ok(out) } else { Err(Reported) }
    }

    fn table<'s>(&'s mut self, key: &str) -> Option<Fields<'s, 's>> {
        let value = self.required(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, "a table");
            return None;
        };
        Some(Fields {
            sheet: self.sheet,
            table,
            place: value.span(),
            problems: &mut *self.problems,
        })
    }

    fn end(&mut self) -> Result<Option<Tick>, Reported> {
        if self.has("valid_to") {
            self.date("valid_to", Edge::End).map(Some).ok_or(Reported)
        } else {
            Ok(None)
        }
    }

    fn check_dates(&mut self, issued: Option<Tick>, from: Option<Tick>, to: Option<Tick>) {
        let Some(to) = to else { return };
        if from.is_some_and(|from| to <= from) {
            self.complain("valid_to", "`valid_to` does not lie after `valid_from`", None);
        }
        if issued.is_some_and(|issued| to <= issued) {
            let help = "an order holds for some time after it was issued";
            self.complain("issued", "`issued` does not lie before `valid_to`", Some(help));
        }
    }
}

fn name(item: &Spanned<DeValue<'_>>) -> Result<Arc<str>, String> {
    match item.get_ref().as_str() {
        None => Err(format!(
            "a value of type {} is no name",
            item.get_ref().type_str()
        )),
        Some(text) if text.trim().is_empty() || text.trim() != text => {
            Err("a name is empty, or begins or ends with white space".to_owned())
        }
        Some(text) => Ok(Arc::from(text)),
    }
}
