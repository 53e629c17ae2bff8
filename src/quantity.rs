//! Kubernetes quantities: `500m`, `1.5Gi`, `1e3`, `0.5`. Exact, in nano units. Pure.
//!
//! Notation and canonical form follow apimachinery's `resource.Quantity`: a binary suffix stays binary.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul};

/// An amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nano: i128,
    binary: bool,
}

const NANO: i128 = 1_000_000_000;
const BINARY: &[(&str, i128)] = &[
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];
/// Suffix and power of ten of its nano units.
const DECIMAL: &[(&str, u32)] = &[
    ("E", 27),
    ("P", 24),
    ("T", 21),
    ("G", 18),
    ("M", 15),
    ("k", 12),
    ("", 9),
    ("m", 6),
    ("u", 3),
    ("n", 0),
];

impl Quantity {
    /// Reads a quantity; none when it is not one, or beyond all measure.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = digits
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(digits.len());
        let (number, suffix) = digits.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30
        {
            return None;
        }
        let (numerator, denominator) =
            if let Some((_, factor)) = BINARY.iter().find(|(name, _)| *name == suffix) {
                (factor.checked_mul(NANO)?, 1)
            } else {
                power(exponent(suffix)?)?
            };
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = 10_i128
            .checked_pow(u32::try_from(fraction.len()).ok()?)?
            .checked_mul(denominator)?;
        let value = mantissa.checked_mul(numerator)?;
        // What is smaller than a nano unit is rounded up, as the API server does.
        let nano = sign * (value.checked_add(scale - 1)? / scale);
        Some(Self {
            nano,
            binary: suffix.ends_with('i'),
        })
    }

    /// A whole number.
    pub fn whole(number: i64) -> Self {
        Self {
            nano: i128::from(number) * NANO,
            binary: false,
        }
    }

    /// So many mebibytes.
    pub fn mebibytes(number: i64) -> Self {
        Self {
            nano: i128::from(number) * (1 << 20) * NANO,
            binary: true,
        }
    }

    /// As a number of whole units.
    // Beyond 2^53 nano units the last digits are lost, as in every JSON reader.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        let whole = (self.nano / NANO) as f64;
        let nano = (self.nano % NANO) as f64;
        whole + nano / 1e9
    }

    /// The amount in one notation, whatever it was written in.
    pub fn canonical(self) -> String {
        let plain = Self {
            binary: false,
            ..self
        };
        plain.to_string()
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }
}

/// The power of ten that a decimal suffix, or an exponent, stands for.
fn exponent(suffix: &str) -> Option<i64> {
    if let Some((_, nano)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(i64::from(*nano));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent.abs() <= 18).then_some(exponent + 9)
}

/// Ten to a power, as a fraction.
fn power(exponent: i64) -> Option<(i128, i128)> {
    let power = 10_i128.checked_pow(u32::try_from(exponent.abs()).ok()?)?;
    Some(if exponent >= 0 {
        (power, 1)
    } else {
        (1, power)
    })
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_add(other.nano),
            binary: self.binary || other.binary,
        }
    }
}

impl Mul<i64> for Quantity {
    type Output = Self;

    fn mul(self, times: i64) -> Self {
        Self {
            nano: self.nano.saturating_mul(i128::from(times)),
            ..self
        }
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nano = self.nano;
        if nano == 0 {
            return f.write_str("0");
        }
        let whole = nano / NANO;
        let fits = |factor: &i128| nano % NANO == 0 && whole % factor == 0;
        if self.binary
            && let Some((suffix, factor)) = BINARY.iter().find(|(_, factor)| fits(factor))
        {
            return write!(f, "{}{suffix}", whole / factor);
        }
        // Plain numbers stay plain unless they are fractions.
        let plain = if self.binary { &DECIMAL[6..] } else { DECIMAL };
        let (suffix, factor) = plain
            .iter()
            .map(|(suffix, power)| (suffix, 10_i128.pow(*power)))
            .find(|(_, factor)| nano % factor == 0)
            .unwrap_or((&"n", 1));
        write!(f, "{}{suffix}", nano / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_notation_is_read_and_written_canonically() {
        for (text, expected) in [
            ("1", "1"),
            ("0.5", "500m"),
            ("500m", "500m"),
            ("1500m", "1500m"),
            (".5", "500m"),
            ("2.", "2"),
            ("1e3", "1k"),
            ("1E3", "1k"),
            ("12e-1", "1200m"),
            ("1000", "1k"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("0.1Ki", "102400m"),
            ("1M", "1M"),
            ("100n", "100n"),
            ("0.1n", "1n"),
            ("-2Ki", "-2Ki"),
            ("+3", "3"),
            ("0", "0"),
            ("8E", "8E"),
        ] {
            assert_eq!(
                Quantity::parse(text).expect(text).to_string(),
                expected,
                "{text}"
            );
        }
        for bad in [
            "",
            "x",
            "1x",
            "1.2.3",
            "1e",
            "1e999",
            "Gi",
            "--1",
            "1 Gi",
            "9".repeat(60).as_str(),
        ] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_same_amount_has_one_notation() {
        let canonical = |text: &str| Quantity::parse(text).map(Quantity::canonical);
        for (a, b) in [
            ("1Gi", "1073741824"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Ki", "1Mi"),
        ] {
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
        assert_ne!(canonical("1G"), canonical("1Gi"));
    }

    #[test]
    fn sums_and_products_are_exact() {
        let q = |text: &str| Quantity::parse(text).expect("a quantity");
        assert_eq!((q("100m") + q("0.9")).to_string(), "1");
        assert_eq!((q("1Gi") + q("512Mi")).to_string(), "1536Mi");
        assert_eq!((q("250m") * 3).to_string(), "750m");
        assert_eq!((q("1Gi") + q("1M")).to_string(), "1074741824");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_what_is_written_is_read_back(text in "[-+]?[0-9.]{0,12}[a-zA-Z]{0,3}[0-9]{0,2}") {
            if let Some(quantity) = Quantity::parse(&text) {
                let again = Quantity::parse(&quantity.to_string()).expect("written by us");
                prop_assert_eq!(again.nano, quantity.nano);
            }
        }
    }
}
