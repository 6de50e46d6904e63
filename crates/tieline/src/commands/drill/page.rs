//! `--html FILE`: the page of a drill as a file of its own. It is written whole or not at all, and over nothing that is no
//! such page: a name mistyped must not cost a configuration.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use tieline_drill::{Ground, PAGE_START, Rehearsal};

use crate::check;
use crate::cli::Paged;
use crate::output::{self, Failure, Result};

/// A page that was asked for.
pub(super) struct Page<'p> {
    /// Why the traffic is not to be relied on.
    doubt: Option<String>,
    path: &'p Path,
    /// What else is to be said of the inputs.
    remarks: Vec<String>,
}

impl<'p> Page<'p> {
    /// The page that the arguments ask for, if they do; refused before anything is run if it could not be written.
    pub(super) fn of(args: &'p Paged) -> Result<Option<Self>> {
        let Some(path) = args.html.as_deref() else {
            return Ok(None);
        };
        may_write(path)?;
        beside(path).map_err(|error| {
            let why = check::kind(&error);
            let message = format!(
                "cannot write {}: {}: {why}",
                path.display(),
                folder(path).display()
            );
            Failure::input(message).with_hint("give a name in a folder of yours")
        })?;
        Ok(Some(Self {
            doubt: None,
            path,
            remarks: Vec::new(),
        }))
    }

    /// What is to be said of the traffic: why it is in doubt, if it is.
    pub(super) fn doubting(&mut self, doubt: Option<&String>) {
        self.doubt = doubt.cloned();
    }

    pub(super) fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    pub(super) fn ground<'g>(&'g self, rehearsal: &'g Rehearsal<'g>) -> Ground<'g> {
        Ground {
            doubt: self.doubt.as_deref(),
            rehearsal,
            remarks: &self.remarks,
        }
    }

    /// Write it, so that a reader sees all of it or what was there before.
    pub(super) fn write(&self, html: &str) -> Result<()> {
        may_write(self.path)?;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::found(format!("cannot write {}: {error}", self.path.display()))
        };
        // It names parties and what they hang on: for its owner alone, unless the page before it was for others.
        let before = std::fs::metadata(self.path).ok();
        let mut file = beside(self.path).map_err(|error| failed(&error))?;
        let written = before
            .map_or(Ok(()), |before| {
                file.as_file().set_permissions(before.permissions())
            })
            .and_then(|()| file.write_all(html.as_bytes()))
            .and_then(|()| file.as_file().sync_all());
        written.map_err(|error| failed(&error))?;
        file.persist(self.path).map_err(|error| failed(&error.error))?;
        output::progress(format!("the page is in {}", self.path.display()));
        Ok(())
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// A new file in the folder of a page, gone unless it is made the page.
fn beside(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".page-")
        .tempfile_in(folder(path))
}

/// Whether a page may be written there: its folder is there, and what has the name, if anything has, is a page of a drill.
fn may_write(path: &Path) -> Result<()> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let message = format!("cannot write {}: that is the name of a folder", path.display());
        return Err(Failure::input(message).with_hint("name a file in it"));
    }
    let folder = folder(path);
    if !folder.is_dir() {
        let message = format!(
            "cannot write {}: {} is no folder",
            path.display(),
            folder.display()
        );
        return Err(Failure::input(message).with_hint("make the folder first, or give another name"));
    }
    // A link is followed by who reads it, and replaced by who writes.
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let mut start = Vec::new();
    let is_page = found.is_file()
        && File::open(path)
            .and_then(|file| file.take(PAGE_START.len() as u64).read_to_end(&mut start))
            .is_ok_and(|_| start.is_empty() || start == PAGE_START.as_bytes());
    if is_page {
        return Ok(());
    }
    let message = format!("{} is there and is no page of a drill", path.display());
    Err(Failure::input(message).with_hint("give another name, or remove it first"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_page_replaces_pages_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        let args = Paged {
            html: Some(path.clone()),
        };
        let html = format!("{PAGE_START}</html>");
        let page = Page::of(&args).unwrap().unwrap();
        page.write(&html).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        page.write(&html).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), html);
        assert_eq!(mode(), 0o640, "as the one before");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );

        let refused = |path: PathBuf| {
            let failure = Page::of(&Paged { html: Some(path) }).err().unwrap();
            assert_eq!(failure.code, 2);
            failure.message
        };
        let mine = folder.path().join("tieline.toml");
        std::fs::write(&mine, "[gateway]").unwrap();
        assert!(refused(mine.clone()).contains("no page of a drill"));
        assert_eq!(std::fs::read_to_string(&mine).unwrap(), "[gateway]");
        assert!(refused(folder.path().to_path_buf()).contains("no page of a drill"));
        let link = folder.path().join("link.html");
        std::os::unix::fs::symlink(&mine, &link).unwrap();
        assert!(refused(link).contains("no page of a drill"));
        assert!(refused(folder.path().join("none/page.html")).contains("is no folder"));
        let slash = format!("{}/new/", folder.path().display());
        assert!(refused(slash.into()).contains("the name of a folder"));
        // Nobody makes files there, not even root.
        assert!(refused("/proc/page.html".into()).starts_with("cannot write /proc/page.html: /proc: "));
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            3,
            "nothing is tried out for good"
        );
        assert!(Page::of(&Paged { html: None }).unwrap().is_none());
    }
}
