//! A YAML file as a tree in which every value knows its place. The files are other programs', so nothing of them is
//! repeated in a complaint: any line of theirs may hold a secret.
//!
//! Aliases are shared and not copied, and merge keys (`<<`, as YAML 1.1 has them) are laid out once, so that a file of a
//! few bytes that names itself over and over costs what it weighs. Of a key that stands twice the last counts, as PyYAML
//! has it. Tags are ignored. Bounds: [`NODES_MAX`], [`DEPTH_MAX`], one document.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Values of one file, those that merge keys lay out included: a file of 4 MiB with a value every 8 bytes.
pub(crate) const NODES_MAX: usize = 500_000;

/// Lists and tables within each other, through aliases too. A gateway's configuration has about ten.
pub(crate) const DEPTH_MAX: usize = 64;

/// Where something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Index of the file.
    pub(crate) file: usize,
    /// From 1.
    pub(crate) line: usize,
}

#[derive(Debug)]
pub(crate) struct Node {
    /// Levels of lists and tables in it, itself included.
    depth: usize,
    pub(crate) place: Place,
    value: Value,
}

#[derive(Debug)]
enum Value {
    List(Vec<Arc<Node>>),
    Map(Vec<(Arc<str>, Arc<Node>)>),
    /// Its text, and whether it stood without quotes.
    Scalar(String, bool),
}

/// Why a file is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// A lower-case fragment without anything of the file.
    pub(crate) says: String,
}

/// The tree of the file with this index; none for an empty one.
pub(crate) fn parse(text: &str, file: usize) -> Result<Option<Arc<Node>>, Problem> {
    let mut build = Build {
        anchors: BTreeMap::new(),
        documents: 0,
        file,
        left: NODES_MAX,
        open: Vec::new(),
        root: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| broken(&error))?;
        build.take(event, span).map_err(|says| Problem {
            line: span.start.line(),
            column: span.start.col() + 1,
            says: says.to_owned(),
        })?;
    }
    Ok(build.root)
}

/// What the parser says names characters and rules of YAML, and quotes no text of the file.
fn broken(error: &ScanError) -> Problem {
    Problem {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        says: error.info().to_owned(),
    }
}

struct Build {
    anchors: BTreeMap<usize, Arc<Node>>,
    documents: usize,
    file: usize,
    /// Values that may yet come.
    left: usize,
    open: Vec<Open>,
    root: Option<Arc<Node>>,
}

/// A list or table that is not closed yet.
struct Open {
    anchor: usize,
    /// Levels in it so far.
    depth: usize,
    entries: Vec<(Arc<str>, Arc<Node>)>,
    is_map: bool,
    items: Vec<Arc<Node>>,
    /// The key whose value comes next; none in a list, or before a key.
    key: Option<Arc<str>>,
    /// Tables to merge, most wanted first.
    merge: Vec<Arc<Node>>,
    place: Place,
}

const TOO_DEEP: &str = "lists and tables stand too deep within each other";

type Entries = Vec<(Arc<str>, Arc<Node>)>;

/// What the merge key of YAML 1.1 is called.
const MERGE: &str = "<<";

impl Build {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), &'static str> {
        let place = Place {
            file: self.file,
            line: span.start.line(),
        };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document begins, and a configuration is one");
                }
                Ok(())
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                self.put(node.ok_or("an alias names a value that it stands in")?)
            }
            Event::Scalar(text, style, anchor, _) => {
                let node = Arc::new(Node {
                    depth: 0,
                    place,
                    value: Value::Scalar(text.into_owned(), style == ScalarStyle::Plain),
                });
                self.anchor(anchor, &node);
                self.put(node)
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, place, false),
            Event::MappingStart(anchor, _) => self.open(anchor, place, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&mut self, anchor: usize, place: Place, is_map: bool) -> Result<(), &'static str> {
        if self.open.len() >= DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        self.open.push(Open {
            anchor,
            depth: 0,
            entries: Vec::new(),
            is_map,
            items: Vec::new(),
            key: None,
            merge: Vec::new(),
            place,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(open) = self.open.pop() else {
            return Err("a list or table ends that did not begin");
        };
        let value = if open.is_map {
            Value::Map(self.merged(open.entries, &open.merge)?)
        } else {
            Value::List(open.items)
        };
        let node = Arc::new(Node {
            depth: open.depth + 1,
            place: open.place,
            value,
        });
        self.anchor(open.anchor, &node);
        self.put(node)
    }

    /// A table's own entries, and those of the tables merged into it that it does not have.
    fn merged(
        &mut self,
        own: Vec<(Arc<str>, Arc<Node>)>,
        merge: &[Arc<Node>],
    ) -> Result<Entries, &'static str> {
        let mut at: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut entries: Vec<(Arc<str>, Arc<Node>)> = Vec::with_capacity(own.len());
        for (key, node) in own {
            if let Some(entry) = at.get(&key).and_then(|ix| entries.get_mut(*ix)) {
                entry.1 = node;
            } else {
                at.insert(key.clone(), entries.len());
                entries.push((key, node));
            }
        }
        for (key, node) in merge.iter().flat_map(|node| node.entries()) {
            self.spend()?;
            if !at.contains_key(key) {
                at.insert(key.clone(), entries.len());
                entries.push((key.clone(), node.clone()));
            }
        }
        Ok(entries)
    }

    fn put(&mut self, node: Arc<Node>) -> Result<(), &'static str> {
        self.spend()?;
        // An alias brings its levels with it.
        if self.open.len() + node.depth > DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.depth = open.depth.max(node.depth);
        if !open.is_map {
            open.items.push(node);
            return Ok(());
        }
        match open.key.take() {
            None => {
                let Value::Scalar(text, _) = &node.value else {
                    return Err("a key is a list or a table");
                };
                open.key = Some(Arc::from(text.as_str()));
            }
            Some(key) if *key == *MERGE => match &node.value {
                Value::Map(_) => open.merge.push(node),
                Value::List(items) => open.merge.extend(items.iter().cloned()),
                Value::Scalar(..) => return Err("what `<<` merges is no table"),
            },
            Some(key) => open.entries.push((key, node)),
        }
        Ok(())
    }

    fn spend(&mut self) -> Result<(), &'static str> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or("the file has more values than a configuration needs")?;
        Ok(())
    }

    fn anchor(&mut self, anchor: usize, node: &Arc<Node>) {
        // The parser counts anchors from 1.
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }
}

// === impl Node ===

impl Node {
    /// The entries of a table, in the order of the file; none of anything else.
    pub(crate) fn entries(&self) -> &[(Arc<str>, Arc<Self>)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::List(_) | Value::Scalar(..) => &[],
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Arc<Self>] {
        match &self.value {
            Value::List(items) => items,
            Value::Map(_) | Value::Scalar(..) => &[],
        }
    }

    /// A list's items, or the one value that stands for a list of one.
    pub(crate) fn one_or_more(self: &Arc<Self>) -> &[Arc<Self>] {
        match &self.value {
            Value::List(items) => items,
            Value::Map(_) | Value::Scalar(..) => std::slice::from_ref(self),
        }
    }

    /// The value of a table's key, unless it is null.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Self>> {
        let entry = self.entries().iter().find(|(name, _)| **name == *key);
        entry.map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The text of a value that is neither list, table nor null.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        let text = self.text().unwrap_or_default();
        ["true", "yes", "on"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(text, plain) => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::List(_) | Value::Map(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn tree(text: &str) -> Arc<Node> {
        parse(text, 0).unwrap().unwrap()
    }

    fn shape(node: &Node) -> String {
        match &node.value {
            Value::Scalar(text, true) => text.clone(),
            Value::Scalar(text, false) => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| shape(item)).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| format!("{key}={}", shape(node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn values_keep_their_order_and_place() {
        let check = |text: &str, expected: &str| assert_eq!(shape(&tree(text)), expected, "{text}");
        check("a: 1\nb: [x, 'y']\n", "{a=1 b=[x \"y\"]}");
        check(
            "a: &d {k: 1, l: 2}\nb: {<<: *d, l: 3}\n",
            "{a={k=1 l=2} b={l=3 k=1}}",
        );
        check(
            "a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc:\n  <<: [*x, *y]\n",
            "{a={k=1} b={k=2 m=3} c={k=1 m=3}}",
        );
        check("a: 1\na: 2\n", "{a=2}");
        check("%YAML 1.1\n---\na: yes\n", "{a=yes}");
        let tree = tree("a:\n\n  - x\n  -   y: 1\n");
        let items = tree.get("a").unwrap().items();
        let lines: Vec<usize> = items.iter().map(|item| item.place.line).collect();
        assert_eq!(lines, [3, 4]);
        assert!(parse("# nothing\n", 0).unwrap().is_none());
    }

    #[test]
    fn null_is_no_value() {
        let tree = tree("a:\nb: ~\nc: 'null'\nd: null\ne: 'true'\n");
        for (key, text) in [
            ("a", None),
            ("b", None),
            ("c", Some("null")),
            ("d", None),
            ("e", Some("true")),
        ] {
            assert_eq!(tree.get(key).and_then(|node| node.text()), text, "{key}");
        }
        assert!(tree.get("e").unwrap().is_true());
    }

    #[test]
    fn what_is_no_tree_says_where_and_repeats_nothing() {
        let check = |text: &str, line: usize, says: &str| {
            let problem = parse(text, 0).unwrap_err();
            assert_eq!(problem.line, line, "{text}: {problem:?}");
            assert!(problem.says.contains(says), "{text}: {problem:?}");
        };
        check("a: 1\n---\nb: 2\n", 2, "a second document");
        check("a: &a [*a]\n", 1, "that it stands in");
        check("a: {<<: 1}\n", 1, "no table");
        check("? [a]\n: 1\n", 1, "a key is a list");
        check("a: *b\n", 1, "");
        for text in [
            "a: [sk-hunter2hunter2\nb: 1",
            "k: sk-hunter2hunter2: 3\n",
            "a: \"sk-hunter2hunter2\n",
            "a: 1\n sk-hunter2hunter2\n- b\n",
        ] {
            let problem = parse(text, 0).unwrap_err();
            assert!(!problem.says.contains("hunter2"), "{problem:?}");
        }
    }

    #[test]
    fn a_bomb_costs_what_it_weighs() {
        let mut text = String::from("a0: &a0 {k: v}\n");
        for level in 1..60 {
            let names = vec![format!("*a{}", level - 1); 9].join(", ");
            let _ = writeln!(text, "a{level}: &a{level} [{names}]");
        }
        assert!(parse(&text, 0).is_ok());
        let mut chain = String::from("a0: &a0 []\n");
        for level in 1..100_000 {
            let _ = writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1);
        }
        assert!(parse(&chain, 0).unwrap_err().says.contains("too deep"));
        let keys: Vec<String> = (0..2_000).map(|ix| format!("k{ix}: 1")).collect();
        let mut text = format!("a0: &a0 {{{}}}\n", keys.join(", "));
        for level in 1..2_000 {
            let _ = writeln!(text, "a{level}: {{<<: *a0}}");
        }
        assert!(parse(&text, 0).unwrap_err().says.contains("more values"));
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&deep, 0).unwrap_err().says.contains("too deep"));
        let lines: Vec<String> = (0..100).map(|level| format!("{}- ", " ".repeat(level))).collect();
        let block = lines.join("\n");
        assert!(parse(&block, 0).unwrap_err().says.contains("too deep"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn nothing_of_a_file_can_stop_the_reader(text in "([a-z&*<>:,\\[\\]{}!|%@#?\"'\\\\ \n\t-]|\u{85}|\u{feff}|é){0,120}") {
            let _ = parse(&text, 0);
        }
    }
}
