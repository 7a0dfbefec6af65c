//! Status: what a daemon tells about itself, and in which forms.
//!
//! Owns the figures of a moment ([`Snapshot`]) and their faces: JSON, Prometheus's text, a table,
//! a page. It measures nothing itself, and knows neither sockets nor clocks: whoever asks is
//! `wire::http`'s, and each figure comes with its age already.
//!
//! ```text
//! source.rs      the source's counters, shared by its reader and who shows them
//! windows.rs     bytes in the last seconds, without a timer
//! snapshot.rs    all figures of a moment, each with its name
//! json.rs, prometheus.rs, table.rs, page.rs   the faces
//! template.rs    figures in a text: server.txt, client.txt, page.html
//! words.rs       figures as people read them
//! ```

mod json;
mod page;
mod prometheus;
mod snapshot;
mod source;
pub mod table;
mod template;
pub mod windows;
pub mod words;

pub use page::SECURITY;
pub use snapshot::{Row, Section, Snapshot, Value};
pub use source::{FipsCounts, SourceHealth, SourceStatus};

/// What can be asked for over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`: for people with a browser.
    Home,
    /// `/status`: for people with a terminal.
    Table,
    /// `/watch`: the same, to be laid out by who asks, and before each line what it counts.
    Watch,
    /// `/status.json`.
    Json,
    /// `/metrics`.
    Metrics,
    /// `/ready`: whether bytes are to be had.
    Ready,
    /// Nothing that there is: the code of the refusal.
    Fault(u16),
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// As in HTTP.
    pub code: u16,
    /// The content's type.
    pub kind: &'static str,
    /// The content.
    pub text: String,
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// The answer to who asked for `page`.
pub fn answer(page: Page, snapshot: &Snapshot) -> Answer {
    let fine = |kind, text| Answer { code: 200, kind, text };
    match page {
        // No browser can reach a client.
        Page::Home if snapshot.role == "server" => {
            fine("text/html; charset=utf-8", page::render(snapshot))
        }
        Page::Home | Page::Table => fine(PLAIN, table::render(snapshot)),
        Page::Watch => fine(PLAIN, table::lines(snapshot)),
        Page::Json => fine("application/json", json::render(snapshot)),
        Page::Metrics => {
            fine("text/plain; version=0.0.4; charset=utf-8", prometheus::render(snapshot))
        }
        Page::Ready => match snapshot.unready() {
            "" => fine(PLAIN, "ready\n".to_owned()),
            why => Answer { code: 503, kind: PLAIN, text: [why, "\n"].concat() },
        },
        Page::Fault(code) => Answer { code, kind: PLAIN, text: fault(code).to_owned() },
    }
}

/// What is wrong with a request, and what to do.
fn fault(code: u16) -> &'static str {
    match code {
        404 => "There are: / /status /status.json /metrics /ready\n",
        405 => "Nothing can be changed here: only GET and HEAD.\n",
        421 => {
            "This name is not one of ours: use the address, localhost, a name without dots, or \
             add it to `names` of the listener.\n"
        }
        431 => "The request is too long.\n",
        _ => "That is no HTTP request.\n",
    }
}
