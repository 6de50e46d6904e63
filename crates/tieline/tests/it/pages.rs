//! `--html FILE` of drills: a page beside what is printed, over nothing that is no page, and with a banner where the ledger
//! does not verify.

use serde_json::Value;

use crate::damage;
use crate::drilling::OFFERS;
use crate::folder::{Folder, tieline};

/// A folder with six calls in its ledger.
fn with_calls() -> Folder {
    let folder = Folder::new();
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
        server.messages().must_be(200);
    }
    server.stop();
    folder
}

/// The page, which must be one.
#[track_caller]
fn page(folder: &Folder, name: &str) -> String {
    let page = folder.read(name);
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\""), "{page}");
    assert!(page.ends_with("</html>\n") && !page.contains("<script") && !page.contains(" src="));
    page
}

/// Each of these sections is there, and an id stands for one place.
#[track_caller]
fn has_once(page: &str, sections: &[&str]) {
    for id in sections {
        let section = format!("<section id=\"{id}\"");
        assert_eq!(page.matches(&section).count(), 1, "{id}");
    }
    let ids = page.split(" id=\"").skip(1);
    let ids: Vec<&str> = ids.map(|rest| rest.split('"').next().unwrap()).collect();
    let different: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "{ids:?}");
}

#[test]
fn a_page_and_its_receipt_are_left_where_nobody_reads_what_is_printed() {
    let folder = with_calls();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = tieline();
    command.current_dir(folder.path()).stdout(writer);
    let args = ["--dir", ".", "drill", "n-1", "--html", "n-1.html"];
    let done = command.args(args).output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    page(&folder, "n-1.html");
    let receipt = folder.json(&["drill", "receipts", "last"]);
    assert_eq!(receipt["receipt"]["command"], "n-1");
}

#[test]
fn a_page_beside_what_is_printed() {
    let folder = with_calls();
    folder.text(&["directive", "new", "letter.toml"]);
    let scenario = "id = \"mine\"\ntitle = \"East & west\"\n[[event]]\nfor = \"1h\"\n\
                    out = { component = \"cloud:east\", how = \"errors\" }\n";
    folder.write("mine.toml", scenario);
    let runs: [(&[&str], &str); 5] = [
        (&["drill", "n-1"], "Each of "),
        (&["drill", "n-2"], "Every pair of "),
        (&["drill", "scenario", "mine.toml"], "“East &amp; west” would "),
        (&["drill", "directive", "letter.toml"], "<h1>Directive "),
        (
            &["drill", "year", "--runs", "20"],
            "20 years of outages drawn from priors",
        ),
    ];
    for (args, says) in runs {
        let plain = folder.json(&[args, &["--no-receipt"]].concat());
        let with = [args, &["--no-receipt", "--html", "page.html"]].concat();
        assert_eq!(folder.json(&with), plain, "the page changes nothing of {args:?}");
        let first = page(&folder, "page.html");
        assert!(first.contains(says), "{args:?}");
        assert!(!first.contains("Unverified"));
        folder.json(&with);
        assert_eq!(
            page(&folder, "page.html"),
            first,
            "{args:?} twice is the same page"
        );
    }
}

/// The board's page has every part, and each part is what its own command makes, with its receipt.
#[test]
fn a_page_of_everything() {
    let folder = with_calls();
    folder.write(
        "mine.toml",
        "id = \"mine\"\ntitle = \"East & west\"\n[[event]]\nfor = \"1h\"\n\
         out = { component = \"cloud:east\", how = \"errors\" }\n",
    );
    folder.write("offers.toml", OFFERS);
    let board = [
        "drill",
        "board",
        "--runs",
        "20",
        "--scenario",
        "mine.toml",
        "--catalogue",
        "offers.toml",
    ];
    let report = folder.json(&[&board[..], &["--html", "board.html"]].concat());
    assert_eq!(report["schema"], "tieline/drill-board/v1");
    let ids = [
        "grid",
        "losses",
        "people",
        "supply",
        "scenarios",
        "courses",
        "years",
        "causes",
        "episodes",
        "plan",
        "sources",
    ];
    has_once(&page(&folder, "board.html"), &ids);

    let parts: [(&str, &[&str]); 4] = [
        ("n_1", &["drill", "n-1"]),
        ("scenarios", &["drill", "scenario", "mine.toml"]),
        ("year", &["drill", "year", "--runs", "20"]),
        ("plan", &["drill", "plan", "--catalogue", "offers.toml"]),
    ];
    let receipts = |folder: &Folder| -> Vec<[Value; 4]> {
        let said = folder.text(&["--dir", ".", "--json", "drill", "receipts"]);
        let rows = said
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| ["command", "result", "arguments", "seed"].map(|name| row["receipt"][name].clone()))
            .collect()
    };
    let left = receipts(&folder);
    assert_eq!(left.len(), 4);
    assert!(left.iter().all(|[_, result, ..]| result.is_string()), "{left:?}");
    for (part, command) in parts {
        assert_eq!(folder.json(command), report[part], "{part}");
    }
    assert_eq!(
        receipts(&folder).split_at(4),
        (&left[..], &left[..]),
        "the same receipts"
    );
    let text = folder.text(&[&["--dir", "."][..], &board, &["--no-receipt"]].concat());
    assert!(text.contains("# What to buy"), "{text}");
}

#[test]
fn a_page_costs_no_file_that_is_none() {
    let folder = with_calls();
    let before = folder.read("tieline.toml");
    let said = folder.fails(&["drill", "n-1", "--html", "tieline.toml"]);
    assert!(
        said.contains("tieline.toml is there and is no page of a drill"),
        "{said}"
    );
    assert_eq!(folder.read("tieline.toml"), before);
    let said = folder.fails(&["drill", "n-1", "--html", "nowhere/page.html"]);
    assert!(said.contains("nowhere is no folder"), "{said}");
    let said = folder.fails(&["drill", "scenario", "--list", "--html", "page.html"]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn a_ledger_that_does_not_verify_has_a_banner() {
    let folder = with_calls();
    damage::change(&folder.at("ledger.db"), "tieline/outcome/v", |_| b'0');
    for args in [&["drill", "n-1"][..], &["drill", "n-2"]] {
        folder.fails(&[args, &["--html", "page.html"]].concat());
        assert!(!folder.at("page.html").exists(), "what is refused has no page");
        folder.json(&[args, &["--unverified", "--html", "page.html"]].concat());
        let page = page(&folder, "page.html");
        assert!(page.contains("<strong>Unverified</strong>"));
        assert!(page.contains("The ledger does not verify"), "{args:?}");
        std::fs::remove_file(folder.at("page.html")).unwrap();
    }
}
