//! GPT-2's alphabet: every byte has a printable character, so that vocabularies hold text without white space.

/// The character that stands for a byte: itself where it is printable Latin-1, else one from U+0100 on.
pub(super) fn char_of(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !printable(other)).count() as u32;
    // At most 68 bytes are not printable, and all of U+0100 to U+0143 are characters.
    char::from_u32(0x100 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// From characters back to bytes.
pub(super) struct ByteAlphabet {
    bytes: [Option<u8>; 0x144],
}

impl ByteAlphabet {
    pub(super) fn new() -> ByteAlphabet {
        let mut bytes = [None; 0x144];
        for byte in 0..=255u8 {
            bytes[char_of(byte) as usize] = Some(byte);
        }
        ByteAlphabet { bytes }
    }

    /// Appends the bytes that `token` stands for; text outside of the alphabet stands for itself.
    pub(super) fn decode_into(&self, token: &str, out: &mut Vec<u8>) {
        let start = out.len();
        for character in token.chars() {
            match self.bytes.get(character as usize).copied().flatten() {
                Some(byte) => out.push(byte),
                None => {
                    out.truncate(start);
                    out.extend_from_slice(token.as_bytes());
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own_and_comes_back() {
        let alphabet = ByteAlphabet::new();
        let token: String = (0..=255u8).map(char_of).collect();
        let mut bytes = Vec::new();
        alphabet.decode_into(&token, &mut bytes);
        assert_eq!(bytes, (0..=255u8).collect::<Vec<_>>());
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(0xad), char_of(b'a')), ('Ġ', 'Ċ', 'Ń', 'a'));
    }

    #[test]
    fn text_outside_of_the_alphabet_stands_for_itself() {
        let mut bytes = Vec::new();
        ByteAlphabet::new().decode_into("Ġ語", &mut bytes);
        assert_eq!(bytes, "Ġ語".as_bytes());
    }
}
