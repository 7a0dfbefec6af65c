//! PNG (ISO/IEC 15948) without compression: 16 colours, stored blocks (RFC 1951 §3.2.4).
//!
//! Owns the file format. A sheet is some 400 kB so; a compressor would cost the program more
//! than it saves a picture looked at once.

/// The picture: one palette index a pixel, row by row.
#[derive(Debug, Clone)]
pub struct Raster {
    /// Pixels of a row; even.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` indices below 16.
    pub pixels: Vec<u8>,
}

impl Raster {
    /// A raster of index 0.
    pub fn new(width: usize, height: usize) -> Self {
        Raster { width, height, pixels: vec![0; width * height] }
    }

    /// Paints what of a rectangle lies inside.
    pub fn fill(&mut self, (x, y): (usize, usize), (width, height): (usize, usize), index: u8) {
        let end = (x + width).min(self.width);
        for row in self.pixels.chunks_exact_mut(self.width).skip(y).take(height) {
            row[x.min(end)..end].fill(index);
        }
    }

    /// The PNG file; `palette` is red, green, blue.
    pub fn encode(&self, palette: &[[u8; 3]]) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend_from_slice(&be32(self.width));
        header.extend_from_slice(&be32(self.height));
        // Four bits an index into a palette; the only methods there are; no interlace.
        header.extend_from_slice(&[4, 3, 0, 0, 0]);
        let mut rows = Vec::new();
        for row in self.pixels.chunks_exact(self.width) {
            rows.push(0); // no filter
            rows.extend(row.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
        }
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut png, b"IHDR", &header);
        chunk(&mut png, b"PLTE", palette.as_flattened());
        chunk(&mut png, b"IDAT", &stored(&rows));
        chunk(&mut png, b"IEND", &[]);
        png
    }
}

/// Pictures and their parts are far below 4 GiB.
fn be32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
}

fn chunk(png: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) {
    png.extend_from_slice(&be32(body.len()));
    let from = png.len();
    png.extend_from_slice(name);
    png.extend_from_slice(body);
    let crc = crc32(&png[from..]);
    png.extend_from_slice(&crc.to_be_bytes());
}

/// A zlib stream (RFC 1950) of stored blocks, which hold at most 65,535 bytes.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend_from_slice(&len.to_le_bytes());
        stream.extend_from_slice(&(!len).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&adler32(bytes).to_be_bytes());
    stream
}

/// RFC 1950 §8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

/// ISO/IEC 15948 annex D, bit by bit: a table would be larger than the time it saves.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b"IEND"), 0xAE42_6082);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn long_data_goes_into_several_blocks_and_the_last_says_so() {
        let stream = stored(&[7; 70_000]);
        assert_eq!(stream.len(), 2 + 5 + 65_535 + 5 + 4_465 + 4);
        assert_eq!(stream[2..7], [0, 0xFF, 0xFF, 0, 0]);
        let last = 2 + 5 + 65_535;
        assert_eq!(stream[last..last + 5], [1, 0x71, 0x11, 0x8E, 0xEE]);
    }

    #[test]
    fn what_lies_outside_is_not_painted() {
        let mut raster = Raster::new(4, 3);
        raster.fill((3, 2), (9, 9), 5);
        raster.fill((9, 9), (1, 1), 6);
        raster.fill((9, 0), (1, 1), 6);
        assert_eq!(raster.pixels.iter().filter(|&&index| index == 5).count(), 1);
        assert_eq!(raster.pixels[11], 5);
        assert_eq!(raster.pixels.iter().filter(|&&index| index == 6).count(), 0);
        let png = raster.encode(&[[255; 3]; 16]);
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        assert_eq!(png[8..16], *b"\0\0\0\x0dIHDR");
    }
}
