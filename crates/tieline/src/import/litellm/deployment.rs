//! The entries of `model_list`: each a deployment of a model, under the name that applications ask for. The keys are
//! those of `LiteLLM_Params` and `ModelInfo` in `litellm/types/router.py`; an address or a region may stand in a
//! credential that the entry names (`credential_list`, `docs/my-website/docs/proxy/configs.md`).

use std::sync::Arc;

use super::super::mapping::Remarks;
use super::super::yaml::{Node, Place};
use super::file::Parts;
use super::price::{Costs, decimal};
use crate::diagnose::shown;
use crate::output::Failure;

/// One entry of `model_list`.
#[derive(Clone, Debug, Default)]
pub(super) struct Deployment {
    /// `api_base`, or what the endpoint is called with some providers.
    pub(super) base: Said,
    pub(super) base_model: Option<String>,
    pub(super) facts: Facts,
    pub(super) costs: Costs,
    /// `model_name`: what applications ask for.
    pub(super) group: String,
    pub(super) id: Option<String>,
    pub(super) input_per_minute: Option<u64>,
    pub(super) mode: Option<String>,
    /// `litellm_params.model`.
    pub(super) model: String,
    pub(super) order: Option<u64>,
    pub(super) output_per_minute: Option<u64>,
    pub(super) parallel: Option<u64>,
    pub(super) place: Place,
    /// `custom_llm_provider`, which overrules the prefix of the model.
    pub(super) provider: Option<String>,
    pub(super) region: Said,
    pub(super) requests_per_minute: Option<u64>,
    pub(super) tokens_per_minute: Option<u64>,
}

/// What is known of the model, if the files say it: an answer of `GET /model/info` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Tokens of a prompt, at most.
    pub(super) context: Option<u64>,
    /// By what the model may read beside text, whether it does.
    pub(super) reads: Vec<(&'static str, bool)>,
    pub(super) tools: Option<bool>,
}

/// What a file says of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Said {
    /// It is taken from the environment of LiteLLM.
    Elsewhere,
    #[default]
    Nothing,
    Text(String),
}

/// Deployments, as many as a grid has channels.
const DEPLOYMENTS_MAX: usize = tieline_core::grid::CHANNELS_MAX;

/// What a value of the environment begins with; it is never looked up.
pub(super) const ENVIRONMENT: &str = "os.environ/";

/// The entries of all lists.
pub(super) fn deployments(parts: &Parts, remarks: &mut Remarks) -> Result<Vec<Deployment>, Failure> {
    let credentials = parts.items("credential_list");
    let answer = parts.items("data");
    let is_answer = !answer.is_empty();
    let list = if is_answer {
        answer
    } else {
        parts.items("model_list")
    };
    if list.is_empty() {
        return Err(
            Failure::input("LiteLLM's configuration lists no model (`model_list`), so there is nothing to look at")
                .with_hint(
                    "if LiteLLM keeps its models in its database, give the answer of GET /model/info as a second file: \
                     --litellm config.yaml --litellm models.json",
                ),
        );
    }
    if list.len() > DEPLOYMENTS_MAX {
        return Err(Failure::input(format!(
            "LiteLLM's configuration lists {} deployments, and a grid holds {DEPLOYMENTS_MAX}",
            list.len()
        )));
    }
    let read = |node: &Arc<Node>| deployment(node, &credentials, is_answer, remarks);
    Ok(list.iter().filter_map(read).collect())
}

/// One entry of the list, or a remark on why it is none.
fn deployment(
    node: &Arc<Node>,
    credentials: &[Arc<Node>],
    is_answer: bool,
    remarks: &mut Remarks,
) -> Option<Deployment> {
    let no_channel = |says: String, remarks: &mut Remarks| {
        remarks.not_mapped(node.place, says, "no channel stands for it");
        None
    };
    let (params, group) = (
        node.get("litellm_params"),
        node.get("model_name").and_then(|n| n.text()),
    );
    let model = params.and_then(|params| params.get("model")?.text());
    let (Some(params), Some(group), Some(model)) = (params, group, model) else {
        let says = "an entry of the list has no `model_name`, or no `litellm_params` with a `model`";
        return no_channel(says.to_owned(), remarks);
    };
    let entry = Entry {
        credential: credential(params, credentials),
        info: node.get("model_info"),
        node,
        params,
    };
    if let Some(why) = entry.is_no_channel(group, model) {
        return no_channel(format!("a deployment of `{}` {why}", shown(group)), remarks);
    }
    entry.remark(remarks);
    Some(entry.deployment(group, model, is_answer))
}

/// The values of the credential that a deployment names: an address and a region may stand among them.
fn credential<'n>(params: &Node, credentials: &'n [Arc<Node>]) -> Option<&'n Arc<Node>> {
    let name = params.get("litellm_credential_name")?.text();
    let is_it = |node: &&Arc<Node>| node.get("credential_name").and_then(|node| node.text()) == name;
    credentials.iter().find(is_it)?.get("credential_values")
}

/// An entry of the list whose parts are there.
struct Entry<'n> {
    credential: Option<&'n Arc<Node>>,
    info: Option<&'n Arc<Node>>,
    node: &'n Node,
    params: &'n Arc<Node>,
}

impl Entry<'_> {
    /// A key of `litellm_params`, else of `model_info`.
    fn of(&self, key: &str) -> Option<&Arc<Node>> {
        self.params.get(key).or_else(|| self.info?.get(key))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.of(key)?.text().map(str::to_owned)
    }

    /// Numbers stand beside the parts, too.
    fn stated(&self, key: &str) -> Option<&Arc<Node>> {
        self.of(key).or_else(|| self.node.get(key))
    }

    fn number(&self, key: &str) -> Option<u64> {
        whole(self.stated(key)?)
    }

    fn said(&self, keys: &[&str]) -> Said {
        let stated = |key: &&str| self.params.get(key).or_else(|| self.credential?.get(key));
        keys.iter()
            .find_map(stated)
            .map_or(Said::Nothing, |node| said(node))
    }

    fn facts(&self) -> Facts {
        const READS: [(&str, &str); 4] = [
            ("images", "supports_vision"),
            ("audio", "supports_audio_input"),
            ("files", "supports_pdf_input"),
            ("video", "supports_video_input"),
        ];
        let says = |key: &str| self.info?.get(key).map(|node| node.is_true());
        Facts {
            context: self.info.and_then(|info| whole(info.get("max_input_tokens")?)),
            reads: READS
                .into_iter()
                .filter_map(|(what, key)| Some((what, says(key)?)))
                .collect(),
            tools: says("supports_function_calling"),
        }
    }

    /// Why it is no way to a model.
    fn is_no_channel(&self, group: &str, model: &str) -> Option<&'static str> {
        let is_blocked = self
            .info
            .and_then(|info| info.get("blocked"))
            .is_some_and(|node| node.is_true());
        if model.starts_with(ENVIRONMENT) {
            Some("takes its model from the environment")
        } else if model.contains('*') && !group.contains('*') {
            Some("has a pattern for a model, and its name has none to fill it from")
        } else if self.params.get("mock_response").is_some() {
            Some("gives an answer that stands in the file (`mock_response`)")
        } else if model.starts_with("auto_router/") {
            Some("chooses another group by what is asked (`auto_router`)")
        } else if is_blocked {
            Some("is paused (`blocked`)")
        } else {
            None
        }
    }

    fn remark(&self, remarks: &mut Remarks) {
        let place = self.node.place;
        if self.number("rpm").or_else(|| self.number("tpm")).is_some() {
            remarks.assumed(
                place,
                "`rpm` and `tpm` are what the operator allows".to_owned(),
                "calls beyond them go to other channels or are refused; LiteLLM may use them as shares alone",
            );
        }
        for key in ["rpm", "tpm"] {
            if self.stated(key).is_some_and(|node| whole(node).is_none()) {
                remarks.not_mapped(
                    place,
                    format!("`{key}` is no number of 1 and more"),
                    "no such limit is assumed, so more may seem to have room than has",
                );
            }
        }
        if self.of("weight").is_some() {
            remarks.not_mapped(place, "`weight`".to_owned(), super::settings::SPREAD);
        }
    }

    fn deployment(&self, group: &str, model: &str, is_answer: bool) -> Deployment {
        const REGIONS: [&str; 5] = [
            "aws_region_name",
            "vertex_location",
            "watsonx_region_name",
            "oci_region",
            "region_name",
        ];
        let id = self.info.and_then(|info| info.get("id")?.text());
        Deployment {
            base: self.said(&["api_base", "base_url", "aws_bedrock_runtime_endpoint"]),
            base_model: self.text("base_model"),
            costs: Costs::read(self.params, self.info, is_answer),
            facts: self.facts(),
            group: group.to_owned(),
            id: id.map(str::to_owned),
            input_per_minute: self.number("itpm"),
            mode: self.text("mode"),
            model: model.to_owned(),
            order: self.number("order"),
            output_per_minute: self.number("otpm"),
            parallel: self.number("max_parallel_requests"),
            place: self.node.place,
            provider: self.text("custom_llm_provider"),
            region: self.said(&REGIONS),
            requests_per_minute: self.number("rpm"),
            tokens_per_minute: self.number("tpm"),
        }
    }
}

fn said(node: &Node) -> Said {
    match node.text() {
        Some(text) if text.starts_with(ENVIRONMENT) => Said::Elsewhere,
        Some(text) if !text.trim().is_empty() => Said::Text(text.trim().to_owned()),
        _ => Said::Nothing,
    }
}

/// A whole number that is more than 0; YAML writes 100000 as `1e5` and `100_000`, too.
pub(super) fn whole(node: &Node) -> Option<u64> {
    let text: String = node.text()?.chars().filter(|c| *c != '_').collect();
    let number = decimal(&text)?.whole()?;
    (number > 0).then_some(number)
}
