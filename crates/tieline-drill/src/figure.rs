//! A measured or computed number that is no money and decides nothing, with four significant digits: `2.041e-3`. As text it
//! is the same on every machine, compares equal to itself, and keeps what is small apart from zero.

use schemars::JsonSchema;
use serde::Serialize;

/// A number as a decimal string, such as `2.041e-3`; `0` is exactly zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Figure(String);

impl Figure {
    /// Rounds to four significant digits. What is above zero stays so.
    pub(crate) fn new(value: f64) -> Self {
        if value == 0.0 {
            return Self("0".to_owned());
        }
        Self(format!("{value:.3e}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn value(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// As a share in per cent with three significant digits, without an exponent down to a billionth of a per cent.
    pub(crate) fn percent(&self) -> String {
        let percent = self.value() * 100.0;
        if percent == 0.0 {
            return "0 %".to_owned();
        }
        if percent < 1e-9 {
            return format!("{percent:.0e} %");
        }
        format!("{} %", digits(percent))
    }

    /// A share of the time as what it comes to in a year.
    pub(crate) fn a_year(&self) -> String {
        let hours = self.value() * 8_766.0;
        let (amount, unit) = match hours {
            _ if hours >= 48.0 => (hours / 24.0, "days"),
            _ if hours >= 1.0 => (hours, "h"),
            _ if hours * 60.0 >= 1.0 => (hours * 60.0, "min"),
            _ if hours * 3_600.0 >= 0.1 => (hours * 3_600.0, "s"),
            _ => return "under 0.1 s a year".to_owned(),
        };
        format!("{} {unit} a year", tenths(amount))
    }

    /// With three significant digits.
    pub(crate) fn short(&self) -> String {
        let value = self.value();
        if value == 0.0 {
            "0".to_owned()
        } else {
            digits(value)
        }
    }
}

/// Three significant digits, without trailing zeros after the point.
fn digits(value: f64) -> String {
    let scientific = format!("{value:.2e}");
    let exponent: i32 = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse().ok())
        .unwrap_or_default();
    let places = usize::try_from(2 - exponent).unwrap_or_default();
    without_zeros(&format!("{value:.places$}"))
}

fn tenths(value: f64) -> String {
    without_zeros(&format!("{value:.1}"))
}

fn without_zeros(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let check = |value, text: &str, percent: &str, year: &str| {
            let figure = Figure::new(value);
            let said = (figure.as_str(), &*figure.percent(), &*figure.a_year());
            assert_eq!(said, (text, percent, year), "{value}");
        };
        check(0.0, "0", "0 %", "under 0.1 s a year");
        check(1.0, "1.000e0", "100 %", "365.2 days a year");
        check(0.123_44, "1.234e-1", "12.3 %", "45.1 days a year");
        check(0.002_041_3, "2.041e-3", "0.204 %", "17.9 h a year");
        check(1e-6, "1.000e-6", "0.0001 %", "31.6 s a year");
        check(4.6e-5, "4.600e-5", "0.0046 %", "24.2 min a year");
        check(1e-15, "1.000e-15", "1e-13 %", "under 0.1 s a year");
        let short = |value| Figure::new(value).short();
        assert_eq!(
            (short(1_234.0), short(1.0), short(0.012_34)),
            ("1234".into(), "1".into(), "0.0123".into())
        );
    }
}
