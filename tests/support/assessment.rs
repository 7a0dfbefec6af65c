//! What `netrng assess` prints.

/// The number at the head of what follows `label`; digits are grouped.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn number(text: &str, label: &str) -> u64 {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in\n{text}"));
    let head = rest.trim_start().chars().take_while(|c| !c.is_alphabetic() && *c != '(');
    let digits: String = head.filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {label:?} in\n{text}"))
}

/// Each line of the table is nine tenths of the rate, divided by the guarantee.
///
/// # Panics
/// If one is not.
#[track_caller]
pub fn check_table(printed: &str, rate: u64) {
    let lines: Vec<_> = printed.lines().filter(|line| line.contains("at guarantee")).collect();
    assert!(lines.len() >= 4, "{printed}");
    for line in lines {
        let clients = number(line, "");
        let guarantee = number(line, "guarantee = \"");
        assert_eq!(clients, rate * 9 / 10 / guarantee, "{line} at {rate} bytes/s");
    }
}
