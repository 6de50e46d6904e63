//! The scenarios that come with the program: embedded, found by their names.

use schemars::JsonSchema;
use serde::Serialize;

use crate::diagnose::Sink;
use crate::output::{self, Failure, Result};
use crate::raw;
use crate::raw::scenario::RawScenario;

/// A scenario as it stands in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shipped {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! shipped {
    ($($name:literal)*) => {
        /// Every scenario that is shipped: what happened, oldest first, then what might.
        pub(super) const ALL: &[Shipped] = &[$(Shipped {
            name: $name,
            text: include_str!(concat!("../../../../../scenarios/", $name, ".toml")),
        },)*];
    };
}

shipped! {
    "gcp-2025-06-12"
    "aws-us-east-1-2025-10-19"
    "cloudflare-2025-11-18"
    "directive-2026-06-12"
    "dark-2026-06-12"
    "cloud-withdraws-lab"
    "price-times-3"
    "largest-channel-halves"
}

/// A row of `tieline drill scenario --list`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct ShippedReport {
    /// Always `tieline/drill-scenario-list/v1`.
    schema: &'static str,
    description: String,
    /// The name under which it is found.
    id: String,
    parameters: Vec<ParameterReport>,
    /// `${name}` stands for the value of a parameter.
    title: String,
}

/// What may be chosen with `--set`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct ParameterReport {
    /// Its value where none is given; null if one must be. `largest` is the one that carries most calls.
    default: Option<String>,
    name: String,
    says: String,
}

/// The scenario of that name.
pub(super) fn find(name: &str) -> Option<Shipped> {
    ALL.iter().copied().find(|shipped| shipped.name == name)
}

/// Print what is shipped.
pub(super) fn list(json: bool) -> Result<u8> {
    for shipped in ALL {
        let report = shipped.report()?;
        if json {
            output::json_line(&report)?;
            continue;
        }
        output::line(format!("{}\n    {}", report.id, report.title))?;
        for parameter in &report.parameters {
            let default = parameter
                .default
                .as_deref()
                .map_or(String::new(), |value| format!("={value}"));
            output::line(format!(
                "    --set {}{default}  {}",
                parameter.name, parameter.says
            ))?;
        }
    }
    Ok(0)
}

impl Shipped {
    fn report(self) -> Result<ShippedReport> {
        let raw: Option<RawScenario> = raw::parse_scenario(self.text, &mut Sink::default());
        let raw = raw.ok_or_else(|| Failure::found(format!("the scenario {} cannot be read", self.name)))?;
        let text = |at: &Option<raw::At<String>>| at.as_ref().map_or("", |at| at.value.trim()).to_owned();
        let parameters = raw.parameters.iter().flat_map(|at| at.value.iter());
        let parameters = parameters.map(|(name, parameter)| ParameterReport {
            default: parameter.default.as_ref().map(|at| at.value.clone()),
            name: name.value.clone(),
            says: text(&parameter.says),
        });
        Ok(ShippedReport {
            schema: "tieline/drill-scenario-list/v1",
            description: text(&raw.description),
            id: self.name.to_owned(),
            parameters: parameters.collect(),
            title: text(&raw.title),
        })
    }
}
