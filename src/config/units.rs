//! Sizes, rates, times and numbers as people write them: "2 KiB", "10 kB/s", "250 ms", 0.9.
//!
//! Owns the unit names and their factors, both ways. It does not know which key wants what,
//! nor what is allowed there.

use std::time::Duration;

/// A unit's name and what one of it is, in the smallest unit of its list.
type Units = [(&'static str, u64)];

/// In bytes. `k` and `M` are decimal as in SI, `Ki` and `Mi` binary as in IEC 80000-13.
const SIZES: &Units = &[
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// In milliseconds.
const TIMES: &Units = &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

/// How a size is written, for error messages.
pub const SIZE_FORM: &str = "write it as \"64 B\", \"10 kB\" or \"2 KiB\"";
/// How a rate is written, for error messages.
pub const RATE_FORM: &str = "write it as \"500 B/s\", \"10 kB/s\" or \"2 KiB/s\"";
/// How a time is written, for error messages.
pub const TIME_FORM: &str = "write it as \"250 ms\", \"5 s\", \"2 min\" or \"1 h\"";

/// Bytes from a text such as "2 KiB"; a bare number is bytes. `None` if it is not a size, not
/// a whole number of bytes, or beyond 64 bits.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    whole(number, factor(unit, SIZES)?)
}

/// Bytes per second from a text such as "10 kB/s"; a bare number is bytes per second. `None`
/// as for [`parse_size`].
pub fn parse_rate(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let unit = if unit.is_empty() { "B" } else { unit.strip_suffix("/s")? };
    whole(number, factor(unit, SIZES)?)
}

/// A time from a text such as "250 ms"; the unit is never left out. `None` if it is not a
/// time or not a whole number of milliseconds.
pub fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text);
    whole(number, factor(unit, TIMES)?).map(Duration::from_millis)
}

/// A number as TOML writes it, "0.9" or "9e-1": the nearest float if it has at most 15 digits,
/// else one beside it. (The standard library's `parse` always has the nearest: 15 kB of code and
/// tables.) `None` for one with a minus, "inf" and "nan".
pub fn parse_number(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let integer = integer.strip_prefix('+').unwrap_or(integer);
    let exponent =
        exponent.parse::<i32>().ok()?.checked_sub_unsigned(fraction.len().try_into().ok()?)?;
    let mut number = 0.0;
    for digit in integer.chars().chain(fraction.chars()) {
        number = number * 10.0 + f64::from(digit.to_digit(10)?);
    }
    let scale = 10_f64.powi(exponent.saturating_abs());
    Some(if exponent < 0 { number / scale } else { number * scale })
}

/// The shortest exact text: "2 KiB", "10 kB", "2500 B".
pub fn show_size(bytes: u64) -> String {
    show(bytes, SIZES)
}

/// As [`show_size`], per second.
pub fn show_rate(bytes_per_s: u64) -> String {
    show(bytes_per_s, SIZES) + "/s"
}

/// The shortest exact text, to the millisecond: "5 s", "1500 ms".
pub fn show_time(time: Duration) -> String {
    show(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), TIMES)
}

/// Number and unit; there may be spaces between them.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn factor(unit: &str, units: &Units) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

/// `number` × `factor` if that is whole: "1.5" × 1000 is, "1.5" × 1 is not. Whole numbers
/// only, so that nothing is rounded.
fn whole(number: &str, factor: u64) -> Option<u64> {
    let (integer, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(factor)?;
    if part % scale != 0 {
        return None;
    }
    integer.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(part / scale)
}

/// In the unit that gives the smallest whole number.
fn show(amount: u64, units: &Units) -> String {
    let fits = |&&(_, factor): &&(&str, u64)| amount != 0 && amount % factor == 0;
    let (name, factor) = units.iter().filter(fits).max_by_key(|unit| unit.1).unwrap_or(&units[0]);
    format!("{} {name}", amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_read_as_written() {
        for text in ["8", "+8", "0.25", "0.9", "0.1", "7.5e-1", "80E-1", "0.008e+3", "1e22", "0"] {
            assert_eq!(parse_number(text), text.parse().ok(), "{text}");
        }
        let long = parse_number("0.90000000000000000000000000001").unwrap();
        assert!((long - 0.9).abs() < 1e-15, "{long}");
        for text in ["-1", "inf", "nan", "+-1", "1.5.2", "1e", "1e9999999999", "0x10", "8 B"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_rates_and_times_read_as_written() {
        for (text, bytes) in [
            ("2 KiB", 2048),
            ("2048", 2048),
            ("64 B", 64),
            ("10 kB", 10_000),
            ("1MiB", 1 << 20),
            ("  0.5 KiB ", 512),
            ("1.50 kB", 1500),
            ("0 B", 0),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        assert_eq!(parse_rate("10 kB/s"), Some(10_000));
        assert_eq!(parse_rate("2KiB/s"), Some(2048));
        assert_eq!(parse_rate("500"), Some(500));
        assert_eq!(parse_time("250 ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_time("1.5 s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_time("2 min"), Some(Duration::from_secs(120)));
        assert_eq!(parse_time("1 h"), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_not_exact_or_not_a_unit_is_refused() {
        for text in ["", "KiB", "2 kb", "2 KB", "1.5 B", "-1 B", "1e3", "1.2.3 B", ". B", "2 B B"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        assert_eq!(parse_size("99999999999999999999"), None);
        assert_eq!(parse_size("18446744073709551615 GiB"), None);
        assert_eq!(parse_size("0.00000000000000000000001 GiB"), None);
        for text in ["10 kB", "10/s", "10 kB/min", "10 kB / s"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
        for text in ["5", "0", "5 sec", "5 S", "0.1 ms", "1 d"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn texts_are_the_shortest_exact_ones() {
        assert_eq!(show_size(2048), "2 KiB");
        assert_eq!(show_size(10_000), "10 kB");
        assert_eq!(show_size(2500), "2500 B");
        assert_eq!(show_size(0), "0 B");
        assert_eq!(show_rate(128_000), "125 KiB/s");
        assert_eq!(show_time(Duration::from_secs(60)), "1 min");
        assert_eq!(show_time(Duration::from_millis(1500)), "1500 ms");
    }

    proptest! {
        #[test]
        fn numbers_of_15_digits_are_exact(digits in 0..1_000_000_000_000_000_u64, places in 0..15) {
            let text = format!("{digits}e-{places}");
            prop_assert_eq!(parse_number(&text), text.parse().ok());
        }

        #[test]
        fn what_is_shown_reads_back(amount in any::<u64>(), shift in 0u32..64) {
            let amount = amount >> shift;
            prop_assert_eq!(parse_size(&show_size(amount)), Some(amount));
            prop_assert_eq!(parse_rate(&show_rate(amount)), Some(amount));
            let time = Duration::from_millis(amount);
            prop_assert_eq!(parse_time(&show_time(time)), Some(time));
        }

        #[test]
        fn no_text_is_too_odd(text in "[0-9. a-zA-Z/\u{e4}]{0,30}") {
            let _ = (parse_size(&text), parse_rate(&text), parse_time(&text));
        }
    }
}
