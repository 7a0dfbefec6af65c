//! `status --watch`: the table every second, with a small graph of what flows beside each line
//! that counts bytes. Where there is no terminal, a line for each of them.

use super::{ask, ask_all};
use crate::commands::{Failure, signals};
use crate::moment::Moment;
use crate::status::table::{is_row, lay_out};
use crate::status::words::{push, rate, until};
use crate::sys;
use crate::sys::pipe::{self, Interest};
use crate::sys::thread::spawn;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const SPAN: Duration = Duration::from_secs(1);
/// Steps of a graph, one each second.
const GRAPH_LEN: usize = 16;
/// What stands over it.
const GRAPH_HEADING: &str = "16 s ago     now";
/// Of a terminal that does not say.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Shows it until Ctrl-C, at once even while a daemon does not answer.
pub(super) fn watch(sockets: Vec<PathBuf>) -> Result<(), Failure> {
    let stop = signals::stop()?;
    let (running, ours) = UnixStream::pair()?;
    let outcome = Arc::new(Mutex::new(Ok(())));
    let end = Arc::clone(&outcome);
    let work = move || {
        let shown = show(&sockets, &ours);
        *end.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        // And `ours` is closed, however this ends.
    };
    spawn("watch", Box::new(work))?;
    let entries = [(stop.as_fd(), Interest::Readable), (running.as_fd(), Interest::Readable)];
    if pipe::wait(entries, None)?[0] {
        return Ok(());
    }
    std::mem::replace(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner), Ok(()))
}

/// Shows it until something fails. `running`: where nothing ever comes.
fn show(sockets: &[PathBuf], running: &UnixStream) -> Result<(), Failure> {
    // If there is nobody, this is the end; who goes away later may come back.
    let found: Vec<&Path> =
        ask_all(sockets, "/watch")?.into_iter().map(|(socket, _)| socket).collect();
    let mut seen = Vec::new();
    let is_terminal = io::stdout().is_terminal() && can_draw();
    let mut clear = if is_terminal { "\x1b[2J" } else { "" };
    loop {
        let now = sys::now();
        let mut plain = String::new();
        let mut texts = Vec::new();
        for (index, socket) in found.iter().enumerate() {
            let mut drawn = String::new();
            match ask(socket, "/watch") {
                Ok(text) => {
                    for line in text.lines() {
                        count(&mut seen, index, line, now, [&mut plain, &mut drawn]);
                    }
                }
                Err(error) => {
                    let said = format!("{}: {error}\n", socket.display());
                    plain.push_str(&said);
                    push(&mut drawn, &["\t\t", &said]);
                }
            }
            texts.push(drawn);
        }
        if is_terminal {
            let (columns, rows) = sys::terminal::size().unwrap_or(USUAL_SIZE);
            // The last row would scroll.
            plain = picture(&texts, columns, rows.saturating_sub(1), in_utf8());
        }
        let mut out = io::stdout().lock();
        out.write_all([std::mem::take(&mut clear), &plain].concat().as_bytes())?;
        out.flush()?;
        pipe::wait([(running.as_fd(), Interest::Readable)], Some(now + SPAN))?;
    }
}

/// Whether the terminal understands more than lines (`term(7)`).
fn can_draw() -> bool {
    std::env::var("TERM").is_ok_and(|name| !name.is_empty() && name != "dumb")
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
    /// Which daemon's.
    socket: usize,
    name: String,
    bytes: u64,
    at: Moment,
    /// Bytes per second, newest last.
    rates: [u64; GRAPH_LEN],
}

/// Counts what a line counts, if it does. `plain` gets a line for those without a terminal, and
/// `drawn` the same line with a graph: as third cell of a row, else before the words; and instead
/// of all bytes it tells those that the graph shows.
fn count(
    seen: &mut Vec<Series>,
    socket: usize,
    line: &str,
    now: Moment,
    [plain, drawn]: [&mut String; 2],
) {
    let (name, rest) = until(line, "\t");
    if rest.is_empty() {
        return;
    }
    let (bytes, rest) = until(rest, "\t");
    let (first, rest) = until(rest, "\t");
    let (mut sum, mut graph) = (String::new(), GRAPH_HEADING.to_owned());
    if let Ok(count) = bytes.parse::<u64>() {
        let found = seen.iter().position(|series| series.socket == socket && series.name == name);
        let index = found.unwrap_or(seen.len());
        if found.is_none() {
            let (name, rates) = (name.to_owned(), [0; GRAPH_LEN]);
            seen.push(Series { socket, name, bytes: count, at: now, rates });
        }
        let series = &mut seen[index];
        let millis = u64::try_from(now.since(series.at).as_millis()).unwrap_or(u64::MAX);
        // One that was started again counts from nothing.
        let more = count.saturating_sub(series.bytes).saturating_mul(1000);
        let last = more.checked_div(millis);
        series.rates.rotate_left(1);
        series.rates[GRAPH_LEN - 1] = last.unwrap_or(0);
        (series.bytes, series.at) = (count, now);
        // At first nobody knows how fast it was.
        let last = last.map_or("-".to_owned(), rate);
        push(plain, &[name, "  ", bytes, " bytes  ", &last, "\n"]);
        sum = series.rates.iter().sum::<u64>().to_string();
        graph = self::graph(&series.rates);
    }
    push(drawn, &[name, "\t", &sum, "\t", first]);
    if is_row(line) {
        let (second, rest) = until(rest, "\t");
        push(drawn, &["\t", second, "\t", &graph, "\t", rest]);
    } else if !rest.is_empty() {
        let (graph, gap) = if sum.is_empty() { ("", "") } else { (&*graph, "  ") };
        push(drawn, &["\t", graph, gap, rest]);
    }
    drawn.push('\n');
}

/// What a terminal of this size shows.
fn picture(texts: &[String], columns: usize, rows: usize, in_utf8: bool) -> String {
    let mut total = 0;
    for text in texts {
        total += lay_out(text, columns).len() + 1;
    }
    // A blank line stands between two, not at the end.
    let mut excess = total.saturating_sub(rows + 1);
    let mut lines = Vec::new();
    for text in texts {
        lines.append(&mut lay_out(&shortlist(text, &mut excess), columns));
        lines.push(String::new());
    }
    lines.pop();
    lines.truncate(rows);
    let mut out = String::from("\x1b[H");
    for line in lines {
        for letter in line.chars().take(columns) {
            out.push(if in_utf8 || letter.is_ascii() { letter } else { in_ascii(letter) });
        }
        out.push_str("\x1b[K\n");
    }
    out.push_str("\x1b[J");
    out
}

/// A daemon's lines without those that are too many, and how many these are: the fastest rows
/// stay, and come first.
fn shortlist(text: &str, excess: &mut usize) -> String {
    let mut out = String::new();
    let mut counted = Vec::new();
    for line in text.lines() {
        match until(until(line, "\t").1, "\t").0.parse::<u64>() {
            Ok(sum) if *excess > 0 && is_row(line) => counted.push((sum, line)),
            _ => push(&mut out, &[line, "\n"]),
        }
    }
    // One more, for the line that tells of them.
    let hidden = if counted.len() < 2 { 0 } else { counted.len().min(*excess + 1) };
    while counted.len() > hidden {
        let mut fastest = 0;
        for (index, (sum, _)) in counted.iter().enumerate() {
            if *sum > counted[fastest].0 {
                fastest = index;
            }
        }
        push(&mut out, &[counted.remove(fastest).1, "\n"]);
    }
    if hidden > 0 {
        *excess -= hidden - 1;
        push(&mut out, &["\t\t… ", &hidden.to_string(), " more\n"]);
    }
    out
}

/// Steps of a graph in ASCII, and nothing; in Unicode they follow this letter.
const STEPS: &[u8] = b" .,:-=+*#";
const BEFORE_STEPS: u32 = '▀' as u32;

/// What stands for a letter where there is no other alphabet.
fn in_ascii(letter: char) -> char {
    if letter == '…' {
        return '~';
    }
    let step = u32::from(letter).wrapping_sub(BEFORE_STEPS) as usize;
    STEPS.get(step).map_or('?', |step| char::from(*step))
}

/// Rates against the highest of them, newest to the right.
fn graph(rates: &[u64; GRAPH_LEN]) -> String {
    let most = rates.iter().fold(1, |most, rate| *rate.max(&most));
    let mut graph = String::new();
    for rate in rates {
        // Eight steps above nothing, and nothing is nothing only.
        let step = rate.saturating_mul(8).div_ceil(most).min(8) as u32;
        let letter = char::from_u32(BEFORE_STEPS + step).filter(|_| step > 0);
        graph.push(letter.unwrap_or(' '));
    }
    graph
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_as_high_as_its_highest() {
        let mut rates = [0; GRAPH_LEN];
        assert_eq!(graph(&rates), " ".repeat(GRAPH_LEN));
        rates[GRAPH_LEN - 3..].copy_from_slice(&[1, 50, 100]);
        assert_eq!(graph(&rates), " ".repeat(GRAPH_LEN - 3) + "▁▄█");
        let ascii: String = "▁▂▃▄▅▆▇█…ü".chars().map(in_ascii).collect();
        assert_eq!(ascii, ".,:-=+*#~?");
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn rates_follow_from_what_was_counted_before() {
        let (mut seen, mut plain, mut drawn) = (Vec::new(), String::new(), String::new());
        for (line, seconds) in [
            ("\t\tnetrng", 1),
            ("\t\twords\tfor all", 1),
            ("", 1),
            ("read\t7\trate\t7 B/s", 1),
            ("alice\t1000\talice\t1,000\tserved", 1),
            ("alice\t4000\talice\t4,000\tserved", 3),
            ("alice\t10\talice\t10\tserved", 4),
        ] {
            count(&mut seen, 0, line, at(seconds), [&mut plain, &mut drawn]);
        }
        let lines = "read  7 bytes  -\nalice  1000 bytes  -\nalice  4000 bytes  1.5 kB/s\n\
            alice  10 bytes  0 B/s\n";
        assert_eq!(plain, lines);
        assert_eq!(
            drawn,
            "\t\tnetrng\n\
             \t\twords\tfor all\n\
             read\t0\trate\t                  7 B/s\n\
             alice\t0\talice\t1,000\t                \tserved\n\
             alice\t1500\talice\t4,000\t               █\tserved\n\
             alice\t1500\talice\t10\t              █ \tserved\n"
        );
    }

    #[test]
    fn the_fastest_are_shown_where_not_all_fit() {
        let mut text = "\t\tnetrng\n\t\tclient\t>rate\tnow\tstate\n".to_owned();
        for number in 0..100 {
            text += &format!("c{number}\t{}\tc{number}\t1 B/s\t#\tserved\n", number * 10);
        }
        let texts = [text, "\t\tanother\n\t\twords\tfor all to read\n".to_owned()];
        let shown = |rows| {
            let frame = picture(&texts, 60, rows, false);
            let lines = frame.strip_prefix("\x1b[H").unwrap().strip_suffix("\x1b[J").unwrap();
            let firsts = lines.split("\x1b[K\n").map(|line| until(line, "  ").0.to_owned());
            firsts.collect::<Vec<String>>()
        };
        let all = shown(1000);
        assert_eq!(all.len(), 106, "{all:?}");
        assert_eq!(all[2..5], ["c0", "c1", "c2"], "in their own order");
        let some = ["netrng", "client", "c99", "c98", "~ 98 more", "", "another", "words", ""];
        assert_eq!(shown(8), some);
        assert_eq!(shown(3), ["netrng", "client", "~ 100 more", ""]);
    }
}
