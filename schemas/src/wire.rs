//! The compact binary form of what flows by the million: little-endian integers, and texts with a 16-bit length.
//! [`hit`](crate::hit) and [`click`](crate::click) are written with it; what is few is JSON instead.

/// Why bytes could not be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end before the record does.
    #[error("the record is cut short")]
    Short,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A version or a tag that this program does not know: it was written by a later one.
    #[error("unknown {0}")]
    Unknown(&'static str),
}

/// Writes into a caller's buffer, so that the hot path allocates nothing.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>) -> Self {
        Self { buffer }
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.buffer.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Sixteen bytes.
    pub fn u128(&mut self, value: u128) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// A fixed run of bytes, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A text of at most `max` bytes; a longer one is cut at a character's boundary.
    pub fn text(&mut self, text: &str, max: usize) {
        let text = truncate(text, max.min(u16::MAX as usize));
        self.u16(text.len() as u16);
        // Most texts of a click are empty, and a copy of nothing is a call all the same.
        if !text.is_empty() {
            self.buffer.extend_from_slice(text.as_bytes());
        }
    }
}

/// The longest prefix of `text` that has at most `max` bytes and ends between characters.
pub fn truncate(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Reads what [`Writer`] wrote.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// A fixed run of bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or(WireError::Short)?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        Ok(self.raw(N)?.try_into().expect("raw gives exactly what was asked for"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, WireError> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'a str, WireError> {
        let length = self.u16()? as usize;
        std::str::from_utf8(self.raw(length)?).map_err(|_| WireError::NotUtf8)
    }

    /// `N` texts. Where all that is left is UTF-8 with the lengths in it, as it is with short texts, it is checked at
    /// once; else each for itself.
    pub fn texts<const N: usize>(&mut self) -> Result<[&'a str; N], WireError> {
        let all = self.bytes;
        let Ok(whole) = std::str::from_utf8(all) else {
            let mut texts = [""; N];
            for text in &mut texts {
                *text = self.text()?;
            }
            return Ok(texts);
        };
        let mut texts = [""; N];
        for text in &mut texts {
            let length = self.u16()? as usize;
            let start = all.len() - self.bytes.len();
            self.raw(length)?;
            // Where a length is part of a character, a text may begin within one.
            *text = whole.get(start..start + length).ok_or(WireError::NotUtf8)?;
        }
        Ok(texts)
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(truncate("añb", 2), "a");
        assert_eq!(truncate("añb", 3), "añ");
        assert_eq!(truncate("añb", 9), "añb");
    }

    proptest! {
        #[test]
        fn many_texts_are_read_as_one_by_one(
            texts in prop::array::uniform4(prop_oneof!["[ -~]{0,20}", "\\PC{0,12}", "[a-c]{120,140}"]),
            (at, byte) in (0..600_usize, any::<u8>()),
            end in 0..600_usize,
        ) {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            texts.iter().for_each(|text| writer.text(text, 999));
            if let Some(damaged) = bytes.get_mut(at) {
                *damaged = byte;
            }
            bytes.truncate(end);
            let mut reader = Reader::new(&bytes);
            let naive: Result<Vec<&str>, _> = (0..4).map(|_| reader.text()).collect();
            let all = Reader::new(&bytes).texts::<4>();
            prop_assert_eq!(all.map(Vec::from), naive);
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.text("hello", 99);
        writer.u64(7);
        for end in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..end]);
            assert!(reader.text().and_then(|_| reader.u64()).is_err(), "{end}");
        }
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.text(), reader.u64(), reader.is_empty()), (Ok("hello"), Ok(7), true));
    }
}
