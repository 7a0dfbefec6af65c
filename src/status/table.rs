//! The figures as a table for a terminal, in ASCII but for what others have named.
//!
//! Each line of the templates begins with what `--watch` draws a graph of: a name, a tab, bytes
//! that grow, a tab, both empty if it counts nothing. Its cells follow, with tabs between: one is
//! a headline, two are a label and words, more are a row. `>` in a heading means that the column
//! is one of numbers.

use super::snapshot::{Row, Snapshot};
use super::template::fill;
use super::words::until;

const SERVER: &str = include_str!("server.txt");
const CLIENT: &str = include_str!("client.txt");

/// Where words stand that have a label.
const INDENT: usize = 10;
/// A name is not cut to less.
const NAME_LEN_MIN: usize = 8;

/// The lines as they are, for [`lay_out`].
pub(super) fn lines(snapshot: &Snapshot) -> String {
    let template = if snapshot.role == "server" { SERVER } else { CLIENT };
    fill(template, snapshot, &Row::default(), "-", false)
}

/// All of it.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut lines = lay_out(&lines(snapshot), usize::MAX);
    lines.push(String::new());
    lines.join("\n")
}

/// Whether a line is a row: a heading, or one that counts.
pub fn is_row(line: &str) -> bool {
    tabs(line) > 3
}

#[inline(never)]
fn tabs(line: &str) -> usize {
    line.bytes().filter(|byte| *byte == b'\t').count()
}

/// Lays lines out for so many columns: words go on in the next line, a row ends with the last
/// column that fits, and a long name loses its middle.
pub fn lay_out(text: &str, columns: usize) -> Vec<String> {
    let table = measure(text, columns);
    let mut out = Vec::new();
    for line in text.lines() {
        let cells = until(until(line, "\t").1, "\t").1;
        match tabs(line) {
            0 | 1 => {}
            2 => push_words(String::new(), cells, columns, &mut out),
            3 => {
                let (label, words) = until(cells, "\t");
                let mut start = label.to_owned();
                pad(INDENT.saturating_sub(length(label)), &mut start);
                push_words(start, words, columns, &mut out);
            }
            _ => out.push(row(cells, &table, columns)),
        }
    }
    out
}

/// Of each column the letters of its longest cell, and whether it is one of numbers.
fn measure(text: &str, columns: usize) -> Vec<(usize, bool)> {
    let mut table: Vec<(usize, bool)> = Vec::new();
    for line in text.lines().filter(|line| is_row(line)) {
        let mut rest = until(until(line, "\t").1, "\t").1;
        for index in 0..(tabs(line) - 1) {
            let (cell, more) = until(rest, "\t");
            rest = more;
            if table.len() == index {
                table.push((0, cell.starts_with('>')));
            }
            table[index].0 = length(bare(cell)).max(table[index].0);
        }
    }
    if let Some((name, _)) = table.first_mut() {
        *name = (*name).min((columns / 4).max(NAME_LEN_MIN));
    }
    table
}

/// A row, as far as it fits.
fn row(mut cells: &str, table: &[(usize, bool)], columns: usize) -> String {
    // Blanks come before what follows them, so that none is at the end.
    let (mut out, mut used, mut blanks) = (String::new(), 0, 0);
    for (index, (width, is_number)) in table.iter().enumerate() {
        used += width;
        if index > 1 && used > columns {
            break;
        }
        used += 2;
        let (cell, rest) = until(cells, "\t");
        cells = rest;
        let cell = shortened(bare(cell), *width);
        let room = width - length(&cell);
        if *is_number {
            blanks += room;
        }
        if !cell.is_empty() {
            pad(std::mem::take(&mut blanks), &mut out);
            out.push_str(&cell);
        }
        blanks += if *is_number { 2 } else { room + 2 };
    }
    out
}

/// Adds `line` with words behind it, and further lines where it is full.
fn push_words(mut line: String, mut words: &str, columns: usize, out: &mut Vec<String>) {
    let (mut used, mut blanks) = (length(&line), 0);
    while !words.is_empty() {
        let (word, rest) = until(words, " ");
        words = rest;
        let word = shortened(word, columns.saturating_sub(INDENT));
        used += blanks + length(&word);
        if used > columns {
            out.push(std::mem::take(&mut line));
            blanks = INDENT;
            used = INDENT + length(&word);
        }
        pad(blanks, &mut line);
        line.push_str(&word);
        blanks = 1;
    }
    out.push(line);
}

#[inline(never)]
fn length(text: &str) -> usize {
    text.chars().count()
}

#[inline(never)]
fn pad(count: usize, out: &mut String) {
    (0..count).for_each(|_| out.push(' '));
}

/// A text of at most `most` letters: what is too long loses its middle.
fn shortened(text: &str, most: usize) -> String {
    let cut = length(text).saturating_sub(most);
    let mut out = String::new();
    for (index, letter) in text.chars().enumerate() {
        // The mark takes a place too.
        if cut == 0 || index < most / 2 || index > most / 2 + cut {
            out.push(letter);
        } else if index == most / 2 {
            out.push('…');
        }
    }
    out
}

/// A cell without the sign of a column of numbers.
fn bare(cell: &str) -> &str {
    cell.strip_prefix('>').unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\t\tnetrng 1 server, up 3 s: not ready: the source failed\n\
        \t\tsource\t/dev/a: good\n\
        a\t7\trate\t10.2 kB/s now of 20.0 kB/s; 123,456 bytes read\n\
        \t\t\n\
        \t\tclient\t>rate\tstate\t>bytes\tlast end\n\
        bob\t5\tbob\t1 B/s\tserved\t5\tpeer-bye\n\
        alice\t6\talice-with-a-long-name-in-the-cupboard\t123 kB/s\tin-line\t169,984\t-\n";

    #[test]
    fn all_stands_in_columns_where_nothing_bounds_it() {
        assert_eq!(
            lay_out(TEXT, usize::MAX).join("\n"),
            "netrng 1 server, up 3 s: not ready: the source failed\n\
             source    /dev/a: good\n\
             rate      10.2 kB/s now of 20.0 kB/s; 123,456 bytes read\n\
             \n\
             client                                      rate  state      bytes  last end\n\
             bob                                        1 B/s  served         5  peer-bye\n\
             alice-with-a-long-name-in-the-cupboard  123 kB/s  in-line  169,984  -"
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        assert_eq!(
            lay_out(TEXT, 44).join("\n"),
            "netrng 1 server, up 3 s: not ready: the\n\
             \u{20}         source failed\n\
             source    /dev/a: good\n\
             rate      10.2 kB/s now of 20.0 kB/s;\n\
             \u{20}         123,456 bytes read\n\
             \n\
             client           rate  state      bytes\n\
             bob             1 B/s  served         5\n\
             alice…board  123 kB/s  in-line  169,984"
        );
        for columns in 18..200 {
            let text = lay_out(TEXT, columns).join("\n");
            let longest = text.lines().map(length).max().unwrap();
            assert!(longest <= columns, "{longest} in {columns}: {text}");
            let heading = text.lines().find(|line| line.starts_with("client")).unwrap();
            assert_eq!(text.contains("169,984"), heading.contains("bytes"), "{columns}: {text}");
            assert_eq!(text.contains("in-line"), heading.contains("state"), "{columns}: {text}");
        }
    }
}
