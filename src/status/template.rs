//! The figures in a text that says where each belongs: the table for terminals and the page.
//!
//! ```text
//! <%key%>            the fact, as people read it; <%key/r%> as a rate, /s a size, /n bare digits,
//!                    /b in thousandths of the highest rate of a row
//! <%?key%>A<%:%>B<%.%>   A if it is there and neither zero nor false, else B;
//! <%?key=words%>         if it reads so
//! <%*section%>A<%.%>     A for each row, whose facts come before all others
//! ```

use super::snapshot::{Row, Snapshot, Value};
use super::words::{Grouped, age, cut, percent, push, rate, size, until};

/// Fills `template`. `mark`: what stands where there is nothing. With `in_html`, texts are
/// escaped. `extra`: further facts.
pub(super) fn fill(
    template: &str,
    snapshot: &Snapshot,
    extra: &Row,
    mark: &'static str,
    in_html: bool,
) -> String {
    let mut highest = 1;
    for row in snapshot.sections.last().map_or(&[][..], |several| &several.rows) {
        if let Some(Value::Gauge(Some(rate))) = row.get("rate_bytes_per_second") {
            highest = highest.max(*rate);
        }
    }
    let mut filler = Filler { snapshot, mark, in_html, highest, out: String::new() };
    filler.block(template, extra, true);
    filler.out
}

struct Filler<'s> {
    snapshot: &'s Snapshot,
    mark: &'static str,
    in_html: bool,
    highest: u64,
    out: String,
}

impl<'s> Filler<'s> {
    /// One block, shown or passed over: what follows it, and whether that is its other half.
    fn block<'t>(&mut self, mut text: &'t str, row: &Row, shown: bool) -> (&'t str, bool) {
        while let Some((before, rest)) = cut(text, "<%") {
            self.push(before, shown);
            let (tag, rest) = until(rest, "%>");
            text = rest;
            match tag.as_bytes().first() {
                Some(b'.') => return (text, false),
                Some(b':') => return (text, true),
                Some(b'?') => {
                    let holds = self.holds(&tag[1..], row);
                    let (rest, has_other) = self.block(text, row, shown && holds);
                    text = rest;
                    if has_other {
                        text = self.block(text, row, shown && !holds).0;
                    }
                }
                Some(b'*') => {
                    let body = text;
                    text = self.block(body, row, false).0;
                    for row in self.rows(&tag[1..]) {
                        self.block(body, row, shown);
                    }
                }
                _ if shown => self.push_fact(tag, row),
                _ => {}
            }
        }
        self.push(text, shown);
        ("", false)
    }

    fn push(&mut self, text: &str, shown: bool) {
        if shown {
            self.out.push_str(text);
        }
    }

    fn rows(&self, key: &str) -> &'s [Row] {
        let section = self.snapshot.sections.iter().find(|section| section.key == key);
        section.map_or(&[], |section| &section.rows)
    }

    fn holds(&self, key: &str, row: &Row) -> bool {
        if let Some((key, words)) = cut(key, "=") {
            return self.words(key, row) == words;
        }
        match row.get(key).or_else(|| self.snapshot.get(key)) {
            Some(Value::Count(number) | Value::Permille(number)) => *number > 0,
            Some(Value::Gauge(number)) => number.is_some_and(|number| number > 0),
            Some(Value::Flag(flag)) => *flag,
            Some(Value::Age(age)) => age.is_some(),
            Some(Value::Word(text) | Value::Note(text)) => !text.is_empty(),
            Some(Value::Counts(_, counts)) => !counts.is_empty(),
            Some(Value::List(_)) => true,
            None => !self.rows(key).is_empty(),
        }
    }

    /// A fact as people read it; empty if there is none.
    fn words(&self, tag: &str, row: &Row) -> String {
        let (key, form) = until(tag, "/");
        match row.get(key).or_else(|| self.snapshot.get(key)) {
            Some(Value::Count(number) | Value::Gauge(Some(number))) => match form {
                "r" => rate(*number),
                "s" => size(*number),
                "n" => number.to_string(),
                "b" => (number.saturating_mul(1000) / self.highest).to_string(),
                _ => Grouped(*number).to_string(),
            },
            Some(Value::Permille(part)) => percent(*part),
            Some(Value::Age(Some(span))) => age(*span),
            Some(Value::Word(text) | Value::Note(text)) => text.clone(),
            Some(Value::Counts(_, counts)) => {
                let mut text = String::new();
                for (name, count) in counts {
                    let comma = if text.is_empty() { "" } else { ", " };
                    push(&mut text, &[comma, name, " ", &count.to_string()]);
                }
                text
            }
            _ => String::new(),
        }
    }

    fn push_fact(&mut self, tag: &str, row: &Row) {
        let text = self.words(tag, row);
        if text.is_empty() {
            return self.out.push_str(self.mark);
        }
        for letter in text.chars() {
            match letter {
                '&' if self.in_html => self.out.push_str("&amp;"),
                '<' if self.in_html => self.out.push_str("&lt;"),
                '"' if self.in_html => self.out.push_str("&quot;"),
                // No number without its unit.
                ' ' if self.in_html && tag.ends_with("/r") => self.out.push_str("&nbsp;"),
                _ => self.out.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_where_the_text_says() {
        let row = |name: &str, bytes| {
            let mut row = Row::default();
            row.note("name", name);
            row.count("bytes", bytes);
            row.gauge("rate_bytes_per_second", bytes / 2);
            row
        };
        let (mut server, clients) = (Row::default(), vec![row("a<b", 1234), row("c", 0)]);
        server.flag("ready", true);
        server.gauge("rate", 12_345);
        let snapshot = Snapshot::of_server(server, Row::default(), clients);
        let filled = |template| fill(template, &snapshot, &Row::default(), "-", true);
        for (template, text) in [
            ("no tag", "no tag"),
            ("<%rate%> <%rate/r%> <%rate/s%> <%rate/n%>", "12,345 12.3&nbsp;kB/s 12.3 kB 12345"),
            ("<%?ready%>yes<%:%>no<%.%>!", "yes!"),
            ("<%?unheard%>yes<%:%>no<%.%>!", "no!"),
            ("<%?unheard%><%?ready%>a<%:%>b<%.%><%:%><%?ready%>c<%:%>d<%.%><%.%>!", "c!"),
            ("<%*clients%><%name%>=<%bytes%>;<%.%>.", "a&lt;b=1,234;c=0;."),
            ("<%*clients%><%?bytes%><%rate%><%:%>none<%.%> <%.%>", "12,345 none "),
            ("<%?clients%>some<%.%><%?upstreams%>none<%.%>", "some"),
            ("<%unheard%>", "-"),
            ("<%?rate=12,345%>yes<%:%>no<%.%> <%?rate=12%>yes<%:%>no<%.%>", "yes no"),
            ("<%*clients%><%?name=c%>c<%:%>other<%.%> <%.%>", "other c "),
            ("<%*clients%><%rate_bytes_per_second/b%> <%.%>", "1000 0 "),
        ] {
            assert_eq!(filled(template), text, "{template}");
        }
    }
}
