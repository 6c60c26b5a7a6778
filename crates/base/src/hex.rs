//! Hexadecimal, in lower case.

/// Writes the digits of `bytes` into `out`, as far as there is room, and says how many there are.
pub fn write(bytes: &[u8], out: &mut [u8]) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut written = 0;
    for (byte, digits) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
        written += 2;
    }
    written
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_written_while_there_is_room() {
        let mut out = *b"......";
        assert_eq!((super::write(&[0x0f, 0xa0], &mut out), &out), (4, b"0fa0.."));
        let mut out = *b".....";
        assert_eq!((super::write(&[1, 2, 3], &mut out), &out), (4, b"0102."));
    }
}
