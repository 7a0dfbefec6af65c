//! netrng.toml(5), from conf/netrng.toml: there every key stands with its default and a reason to
//! change it, and a test holds that to the code.

use crate::roff::Page;

const ABOUT: &str = "\
`netrng` reads its configuration from a file in the format TOML: /etc/netrng.toml, unless `-c` \
names another. `mode` says whether it is a server's or a client's. `netrng check` shows what is \
in effect, and `netrng enroll` writes the whole file for a client.

Three parts follow: a server's keys, a client's, and those of a server's list of clients, which \
is a file of its own. Each key stands with its default or, where it has none, as for names, with \
an example.";

/// How those paragraphs of the file's head begin that speak of the file with its comment signs.
const NOT_FOR_THE_PAGE: [&str; 3] =
    ["/etc/netrng.toml: every key", "A line that begins with `#`", "This file has three parts"];

const SERVER: &str = include_str!("../../conf/server.toml");
const CLIENT: &str = include_str!("../../conf/client.toml");

/// What a line of the file is.
enum Line<'t> {
    /// `# ======== 1. A server: shares the generator of this machine ========`
    Part(&'t str),
    /// `[server]` or `#[client]`
    Table(&'t str),
    /// `key = value`, `#key = value` or `# key = value`
    Key(&'t str, &'t str),
    /// What a comment says; with an indent it is code.
    Text(&'t str),
    /// The end of a paragraph.
    Gap,
}

impl<'t> Line<'t> {
    fn read(line: &'t str) -> Self {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let words = bare.strip_prefix(' ').unwrap_or(bare);
        if let Some(title) = words.strip_prefix("======== ") {
            return Line::Part(title.trim_end_matches([' ', '=']));
        }
        if bare.starts_with('[') {
            return Line::Table(bare);
        }
        if let Some((key, _)) = words.split_once(" = ") {
            if key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-') {
                return Line::Key(key, &words[key.len()..]);
            }
        }
        if words.is_empty() { Line::Gap } else { Line::Text(words) }
    }
}

/// The page.
pub fn page(config: &str, date: &str) -> String {
    let mut page = Page::new("netrng.toml", 5, date, "configuration of netrng");
    page.heading("DESCRIPTION");
    page.paragraphs(ABOUT);
    let start = config.find("# ========").expect("the file has parts");
    let (head, parts) = config.split_at(start);
    page.paragraphs(&head_paragraphs(head));
    let (mut text, mut keys) = (Vec::new(), Vec::new());
    for line in parts.lines().map(Line::read).chain([Line::Gap]) {
        if !keys.is_empty() && !matches!(line, Line::Key(..)) {
            page.entries(keys.drain(..));
            page.prose(&explanation(&text));
            text.clear();
        }
        match line {
            Line::Key(key, value) => keys.push((key, value)),
            Line::Text(words) => text.push(words),
            Line::Part(title) => {
                let (name, rest) = title.split_once(": ").expect("a name and what it is");
                let name = name.trim_start_matches(|letter: char| !letter.is_alphabetic());
                page.heading(&name.to_uppercase());
                page.paragraphs(&format!("{}{}.", rest[..1].to_uppercase(), &rest[1..]));
            }
            Line::Table(_) | Line::Gap => {
                if let Line::Table(name) = line {
                    page.subheading(name);
                }
                if !text.is_empty() {
                    page.paragraphs(&text.join("\n"));
                    text.clear();
                }
            }
        }
    }
    page.heading("EXAMPLES");
    for (words, file) in [("The least server:", SERVER), ("The least client:", CLIENT)] {
        let keys = file.lines().skip_while(|line| line.is_empty() || line.starts_with('#'));
        let keys: Vec<String> = keys.map(|line| format!("    {line}")).collect();
        page.paragraphs(words);
        page.prose(&keys.join("\n"));
    }
    page.heading("SEE ALSO");
    page.line(".BR netrng (1),");
    page.line(".BR rngd (8)");
    page.finish()
}

/// What the file says before its parts, as far as it is so for this page.
fn head_paragraphs(head: &str) -> String {
    let lines = head.trim_end().lines().map(|line| line.strip_prefix("# ").unwrap_or_default());
    let all = lines.collect::<Vec<_>>().join("\n");
    let mut paragraphs: Vec<&str> = all.split("\n\n").collect();
    for beginning in NOT_FOR_THE_PAGE {
        let place = paragraphs.iter().position(|paragraph| paragraph.starts_with(beginning));
        paragraphs.remove(place.expect("the file begins so; change NOT_FOR_THE_PAGE with it"));
    }
    paragraphs.join("\n\n")
}

/// Before a key a text may lead to it; after the key it ends.
fn explanation(text: &[&str]) -> String {
    let text = text.join("\n");
    match text.strip_suffix("Either of:") {
        Some(text) => format!("{text}Give one of them."),
        None => text.strip_suffix(':').map_or(text.clone(), |text| format!("{text}.")),
    }
}
