//! `status --watch`: the table every second, with a small graph of what flows beside each line
//! that counts bytes. Where there is no terminal, a line for each of them.

use super::{ask, ask_all};
use crate::commands::{Failure, signals};
use crate::moment::Moment;
use crate::status::words::{rate, until};
use crate::sys;
use crate::sys::pipe::{self, Interest};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SPAN: Duration = Duration::from_secs(1);
/// Steps of a graph, one each second.
const GRAPH_LEN: usize = 16;
/// Of a terminal that does not say.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Shows it until Ctrl-C.
pub(super) fn watch(sockets: &[PathBuf]) -> Result<(), Failure> {
    let stop = signals::stop()?;
    // If there is nobody, this is the end; who goes away later may come back.
    let found: Vec<&Path> =
        ask_all(sockets, "/watch")?.into_iter().map(|(socket, _)| socket).collect();
    let mut seen = Vec::new();
    let is_terminal = io::stdout().is_terminal();
    let mut clear = if is_terminal { "\x1b[2J" } else { "" };
    loop {
        let now = sys::now();
        let mut frame = Frame { is_terminal, in_utf8: in_utf8(), lines: Vec::new() };
        for (index, socket) in found.iter().enumerate() {
            match ask(socket, "/watch") {
                Ok(text) => {
                    text.lines().for_each(|line| frame.take(&mut seen, index, line, now));
                }
                Err(error) => {
                    let text = format!("{}: no answer: {error}", socket.display());
                    frame.lines.push(Line { text, ..Line::default() });
                }
            }
            frame.lines.push(Line::default());
        }
        let mut out = io::stdout().lock();
        out.write_all([std::mem::take(&mut clear), &frame.show()].concat().as_bytes())?;
        out.flush()?;
        if pipe::wait([(stop.as_fd(), Interest::Readable)], Some(now + SPAN))?[0] {
            return Ok(());
        }
    }
}

/// What the terminal's user has said of letters (`locale(7)`).
fn in_utf8() -> bool {
    for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
        if let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
            return value.ends_with("UTF-8") || value.ends_with("utf8");
        }
    }
    false
}

/// What was counted before.
struct Series {
    /// Socket and name.
    key: String,
    bytes: u64,
    at: Moment,
    /// Bytes per second, newest last.
    rates: [u64; GRAPH_LEN],
}

#[derive(Default)]
struct Line {
    text: String,
    graph: String,
    /// For those without a terminal; empty for lines that count nothing.
    plain: String,
}

struct Frame {
    is_terminal: bool,
    in_utf8: bool,
    lines: Vec<Line>,
}

impl Frame {
    /// A line of the page: a name and its bytes, both empty if it counts none, and the text.
    fn take(&mut self, seen: &mut Vec<Series>, socket: usize, line: &str, now: Moment) {
        let (name, rest) = until(line, "\t");
        let (bytes, text) = until(rest, "\t");
        let text = text.to_owned();
        let Ok(bytes) = bytes.parse::<u64>() else {
            return self.lines.push(Line { text, ..Line::default() });
        };
        let key = socket.to_string() + " " + name;
        let found = seen.iter().position(|series| series.key == key);
        let index = found.unwrap_or(seen.len());
        if found.is_none() {
            seen.push(Series { key, bytes, at: now, rates: [0; GRAPH_LEN] });
        }
        let series = &mut seen[index];
        let millis = u64::try_from(now.since(series.at).as_millis()).unwrap_or(u64::MAX);
        // One that was started again counts from nothing.
        let more = bytes.saturating_sub(series.bytes).saturating_mul(1000);
        let last = more.checked_div(millis).unwrap_or(0);
        if millis > 0 {
            series.rates.rotate_left(1);
            series.rates[GRAPH_LEN - 1] = last;
        }
        (series.bytes, series.at) = (bytes, now);
        let plain = [name, "  ", &bytes.to_string(), " bytes  ", &rate(last), "\n"].concat();
        let graph = graph(&series.rates, self.in_utf8);
        self.lines.push(Line { text, graph, plain });
    }

    fn show(&self) -> String {
        let mut out = String::new();
        if !self.is_terminal {
            self.lines.iter().for_each(|line| out.push_str(&line.plain));
            return out;
        }
        let (columns, rows) = sys::terminal::size().unwrap_or(USUAL_SIZE);
        let mut at = 0;
        for line in self.lines.iter().filter(|line| !line.graph.is_empty()) {
            at = line.text.chars().count().max(at);
        }
        at = at.min(columns.saturating_sub(GRAPH_LEN + 2));
        out.push_str("\x1b[H");
        // The last row would scroll.
        for line in self.lines.iter().take(rows.saturating_sub(1)) {
            let most = if line.graph.is_empty() { columns } else { at };
            let mut count = 0;
            for letter in line.text.chars().take(most) {
                out.push(if self.in_utf8 || letter.is_ascii() { letter } else { '?' });
                count += 1;
            }
            if !line.graph.is_empty() {
                out.push_str(&" ".repeat(at - count + 2));
                out.push_str(&line.graph);
            }
            out.push_str("\x1b[K\n");
        }
        out.push_str("\x1b[J");
        out
    }
}

/// Rates against the highest of them, newest to the right.
fn graph(rates: &[u64; GRAPH_LEN], in_utf8: bool) -> String {
    let steps = if in_utf8 { " ▁▂▃▄▅▆▇█" } else { " .,:-=+*#" };
    let most = rates.iter().fold(1, |most, rate| *rate.max(&most));
    let mut graph = String::new();
    for rate in rates {
        // Eight steps above nothing, and nothing is nothing only.
        let step = rate.saturating_mul(8).div_ceil(most);
        graph.extend(steps.chars().nth(usize::try_from(step).unwrap_or(8)));
    }
    graph
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_as_high_as_its_highest() {
        let mut rates = [0; GRAPH_LEN];
        assert_eq!(graph(&rates, true), " ".repeat(GRAPH_LEN));
        rates[GRAPH_LEN - 3..].copy_from_slice(&[1, 50, 100]);
        assert_eq!(graph(&rates, true), " ".repeat(GRAPH_LEN - 3) + "▁▄█");
        assert_eq!(graph(&rates, false), " ".repeat(GRAPH_LEN - 3) + ".-#");
    }

    #[test]
    fn rates_follow_from_what_was_counted_before() {
        let mut seen = Vec::new();
        let mut frame = Frame { is_terminal: false, in_utf8: true, lines: Vec::new() };
        let at = |seconds| Moment::ZERO + Duration::from_secs(seconds);
        frame.take(&mut seen, 0, "\t\tnetrng", at(1));
        frame.take(&mut seen, 0, "alice\t1000\talice  1,000", at(1));
        frame.take(&mut seen, 0, "alice\t4000\talice  4,000", at(3));
        frame.take(&mut seen, 0, "alice\t10\talice  10", at(4));
        let plain =
            "alice  1000 bytes  0 B/s\nalice  4000 bytes  1.5 kB/s\nalice  10 bytes  0 B/s\n";
        assert_eq!(frame.show(), plain);
    }
}
