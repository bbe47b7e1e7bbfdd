//! The name of a blob: hash function, hash and size, parsed to bytes at the edge so that nothing
//! inward ever handles a hash as text. Protobuf forms are `reapi`'s.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The hash functions the store speaks (REAPI `DigestFunction.Value`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// What most foreign clients ask for.
    Sha256,
    /// What vx itself uses.
    Blake3,
}

impl Function {
    /// The word used in JSON, logs and resource names.
    pub fn name(self) -> &'static str {
        match self {
            Function::Sha256 => "sha256",
            Function::Blake3 => "blake3",
        }
    }

    /// The function that [`Function::name`] names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Function::Sha256),
            "blake3" => Some(Function::Blake3),
            _ => None,
        }
    }
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The hash is not 64 lower-case hexadecimal digits.
    #[error("hash {0:?} is not 64 lower-case hexadecimal digits")]
    Hash(String),
    /// The size is negative or no number.
    #[error("size {0} is not a size in bytes")]
    Size(String),
    /// No such hash function.
    #[error("unknown digest function {0:?}, expected sha256 or blake3")]
    Function(String),
    /// Not of the form `FUNCTION:HASH/SIZE`.
    #[error("{0:?} is not of the form FUNCTION:HASH/SIZE")]
    Form(String),
}

/// A blob's name. Two digests are equal only if function, hash and size are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    function: Function,
    hash: [u8; 32],
    size: u64,
}

impl Digest {
    /// Hashes `bytes`.
    pub fn of(function: Function, bytes: &[u8]) -> Self {
        let hash = match function {
            Function::Sha256 => <sha2::Sha256 as sha2::Digest>::digest(bytes).into(),
            Function::Blake3 => *blake3::hash(bytes).as_bytes(),
        };
        Digest { function, hash, size: bytes.len() as u64 }
    }

    /// A digest from its parts.
    pub fn new(function: Function, hash: [u8; 32], size: u64) -> Self {
        Digest { function, hash, size }
    }

    /// Parses a hash of exactly 64 lower-case hexadecimal digits and a size in bytes ≥ 0.
    pub fn parse(function: Function, hex: &str, size: i64) -> Result<Self, DigestError> {
        let hash = parse_hex(hex).ok_or_else(|| DigestError::Hash(shorten(hex)))?;
        let size = u64::try_from(size).map_err(|_| DigestError::Size(size.to_string()))?;
        Ok(Digest { function, hash, size })
    }

    /// The digest of no bytes.
    pub fn empty(function: Function) -> Self {
        Self::of(function, &[])
    }

    /// The hash function.
    pub fn function(&self) -> Function {
        self.function
    }

    /// The hash.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The hash as 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        to_hex(&self.hash)
    }

    /// The blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether this names the empty blob (with the right hash).
    pub fn is_empty(&self) -> bool {
        self.size == 0 && *self == Self::empty(self.function)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(hash)
}

/// A hostile text must not fill a log line.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.function.name(), self.hex(), self.size)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let form = || DigestError::Form(shorten(text));
        let (function, rest) = text.split_once(':').ok_or_else(form)?;
        let (hex, size) = rest.split_once('/').ok_or_else(form)?;
        let function = Function::from_name(function).ok_or_else(|| DigestError::Function(shorten(function)))?;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DigestError::Size(shorten(size)));
        }
        let size = size.parse().map_err(|_| DigestError::Size(shorten(size)))?;
        Self::parse(function, hex, size)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes a stream of bytes piece by piece.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    size: u64,
}

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(function: Function) -> Self {
        let state = match function {
            Function::Sha256 => State::Sha256(<sha2::Sha256 as sha2::Digest>::new()),
            Function::Blake3 => State::Blake3(Box::default()),
        };
        Hasher { state, size: 0 }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => sha2::Digest::update(state, bytes),
            State::Blake3(state) => {
                state.update(bytes);
            }
        }
        self.size += bytes.len() as u64;
    }

    /// The digest of all bytes seen.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => Digest::new(Function::Sha256, sha2::Digest::finalize(state).into(), self.size),
            State::Blake3(state) => Digest::new(Function::Blake3, *state.finalize().as_bytes(), self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_own_text() {
        for function in [Function::Sha256, Function::Blake3] {
            let digest = Digest::of(function, b"abc");
            assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            let mut hasher = Hasher::new(function);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish(), digest);
        }
    }

    #[test]
    fn known_hashes_are_reproduced() {
        assert_eq!(
            Digest::of(Function::Sha256, b"").hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            Digest::of(Function::Blake3, b"").hex(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn hostile_texts_are_refused() {
        let good = Digest::of(Function::Sha256, b"abc").hex();
        for hex in
            ["", "../../etc/passwd", &good[1..], &good.to_uppercase(), &format!("{good}0"), &good.replace('a', "é")]
        {
            assert!(Digest::parse(Function::Sha256, hex, 3).is_err(), "{hex}");
        }
        assert!(Digest::parse(Function::Sha256, &good, -1).is_err());
        for text in ["", "sha256", "md5:00/1", "sha256:00/1", &format!("sha256:{good}/"), &format!("sha256:{good}/+3")]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_right_hash_with_a_wrong_size_is_another_digest() {
        let digest = Digest::of(Function::Blake3, b"abc");
        assert_ne!(digest, Digest::new(Function::Blake3, *digest.hash(), 4));
    }
}
