//! The figures as JSON (RFC 8259): one object, a line.

use super::snapshot::{Row, Snapshot, Value};
use std::time::Duration;

/// All of it.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut out = String::from("{\"role\":");
    push_text(snapshot.role, &mut out);
    for section in &snapshot.sections {
        out.push(',');
        push_text(section.key, &mut out);
        let many = section.key != section.name;
        out.push_str(if many { ":[" } else { ":" });
        for (index, row) in section.rows.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_object(row, &mut out);
        }
        if many {
            out.push(']');
        }
    }
    out.push_str("}\n");
    out
}

fn push_object(row: &Row, out: &mut String) {
    let mut before = '{';
    for (key, value) in &row.0 {
        push_key(&mut before, key, out);
        push_value(value, out);
    }
    out.push('}');
}

fn push_key(before: &mut char, key: &str, out: &mut String) {
    out.push(std::mem::replace(before, ','));
    push_text(key, out);
    out.push(':');
}

fn push_value(value: &Value, out: &mut String) {
    match value {
        Value::Count(number) | Value::Gauge(Some(number)) => push_number(*number, out),
        Value::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Age(Some(age)) => push_seconds(*age, out),
        Value::Permille(part) => push_seconds(Duration::from_millis(*part), out),
        Value::Word(text) | Value::Note(text) if !text.is_empty() => push_text(text, out),
        Value::Gauge(None) | Value::Age(None) | Value::Word(_) | Value::Note(_) => {
            out.push_str("null");
        }
        Value::Counts(_, counts) => {
            let mut before = '{';
            for (key, count) in counts {
                push_key(&mut before, key, out);
                push_number(*count, out);
            }
            out.push_str(if counts.is_empty() { "{}" } else { "}" });
        }
        Value::List(numbers) => {
            let mut before = '[';
            for number in numbers {
                out.push(std::mem::replace(&mut before, ','));
                push_number(*number, out);
            }
            out.push_str(if numbers.is_empty() { "[]" } else { "]" });
        }
    }
}

/// Appends a number's digits.
pub(super) fn push_number(number: u64, out: &mut String) {
    out.push_str(&number.to_string());
}

/// Appends seconds, to the millisecond.
pub(super) fn push_seconds(span: Duration, out: &mut String) {
    push_number(span.as_secs(), out);
    let millis = span.subsec_millis();
    if millis > 0 {
        out.push('.');
        out.push_str(&(1000 + millis).to_string()[1..]);
    }
}

/// Texts have no control characters.
fn push_text(text: &str, out: &mut String) {
    out.push('"');
    push_quoted(text, out);
    out.push('"');
}

/// Appends a text that stands in double quotes; for Prometheus it is the same.
pub(super) fn push_quoted(text: &str, out: &mut String) {
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
}
