//! The figures as Prometheus's text format 0.0.4.
//!
//! A figure that is not known or never happened has no sample; a word becomes a label of a
//! metric that is always 1.

use super::json::{push_number, push_quoted, push_seconds};
use super::snapshot::{Row, Section, Snapshot, Value};
use super::words::push;

/// All of it.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    for section in &snapshot.sections {
        let columns = section.rows.first().map_or(0, |row| row.0.len());
        // All samples of a metric stand together, so column by column.
        (0..columns).for_each(|column| push_metric(section, column, &mut out));
    }
    out
}

fn push_metric(section: &Section, column: usize, out: &mut String) {
    let mut name = ["netrng_", section.name, "_"].concat();
    for (index, row) in section.rows.iter().enumerate() {
        let Some((key, value)) = row.0.get(column) else { return };
        if index == 0 {
            let (kind, suffix) = match value {
                Value::Count(_) | Value::Counts(..) => ("counter", "_total"),
                Value::Word(_) => ("gauge", "_info"),
                Value::Note(_) | Value::Permille(_) | Value::List(_) => return,
                _ => ("gauge", ""),
            };
            let help = key.replace('_', " ");
            push(&mut name, &[key, suffix]);
            // What it means stands in docs/status.md.
            push(out, &["# HELP ", &name, " ", section.name, ": ", &help, "\n"]);
            push(out, &["# TYPE ", &name, " ", kind, "\n"]);
        }
        let own = (section.name != section.key).then_some(section.name);
        push_samples(&name, (own, row), (key, value), out);
    }
}

fn push_samples(
    name: &str,
    (own, row): (Option<&str>, &Row),
    (key, value): (&str, &Value),
    out: &mut String,
) {
    let mut number = String::new();
    match value {
        Value::Count(count) | Value::Gauge(Some(count)) => push_number(*count, &mut number),
        Value::Flag(flag) => push_number(u64::from(*flag), &mut number),
        Value::Age(Some(age)) => push_seconds(*age, &mut number),
        Value::Word(text) if !text.is_empty() => number.push('1'),
        Value::Counts(..) => {}
        _ => return,
    }
    let own = match (own, row.0.first()) {
        (Some(own), Some((_, Value::Note(name)))) => Some((own, name.as_str())),
        _ => None,
    };
    let mut sample = |label: Option<(&str, &str)>, number: &str| {
        out.push_str(name);
        let mut before = '{';
        for (label, text) in own.into_iter().chain(label) {
            out.push(std::mem::replace(&mut before, ','));
            push(out, &[label, "=\""]);
            push_quoted(text, out);
            out.push('"');
        }
        push(out, &[if before == ',' { "} " } else { " " }, number, "\n"]);
    };
    match value {
        Value::Counts(label, counts) => {
            for (text, count) in counts {
                sample(Some((label, text)), &count.to_string());
            }
        }
        Value::Word(text) => sample(Some((key, text)), &number),
        _ => sample(None, &number),
    }
}
