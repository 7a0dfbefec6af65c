//! One sheet that shows a source: its first bits, how often each byte value came, and its rate
//! over time.
//!
//! Owns the layout, as rectangles and lines of text, and their two forms, PNG and SVG. Units
//! are pixels; a letter is `LETTER` wide.

mod font;
mod png;

use super::rates::Rates;
use super::{PICTURE_BYTES, Tally};
use png::Raster;
use std::fmt::Write;

/// Pixels of the sheet.
const SIZE: (usize, usize) = (1240, 716);
/// Pixels of the font's pixel.
const SCALE: usize = 2;
/// Width of a letter.
const LETTER: usize = font::WIDTH * SCALE;
/// Height of a line.
const LINE: usize = font::HEIGHT * SCALE;
/// Letters of the longest title.
const TITLE: usize = (SIZE.0 - 2 * MARGIN) / LETTER;
const MARGIN: usize = 28;

/// Bits in a row of the picture, and rows.
const PICTURE: usize = 256;
/// Pixels of a bit.
const BIT: usize = 2;

/// Red, green, blue of each [`Colour`].
const PALETTE: [[u8; 3]; 7] = [
    [255; 3],
    [32, 32, 32],
    [222, 222, 222],
    [196, 224, 244],
    [20, 96, 168],
    [200, 32, 32],
    [96, 96, 96],
];

#[derive(Debug, Clone, Copy)]
enum Colour {
    Paper,
    Ink,
    Grid,
    Band,
    Data,
    Outside,
    Axis,
}

/// Where a text's place is on it.
#[derive(Debug, Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

enum Mark {
    Box { at: (usize, usize), size: (usize, usize), colour: Colour },
    Text { at: (usize, usize), anchor: Anchor, text: String },
}

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Pixels.
    Png,
    /// Text and rectangles that stay sharp.
    Svg,
}

/// The sheet, laid out.
pub struct Sheet {
    marks: Vec<Mark>,
    picture: Raster,
}

/// The frame of a chart and the values at its edges.
#[derive(Clone, Copy)]
struct Chart {
    at: (usize, usize),
    size: (usize, usize),
    /// Left and right.
    x: (f64, f64),
    /// Bottom and top.
    y: (f64, f64),
}

/// Where the picture starts, and where both charts.
const PICTURE_AT: (usize, usize) = (80, 140);
const HISTOGRAM_AT: (usize, usize) = (692, 140);
const RATES_AT: (usize, usize) = (692, 460);
/// Two pixels a byte value.
const CHART_WIDTH: usize = 512;
/// Pixels of the mark that stands for a count.
const DOT: usize = 4;

impl Sheet {
    /// Lays out what was counted; two lines say of what.
    pub fn new(tally: &Tally, title: &str, summary: &str) -> Self {
        let mut sheet = Sheet { marks: Vec::new(), picture: Raster::new(PICTURE, PICTURE) };
        for (line, text) in [title, summary].into_iter().enumerate() {
            let text: String = text.chars().take(TITLE).collect();
            sheet.text((MARGIN, 16 + line * (LINE + 4)), Anchor::Start, text);
        }
        sheet.draw_picture(&tally.picture);
        sheet.draw_histogram(tally);
        sheet.draw_rates(&tally.rates);
        sheet
    }

    fn draw_picture(&mut self, bytes: &[u8]) {
        let edge = PICTURE * BIT;
        let frame = Chart {
            at: PICTURE_AT,
            size: (edge, edge),
            x: (0.0, PICTURE as f64),
            y: (PICTURE as f64, 0.0),
        };
        let kept = if bytes.len() < PICTURE_BYTES { "All" } else { "The first" };
        let title = format!("{kept} {} bytes, bit by bit (dark: 1)", bytes.len());
        self.draw_frame(&frame, title, "bit in the row of 32 bytes", "row");
        for (place, pixel) in self.picture.pixels.iter_mut().enumerate() {
            let byte = bytes.get(place / 8);
            let colour = byte.map_or(Colour::Grid, |byte| {
                if byte >> (7 - place % 8) & 1 == 1 { Colour::Ink } else { Colour::Paper }
            });
            *pixel = colour as u8;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn draw_histogram(&mut self, tally: &Tally) {
        let counts = tally.distribution.counts();
        let band = tally.distribution.by_chance().count;
        let least = counts.iter().fold(band.0, |least, &count| least.min(count as f64));
        let most = counts.iter().fold(band.1, |most, &count| most.max(count as f64));
        let margin = (most - least) / 20.0;
        let chart = Chart {
            at: HISTOGRAM_AT,
            size: (CHART_WIDTH, 200),
            x: (0.0, 256.0),
            y: ((least - margin).max(0.0), most + margin),
        };
        let low = chart.y_of(band.1);
        self.fill((chart.at.0, low), (CHART_WIDTH, chart.y_of(band.0) - low), Colour::Band);
        self.draw_frame(
            &chart,
            "How often each byte value came (band: chance)".to_owned(),
            "byte value",
            "count",
        );
        for (value, &count) in counts.iter().enumerate() {
            let count = count as f64;
            let is_inside = band.0 <= count && count <= band.1;
            let colour = if is_inside { Colour::Data } else { Colour::Outside };
            let at = (chart.at.0 + 2 * value - 1, chart.y_of(count) - DOT / 2);
            self.fill(at, (DOT, DOT), colour);
        }
    }

    fn draw_rates(&mut self, rates: &Rates) {
        let most = rates.spans().fold(1.0, |most, (_, _, rate)| rate.max(most));
        let chart = Chart {
            at: RATES_AT,
            size: (CHART_WIDTH, 192),
            x: (0.0, rates.end_s().max(1e-6)),
            y: (0.0, most * 1.1),
        };
        self.draw_frame(&chart, "Rate of reading over time".to_owned(), "seconds", "bytes/s");
        let bottom = chart.at.1 + chart.size.1;
        for (from, to, rate) in rates.spans() {
            let (left, right) = (chart.x_of(from), chart.x_of(to));
            let top = chart.y_of(rate).min(bottom - 1);
            self.fill((left, top), ((right - left).max(2) - 1, bottom - top), Colour::Data);
        }
    }

    /// Frame, grid, figures and words around a chart.
    fn draw_frame(&mut self, chart: &Chart, title: String, below: &str, unit: &str) {
        let ((left, top), (width, height)) = (chart.at, chart.size);
        for (value, label) in ticks(chart.y) {
            let y = chart.y_of(value);
            self.fill((left, y), (width, 1), Colour::Grid);
            self.text((left - 8, y - LINE / 2), Anchor::End, label);
        }
        for (value, label) in ticks(chart.x) {
            let x = chart.x_of(value);
            self.fill((x, top + height), (1, 6), Colour::Axis);
            self.text((x, top + height + 8), Anchor::Middle, label);
        }
        self.fill((left - 1, top), (1, height + 1), Colour::Axis);
        self.fill((left - 1, top + height), (width + 2, 1), Colour::Axis);
        self.text((left, top - 2 * LINE - 12), Anchor::Start, title);
        self.text((left - 8, top - LINE - 10), Anchor::End, unit.to_owned());
        self.text((left + width / 2, top + height + 30), Anchor::Middle, below.to_owned());
    }

    fn fill(&mut self, at: (usize, usize), size: (usize, usize), colour: Colour) {
        self.marks.push(Mark::Box { at, size, colour });
    }

    fn text(&mut self, at: (usize, usize), anchor: Anchor, text: String) {
        self.marks.push(Mark::Text { at, anchor, text });
    }

    /// The file.
    pub fn encode(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Png => self.raster().encode(&PALETTE),
            Form::Svg => self.svg().into_bytes(),
        }
    }

    fn raster(&self) -> Raster {
        let mut raster = Raster::new(SIZE.0, SIZE.1);
        for mark in &self.marks {
            match mark {
                Mark::Box { at, size, colour } => raster.fill(*at, *size, *colour as u8),
                Mark::Text { at, anchor, text } => {
                    let width = text.chars().count() * LETTER;
                    let left = match anchor {
                        Anchor::Start => at.0,
                        Anchor::Middle => at.0 - (width / 2).min(at.0),
                        Anchor::End => at.0 - width.min(at.0),
                    };
                    for (place, letter) in text.chars().enumerate() {
                        write_letter(&mut raster, (left + place * LETTER, at.1), letter);
                    }
                }
            }
        }
        // Last: the grid is for charts.
        for (place, &index) in self.picture.pixels.iter().enumerate() {
            let at = (PICTURE_AT.0 + place % PICTURE * BIT, PICTURE_AT.1 + place / PICTURE * BIT);
            raster.fill(at, (BIT, BIT), index);
        }
        raster
    }

    fn svg(&self) -> String {
        let (width, height) = SIZE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"monospace\" font-size=\"{LINE}\">\n\
             <path fill=\"#fff\" d=\"M0 0h{width}v{height}H0z\"/>\n"
        );
        for mark in &self.marks {
            let _ = match mark {
                Mark::Box { at: (x, y), size: (width, height), colour } => {
                    let [red, green, blue] = PALETTE[*colour as usize];
                    writeln!(
                        svg,
                        "<path fill=\"#{red:02x}{green:02x}{blue:02x}\" \
                         d=\"M{x} {y}h{width}v{height}h-{width}z\"/>"
                    )
                }
                Mark::Text { at: (x, y), anchor, text } => {
                    let anchor = match anchor {
                        Anchor::Start => "start",
                        Anchor::Middle => "middle",
                        Anchor::End => "end",
                    };
                    let text = text.replace('&', "&amp;").replace('<', "&lt;");
                    // The baseline is 8 of the letter's 10 pixels down.
                    let y = y + 8 * SCALE;
                    writeln!(
                        svg,
                        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
                    )
                }
            };
        }
        for (index, [red, green, blue]) in PALETTE.into_iter().enumerate() {
            let path = self.picture_path(index);
            let _ = writeln!(
                svg,
                "<path stroke=\"#{red:02x}{green:02x}{blue:02x}\" stroke-width=\"{BIT}\" \
                 shape-rendering=\"crispEdges\" d=\"{path}\"/>"
            );
        }
        svg += "</svg>\n";
        svg
    }

    /// A line for each run of bits of one colour, from left to right and down.
    fn picture_path(&self, index: usize) -> String {
        let mut path = String::new();
        for (row, pixels) in self.picture.pixels.chunks_exact(PICTURE).enumerate() {
            let mut left = PICTURE_AT.0;
            for run in pixels.chunk_by(|one, next| one == next) {
                let width = run.len() * BIT;
                if usize::from(run[0]) == index {
                    let middle = PICTURE_AT.1 + row * BIT + BIT / 2;
                    let _ = write!(path, "M{left} {middle}h{width}");
                }
                left += width;
            }
        }
        path
    }
}

fn write_letter(raster: &mut Raster, (left, top): (usize, usize), letter: char) {
    for (y, row) in font::glyph(letter).iter().enumerate() {
        for x in (0..font::WIDTH).filter(|x| row << x & 0x80 != 0) {
            let at = (left + x * SCALE, top + y * SCALE);
            raster.fill(at, (SCALE, SCALE), Colour::Ink as u8);
        }
    }
}

impl Chart {
    fn x_of(&self, value: f64) -> usize {
        self.at.0 + along(value, self.x, self.size.0)
    }

    fn y_of(&self, value: f64) -> usize {
        self.at.1 + self.size.1 - along(value, self.y, self.size.1)
    }
}

/// Pixels from the start, of `length`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to length")]
fn along(value: f64, (start, end): (f64, f64), length: usize) -> usize {
    let share = ((value - start) / (end - start)).clamp(0.0, 1.0);
    (share * length as f64).round() as usize
}

/// Round values between two, with their labels: three to seven.
#[expect(clippy::cast_possible_truncation, reason = "a float's power of ten is below 400")]
fn ticks((start, end): (f64, f64)) -> Vec<(f64, String)> {
    let (low, high) = (start.min(end), start.max(end));
    let least = (high - low) / 6.0;
    // A picture of 256 has powers of two, all else 1, 2, 5 and their tens.
    let step = if high == PICTURE as f64 {
        64.0
    } else {
        let ten = 10f64.powi(least.log10().floor() as i32);
        [1.0, 2.0, 5.0]
            .map(|part| part * ten)
            .into_iter()
            .find(|&step| step >= least)
            .unwrap_or(10.0 * ten)
    };
    let first = (low / step).ceil();
    let values = (0..8).map(|index| (first + f64::from(index)) * step);
    values
        .take_while(|&value| value <= high * 1.000_001)
        .map(|value| (value, label(value, step)))
        .collect()
}

/// A value in few letters: thousands as k, millions as M.
fn label(value: f64, step: f64) -> String {
    let (unit, letter) = match step {
        _ if value == 0.0 && step >= 1.0 => (1.0, ""),
        step if step >= 1e6 => (1e6, "M"),
        step if step >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let digits = (0..6).find(|&digits| (step / unit) * 10f64.powi(digits) > 0.999).unwrap_or(6);
    format!("{:.*}{letter}", usize::try_from(digits).unwrap_or(0), value / unit)
}

#[cfg(test)]
mod tests {
    use super::super::tests::random_bytes;
    use super::*;
    use std::time::Duration;

    fn sheet(bytes: &[u8]) -> Sheet {
        let mut tally = Tally::new(7.0);
        tally.update(bytes);
        tally.rates.add(Duration::from_secs(5), Duration::from_secs(5), bytes.len());
        Sheet::new(&tally, "a <source> & its name", "what it is")
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels =
            |range| -> Vec<String> { ticks(range).into_iter().map(|tick| tick.1).collect() };
        assert_eq!(labels((0.0, 5.02)), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels((0.0, 10_800.0)), ["0", "2k", "4k", "6k", "8k", "10k"]);
        assert_eq!(labels((256.0, 0.0)), ["0", "64", "128", "192", "256"]);
        assert_eq!(labels((0.0, 0.031)), ["0.00", "0.01", "0.02", "0.03"]);
        assert_eq!(labels((131.2, 258.8)), ["150", "200", "250"]);
        for exponent in -6..12 {
            for part in [1.0, 1.3, 2.7, 4.9, 7.7, 9.9] {
                let count = ticks((0.0, part * 10f64.powi(exponent))).len();
                assert!((3..=7).contains(&count), "{count} at {part}e{exponent}");
            }
        }
    }

    #[test]
    fn the_picture_shows_the_bits_and_what_there_is_none_of() {
        let pixels = sheet(&[0xA0; 1024]).picture.pixels;
        let (ink, paper, grid) = (Colour::Ink as u8, Colour::Paper as u8, Colour::Grid as u8);
        assert_eq!(pixels[..8], [ink, paper, ink, paper, paper, paper, paper, paper]);
        assert_eq!(pixels[8 * 1024..], vec![grid; 65_536 - 8192]);
    }

    #[test]
    fn both_forms_hold_any_input() {
        let mut random = vec![0; 20_000];
        random_bytes(4, &mut random);
        for bytes in [&random[..], &random[..1024], &[0; 5000], &[0xFF; 20_000]] {
            let sheet = sheet(bytes);
            let png = sheet.encode(Form::Png);
            assert!(png.len() > SIZE.0 * SIZE.1 / 2, "{}", png.len());
            let svg = String::from_utf8(sheet.encode(Form::Svg)).unwrap();
            assert!(svg.contains("a &lt;source> &amp; its name"), "{svg}");
            for label in
                ["byte value", "count", "seconds", "bytes/s", "bit in the row", "bytes, bit"]
            {
                assert!(svg.contains(label), "{label} in {svg}");
            }
            assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        }
    }
}
