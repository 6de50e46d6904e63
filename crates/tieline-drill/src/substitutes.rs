//! The models of a pool beside its first: what each takes, and what of that is less than what the first one takes, as far
//! as the grid states it. What is not stated is unknown, and is said as such: never "the same".

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::GridRecord;
use tieline_core::grid::{ModelRecord, PoolRecord, Weights};

use crate::table::count;

/// What a model takes and under which terms it can be had, as its grid states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelLimits {
    /// Context window in tokens; null is unknown.
    pub context_tokens: Option<u32>,
    /// Under which its weights are given; null is unknown.
    pub licence: Option<String>,
    /// What it reads; null is unknown.
    pub modalities: Option<Vec<&'static str>>,
    /// Whether it calls tools; null is unknown.
    pub tools: Option<bool>,
    /// `open`, `closed` or `unknown`.
    pub weights: &'static str,
}

/// A model of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Substitute {
    /// What it takes less of than the pool's first model, or of which that is not known; one clause each.
    pub less: Vec<String>,
    pub limits: ModelLimits,
    pub model: String,
}

/// The models of a pool in its order, each held against the first.
pub fn substitutes(grid: &GridRecord, pool: &PoolRecord) -> Vec<Substitute> {
    let named = |name: &str| grid.models.iter().find(|model| *model.name == *name);
    let models: Vec<&ModelRecord> = pool.models.iter().filter_map(|name| named(name)).collect();
    let Some((first, _)) = models.split_first() else {
        return Vec::new();
    };
    models
        .iter()
        .map(|model| Substitute {
            less: less(first, model),
            limits: ModelLimits::of(model),
            model: model.name.to_string(),
        })
        .collect()
}

fn less(first: &ModelRecord, model: &ModelRecord) -> Vec<String> {
    if first.name == model.name {
        return Vec::new();
    }
    let context = match (first.context_tokens, model.context_tokens) {
        (Some(of), Some(has)) if has < of => Some(format!(
            "context of {} tokens, not {}",
            count(has.into()),
            count(of.into())
        )),
        (Some(_), None) => Some("context unknown".to_owned()),
        _ => None,
    };
    let unread = match (&first.modalities, &model.modalities) {
        (Some(of), Some(has)) => {
            let missing = of.iter().filter(|modality| !has.contains(modality));
            missing
                .map(|modality| format!("no {}", modality.name()))
                .collect()
        }
        (Some(_), None) => vec!["modalities unknown".to_owned()],
        (None, _) => Vec::new(),
    };
    let tools = match (first.tools, model.tools) {
        (Some(true), Some(false)) => Some("no tools".to_owned()),
        (Some(true), None) => Some("tools unknown".to_owned()),
        _ => None,
    };
    // Closed weights have the terms of whoever sells them; open ones come with a licence that binds whoever runs them.
    let licence = match (model.weights, &model.licence) {
        (Weights::Open, None) => Some("licence of the weights unknown".to_owned()),
        (Weights::Open, Some(licence)) if first.licence.as_ref() != Some(licence) => {
            Some(format!("weights under {licence}"))
        }
        _ => None,
    };
    context
        .into_iter()
        .chain(unread)
        .chain(tools)
        .chain(licence)
        .collect()
}

impl ModelLimits {
    pub fn of(model: &ModelRecord) -> Self {
        let names =
            |of: &Vec<tieline_core::grid::Modality>| of.iter().map(|modality| modality.name()).collect();
        Self {
            context_tokens: model.context_tokens,
            licence: model.licence.as_ref().map(ToString::to_string),
            modalities: model.modalities.as_ref().map(names),
            tools: model.tools,
            weights: model.weights.name(),
        }
    }

    /// As cells of a table: context, modalities, tools, weights, licence.
    pub fn cells(&self) -> [String; 5] {
        let unknown = || "unknown".to_owned();
        let tools = self
            .tools
            .map(|tools| if tools { "yes" } else { "no" }.to_owned());
        let reads = self.modalities.as_ref().map(|reads| reads.join(", "));
        [
            self.context_tokens
                .map_or_else(unknown, |tokens| count(tokens.into())),
            reads.unwrap_or_else(unknown),
            tools.unwrap_or_else(unknown),
            self.weights.to_owned(),
            self.licence.clone().unwrap_or_else(unknown),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tieline_core::grid::Modality;

    use super::*;

    fn model(change: impl FnOnce(&mut ModelRecord)) -> ModelRecord {
        let mut model = ModelRecord {
            lab: "l".into(),
            ..ModelRecord::default()
        };
        change(&mut model);
        model
    }

    #[track_caller]
    fn check(first: &ModelRecord, second: &ModelRecord, expected: &[&str]) {
        let name = |model: &ModelRecord, name: &str| ModelRecord {
            name: name.into(),
            ..model.clone()
        };
        let grid = GridRecord {
            models: vec![name(second, "second"), name(first, "first")],
            ..GridRecord::default()
        };
        let pool = PoolRecord {
            limits: tieline_core::Limits::default(),
            models: ["first", "second", "gone"].map(Arc::from).to_vec(),
            name: "p".into(),
            settings: tieline_core::grid::Settings::default(),
        };
        let of = substitutes(&grid, &pool);
        assert_eq!(of.len(), 2, "what the grid does not have is left out");
        assert_eq!(of[0].less, Vec::<String>::new(), "the first is its own measure");
        assert_eq!(
            (&*of[1].model, &*of[1].less.join("; ")),
            ("second", &*expected.join("; "))
        );
    }

    #[test]
    fn what_a_substitute_takes_less_of_is_said() {
        let full = model(|m| {
            m.context_tokens = Some(200_000);
            m.modalities = Some(vec![Modality::Files, Modality::Images, Modality::Text]);
            m.tools = Some(true);
            m.weights = Weights::Closed;
        });
        let nothing = model(|_| {});
        check(&full, &full, &[]);
        check(
            &full,
            &nothing,
            &["context unknown", "modalities unknown", "tools unknown"],
        );
        // Nothing can be said to be less than what is unknown.
        check(&nothing, &full, &[]);
        check(&nothing, &nothing, &[]);
        let small = model(|m| {
            m.context_tokens = Some(8_192);
            m.licence = Some("apache-2.0".into());
            m.modalities = Some(vec![Modality::Text, Modality::Video]);
            m.tools = Some(false);
            m.weights = Weights::Open;
        });
        check(
            &full,
            &small,
            &[
                "context of 8,192 tokens, not 200,000",
                "no files",
                "no images",
                "no tools",
                "weights under apache-2.0",
            ],
        );
        check(&small, &small, &[]);
        let open = model(|m| m.weights = Weights::Open);
        check(
            &small,
            &open,
            &[
                "context unknown",
                "modalities unknown",
                "licence of the weights unknown",
            ],
        );
    }

    #[test]
    fn what_is_unknown_is_a_word_in_each_cell() {
        let cells = ModelLimits::of(&model(|_| {})).cells();
        assert_eq!(cells, ["unknown"; 5].map(str::to_owned));
    }
}
