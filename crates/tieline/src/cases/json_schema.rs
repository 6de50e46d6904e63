//! JSON Schema, as much of draft 2020-12 as decides whether one value has a shape: types, values, objects, lists, strings,
//! numbers, and the ways of putting schemas together, with references inside of the document.
//!
//! What is not decided here is refused when the schema is read, and never passed over: a keyword that is ignored would
//! let an answer pass that the application refuses. `format` says nothing by default in that draft, and says nothing here.
//! An answer is never quoted: what it does not meet is named by its place in the schema. Bounds: [`STEPS_MAX`] schemas
//! looked at for one value, [`DEPTH_MAX`] within each other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Number, Value};

/// Schemas that are looked at for one value: 65,536 take some ms, and a schema of a hundred keywords against a list of a
/// hundred items needs 10,000.
const STEPS_MAX: u32 = 1 << 16;

/// Schemas within schemas; each takes a few hundred bytes of stack.
const DEPTH_MAX: u32 = 128;

/// Bytes of a compiled pattern: what the `regex` crate takes for some hundred alternatives.
pub(crate) const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A schema that can be decided.
#[derive(Clone, Debug)]
pub(crate) struct JsonSchema {
    patterns: BTreeMap<String, Regex>,
    root: Value,
}

/// What keeps a value from being a schema that can be decided, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// A JSON Pointer.
    pub(crate) at: String,
    pub(crate) says: String,
}

/// What stands under a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Any,
    Bool,
    Count,
    /// Which draft it is of. Of older ones, what differs is refused.
    Draft,
    /// It says something to people, or nothing that this draft decides by.
    Note,
    Number,
    Pattern,
    Reference,
    Schema,
    SchemaMap,
    Schemas,
    StringMap,
    Strings,
    Types,
    Values,
}

const KEYWORDS: &[(&str, Shape)] = &[
    ("$comment", Shape::Note),
    ("$defs", Shape::SchemaMap),
    ("$ref", Shape::Reference),
    ("$schema", Shape::Draft),
    ("additionalProperties", Shape::Schema),
    ("allOf", Shape::Schemas),
    ("anyOf", Shape::Schemas),
    ("const", Shape::Any),
    ("contains", Shape::Schema),
    ("contentEncoding", Shape::Note),
    ("contentMediaType", Shape::Note),
    ("contentSchema", Shape::Note),
    ("default", Shape::Note),
    ("definitions", Shape::SchemaMap),
    ("dependentRequired", Shape::StringMap),
    ("dependentSchemas", Shape::SchemaMap),
    ("deprecated", Shape::Note),
    ("description", Shape::Note),
    ("else", Shape::Schema),
    ("enum", Shape::Values),
    ("examples", Shape::Note),
    ("exclusiveMaximum", Shape::Number),
    ("exclusiveMinimum", Shape::Number),
    ("format", Shape::Note),
    ("if", Shape::Schema),
    ("items", Shape::Schema),
    ("maxContains", Shape::Count),
    ("maxItems", Shape::Count),
    ("maxLength", Shape::Count),
    ("maxProperties", Shape::Count),
    ("maximum", Shape::Number),
    ("minContains", Shape::Count),
    ("minItems", Shape::Count),
    ("minLength", Shape::Count),
    ("minProperties", Shape::Count),
    ("minimum", Shape::Number),
    ("multipleOf", Shape::Number),
    ("not", Shape::Schema),
    ("oneOf", Shape::Schemas),
    ("pattern", Shape::Pattern),
    ("patternProperties", Shape::SchemaMap),
    ("prefixItems", Shape::Schemas),
    ("properties", Shape::SchemaMap),
    ("propertyNames", Shape::Schema),
    ("readOnly", Shape::Note),
    ("required", Shape::Strings),
    ("then", Shape::Schema),
    ("title", Shape::Note),
    ("type", Shape::Types),
    ("uniqueItems", Shape::Bool),
    ("writeOnly", Shape::Note),
];

const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

// === reading ===

impl JsonSchema {
    /// Take a schema over; the first flaw that it has, if it has any.
    pub(crate) fn new(root: Value) -> Result<Self, Flaw> {
        let mut reading = Reading {
            patterns: BTreeMap::new(),
            references: Vec::new(),
            seen: BTreeSet::new(),
        };
        reading.schema(&root, String::new(), 0)?;
        while let Some((at, target)) = reading.references.pop() {
            if reading.seen.contains(&target) {
                continue;
            }
            let Some(schema) = root.pointer(&target) else {
                return flaw(&at, format!("`#{target}` leads nowhere in this schema"));
            };
            reading.schema(schema, target, 0)?;
        }
        let patterns = reading.patterns;
        Ok(Self { patterns, root })
    }

    /// The schema as it was given.
    pub(crate) const fn value(&self) -> &Value {
        &self.root
    }
}

/// What was found so far in a schema that is being read.
struct Reading {
    patterns: BTreeMap<String, Regex>,
    /// Where a reference stands, and where it leads.
    references: Vec<(String, String)>,
    /// Places that were read as schemas.
    seen: BTreeSet<String>,
}

fn flaw<T>(at: &str, says: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw {
        at: at.to_owned(),
        says: says.into(),
    })
}

impl Reading {
    fn schema(&mut self, schema: &Value, at: String, depth: u32) -> Result<(), Flaw> {
        if depth > DEPTH_MAX {
            return flaw(
                &at,
                format!("schemas stand more than {DEPTH_MAX} deep within each other"),
            );
        }
        match schema {
            Value::Bool(_) => {}
            Value::Object(members) => {
                for (name, value) in members {
                    self.keyword(name, value, &join(&at, name), depth)?;
                }
            }
            _ => return flaw(&at, "a schema is a table, or true or false"),
        }
        self.seen.insert(at);
        Ok(())
    }

    fn keyword(&mut self, name: &str, value: &Value, at: &str, depth: u32) -> Result<(), Flaw> {
        // At the top, a name of the whole says nothing about a value; further down, it turns references round.
        if name.starts_with("x-") || at == "/$id" {
            return Ok(());
        }
        let Some((_, shape)) = KEYWORDS.iter().find(|(known, _)| *known == name) else {
            return flaw(at, format!("`{name}` is no keyword that is decided here"));
        };
        let wants = |what: &str| flaw(at, format!("`{name}` wants {what}"));
        match (shape, value) {
            (Shape::Any | Shape::Note, _) | (Shape::Bool, Value::Bool(_)) => Ok(()),
            (Shape::Count, value) if value.as_u64().is_some() => Ok(()),
            (Shape::Number, Value::Number(number)) => {
                if name == "multipleOf" && number.as_f64().is_none_or(|of| of <= 0.0) {
                    return wants("a number above 0");
                }
                Ok(())
            }
            (Shape::Pattern, Value::String(text)) => self.pattern(text, at),
            (Shape::Reference, Value::String(text)) => self.reference(text, at),
            (Shape::Schema, value) => self.schema(value, at.to_owned(), depth + 1),
            (Shape::SchemaMap, Value::Object(members)) => members.iter().try_for_each(|(key, member)| {
                let at = join(at, key);
                if name == "patternProperties" {
                    self.pattern(key, &at)?;
                }
                self.schema(member, at, depth + 1)
            }),
            (Shape::Schemas, Value::Array(items)) if !items.is_empty() => (0..)
                .zip(items)
                .try_for_each(|(ix, item)| self.schema(item, format!("{at}/{ix}"), depth + 1)),
            (Shape::StringMap, Value::Object(members)) if members.values().all(are_strings) => Ok(()),
            (Shape::Strings, value) if are_strings(value) => Ok(()),
            (Shape::Types, value) if are_types(value) => Ok(()),
            (Shape::Values, Value::Array(values)) if !values.is_empty() => Ok(()),
            (Shape::Draft, Value::String(text)) if is_draft(text) => Ok(()),
            (Shape::Bool, _) => wants("true or false"),
            (Shape::Draft, _) => wants("a draft of json-schema.org"),
            (Shape::Count, _) => wants("a whole number from 0 on"),
            (Shape::Number, _) => wants("a number"),
            (Shape::Pattern | Shape::Reference, _) => wants("a string"),
            (Shape::SchemaMap, _) => wants("a table of schemas"),
            (Shape::Schemas, _) => wants("a list of schemas, one at least"),
            (Shape::StringMap, _) => wants("a table of lists of strings"),
            (Shape::Strings, _) => wants("a list of strings"),
            (Shape::Types, _) => wants(&format!("one or a list of {}", TYPES.join(", "))),
            (Shape::Values, _) => wants("a list of values, one at least"),
        }
    }

    fn pattern(&mut self, text: &str, at: &str) -> Result<(), Flaw> {
        match pattern(text) {
            Ok(regex) => {
                self.patterns.insert(text.to_owned(), regex);
                Ok(())
            }
            Err(why) => flaw(at, format!("the pattern cannot be used: {why}")),
        }
    }

    fn reference(&mut self, text: &str, at: &str) -> Result<(), Flaw> {
        match text.strip_prefix('#') {
            Some(target) if (target.is_empty() || target.starts_with('/')) && !target.contains('%') => {
                self.references.push((at.to_owned(), target.to_owned()));
                Ok(())
            }
            _ => flaw(
                at,
                "only references into the schema itself are followed, such as `#/$defs/item`",
            ),
        }
    }
}

/// A regular expression that takes time and memory in proportion to its length.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES_MAX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("it takes more than {PATTERN_BYTES_MAX} bytes"),
        // The whole message draws the pattern; its last line says what is wrong.
        error => {
            let says = error.to_string();
            let last = says.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    })
}

/// Whether it is one of JSON Schema's own: another may give keywords another meaning.
fn is_draft(text: &str) -> bool {
    let bare = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    bare.is_some_and(|bare| bare.starts_with("json-schema.org/"))
}

fn are_strings(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_string))
}

fn are_types(value: &Value) -> bool {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_type),
        value => is_type(value),
    }
}

/// The pointer of a member (RFC 6901).
fn join(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

// === deciding ===

impl JsonSchema {
    /// Where in the schema the first thing stands that the value does not meet; none if it meets all.
    pub(crate) fn unmet(&self, value: &Value) -> Option<String> {
        let mut steps = 0;
        let mut run = Run {
            of: self,
            steps: &mut steps,
        };
        run.schema(&self.root, "", value, 0).err()
    }
}

struct Run<'r> {
    of: &'r JsonSchema,
    steps: &'r mut u32,
}

/// Where it is not met.
type Met = Result<(), String>;

impl Run<'_> {
    fn schema(&mut self, schema: &Value, at: &str, value: &Value, depth: u32) -> Met {
        *self.steps = self.steps.saturating_add(1);
        if depth > DEPTH_MAX {
            *self.steps = STEPS_MAX + 1;
        }
        if *self.steps > STEPS_MAX {
            return Err(at.to_owned());
        }
        let Value::Object(members) = schema else {
            return met(schema != &Value::Bool(false), at, "");
        };
        let here = Here {
            at,
            depth: depth + 1,
            members,
        };
        here.plain(value)?;
        match value {
            Value::Array(items) => self.array(&here, items)?,
            Value::Number(number) => here.number(number)?,
            Value::Object(of) => self.object(&here, of, value)?,
            Value::String(text) => self.string(&here, text)?,
            Value::Bool(_) | Value::Null => {}
        }
        self.combined(&here, value)
    }

    /// A schema that stands under a keyword.
    fn under(&mut self, here: &Here<'_>, keyword: &str, value: &Value) -> Met {
        match here.members.get(keyword) {
            Some(schema) => self.schema(schema, &join(here.at, keyword), value, here.depth),
            None => Ok(()),
        }
    }

    fn string(&mut self, here: &Here<'_>, text: &str) -> Met {
        let length = text.chars().count() as u64;
        here.within("minLength", "maxLength", length)?;
        let pattern = here
            .text("pattern")
            .and_then(|pattern| self.of.patterns.get(pattern));
        met(
            pattern.is_none_or(|regex| regex.is_match(text)),
            here.at,
            "pattern",
        )
    }

    fn array(&mut self, here: &Here<'_>, items: &[Value]) -> Met {
        here.within("minItems", "maxItems", items.len() as u64)?;
        let wants_unique = here.members.get("uniqueItems") == Some(&Value::Bool(true));
        if wants_unique {
            let twice = (1..).zip(items).any(|(next, item)| {
                let rest = items.get(next..).unwrap_or_default();
                // As many comparisons as schemas: a list of a thousand is decided, one of a million is not.
                *self.steps = self
                    .steps
                    .saturating_add(u32::try_from(rest.len() / 64).unwrap_or(u32::MAX));
                *self.steps > STEPS_MAX || rest.iter().any(|other| same(item, other))
            });
            met(!twice, here.at, "uniqueItems")?;
        }
        let prefix = here.list("prefixItems");
        for (ix, (schema, item)) in (0..).zip(prefix.iter().zip(items)) {
            self.schema(schema, &format!("{}/prefixItems/{ix}", here.at), item, here.depth)?;
        }
        for item in items.iter().skip(prefix.len()) {
            self.under(here, "items", item)?;
        }
        if here.members.contains_key("contains") {
            let mut count = 0;
            for item in items {
                count += u64::from(self.under(here, "contains", item).is_ok());
            }
            let least = here.count("minContains").unwrap_or(1);
            met(count >= least, here.at, "contains")?;
            met(
                here.count("maxContains").is_none_or(|most| count <= most),
                here.at,
                "maxContains",
            )?;
        }
        Ok(())
    }

    fn object(&mut self, here: &Here<'_>, of: &Map<String, Value>, value: &Value) -> Met {
        here.within("minProperties", "maxProperties", of.len() as u64)?;
        let has = |names: &[Value]| {
            names
                .iter()
                .filter_map(Value::as_str)
                .all(|name| of.contains_key(name))
        };
        met(has(here.list("required")), here.at, "required")?;
        for (name, needs) in here.map("dependentRequired") {
            let needs = needs.as_array().map_or(&[][..], Vec::as_slice);
            met(!of.contains_key(name) || has(needs), here.at, "dependentRequired")?;
        }
        for (name, schema) in here.map("dependentSchemas") {
            if of.contains_key(name) {
                let at = join(&format!("{}/dependentSchemas", here.at), name);
                self.schema(schema, &at, value, here.depth)?;
            }
        }
        for (name, member) in of {
            self.property(here, name, member)?;
        }
        Ok(())
    }

    fn property(&mut self, here: &Here<'_>, name: &str, member: &Value) -> Met {
        let mut is_known = false;
        if let Some(schema) = here.map("properties").find(|(known, _)| *known == name) {
            is_known = true;
            let at = join(&format!("{}/properties", here.at), name);
            self.schema(schema.1, &at, member, here.depth)?;
        }
        for (pattern, schema) in here.map("patternProperties") {
            let matches = self
                .of
                .patterns
                .get(pattern)
                .is_some_and(|regex| regex.is_match(name));
            if matches {
                is_known = true;
                let at = join(&format!("{}/patternProperties", here.at), pattern);
                self.schema(schema, &at, member, here.depth)?;
            }
        }
        if !is_known {
            self.under(here, "additionalProperties", member)?;
        }
        self.under(here, "propertyNames", &Value::String(name.to_owned()))
    }

    fn combined(&mut self, here: &Here<'_>, value: &Value) -> Met {
        if let Some(target) = here.text("$ref").and_then(|text| text.strip_prefix('#')) {
            let schema = self.of.root.pointer(target).unwrap_or(&Value::Bool(false));
            self.schema(schema, target, value, here.depth)?;
        }
        for (ix, schema) in (0..).zip(here.list("allOf")) {
            self.schema(schema, &format!("{}/allOf/{ix}", here.at), value, here.depth)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            let schemas = here.list(keyword);
            let mut fit = 0_usize;
            for schema in schemas {
                fit += usize::from(self.schema(schema, here.at, value, here.depth).is_ok());
            }
            let enough = if keyword == "oneOf" { fit == 1 } else { fit > 0 };
            met(schemas.is_empty() || enough, here.at, keyword)?;
        }
        if here.members.contains_key("not") {
            met(self.under(here, "not", value).is_err(), here.at, "not")?;
        }
        if here.members.contains_key("if") {
            let branch = if self.under(here, "if", value).is_ok() {
                "then"
            } else {
                "else"
            };
            self.under(here, branch, value)?;
        }
        // What was decided after the last step is no decision.
        met(*self.steps <= STEPS_MAX, here.at, "")
    }
}

/// A schema that is a table, where it stands, and how deep.
struct Here<'h> {
    at: &'h str,
    depth: u32,
    members: &'h Map<String, Value>,
}

impl<'h> Here<'h> {
    /// What any value can be held to.
    fn plain(&self, value: &Value) -> Met {
        let types = match self.members.get("type") {
            None => &[][..],
            Some(Value::Array(names)) => names,
            Some(name) => std::slice::from_ref(name),
        };
        let is_of = |name: &Value| name.as_str().is_some_and(|name| is_of(value, name));
        met(types.is_empty() || types.iter().any(is_of), self.at, "type")?;
        let values = self.list("enum");
        met(
            values.is_empty() || values.iter().any(|one| same(one, value)),
            self.at,
            "enum",
        )?;
        met(
            self.members.get("const").is_none_or(|one| same(one, value)),
            self.at,
            "const",
        )
    }

    fn number(&self, number: &Number) -> Met {
        let allows = |keyword: &str, allowed: &[Ordering]| {
            let Some(Value::Number(limit)) = self.members.get(keyword) else {
                return Ok(());
            };
            met(allowed.contains(&compare(number, limit)), self.at, keyword)
        };
        allows("minimum", &[Ordering::Greater, Ordering::Equal])?;
        allows("maximum", &[Ordering::Less, Ordering::Equal])?;
        allows("exclusiveMinimum", &[Ordering::Greater])?;
        allows("exclusiveMaximum", &[Ordering::Less])?;
        let Some(Value::Number(of)) = self.members.get("multipleOf") else {
            return Ok(());
        };
        met(is_multiple(number, of), self.at, "multipleOf")
    }

    fn within(&self, least: &str, most: &str, count: u64) -> Met {
        met(
            self.count(least).is_none_or(|least| count >= least),
            self.at,
            least,
        )?;
        met(self.count(most).is_none_or(|most| count <= most), self.at, most)
    }

    fn count(&self, keyword: &str) -> Option<u64> {
        self.members.get(keyword)?.as_u64()
    }

    fn text(&self, keyword: &str) -> Option<&'h str> {
        self.members.get(keyword)?.as_str()
    }

    fn list(&self, keyword: &str) -> &'h [Value] {
        let list = self.members.get(keyword).and_then(Value::as_array);
        list.map_or(&[][..], Vec::as_slice)
    }

    fn map(&self, keyword: &str) -> impl Iterator<Item = (&'h String, &'h Value)> + use<'h> {
        let map = self.members.get(keyword).and_then(Value::as_object);
        map.into_iter().flatten()
    }
}

fn met(is_met: bool, at: &str, keyword: &str) -> Met {
    if is_met {
        Ok(())
    } else if keyword.is_empty() {
        Err(at.to_owned())
    } else {
        Err(join(at, keyword))
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_number().is_some_and(is_whole),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => false,
    }
}

/// Whether two values are one to JSON Schema, for which 1 and 1.0 are.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let has = |(name, a)| b.get(name).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(has)
        }
        (a, b) => a == b,
    }
}

/// The exact value of a number that JSON writes without fraction, if it has one in 64 bits.
fn whole(number: &Number) -> Option<i128> {
    let of_64_bits = number.as_i64().map(i128::from);
    of_64_bits.or_else(|| number.as_u64().map(i128::from))
}

fn is_whole(number: &Number) -> bool {
    whole(number).is_some() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

fn compare(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return a.cmp(&b);
    }
    let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
    float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Less)
}

/// Whether a number is a multiple; of decimal fractions as near as floats tell: 19.99 is one of 0.01.
fn is_multiple(number: &Number, of: &Number) -> bool {
    if let (Some(number), Some(of)) = (whole(number), whole(of)) {
        return of != 0 && number % of == 0;
    }
    let (Some(number), Some(of)) = (number.as_f64(), of.as_f64()) else {
        return false;
    };
    let times = number / of;
    times.is_finite() && (times - times.round()).abs() <= f64::EPSILON * times.abs().max(1.0) * 4.0
}
