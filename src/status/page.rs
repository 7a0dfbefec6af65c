//! The figures as a page for browsers, live with a little JavaScript, and as it is without.
//!
//! The script fetches this same page and puts its `main` in the place of the one it stands in:
//! there is one rendering, and what is shown without the script is what is shown with it.

use super::snapshot::{Row, Snapshot, Value};
use super::template::fill;
use super::words::{push, rate};

const TEMPLATE: &str = include_str!("page.html");

/// HTTP headers by which a browser lets nothing but that one style and that one script act here,
/// and nobody frame the page. The hashes are of `page.html`'s, and a test computes them.
pub const SECURITY: &str = "Content-Security-Policy: default-src 'none'; connect-src 'self'; \
    style-src 'sha256-YKqwwCVr9hi6J2EawfIIlqKhLfp+pmd1ZYgGyAUNHms='; \
    script-src 'sha256-XaC2lCDdmaQiBiaWwZFWEcGUSmuqeqFU2DLudFdUbTk='; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n";

/// Height of the drawing, in units of its own.
const HEIGHT: u64 = 1000;

/// The page.
pub(super) fn render(snapshot: &Snapshot) -> String {
    fill(TEMPLATE, snapshot, &chart(snapshot), "", true)
}

/// The source's rate over time, and what it can give if that is near.
fn chart(snapshot: &Snapshot) -> Row {
    let number = |key| match snapshot.get(key) {
        Some(Value::Gauge(Some(number))) => *number,
        _ => 0,
    };
    let mut rates = match snapshot.get("rate_history") {
        Some(Value::List(rates)) => rates.clone(),
        _ => Vec::new(),
    };
    rates.push(number("rate_bytes_per_second"));
    let capacity = number("capacity_bytes_per_second");
    let most = rates.iter().copied().max().unwrap_or(0);
    let is_near = capacity / 4 <= most || most == 0;
    let top = round_up(if is_near { most.max(capacity) } else { most });
    // Below the top, so that the product is no longer than the largest rate times a thousand.
    let height = |bytes: u64| (HEIGHT - bytes.saturating_mul(HEIGHT) / top.max(1)).to_string();
    // From the present to the left, as far back as the daemon was there.
    let mut line = String::new();
    for (x, bytes) in rates.iter().rev().enumerate() {
        push(&mut line, &[if x == 0 { "M-" } else { "L-" }, &x.to_string(), " ", &height(*bytes)]);
    }
    let round = |bytes| rate(bytes).replace(".0 ", " ");
    let mut row = Row::default();
    row.note("chart_line", &line);
    row.note("chart_top", &round(top));
    row.note("chart_half", &round(top / 2));
    if capacity > 0 && is_near {
        row.note("chart_capacity", &height(capacity));
    }
    row
}

/// The next of 10, 20, 50, 100 ... that is not less.
fn round_up(bytes: u64) -> u64 {
    let mut unit: u64 = 10;
    loop {
        for times in [1, 2, 5] {
            let top = unit.saturating_mul(times);
            if top >= bytes {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_a_round_number() {
        for (most, top) in [(0, 10), (10, 10), (11, 20), (21, 50), (51, 100), (10_172, 20_000)] {
            assert_eq!(round_up(most), top, "{most}");
        }
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_chart_goes_back_from_the_present() {
        let mut source = Row::default();
        source.put("rate_history", Value::List(vec![0, 5]));
        source.gauge("rate_bytes_per_second", 10);
        source.gauge("capacity_bytes_per_second", 8);
        let row = chart(&Snapshot::of_server(Row::default(), source, Vec::new()));
        let note = |text: &str| Some(Value::Note(text.into()));
        assert_eq!(row.get("chart_line").cloned(), note("M-0 0L-1 500L-2 1000"));
        assert_eq!(row.get("chart_capacity").cloned(), note("200"));
        assert_eq!(row.get("chart_top").cloned(), note("10 B/s"));
    }
}
