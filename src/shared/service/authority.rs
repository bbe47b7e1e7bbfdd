//! The cure for gRPC clients in C++, Python and Java: on a Unix socket they send the socket's path
//! as `:authority`, which h2 refuses before any handler sees the request. The characters that are
//! no authority are replaced in the HEADERS frames, length and table size kept.

use super::huffman;

const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const HEADERS: u8 = 1;
const FLAG_PADDED: u8 = 0x8;
const FLAG_PRIORITY: u8 = 0x20;
/// `:authority` in HPACK's static table.
const AUTHORITY: usize = 1;
const CURE: [(u8, u8); 2] = [(b'/', b'-'), (b'%', b'.')];

/// What to do with the next received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// That many may be handed on; some were mended in place.
    Pass(usize),
    /// More have to be there first.
    Wait,
}

/// Follows one connection's frames.
#[derive(Debug)]
pub struct Cure {
    /// Bytes of the preface or of a frame's payload that go through unread.
    through: usize,
    /// Frames need no more reading.
    done: bool,
}

impl Default for Cure {
    fn default() -> Self {
        Cure { through: PREFACE_BYTES, done: false }
    }
}

impl Cure {
    /// Bytes that may go from the socket to the reader without being looked at.
    pub fn through(&self) -> usize {
        if self.done { usize::MAX } else { self.through }
    }

    /// Accounts for bytes that went past.
    pub fn passed(&mut self, bytes: usize) {
        self.through = self.through.saturating_sub(bytes);
    }

    /// Looks at `bytes`, received and not yet handed on, and mends what is whole.
    pub fn step(&mut self, bytes: &mut [u8]) -> Step {
        if self.done {
            return Step::Pass(bytes.len());
        }
        if self.through > 0 {
            return Step::Pass(self.through.min(bytes.len()));
        }
        if bytes.len() < FRAME_HEADER_BYTES {
            return Step::Wait;
        }
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let (kind, flags) = (bytes[3], bytes[4]);
        if kind != HEADERS {
            self.through = FRAME_HEADER_BYTES + length;
            return Step::Pass(self.through.min(bytes.len()));
        }
        let Some(payload) = bytes.get_mut(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length) else { return Step::Wait };
        if let Some(block) = block(payload, flags)
            && !mend(block).unwrap_or(false)
        {
            // Its authority is fine, or we cannot read it: nothing will be mended here.
            self.done = true;
        }
        self.through = FRAME_HEADER_BYTES + length;
        Step::Pass(self.through)
    }
}

/// The header block of a HEADERS frame.
fn block(payload: &mut [u8], flags: u8) -> Option<&mut [u8]> {
    let (mut start, mut end) = (0, payload.len());
    if flags & FLAG_PADDED != 0 {
        end = end.checked_sub(usize::from(*payload.first()?))?;
        start = 1;
    }
    if flags & FLAG_PRIORITY != 0 {
        start += 5;
    }
    payload.get_mut(start..end)
}

/// Walks a header block; `Some(true)` when an authority was mended, `None` when it ends early.
fn mend(block: &mut [u8]) -> Option<bool> {
    let mut at = 0;
    while at < block.len() {
        let first = block[at];
        if first & 0x80 != 0 {
            integer(block, &mut at, 7)?;
            continue;
        }
        if first & 0xe0 == 0x20 {
            integer(block, &mut at, 5)?;
            continue;
        }
        let index = integer(block, &mut at, if first & 0x40 != 0 { 6 } else { 4 })?;
        let mut is_authority = index == AUTHORITY;
        if index == 0 {
            // grpc's C core (Python, C++) spells the name out.
            let name = string(block, &mut at)?;
            is_authority = !name.huffman && block.get(name.range)? == b":authority";
        }
        let value = string(block, &mut at)?;
        if is_authority {
            let text = block.get_mut(value.range)?;
            return Some(if value.huffman { huffman::replace(text, &CURE) } else { replace_plain(text) });
        }
    }
    // Without a literal authority the connection's first request had one that is in the table.
    Some(true)
}

struct Value {
    huffman: bool,
    range: std::ops::Range<usize>,
}

fn string(block: &[u8], at: &mut usize) -> Option<Value> {
    let huffman = block.get(*at)? & 0x80 != 0;
    let length = integer(block, at, 7)?;
    let range = *at..at.checked_add(length)?;
    *at = range.end;
    (range.end <= block.len()).then_some(Value { huffman, range })
}

/// An integer with a prefix of that many bits (RFC 7541, 5.1).
fn integer(block: &[u8], at: &mut usize, prefix: u32) -> Option<usize> {
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(*block.get(*at)?) & mask;
    *at += 1;
    if value < mask {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(*at)?);
        *at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn replace_plain(text: &mut [u8]) -> bool {
    let mut replaced = false;
    for byte in text {
        if let Some(&(_, to)) = CURE.iter().find(|(from, _)| from == byte) {
            *byte = to;
            replaced = true;
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authority: &[u8]) -> Vec<u8> {
        let mut block = vec![0x83, 0x41, authority.len() as u8];
        block.extend_from_slice(authority);
        let mut frame = vec![0, 0, block.len() as u8, HEADERS, 4, 0, 0, 0, 1];
        frame.extend(block);
        frame
    }

    #[test]
    fn a_path_becomes_an_authority_of_the_same_length() {
        let mut cure = Cure::default();
        let mut preface = vec![0; PREFACE_BYTES];
        assert_eq!(cure.step(&mut preface), Step::Pass(PREFACE_BYTES));
        cure.passed(PREFACE_BYTES);
        let mut frame = headers(b"tmp%2Fcas/sock");
        assert_eq!(cure.step(&mut frame[..12].to_vec()), Step::Wait);
        assert_eq!(cure.step(&mut frame), Step::Pass(frame.len()));
        assert_eq!(frame, headers(b"tmp.2Fcas-sock"));
        assert_eq!(cure.through(), frame.len());
    }

    #[test]
    fn a_name_that_is_spelled_out_is_found() {
        let spelled = |authority: &[u8]| {
            let mut block = b"\x40\x05:path\x02/x\x40\x0a:authority".to_vec();
            block.push(authority.len() as u8);
            block.extend_from_slice(authority);
            block
        };
        let mut block = spelled(b"tmp%2Fx%2Fcas.sock");
        assert_eq!(mend(&mut block), Some(true));
        assert_eq!(block, spelled(b"tmp.2Fx.2Fcas.sock"));
    }

    #[test]
    fn a_good_authority_ends_the_reading() {
        let mut cure = Cure { through: 0, done: false };
        let mut frame = headers(b"localhost");
        let len = frame.len();
        assert_eq!(cure.step(&mut frame), Step::Pass(len));
        assert_eq!((frame, cure.through()), (headers(b"localhost"), usize::MAX));
    }

    #[test]
    fn broken_blocks_pass_unread() {
        for block in [&[0x41_u8][..], &[0x41, 0xff, 0xff, 0xff, 0xff, 0xff], &[0x7f], &[0x41, 5, b'/']] {
            let mut frame = vec![0, 0, block.len() as u8, HEADERS, 4, 0, 0, 0, 1];
            frame.extend_from_slice(block);
            let mut cure = Cure { through: 0, done: false };
            assert_eq!(cure.step(&mut frame.clone()), Step::Pass(frame.len()));
        }
    }
}
