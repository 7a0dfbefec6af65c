//! Figures as people read them: grouped digits, rates, ages.

use std::fmt;
use std::time::Duration;

/// Digits in groups of three.
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        f.pad(&grouped)
    }
}

/// A number with one decimal, if it is given in tenths and small; else without.
fn with_tenth(tenths: u64) -> String {
    let mut text = (tenths / 10).to_string();
    if tenths < 1000 {
        text.push('.');
        text.push_str(&(tenths % 10).to_string());
    }
    text
}

/// A size to three digits: "812 B", "10.2 kB", "204 MB". Units are decimal.
pub fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return bytes.to_string() + " B";
    }
    let mut tenths = bytes / 100 + u64::from(bytes % 100 >= 50);
    let mut unit = 0;
    while tenths >= 9_995 {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    // 64 bits end with exabytes.
    with_tenth(tenths) + [" kB", " MB", " GB", " TB", " PB", " EB"][unit]
}

/// The same per second.
pub fn rate(bytes_per_s: u64) -> String {
    size(bytes_per_s) + "/s"
}

/// A time in its two largest units: "3 d 4 h", "12 s".
pub fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, " d"), (3600, " h"), (60, " min"), (1, " s")];
    let largest = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(3);
    let (length, unit) = units[largest];
    let text = (seconds / length).to_string() + unit;
    match units.get(largest + 1) {
        Some((small, unit)) if seconds % length >= *small => {
            text + " " + &(seconds % length / small).to_string() + unit
        }
        _ => text,
    }
}

/// Without what a terminal or a line format would take for more than text.
pub fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The texts before and after the first `mark`. Not inlined, as the standard library's own would
/// be: each search is long.
#[inline(never)]
pub fn cut<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    text.split_once(mark)
}

/// Up to the first `mark`, and what follows it, if anything does.
pub fn until<'t>(text: &'t str, mark: &str) -> (&'t str, &'t str) {
    cut(text, mark).unwrap_or((text, ""))
}

/// Appends texts.
#[inline(never)]
pub fn push(out: &mut String, texts: &[&str]) {
    texts.iter().for_each(|text| out.push_str(text));
}

/// Thousandths as a percentage: "33.3 %".
pub fn percent(permille: u64) -> String {
    with_tenth(permille) + " %"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let text: Vec<_> = [0, 999, 1000, 1_234_567].map(|n| Grouped(n).to_string()).into();
        assert_eq!(text, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (10_172, "10.2 kB"),
            (99_949, "99.9 kB"),
            (123_456, "123 kB"),
            (999_400, "999 kB"),
            (999_999, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shares_have_one_decimal_below_the_whole() {
        let texts = [0, 5, 333, 999, 1000].map(percent);
        assert_eq!(texts, ["0.0 %", "0.5 %", "33.3 %", "99.9 %", "100 %"]);
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (7_380, "2 h 3 min"),
            (3_605, "1 h"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
