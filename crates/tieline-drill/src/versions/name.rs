//! The version that a model's name tells: a date (`claude-sonnet-4-5-20250929`, `gpt-4o-2024-08-06`), else a last part of
//! four digits (`deepseek-v3-0324`, `mistral-large-2411`), which labs use for a month and a day or a year and a month.

/// The version in a name; `None` if it tells none.
pub(super) fn version_in(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let whole = parts.iter().find_map(|part| {
        let (year, rest) = part.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        date(year, month, day)
    });
    let in_parts = || {
        parts.windows(3).find_map(|three| match three {
            [year, month, day] => date(year, month, day),
            _ => None,
        })
    };
    let number = || {
        // Behind it may stand a revision (`-v1:0`) or a way of serving it (`-instruct`), which have other lengths. A power
        // of two is how many tokens fit.
        let is_version = |part: &&&str| {
            let digits = part.len() == 4 && part.bytes().all(|b| b.is_ascii_digit());
            digits && part.parse::<u32>().is_ok_and(|number| !number.is_power_of_two())
        };
        let last = parts.iter().skip(1).rev().find(is_version);
        last.map(ToString::to_string)
    };
    whole.or_else(in_parts).or_else(number)
}

/// A day of this century, as `2025-09-29`.
fn date(year: &str, month: &str, day: &str) -> Option<String> {
    let number = |text: &str, length: usize| -> Option<u32> {
        let is_number = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let (y, m, d) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let is_date = (2_000..2_100).contains(&y) && (1..=12).contains(&m) && (1..=31).contains(&d);
    is_date.then(|| format!("{year}-{month}-{day}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_several_operators() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(version_in(name).as_deref(), expected, "{name}");
        };
        check("claude-sonnet-4-5-20250929", Some("2025-09-29"));
        check("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Some("2025-09-29"));
        check("claude-sonnet-4-5@20250929", Some("2025-09-29"));
        check("gpt-4o-2024-08-06", Some("2024-08-06"));
        check("azureml://gpt-4o/2024-11-20", Some("2024-11-20"));
        check("deepseek-v3-0324", Some("0324"));
        check("mistral-large-2411", Some("2411"));
        check("kimi-k2-0711-preview", Some("0711"));
        check("claude-sonnet-5", None);
        check("us.anthropic.claude-sonnet-5-v1:0", None);
        check("mistral-large-latest", None);
        check("my-deployment", None);
        check("llama-3.1-405b", None);
        check("llama3-70b-8192", None);
        check("model-+123", None);
        check("model-20259999", None);
        check("model-2025-13-01", Some("2025"));
        check("2411", None);
        check("", None);
        check("é-20250929", Some("2025-09-29"));
    }
}
