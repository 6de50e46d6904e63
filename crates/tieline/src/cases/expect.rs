//! What an answer must be, and whether it is: its text, its shape as JSON, the tool that it calls. A model that judges is
//! asked elsewhere ([`super::judge`]).

use regex::Regex;
use serde_json::{Map, Value, json};

use super::json_schema::{JsonSchema, same};
use super::judge::Judge;

/// What a case expects; all that is there must hold, and something is.
#[derive(Debug, Default)]
pub(crate) struct Expect {
    pub(super) judge: Option<Judge>,
    pub(super) schema: Option<JsonSchema>,
    pub(super) text: Option<Text>,
    pub(super) tool: Option<ToolCall>,
}

/// What the text must be.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) contains: Vec<String>,
    pub(super) equals: Option<String>,
    pub(super) regex: Option<Regex>,
}

/// The tool that must be called.
#[derive(Debug)]
pub(super) struct ToolCall {
    pub(super) arguments: Map<String, Value>,
    pub(super) name: String,
}

/// What a model answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Whether it ended because it was as long as it may be.
    pub(crate) is_cut: bool,
    pub(crate) text: String,
    pub(crate) tools: Vec<Called>,
}

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct Called {
    /// As the model wrote them: JSON, if it did well.
    pub(crate) arguments: String,
    pub(crate) name: String,
}

impl Expect {
    /// Whether it expects nothing, which every answer would be.
    pub(super) const fn is_empty(&self) -> bool {
        self.judge.is_none() && self.schema.is_none() && self.text.is_none() && self.tool.is_none()
    }

    /// What the answer does not do, in clauses.
    pub(super) fn unmet(&self, answer: &Answer) -> Vec<String> {
        let text = answer.text.trim();
        let mut unmet = Vec::new();
        if let Some(expected) = &self.text {
            expected.unmet(text, &mut unmet);
        }
        if let Some(schema) = &self.schema {
            unmet.extend(unmet_schema(schema, text));
        }
        if let Some(expected) = &self.tool {
            unmet.extend(expected.unmet(&answer.tools));
        }
        if !unmet.is_empty() && answer.is_cut {
            unmet.push("the answer was cut at its `max_tokens`".to_owned());
        }
        unmet
    }

    /// For the digest of the cases.
    pub(super) fn record(&self) -> Value {
        json!({
            "json_schema": self.schema.as_ref().map(JsonSchema::value),
            "judge": self.judge.as_ref().map(Judge::record),
            "text": self.text.as_ref().map(|text| json!({
                "contains": text.contains,
                "equals": text.equals,
                "regex": text.regex.as_ref().map(Regex::as_str),
            })),
            "tool": self.tool.as_ref().map(|tool| json!({ "arguments": tool.arguments, "name": tool.name })),
        })
    }
}

impl Text {
    fn unmet(&self, text: &str, out: &mut Vec<String>) {
        if self.equals.as_ref().is_some_and(|equals| equals.trim() != text) {
            out.push("the text is not that of `equals`".to_owned());
        }
        for (number, part) in (1..).zip(&self.contains) {
            if !text.contains(part) {
                out.push(format!("part {number} of `contains` is not in the text"));
            }
        }
        if self.regex.as_ref().is_some_and(|regex| !regex.is_match(text)) {
            out.push("`regex` does not match the text".to_owned());
        }
    }
}

fn unmet_schema(schema: &JsonSchema, text: &str) -> Option<String> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Some("the text is not JSON".to_owned());
    };
    let place = schema.unmet(&value)?;
    Some(format!("the JSON does not meet the schema at `#{place}`"))
}

impl ToolCall {
    fn unmet(&self, calls: &[Called]) -> Option<String> {
        let of_name: Vec<&Called> = calls.iter().filter(|call| call.name == self.name).collect();
        if of_name.is_empty() {
            return Some(format!("the tool `{}` was not called", self.name));
        }
        // Of several calls, the one that comes nearest is spoken of.
        let nearest = of_name
            .iter()
            .map(|call| self.unmet_arguments(call))
            .min_by_key(Vec::len)?;
        if nearest.is_empty() {
            return None;
        }
        let names: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
        Some(format!(
            "the tool `{}` was called without the expected {}",
            self.name,
            names.join(", ")
        ))
    }

    /// Names of the arguments that are missing or are others.
    fn unmet_arguments(&self, call: &Called) -> Vec<&str> {
        let given: Map<String, Value> = serde_json::from_str(&call.arguments).unwrap_or_default();
        let differs = |(name, expected): &(&String, &Value)| {
            given
                .get(name.as_str())
                .is_none_or(|value| !same(expected, value))
        };
        let unmet = self.arguments.iter().filter(differs);
        unmet.map(|(name, _)| name.as_str()).collect()
    }
}
