//! The figures as a table for a terminal, in ASCII but for what others have named.
//!
//! Each line of the template begins with what `--watch` draws a graph of: a name, a tab, bytes
//! that grow, a tab. Tabs after that stand between columns; `>` in a heading means that the
//! column is one of numbers.

use super::snapshot::{Row, Snapshot};
use super::template::fill;
use super::words::{cut, push, until};

const SERVER: &str = include_str!("server.txt");
const CLIENT: &str = include_str!("client.txt");

/// All of it; with `counted`, each line with its name and bytes.
pub(super) fn render(snapshot: &Snapshot, counted: bool) -> String {
    let template = if snapshot.role == "server" { SERVER } else { CLIENT };
    let text = fill(template, snapshot, &Row::default(), "-", false);
    let mut columns: Vec<(usize, bool)> = Vec::new();
    for line in text.lines() {
        let (_, cells) = until(until(line, "\t").1, "\t");
        let Some((mut cell, mut rest)) = cut(cells, "\t") else { continue };
        for index in 0.. {
            if columns.len() <= index {
                columns.push((0, cell.starts_with('>')));
            }
            columns[index].0 = columns[index].0.max(bare(cell).chars().count());
            if rest.is_empty() {
                break;
            }
            (cell, rest) = until(rest, "\t");
        }
    }
    let mut out = String::new();
    for line in text.lines() {
        let (name, rest) = until(line, "\t");
        let (bytes, cells) = until(rest, "\t");
        if counted {
            push(&mut out, &[name, "\t", bytes, "\t"]);
        }
        let (mut cell, mut rest) = until(cells, "\t");
        if rest.is_empty() {
            out.push_str(cell);
        }
        for (width, is_number) in columns.iter().take_while(|_| cells.contains('\t')) {
            let room = " ".repeat(width - bare(cell).chars().count());
            let (before, after) = if *is_number { (&*room, "") } else { ("", &*room) };
            push(&mut out, &[before, bare(cell), after, "  "]);
            (cell, rest) = until(rest, "\t");
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

/// A cell without the sign of a column of numbers.
fn bare(cell: &str) -> &str {
    cell.strip_prefix('>').unwrap_or(cell)
}
