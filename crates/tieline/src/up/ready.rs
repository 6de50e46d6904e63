//! The ready file: what a script needs once `tieline up` serves, written in one step and readable by its owner only,
//! because it holds keys.

use std::{fs, io, io::Write, path::Path};

use serde::Serialize;

/// Contents of the ready file; `gateway`, `admin` and each channel's `url` are URLs without a path.
#[derive(Clone, Serialize)]
pub(crate) struct ReadyFile {
    pub(crate) gateway: String,
    pub(crate) admin: String,
    pub(crate) key: String,
    pub(crate) admin_key: String,
    pub(crate) channels: Vec<ReadyChannel>,
}

/// A channel whose server we started; `pid` is null while it has no process.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct ReadyChannel {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) pid: Option<u32>,
}

impl std::fmt::Debug for ReadyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyFile")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

/// Writes the file so that a reader sees all of it or none, with mode 0600; makes the folder if there is none.
pub(crate) fn write(path: &Path, ready: &ReadyFile) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    // A temporary file is made with mode 0600 and keeps it when it is renamed.
    let mut file = tempfile::Builder::new().prefix(".ready-").tempfile_in(folder)?;
    serde_json::to_writer_pretty(&mut file, ready)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn sample() -> ReadyFile {
        ReadyFile {
            gateway: "http://127.0.0.1:8080".to_owned(),
            admin: "http://127.0.0.1:8081".to_owned(),
            key: "tl-key".to_owned(),
            admin_key: "tl-admin".to_owned(),
            channels: vec![
                ReadyChannel {
                    name: "local-a".to_owned(),
                    url: "http://127.0.0.1:9001".to_owned(),
                    pid: Some(7),
                },
                ReadyChannel {
                    name: "local-b".to_owned(),
                    url: "http://127.0.0.1:9002".to_owned(),
                    pid: None,
                },
            ],
        }
    }

    #[test]
    fn file_is_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ready.json");
        write(&path, &sample()).unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn older_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        fs::write(&path, "old, and open to all").unwrap();
        write(&path, &sample()).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("{\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn keys_stay_out_of_debug_output() {
        let shown = format!("{:?}", sample());
        assert!(!shown.contains("tl-"), "{shown}");
    }
}
