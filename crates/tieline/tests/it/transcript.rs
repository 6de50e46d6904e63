//! What was typed and what came back, one command after the other, with everything that differs between two runs named
//! by its kind.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

/// Commands and their output, for a golden.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
}

impl Transcript {
    pub(crate) fn say(&mut self, command: &str, output: &Output) {
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let code = output
            .status
            .code()
            .map_or("by a signal".to_owned(), |code| code.to_string());
        let _ = writeln!(self.text, "$ {}\nexit {code}", command.trim_end());
        for (name, said) in [("out", out), ("err", err)] {
            if !said.is_empty() {
                let _ = writeln!(self.text, "-- {name}\n{}", said.trim_end_matches('\n'));
            }
        }
        self.text.push('\n');
    }

    pub(crate) fn note(&mut self, note: &str) {
        let _ = writeln!(self.text, "# {note}\n");
    }

    /// Compare with the golden `name`; `dir` is shown as `[DIR]`.
    #[track_caller]
    pub(crate) fn check(self, name: &str, dir: &Path) {
        let dir = dir.to_str().unwrap();
        insta::with_settings!({ filters => filters(dir), omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, self.text.trim_end());
        });
    }
}

/// Ids, keys, digests, places, times, in this order: what is matched first is not seen by the rest.
fn filters(dir: &str) -> Vec<(&str, &'static str)> {
    vec![
        (dir, "[DIR]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"\bpid \d+", "pid [PID]"),
        (r"\btla_[a-z2-7]{52}", "[ADMIN_KEY]"),
        (r"\btl_[a-z2-7]{52}", "[KEY]"),
        (r"\b([ahpk])_[0-9a-f]{16}\b", "${1}_[ID]"),
        (r"\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}", "+[VKEY]"),
        (r"\b[0-9a-f]{64}\b", "[DIGEST]"),
        (r"\b[0-7][0-9a-hjkmnp-tv-z]{25}\b", "[CALL]"),
        // A time with fewer digits is padded with spaces.
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z *", "[TIME] "),
        (r"\b1\d{15}\b", "[MICROSECONDS]"),
        (r"\b[0-9a-f]{16}\b", "[SHORT DIGEST]"),
        (r"(\d of \d), \d{4}-\d\d-\d\d", "${1}, [DAY]     "),
        // In a column of a drill, whose width is that of its head.
        (r" +[+-][\d,]+ ms\b", " +[N] ms"),
        // Less than a millisecond is shown as nothing; it is measured where calls moved, and so cost something else.
        (r"(?m)( [+-]\d[\d.,]*) +-$", "$1 +[N] ms"),
        (r"\b\d+(\.\d+)? ms\b", "[N] ms"),
        (r#""(p\d\d_us|longest_us|attempts)": \d+"#, r#""$1": [N]"#),
        (r#"\(\d+ bytes\)|"bytes": \d+"#, "[BYTES]"),
    ]
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("commands print UTF-8")
}
