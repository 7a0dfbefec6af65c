//! A TOML table with the keys it may have, and its values read as what they should be.
//!
//! Owns the reading of single values and all complaints about them. It does not know any
//! key's meaning: `server`, `clients` and `client` say which keys there are and what each
//! allows.

use super::error::{ConfigError, nearest, shown};
use super::file::{File, reason};
use super::units;
use crate::keys::KeyError;
use std::fmt::Display;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Longer keys are not shown in a message: what looks like a key could be half a secret.
const KEY_SHOWN_MAX: usize = 32;
/// For a key in a file that is not looked at: all zeros.
const STAND_IN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A table, the keys it may have, and where it begins.
pub(super) struct Table<'t> {
    file: &'t File,
    /// As in `[server]` or `[[client]]`; empty at the top.
    header: String,
    table: Option<&'t DeTable<'t>>,
    /// Where its header stands; `None` if the table is not in the file.
    offset: Option<usize>,
}

/// A key and its value.
pub(super) struct Entry<'t> {
    file: &'t File,
    key: &'static str,
    value: &'t DeValue<'t>,
    /// Where the key stands; for an array's items, where the item does.
    pub(super) offset: usize,
}

/// The document of `file`, to be given to [`Table::top`].
pub(super) fn parse(file: &File) -> Result<Spanned<DeTable<'_>>, ConfigError> {
    let (document, errors) = DeTable::parse_recoverable(&file.text);
    let start = |error: &toml::de::Error| error.span().map_or(usize::MAX, |span| span.start);
    let Some(error) = errors.iter().min_by_key(|error| start(error)) else {
        return Ok(document);
    };
    let offset = error.span().map(|span| span.start);
    let (key, unquoted) = offset.map_or(("", false), |offset| line_at(&file.text, offset));
    // The parser's own messages quote nothing of the file.
    let said = match error.message() {
        _ if unquoted => "a value must be a number, true, false, a [list] or stand in \"quotes\"",
        "invalid basic string, expected `\"`" => "the closing quote is missing",
        text => text.trim_end_matches(", expected nothing"),
    };
    Err(file.error(offset, key, format!("not valid TOML: {said}")))
}

/// Of the line around `offset`: the key, or nothing if what stands there could be a secret;
/// and whether `offset` is in a value without quotes or brackets.
fn line_at(text: &str, offset: usize) -> (&str, bool) {
    let Some((before, _)) = text.split_at_checked(offset) else { return ("", false) };
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or("");
    let (key, value) = line.split_once('=').unwrap_or((line, "'"));
    let unquoted =
        offset - start > key.len() && !value.trim_start().starts_with(['"', '\'', '[', '{']);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    let key = key.trim();
    (if key.len() <= KEY_SHOWN_MAX && key.bytes().all(plain) { key } else { "" }, unquoted)
}

impl<'t> Table<'t> {
    /// The table of the whole file.
    pub(super) fn top(file: &'t File, document: &'t Spanned<DeTable<'t>>) -> Table<'t> {
        Table { file, header: String::new(), table: Some(document.get_ref()), offset: None }
    }

    /// Refuses the first key that is not in `known`. `elsewhere` names the other tables with
    /// their keys, for what stands in the wrong one.
    pub(super) fn allow(
        &self,
        known: &[&str],
        elsewhere: &[(&str, &[&str])],
    ) -> Result<(), ConfigError> {
        let unknown = |entry: &&Spanned<DeString<'_>>| !known.contains(&entry.get_ref().as_ref());
        let keys = self.table.iter().flat_map(|table| table.keys());
        let Some(key) = keys.filter(unknown).min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let (offset, word) = (Some(key.span().start), key.get_ref().as_ref());
        let place = match self.header.as_str() {
            "" => "at the top of the file".to_owned(),
            header => format!("in {header}"),
        };
        let home = elsewhere.iter().find(|(_, keys)| keys.contains(&word));
        let advice = match (nearest(word, known), home) {
            (_, Some(("", _))) => "; it belongs at the top of the file, before any [table]".into(),
            (_, Some((table, _))) => format!("; it belongs in [{table}]"),
            (Some(near), None) => format!("; did you mean `{near}`?"),
            (None, None) => format!("; the keys here are {}", known.join(", ")),
        };
        let visible =
            if word.len() <= KEY_SHOWN_MAX { word.escape_debug().collect() } else { String::new() };
        Err(self.file.error(offset, &visible, format!("unknown key {place}{advice}")))
    }

    /// The entry of `key`, if it is there.
    pub(super) fn entry(&self, key: &'static str) -> Option<Entry<'t>> {
        let (found, value) = self.table?.get_key_value(key)?;
        Some(Entry { file: self.file, key, value: value.get_ref(), offset: found.span().start })
    }

    /// The table `name` inside; one without entries if it is not there.
    pub(super) fn table(&self, name: &'static str) -> Result<Table<'t>, ConfigError> {
        let (file, header) = (self.file, format!("[{name}]"));
        let Some(entry) = self.entry(name) else {
            return Ok(Table { file, header, table: None, offset: None });
        };
        let DeValue::Table(table) = entry.value else {
            return Err(entry.want(format_args!("a table, {header}")));
        };
        Ok(Table { file, header, table: Some(table), offset: Some(entry.offset) })
    }

    /// The tables `[[name]]` inside, in their order.
    pub(super) fn tables(&self, name: &'static str) -> Result<Vec<Table<'t>>, ConfigError> {
        let Some(entry) = self.entry(name) else { return Ok(Vec::new()) };
        let header = format!("[[{name}]]");
        let wrong = |found: &str| entry.fail(format!("found {found}; want {header}"));
        let DeValue::Array(items) = entry.value else { return Err(wrong(&entry.found())) };
        let table = |item: &'t Spanned<DeValue<'t>>| match item.get_ref() {
            DeValue::Table(table) => {
                let (header, offset) = (header.clone(), Some(item.span().start));
                Ok(Table { file: self.file, header, table: Some(table), offset })
            }
            _ => Err(wrong("a list of other things")),
        };
        items.iter().map(table).collect()
    }

    /// Whether files that the text names are to be looked at.
    pub(super) fn is_draft(&self) -> bool {
        self.file.is_draft
    }

    /// The error that `key` is not there. `advice` says what to give.
    pub(super) fn missing(&self, key: &str, advice: &str) -> ConfigError {
        let place = if self.header.is_empty() { "" } else { " in " };
        let message = format!("missing{place}{}; {advice}", self.header);
        self.file.error(self.offset, key, message)
    }

    /// A secret that stands in the file itself under `inline`, or alone in the file that
    /// `by_file` names. Both files must be closed to strangers.
    pub(super) fn secret<T>(
        &self,
        inline: &'static str,
        by_file: &'static str,
        read: impl Fn(&str) -> Result<T, KeyError>,
    ) -> Result<Option<T>, ConfigError> {
        match (self.entry(inline), self.entry(by_file)) {
            (None, None) => Ok(None),
            (Some(_), Some(entry)) => {
                Err(entry.fail(format!("stands beside {inline}; give only one of the two")))
            }
            (Some(entry), None) => {
                let text = entry.text().unwrap_or("");
                match self.file.exposure() {
                    Some(exposure) => Err(entry.fail(format!("in this file: {exposure}"))),
                    None => read(text).map(Some).map_err(|error| entry.fail(error.to_string())),
                }
            }
            (None, Some(entry)) => {
                let path = entry.path()?;
                if self.file.is_draft {
                    return Ok(read(STAND_IN).ok());
                }
                let named = |said: String| entry.fail(format!("{}: {said}", path.display()));
                let file = File::read(&path).map_err(|error| {
                    let is_ours =
                        by_file == "private-key-file" && error.kind() == ErrorKind::NotFound;
                    let remedy = if is_ours { "; `netrng genkey` makes one" } else { "" };
                    named(reason(&error) + remedy)
                })?;
                match file.exposure() {
                    Some(exposure) => Err(named(exposure)),
                    None => read(&file.text).map(Some).map_err(|error| named(error.to_string())),
                }
            }
        }
    }
}

impl<'t> Entry<'t> {
    /// An error about this entry.
    pub(super) fn fail(&self, message: impl Into<String>) -> ConfigError {
        self.file.error(Some(self.offset), self.key, message)
    }

    /// The error that says what was found and what is wanted instead.
    pub(super) fn want(&self, wanted: impl Display) -> ConfigError {
        self.fail(format!("found {}; want {wanted}", self.found()))
    }

    fn found(&self) -> String {
        match self.value {
            DeValue::String(text) => shown(text),
            DeValue::Integer(number) => shown(number.as_str()).replace('"', ""),
            DeValue::Float(number) => shown(number.as_str()).replace('"', ""),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    fn integer(&self) -> Option<u64> {
        match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// A path, relative ones from the folder of the file.
    pub(super) fn path(&self) -> Result<PathBuf, ConfigError> {
        match self.text() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Ok(self.file.resolve(text)),
            _ => Err(self.want("a path in quotes")),
        }
    }

    /// The items of a list of 1 to `most`; one text alone is a list of one.
    pub(super) fn list(&self, most: usize, of: &str) -> Result<Vec<Entry<'t>>, ConfigError> {
        let entry = |value, offset| Entry { file: self.file, key: self.key, value, offset };
        match self.value {
            DeValue::String(_) => Ok(vec![entry(self.value, self.offset)]),
            DeValue::Array(items) if items.is_empty() || items.len() > most => {
                Err(self.fail(format!("found a list of {}; want 1 to {most} {of}", items.len())))
            }
            DeValue::Array(items) => {
                Ok(items.iter().map(|item| entry(item.get_ref(), item.span().start)).collect())
            }
            _ => Err(self.want(format_args!("a list of {of}"))),
        }
    }

    /// A whole number.
    pub(super) fn count<T>(&self, allowed: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let number = self.integer().and_then(|number| T::try_from(number).ok());
        number.filter(|number| allowed.contains(number)).ok_or_else(|| {
            self.want(format_args!("a whole number from {} to {}", allowed.start(), allowed.end()))
        })
    }

    /// Yes or no.
    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.want("true or false")),
        }
    }

    /// A number with or without a point.
    pub(super) fn number(&self, allowed: RangeInclusive<f64>) -> Result<f64, ConfigError> {
        let number = match self.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|number| allowed.contains(number)).ok_or_else(|| {
            self.want(format_args!("a number from {} to {}", allowed.start(), allowed.end()))
        })
    }

    /// Bytes.
    pub(super) fn size(&self, allowed: RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let read = self.text().map(units::parse_size);
        let form = if read == Some(None) { units::SIZE_FORM } else { "" };
        let bytes = read.unwrap_or_else(|| self.integer()).and_then(|n| usize::try_from(n).ok());
        let show = |bytes: usize| units::show_size(bytes as u64);
        self.within(bytes, allowed, "a size", show, form)
    }

    /// Bytes per second.
    pub(super) fn rate(&self, allowed: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let read = self.text().map(units::parse_rate);
        let form = if read == Some(None) { units::RATE_FORM } else { "" };
        let bytes = read.unwrap_or_else(|| self.integer());
        self.within(bytes, allowed, "a rate", units::show_rate, form)
    }

    /// A time, always with its unit.
    pub(super) fn time(&self, allowed: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        let time = self.text().and_then(units::parse_time);
        let form = if time.is_none() { units::TIME_FORM } else { "" };
        self.within(time, allowed, "a time", units::show_time, form)
    }

    /// `value` if it is there and allowed. `form`, if not empty, says how to write it.
    fn within<T: PartialOrd + Copy>(
        &self,
        value: Option<T>,
        allowed: RangeInclusive<T>,
        what: &str,
        show: impl Fn(T) -> String,
        form: &str,
    ) -> Result<T, ConfigError> {
        value.filter(|value| allowed.contains(value)).ok_or_else(|| {
            let (least, most) = (show(*allowed.start()), show(*allowed.end()));
            let comma = if form.is_empty() { "" } else { "; " };
            self.want(format_args!("{what} from {least} to {most}{comma}{form}"))
        })
    }
}
