use std::{ffi::OsString, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::up::model::find_or_set_up;

fn options(folder: &Path, offline: bool) -> Options {
    Options {
        model_file: None,
        ollama: None,
        cache_folder: folder.join("cache"),
        offline,
        search_path: folder.join("bin").into_os_string(),
    }
}

fn executable(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A Python that makes environments holding itself, whose engine imports, and whose pip does as `pip` says.
fn fake_python(folder: &Path, pip: &str) {
    let script = format!(
        r#"#!/bin/sh
shift
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") {pip} ;;
  -c*ensurepip*) printf 'venv\n3.12.1\n%s\n' "$0" ;;
  -c*xllamacpp*) echo {ENGINE_VERSION} ;;
  -c*) echo "unexpected $2" >&2; exit 9 ;;
esac
"#
    );
    executable(&folder.join("bin/python3"), &script);
}

fn set_up(folder: &TempDir, offline: bool) -> (SetupError, Vec<Progress>) {
    let mut seen = Vec::new();
    let outcome = find_or_set_up(&options(folder.path(), offline), &mut |progress| {
        seen.push(progress);
    });
    (outcome.unwrap_err(), seen)
}

/// Each way in which the machine can fail us: what the user is told, with the folder left out.
#[test]
fn failures_say_what_to_do() {
    type Prepare<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, bool, Prepare); 9] = [
        ("no Python", false, &|_| ()),
        ("old Python", false, &|folder| {
            executable(
                &folder.join("bin/python3"),
                "#!/bin/sh\nprintf 'venv\\n3.9.18\\n/usr/bin/python3.9\\n'\n",
            );
        }),
        ("no venv", false, &|folder| {
            executable(
                &folder.join("bin/python3"),
                "#!/bin/sh\nprintf 'bare\\n3.11.2\\n' >&2; exit 1\n",
            );
        }),
        ("stand-in", false, &|folder| {
            executable(
                &folder.join("bin/python3"),
                "#!/bin/sh\necho 'no version is set' >&2; exit 127\n",
            );
        }),
        ("offline", true, &|folder| fake_python(folder, "exit 0")),
        ("no network", false, &|folder| {
            fake_python(
                folder,
                "echo \"Retrying after connection broken by 'NewConnectionError: name resolution'\" >&2; \
                 echo 'ERROR: No matching distribution found for xllamacpp' >&2; exit 1",
            );
        }),
        ("no package", false, &|folder| {
            fake_python(
                folder,
                "echo 'ERROR: No matching distribution found for xllamacpp' >&2; exit 1",
            );
        }),
        ("wrong digest", false, &|folder| {
            fake_python(
                folder,
                "printf 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\\n    xllamacpp from ./x.whl:\\n        \
                 Expected sha256 c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261\\n        \
                 Expected     or e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e\\n             \
                 Got        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\\n' >&2; exit 1",
            );
        }),
        ("other", false, &|folder| {
            fake_python(folder, "echo 'No module named pip' >&2; exit 1");
        }),
    ];
    let mut shown = String::new();
    for (name, offline, prepare) in cases {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let (error, _) = set_up(&folder, offline);
        let text = format!(
            "## {name}\nfailed to set up a model: {error}\nhint: {}\n\n",
            error.hint()
        );
        shown += &text.replace(&folder.path().display().to_string(), "DIR");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn full_disk_is_told_from_other_failures() {
    let folder = tempfile::tempdir().unwrap();
    fake_python(
        folder.path(),
        "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1",
    );
    let (error, _) = set_up(&folder, false);
    assert!(matches!(&error, SetupError::Disk { .. }), "{error}");
    assert!(error.hint().contains("XDG_CACHE_HOME"));
}

#[test]
fn folder_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cache"), "a file where the folder should be").unwrap();
    let (error, _) = set_up(&folder, false);
    assert!(matches!(&error, SetupError::File { .. }), "{error}");
}

#[test]
fn half_made_environment_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let environment = folder.path().join(format!("cache/xllamacpp-{ENGINE_VERSION}"));
    // The second call of pip is the download of the model, which fails and so ends the test's set-up.
    fake_python(
        folder.path(),
        r#"case "$*" in *install*) ;; *) echo 'Read timed out.' >&2; exit 1 ;; esac"#,
    );
    fs::create_dir_all(environment.join("lib")).unwrap();
    let (error, seen) = set_up(&folder, false);
    assert!(
        matches!(&error, SetupError::Network { doing, .. } if doing == "downloading the model"),
        "{error}"
    );
    assert!(
        seen.iter()
            .any(|step| matches!(step, Progress::Step(text) if text.contains("is incomplete")))
    );
    assert!(!environment.join("lib").exists() && environment.join(MARKER).exists());

    // The next run finds it complete and goes on where the last one stopped.
    let (_, seen) = set_up(&folder, false);
    assert!(
        !seen
            .iter()
            .any(|step| matches!(step, Progress::Step(text) if text.contains("environment"))),
        "{seen:?}"
    );
    // A Python that has gone since is noticed.
    executable(&environment.join("bin/python"), "#!/bin/sh\nexit 127\n");
    let (_, seen) = set_up(&folder, false);
    assert!(
        seen.iter()
            .any(|step| matches!(step, Progress::Step(text) if text.contains("is incomplete")))
    );
}

#[test]
fn wheel_with_another_digest_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let pip = r#"case "$*" in *install*) ;; *) while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; echo x >"$2/a.whl" ;; esac"#;
    fake_python(folder.path(), pip);
    let (error, _) = set_up(&folder, false);
    assert!(
        matches!(&error, SetupError::Digest { file, .. } if file.ends_with("a.whl")),
        "{error}"
    );
    let left = fs::read_dir(folder.path().join("cache")).unwrap();
    let mut left: Vec<OsString> = left.map(|row| row.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(FETCH_PREFIX)),
        "{left:?}"
    );
}

#[test]
fn second_run_waits_for_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), false);
    let first = Setup::begin(&options, &mut |_| ()).unwrap();
    let (sender, told) = mpsc::channel();
    let second = std::thread::spawn(move || {
        Setup::begin(&options, &mut |progress| sender.send(progress).unwrap()).unwrap();
    });
    let waiting = told.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(
        waiting,
        Progress::Step("waiting for another tieline that is setting up".to_owned())
    );
    assert!(!second.is_finished());
    drop(first);
    second.join().unwrap();
}

#[test]
fn leftovers_of_an_interrupted_download_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::begin(&options(folder.path(), false), &mut |_| ()).unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir_all(cache.join("fetch-1/wheels")).unwrap();
    fs::write(cache.join("fetch-2.txt"), "").unwrap();
    fs::write(cache.join("mine"), "").unwrap();
    setup.sweep();
    assert!(
        !cache.join("fetch-1").exists() && !cache.join("fetch-2.txt").exists() && cache.join("mine").exists()
    );
}

#[test]
fn program_output_is_bounded() {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "seq 1000; head -c 100000 /dev/zero | tr '\\0' x; echo; echo last >&2",
    ]);
    let mut count = 0;
    let (status, output) = run(command, TRY_LIMIT, &mut |_| count += 1).unwrap();
    assert!(status.unwrap().success());
    assert!(count > 1000 && output.lines().count() <= OUTPUT_LINES_MAX);
    assert!(output.lines().all(|line| line.len() as u64 <= LINE_BYTES_MAX));
}

#[test]
fn program_that_does_not_end_is_stopped() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo begun; exec sleep 1000"]);
    let mut lines = Vec::new();
    let (status, output) = run(command, Duration::from_millis(500), &mut |line| lines.push(line)).unwrap();
    assert_eq!((status, output.as_str()), (None, "begun"));
}

#[test]
fn versions_are_compared_as_numbers() {
    let cases = [
        ("3.10.0", true),
        ("3.9.18", false),
        ("3.100.1", true),
        ("4.0.0", false),
        ("2.7.18", false),
        ("3", false),
    ];
    for (version, fits) in cases {
        assert_eq!(new_enough(version), fits, "{version}");
    }
}
