//! The folder of recorded data, which is not part of the project.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tieline_core::Dialect;

/// `TIELINE_DATA`, else `../shared/data` beside the workspace. `None` if it is absent, which CI does not allow.
pub(crate) fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let folder = std::env::var_os("TIELINE_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is missing",
        folder.display()
    );
    println!("skipped: {} is missing", folder.display());
    None
}

/// A recorded stream: the data of its events.
pub(crate) struct Recording {
    pub(crate) dialect: Dialect,
    pub(crate) events: Vec<String>,
    pub(crate) name: String,
}

const FOLDERS: [&str; 8] = [
    "anthropic",
    "azure",
    "deepseek",
    "groq",
    "mistral",
    "openai",
    "openai-compatible",
    "xai",
];

/// Every recorded stream in a dialect that we speak.
pub(crate) fn recordings() -> Vec<Recording> {
    let Some(folder) = folder() else { return Vec::new() };
    let mut list = Vec::new();
    for provider in FOLDERS {
        let mut paths: Vec<_> = std::fs::read_dir(folder.join("wire/recorded").join(provider))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(".chunks.txt"))
            .collect();
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            let events: Vec<String> = text
                .lines()
                .filter(|l| !l.is_empty())
                .map(str::to_owned)
                .collect();
            let dialect = match events.first() {
                Some(first) if first.contains("\"chat.completion.chunk\"") => Dialect::OpenaiChat,
                Some(first) if first.contains("prompt_filter_results") => Dialect::OpenaiChat,
                Some(first) if first.contains("\"message_start\"") => Dialect::AnthropicMessages,
                _ => continue,
            };
            let name = format!("{provider}/{}", path.file_name().unwrap().to_string_lossy());
            list.push(Recording {
                dialect,
                events,
                name,
            });
        }
    }
    assert!(list.len() >= 40, "only {} streams were found", list.len());
    list
}

/// Every recorded whole answer in a dialect that we speak.
pub(crate) fn answers() -> Vec<(String, Dialect, Bytes)> {
    let Some(folder) = folder() else { return Vec::new() };
    let mut list = Vec::new();
    for provider in FOLDERS {
        for entry in std::fs::read_dir(folder.join("wire/recorded").join(provider)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let body = std::fs::read(&path).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let dialect = if value["object"] == "chat.completion" {
                Dialect::OpenaiChat
            } else if value["type"] == "message" {
                Dialect::AnthropicMessages
            } else {
                continue;
            };
            let name = format!("{provider}/{}", path.file_name().unwrap().to_string_lossy());
            list.push((name, dialect, Bytes::from(body)));
        }
    }
    list.sort();
    list
}

impl Recording {
    /// The stream as its server would have framed it.
    pub(crate) fn stream(&self) -> Bytes {
        let mut out = String::new();
        for event in &self.events {
            if self.dialect == Dialect::AnthropicMessages {
                let value: serde_json::Value = serde_json::from_str(event).unwrap();
                writeln!(out, "event: {}", value["type"].as_str().unwrap()).unwrap();
            }
            write!(out, "data: {event}\n\n").unwrap();
        }
        if self.dialect == Dialect::OpenaiChat {
            out += "data: [DONE]\n\n";
        }
        Bytes::from(out)
    }
}
