//! The text that `tieline statement new` writes: complete, and right as it stands but for what it names.

pub(super) fn statement(now: jiff::Timestamp) -> String {
    let day = |at: jiff::Timestamp| at.strftime("%Y-%m-%d").to_string();
    let from = day(now);
    let to = day(now + jiff::SignedDuration::from_hours(24 * 364));
    format!(
        r#"# An end-use statement: what a party signs about what it is and does. `tieline statement sign` checks and signs it,
# `tieline statement add` records it. It lasts twelve months at most, and can be revoked.

t = "tieline/statement/v1"
id = "example-end-use-2026"       # lower-case letters, digits and `-`
kind = "end-use"                  # the name by which rules ask for it: end-use, academic-end-use, …
version = 1                       # a later version of it replaces it
party = "p_0123456789abcdef"      # the one party for which it speaks
valid_from = {from}
valid_to = {to}
# note = "For our own people."

[signer]                          # who signs, in the name of the institution
name = "A. Dean"
role = "Dean of Research"

[institution]
name = "Example University"
# lei = "529900T8BM49AURSDO55"    # ISO 17442
# ror = "05a28rw58"               # Research Organization Registry

[project]
purpose = "Study of languages."   # in a sentence
# field = "linguistics"
# investigator = "B. Example"
# sponsor = "Example Foundation"
# publication = "intended"        # intended, restricted or none

# [persons]                       # whose calls it covers: a number and classes, never names
# count = 12
# classes = ["us_person"]

# [scope]                         # what it is about; what is absent restricts nothing
# models = ["model-name"]
# end_uses = ["research"]

[undertakings]                    # each must be promised
no_diversion_to = ["us-ear/d5"]   # sets of countries
no_military_or_surveillance = true
no_onward_transfer = true
"#
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    #[test]
    fn the_template_is_a_statement() {
        let text = super::statement("2026-06-12T17:21:00Z".parse().unwrap());
        let opened = tieline_policy::Statement::open(&Arc::from("new.toml"), &text, &[], Some("a"));
        assert_eq!(opened.map(|statement| statement.kind), Ok(Arc::from("end-use")));
    }
}
