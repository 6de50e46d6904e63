//! LiteLLM's files as they are written: the list of deployments, fallbacks, aliases and the few settings that say who
//! answers when another is gone. What a key means is from their `docs/my-website/docs/proxy/configs.md` and
//! `config_settings.md`, from `litellm/types/router.py` (`LiteLLM_Params`, `ModelInfo`), and for `include` from
//! `docs/proxy/config_management.md`: lists are appended, other keys replaced, and files that are included include nothing.
//!
//! Beside `config.yaml` an answer of `GET /model/info` is read, for models that LiteLLM keeps in its database: its list
//! (`data`) takes the place of `model_list`. Credentials are neither kept nor looked at, but for whether they stand in the
//! file. Bounds: [`FILES_MAX`] files of [`FILE_BYTES_MAX`](crate::check::FILE_BYTES_MAX), [`DEPLOYMENTS_MAX`] deployments.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::mapping::Remarks;
use super::super::yaml::{self, Node};
use super::deployment::{self, Deployment, ENVIRONMENT};
use super::settings::{self, Settings};
use crate::check::{self, FILE_BYTES_MAX};
use crate::diagnose::shown;
use crate::output::Failure;

/// Files of one configuration, those that are included among them.
const FILES_MAX: usize = 64;

/// Reads a file, up to the limit and one byte more.
pub(crate) type Read<'r> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'r;

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) deployments: Vec<Deployment>,
    pub(super) files: Vec<String>,
    pub(super) settings: Settings,
}

/// Read the files and what they include.
pub(super) fn read(paths: &[&Path], read: &Read<'_>, remarks: &mut Remarks) -> Result<Raw, Failure> {
    let mut raw = Raw::default();
    let mut parts = Parts::default();
    for path in paths {
        let root = open(path, read, &mut raw)?;
        let includes: Vec<Arc<Node>> = root.get("include").map_or(&[][..], Node::one_or_more).to_vec();
        parts.add(&root);
        for include in includes {
            let Some(text) = include.text() else { continue };
            let path = path.parent().unwrap_or(Path::new("")).join(text);
            let included = open(&path, read, &mut raw)?;
            parts.add(&included);
        }
    }
    raw.deployments = deployment::deployments(&parts, remarks)?;
    for section in ["litellm_settings", "router_settings"] {
        if let Some(node) = parts.last(section) {
            settings::settings(&node, section, &mut raw.settings, remarks);
        }
    }
    for key in parts.values.keys().filter(|key| !KNOWN.contains(&&***key)) {
        if let Some(part) = parts.last(key) {
            remarks.not_mapped(
                part.place,
                format!(
                    "`{}` is not a part of LiteLLM's file that is known here",
                    shown(key)
                ),
                "it changes nothing of the answer",
            );
        }
    }
    settings::general(&parts, remarks);
    credentials(&parts, remarks);
    Ok(raw)
}

/// The top of `config.yaml`, from `docs/proxy/configs.md`.
const KNOWN: [&str; 17] = [
    "callback_settings",
    "credential_list",
    "data",
    "environment_variables",
    "finetune_settings",
    "general_settings",
    "guardrails",
    "include",
    "litellm_settings",
    "mcp_servers",
    "model_list",
    "prompts",
    "router_settings",
    "search_tools",
    "files_settings",
    "vector_store_registry",
    "agent_list",
];

fn open(path: &Path, read: &Read<'_>, raw: &mut Raw) -> Result<Arc<Node>, Failure> {
    let name = path.display().to_string();
    let bad = |says: String| Failure::input(format!("cannot read LiteLLM's configuration {name}: {says}"));
    if raw.files.len() >= FILES_MAX {
        return Err(bad(format!(
            "it and what it includes are more than {FILES_MAX} files"
        )));
    }
    let bytes = read(path).map_err(|error| bad(check::kind(&error)))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".to_owned()))?;
    let file = raw.files.len();
    raw.files.push(name.clone());
    match yaml::parse(text.trim_start_matches('\u{feff}'), file) {
        Ok(Some(root)) if root.is_map() => Ok(root),
        Ok(_) => Err(bad("it is not a table of settings".to_owned())
            .with_hint("give the file that LiteLLM was started with (`litellm --config FILE`)")),
        Err(problem) => Err(Failure::input(format!(
            "{name}:{}:{} is not YAML: {}",
            problem.line, problem.column, problem.says
        ))
        .with_hint("the line is not shown, for it may hold a secret")),
    }
}

/// The tops of all files, put together as `include` does.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) values: BTreeMap<Arc<str>, Vec<Arc<Node>>>,
}

impl Parts {
    fn add(&mut self, root: &Node) {
        for (key, node) in root.entries().iter().filter(|(_, node)| !node.is_null()) {
            self.values.entry(key.clone()).or_default().push(node.clone());
        }
    }

    pub(super) fn last(&self, key: &str) -> Option<Arc<Node>> {
        self.values.get(key)?.last().cloned()
    }

    /// The items of all lists of this name.
    pub(super) fn items(&self, key: &str) -> Vec<Arc<Node>> {
        let parts = self.values.get(key).map_or(&[][..], Vec::as_slice);
        parts
            .iter()
            .flat_map(|part| part.items().iter().cloned())
            .collect()
    }
}

// === credentials ===

/// Keys whose values are credentials.
fn is_credential(key: &str) -> bool {
    const WHOLE: [&str; 4] = ["api_key", "database_url", "master_key", "vertex_credentials"];
    const ENDS: [&str; 7] = [
        "_access_key",
        "_access_key_id",
        "_api_key",
        "_password",
        "_secret",
        "_secret_key",
        "_token",
    ];
    let key = key.to_ascii_lowercase();
    if key.contains("_cost") {
        return false;
    }
    WHOLE.contains(&key.as_str())
        || key == "password"
        || key == "token"
        || ENDS.iter().any(|end| key.ends_with(end))
}

/// Words that stand where a credential would, and are none.
const NONE_AT_ALL: [&str; 8] = [
    "",
    "none",
    "null",
    "dummy",
    "empty",
    "fake",
    "fake-key",
    "not-needed",
];

/// Say where credentials stand in the file itself. Their values are compared with nothing but [`NONE_AT_ALL`].
fn credentials(parts: &Parts, remarks: &mut Remarks) {
    let mut open: Vec<Arc<Node>> = parts.values.values().flatten().cloned().collect();
    let mut left = yaml::NODES_MAX;
    while let Some(node) = open.pop() {
        for (key, value) in node.entries() {
            let literal = value.text().is_some_and(|text| {
                !text.starts_with(ENVIRONMENT)
                    && !NONE_AT_ALL.iter().any(|word| text.eq_ignore_ascii_case(word))
            });
            if literal && is_credential(key) {
                remarks.secret(value.place);
            }
        }
        let inner = node.entries().iter().map(|(_, value)| value).chain(node.items());
        for value in inner {
            // What aliases share is seen as often as it is named, within the limit.
            if left == 0 {
                return;
            }
            left -= 1;
            open.push(value.clone());
        }
    }
}
