//! Arguments, environment and paths on the wire: a JSON string where they are UTF-8, else
//! `{"hex": "…"}`, so that any bytes survive.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Bytes that are text nearly always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// The bytes as the system's string.
    pub fn as_os(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The text, where it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// Appends bytes to a line as serde writes a [`Text`] of them. The thin client does so for every
/// variable there is, where serde's generality costs more than everything else it does.
pub fn write(line: &mut Vec<u8>, bytes: &[u8]) {
    let is_plain = |&byte: &u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    let hex = |byte: u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    if bytes.iter().all(is_plain) {
        line.push(b'"');
        line.extend_from_slice(bytes);
    } else if std::str::from_utf8(bytes).is_ok() {
        line.push(b'"');
        for &byte in bytes {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                0..0x20 => line.extend(b"\\u00".iter().copied().chain(hex(byte))),
                _ => line.push(byte),
            }
        }
    } else {
        line.extend_from_slice(b"{\"hex\":\"");
        bytes.iter().for_each(|&byte| line.extend_from_slice(&hex(byte)));
        line.extend_from_slice(b"\"}");
        return;
    }
    line.push(b'"');
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl From<OsString> for Text {
    fn from(value: OsString) -> Self {
        Text(value.into_vec())
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Text(value.as_bytes().to_vec())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Plain(String),
    Hex { hex: String },
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if let Some(text) = self.as_str() {
            return serializer.serialize_str(text);
        }
        let hex = self.0.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &hex.map(char::from).collect::<String>())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Plain(text) => Ok(Text(text.into_bytes())),
            Form::Hex { hex } => {
                if hex.len() % 2 != 0 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(D::Error::custom("hex is not pairs of hexadecimal digits"));
                }
                let value = |digit: u8| (digit as char).to_digit(16).map_or(0, |v| v as u8);
                Ok(Text(hex.as_bytes().chunks_exact(2).map(|p| value(p[0]) << 4 | value(p[1])).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        for bytes in [&b"plain"[..], b"", b"\xff\x00\xfe", "ü".as_bytes()] {
            let text = Text(bytes.to_vec());
            let json = serde_json::to_string(&text).expect("text is plain data");
            assert_eq!(serde_json::from_str::<Text>(&json).expect("it was just written"), text, "{json}");
        }
        let every: Vec<u8> = (0..=255).collect();
        for bytes in [&every[..], &every[..128], "\u{1f980}\"\\\t\u{7f}".as_bytes(), b"plain", b""] {
            let mut line = Vec::new();
            write(&mut line, bytes);
            assert_eq!(serde_json::from_slice::<Text>(&line).expect("it was just written").0, bytes);
        }
        assert!(serde_json::from_str::<Text>(r#"{"hex":"f"}"#).is_err());
        assert!(serde_json::from_str::<Text>(r#"{"hex":"+1"}"#).is_err());
    }
}
