//! A log file of bounded size: what a child process prints, kept for whoever must find out why it died.
//!
//! When the file reaches its limit it becomes `NAME.1`, in place of an older one, and a new file begins: at most twice
//! the limit is on disk. Errors of the disk are swallowed after the file is open: a full disk must not stop a server.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that is appended to and turned over.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    written_bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    /// Opens the file to append, readable only by its owner; `bytes_max` is the size at which it is turned over.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = append(path)?;
        let written_bytes = file.metadata()?.len();
        Ok(Self {
            path: path.to_path_buf(),
            file,
            written_bytes,
            bytes_max,
        })
    }

    /// Appends the bytes, turning the file over first if they would not fit.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.written_bytes > 0 && self.written_bytes.saturating_add(bytes.len() as u64) > self.bytes_max {
            self.turn_over();
        }
        if self.file.write_all(bytes).is_ok() {
            self.written_bytes += bytes.len() as u64;
        }
    }

    fn turn_over(&mut self) {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        if fs::rename(&self.path, old).is_ok()
            && let Ok(file) = append(&self.path)
        {
            self.file = file;
        } else {
            // The bound matters more than the past.
            let _emptied = self.file.set_len(0);
        }
        self.written_bytes = 0;
    }
}

/// The last lines of a log file, at most `lines_max`; nothing if it cannot be read.
pub(crate) fn tail(path: &Path, lines_max: usize) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(lines_max);
    lines.into_iter().skip(skip).collect::<Vec<_>>().join("\n")
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Forty lines of a hundred characters.
const TAIL_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_turned_over_at_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, 10).unwrap();
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "four\n",
            "longer than the limit\n",
            "end\n",
        ] {
            log.write(line.as_bytes());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "end\n");
        assert_eq!(
            fs::read_to_string(folder.path().join("a.log.1")).unwrap(),
            "longer than the limit\n"
        );
    }

    #[test]
    fn file_is_continued_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        LogFile::open(&path, 10).unwrap().write(b"12345678\n");
        LogFile::open(&path, 10).unwrap().write(b"next\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        assert_eq!(fs::metadata(&path).unwrap().len(), 5);
    }

    #[test]
    fn tail_is_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert_eq!(tail(&path, 2), "");
        fs::write(
            &path,
            [b"x".repeat(5000).as_slice(), b"\nlast but one\nlast \xff\n"].concat(),
        )
        .unwrap();
        assert_eq!(tail(&path, 2), "last but one\nlast \u{fffd}");
    }
}
