//! HPACK's Huffman code (RFC 7541, appendix B), far enough to replace single characters in place
//! by others of the same length. The code is canonical: the lengths alone define it.

/// Bits of each symbol's code; the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS: usize = 256;

/// One symbol found in an encoded text: its value and the bits that hold it.
struct Found {
    symbol: usize,
    start: usize,
    bits: usize,
}

/// Replaces each `from` by its `to`, pairs of symbols whose codes are equally long. Says whether
/// the text was well formed and anything was replaced.
pub fn replace(encoded: &mut [u8], pairs: &[(u8, u8)]) -> bool {
    let mut at = 0;
    let mut replaced = false;
    while let Some(found) = next(encoded, at) {
        at = found.start + found.bits;
        let Some(&(_, to)) = pairs.iter().find(|(from, _)| usize::from(*from) == found.symbol) else { continue };
        if usize::from(LENGTHS[usize::from(to)]) == found.bits {
            write_bits(encoded, found.start, found.bits, code_of(usize::from(to)));
            replaced = true;
        }
    }
    replaced
}

/// The symbol at bit `start`; `None` at the padding or where no code fits.
fn next(encoded: &[u8], start: usize) -> Option<Found> {
    let (mut code, mut first, mut previous) = (0_u64, 0_u64, 0_usize);
    for bits in 1..=30 {
        let at = start + bits - 1;
        let byte = encoded.get(at / 8)?;
        code = code << 1 | u64::from(byte >> (7 - at % 8) & 1);
        first = (first + previous as u64) << 1;
        previous = LENGTHS.iter().filter(|&&length| usize::from(length) == bits).count();
        if code >= first && code < first + previous as u64 {
            let symbol = symbol_at(bits, usize::try_from(code - first).ok()?)?;
            return (symbol != EOS).then_some(Found { symbol, start, bits });
        }
    }
    None
}

fn symbol_at(bits: usize, index: usize) -> Option<usize> {
    (0..LENGTHS.len()).filter(|&symbol| usize::from(LENGTHS[symbol]) == bits).nth(index)
}

fn code_of(symbol: usize) -> u64 {
    let bits = LENGTHS[symbol];
    let (mut first, mut previous) = (0_u64, 0_u64);
    for length in 1..=bits {
        first = (first + previous) << 1;
        previous = LENGTHS.iter().filter(|&&l| l == length).count() as u64;
    }
    first + (0..symbol).filter(|&s| LENGTHS[s] == bits).count() as u64
}

fn write_bits(encoded: &mut [u8], start: usize, bits: usize, code: u64) {
    for bit in 0..bits {
        let at = start + bit;
        let mask = 1 << (7 - at % 8);
        if code >> (bits - 1 - bit) & 1 == 1 {
            encoded[at / 8] |= mask;
        } else {
            encoded[at / 8] &= !mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let bits: usize = text.iter().map(|&b| usize::from(LENGTHS[usize::from(b)])).sum();
        let mut encoded = vec![0xff; bits.div_ceil(8)];
        let mut at = 0;
        for &byte in text {
            let length = usize::from(LENGTHS[usize::from(byte)]);
            write_bits(&mut encoded, at, length, code_of(usize::from(byte)));
            at += length;
        }
        encoded
    }

    #[test]
    fn the_rfcs_example_is_reproduced() {
        // RFC 7541, C.4.1.
        let expected = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(encode(b"www.example.com"), expected);
    }

    #[test]
    fn single_characters_are_replaced_in_place() {
        let mut encoded = encode(b"run%2Fuser%2F0/cas.sock");
        assert!(replace(&mut encoded, &[(b'/', b'-'), (b'%', b'.')]));
        assert_eq!(encoded, encode(b"run.2Fuser.2F0-cas.sock"));
        assert!(!replace(&mut encoded, &[(b'/', b'-'), (b'%', b'.')]));
    }
}
