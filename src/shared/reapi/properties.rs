//! Node properties: what the API can say of a file beside its content. Two are known here, as inputs
//! and as outputs; the others are nobody's business on this machine.

use super::{protobuf, v2};

/// When a file was last written.
pub const MTIME: &str = "mtime";
/// Its permissions.
pub const UNIX_MODE: &str = "unix_mode";
/// Permission bits; never those that change who a program runs as.
const PERMISSIONS: u32 = 0o777;

/// What is said of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// When it was last written: seconds since 1970 and nanoseconds.
    pub mtime: Option<(i64, u32)>,
    /// Its permissions.
    pub unix_mode: Option<u32>,
}

impl Properties {
    /// Those of a node; a time that is none counts as not said.
    pub fn read(given: Option<&v2::NodeProperties>) -> Properties {
        let Some(given) = given else { return Properties::default() };
        let time = |stamp: &protobuf::Timestamp| {
            let nanos = u32::try_from(stamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
            Some((stamp.seconds, nanos))
        };
        Properties {
            mtime: given.mtime.as_ref().and_then(time),
            unix_mode: given.unix_mode.map(|mode| mode.value & PERMISSIONS),
        }
    }

    /// As a node carries them; nothing where nothing is said.
    pub fn message(&self) -> Option<v2::NodeProperties> {
        if *self == Properties::default() {
            return None;
        }
        let stamp = |(seconds, nanos)| protobuf::Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or(0) };
        Some(v2::NodeProperties {
            mtime: self.mtime.map(stamp),
            unix_mode: self.unix_mode.map(|mode| protobuf::UInt32Value { value: mode & PERMISSIONS }),
            ..Default::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nonsense_is_dropped() {
        let properties = Properties { mtime: Some((-5, 7)), unix_mode: Some(0o640) };
        assert_eq!(Properties::read(properties.message().as_ref()), properties);
        assert_eq!(Properties::default().message(), None);
        let mtime = Some(protobuf::Timestamp { seconds: 1, nanos: -1 });
        let given = v2::NodeProperties {
            mtime,
            unix_mode: Some(protobuf::UInt32Value { value: 0o104_755 }),
            ..Default::default()
        };
        assert_eq!(Properties::read(Some(&given)), Properties { mtime: None, unix_mode: Some(0o755) });
    }
}
