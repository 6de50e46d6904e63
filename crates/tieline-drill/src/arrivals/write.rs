//! A law as TOML: what [`super::read`] reads back as the same law.

use std::fmt::Write as _;

use super::distribution::Distribution;
use super::law::{GroupLaw, Law, ShareLaw};

/// Rows of a table that stand on one line.
const ROW_LENGTH: usize = 6;

impl Law {
    /// The law as a file.
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# What traffic is like: `tieline drill n-1 --traffic` on this file draws calls that follow it. Any number may be \
             changed.\n",
        );
        field(&mut out, "schema", &quoted(self.schema));
        field(&mut out, "basis", &json(&self.basis));
        field(&mut out, "calls", &self.calls.to_string());
        field(&mut out, "from", &quoted(&self.from));
        field(&mut out, "until", &quoted(&self.until));
        field(&mut out, "left_out", &self.left_out.to_string());
        let notes: Vec<String> = self
            .notes
            .iter()
            .map(|note| format!("    {},\n", quoted(note)))
            .collect();
        field(&mut out, "notes", &format!("[\n{}]", notes.concat()));
        for group in &self.groups {
            group.write(&mut out);
        }
        out
    }
}

impl GroupLaw {
    fn write(&self, out: &mut String) {
        out.push_str("\n[[groups]]\n");
        let mut text = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                field(out, name, &value);
            }
        };
        text("pool", self.pool.as_deref().map(quoted));
        text("model", self.model.as_deref().map(quoted));
        text("dialect", Some(json(&self.dialect)));
        text("class", self.class.map(|class| quoted(class.name())));
        text("calls", Some(self.calls.to_string()));
        text("stream", Some(float(self.stream)));
        text("bytes_per_token", Some(float(self.bytes_per_token)));
        let size = |size: &Option<Distribution>| size.as_ref().map(distribution);
        text("prompt_tokens", size(&self.prompt_tokens));
        text("output_tokens", size(&self.output_tokens));
        let part = |part: &Option<ShareLaw>| part.as_ref().map(share);
        text("cache_read", part(&self.cache_read));
        text("cache_write", part(&self.cache_write));
        text("reasoning", part(&self.reasoning));
        text("output_max", part(&self.output_max));
        text("ttft_ms", Some(distribution(&self.ttft_ms)));
        text(
            "ms_per_output_token",
            Some(distribution(&self.ms_per_output_token)),
        );
        out.push_str("[groups.parties]\n");
        for (name, weight) in &self.parties {
            field(out, &quoted(name), &weight.to_string());
        }
        out.push_str("[groups.arrivals]\n");
        let arrivals = &self.arrivals;
        field(out, "per_hour", &float(arrivals.per_hour));
        field(out, "family", &json(&arrivals.family));
        field(out, "shape", &float(arrivals.shape));
        field(out, "cv", &float(arrivals.cv));
        field(out, "hours", &rows(&arrivals.hours));
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name} = {value}");
}

fn distribution(distribution: &Distribution) -> String {
    match distribution {
        Distribution::Constant { value } => float(*value),
        Distribution::Lognormal {
            max,
            median,
            min,
            sigma,
        } => format!(
            "{{ median = {}, sigma = {}, min = {}, max = {} }}",
            float(*median),
            float(*sigma),
            float(*min),
            float(*max)
        ),
        Distribution::Quantiles { quantiles } => format!("{{ quantiles = {} }}", rows(quantiles)),
    }
}

fn share(share: &ShareLaw) -> String {
    format!(
        "{{ calls = {}, size = {} }}",
        float(share.calls),
        distribution(&share.size)
    )
}

/// Rows of an integer and a number, a few on a line.
fn rows(rows: &[(u16, f64)]) -> String {
    if rows.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = rows
        .chunks(ROW_LENGTH)
        .map(|line| {
            let line: Vec<String> = line
                .iter()
                .map(|(at, value)| format!("[{at}, {}]", float(*value)))
                .collect();
            format!("    {},\n", line.join(", "))
        })
        .collect();
    format!("[\n{}]", lines.concat())
}

/// The shortest text that is read as the same number, with a point or an exponent.
fn float(x: f64) -> String {
    format!("{x:?}")
}

/// A basic string: JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
fn quoted(text: &str) -> String {
    json(text).replace('\u{7f}', "\\u007f")
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    // Neither a text nor the name of a variant fails to serialise.
    serde_json::to_string(value).unwrap_or_default()
}
