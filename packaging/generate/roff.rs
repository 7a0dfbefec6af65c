//! Text as man(7) wants it. Knows the macros, not what a page says.

use std::fmt::Write;

/// A manual page while it is written.
pub struct Page {
    text: String,
    /// Whether a heading came last, after which no paragraph begins: it has.
    is_below_heading: bool,
}

impl Page {
    /// A page `name(section)`, which `does` in a few words.
    pub fn new(name: &str, section: u8, date: &str, does: &str) -> Self {
        let title = name.to_uppercase();
        let version = env!("CARGO_PKG_VERSION");
        let text = String::from(".\\\" Generated: see packaging/generate.\n");
        let mut page = Page { text, is_below_heading: false };
        page.line(&format!(".TH {title} {section} {date} \"netrng {version}\""));
        // Ragged and not hyphenated, for commands and values stand in the text.
        page.line(".ad l\n.nh");
        page.heading("NAME");
        page.line(&format!("{} \\- {}", escaped(name), escaped(does)));
        page
    }

    pub fn heading(&mut self, words: &str) {
        self.line(&format!(".SH \"{}\"", escaped(words)));
        self.is_below_heading = true;
    }

    pub fn subheading(&mut self, words: &str) {
        self.line(&format!(".SS \"{}\"", escaped(words)));
        self.is_below_heading = true;
    }

    /// Paragraphs, apart by an empty line.
    pub fn paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n") {
            if !self.is_below_heading {
                self.line(".PP");
            }
            self.prose(paragraph);
        }
    }

    /// Entries of a list that share what stands below them; each has a bold and a plain half.
    pub fn entries<'t>(&mut self, entries: impl IntoIterator<Item = (&'t str, &'t str)>) {
        for (number, (bold, plain)) in entries.into_iter().enumerate() {
            self.line(if number == 0 { ".TP" } else { ".TQ" });
            self.line(&format!("\\fB{}\\fR{}", escaped(bold), escaped(plain)));
        }
    }

    /// A line as it stands, for macros and for what is escaped already.
    pub fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a String takes it");
        self.is_below_heading = false;
    }

    /// Running text, with `code` in bold. Lines that are indented stay as they are.
    pub fn prose(&mut self, text: &str) {
        let mut is_code = false;
        for line in text.lines() {
            if line.starts_with(' ') != is_code {
                is_code = !is_code;
                self.line(if is_code { ".RS 4\n.nf" } else { ".fi\n.RE" });
            }
            let mut fonts = ["\\fB", "\\fR"].into_iter().cycle();
            let line = escaped(line.trim_start());
            let mut parts = line.split('`');
            let first = parts.next().unwrap_or_default().to_owned();
            let line = parts.fold(first, |line, part| line + fonts.next().unwrap_or("") + part);
            // A line that begins with one of these would be a macro.
            let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
            self.line(&format!("{guard}{line}"));
        }
        if is_code {
            self.line(".fi\n.RE");
        }
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// A hyphen that stays one when it is copied into a shell, and no other escapes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('^', "\\(ha")
}
