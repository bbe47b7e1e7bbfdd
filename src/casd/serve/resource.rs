//! ByteStream's resource names, taken apart. Instance names may hold any segments, so the words
//! `uploads` and `blobs` are looked for where the rest fits behind them.

use shared::digest::{Digest, Function};
use tonic::Status;

use super::packing::Packing;

/// Longest name that is looked at.
const NAME: usize = 4096;

/// A blob and how its bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub digest: Digest,
    pub packing: Packing,
}

/// `[instance/]blobs/[function/]hash/size` or `[instance/]compressed-blobs/compressor/…`.
pub fn read_name(name: &str) -> Result<Name, Status> {
    let segments = split(name)?;
    let at = segments.iter().rposition(|segment| *segment == "blobs" || *segment == "compressed-blobs");
    let (packing, rest) = match at.map(|at| (segments[at], &segments[at + 1..])) {
        Some(("blobs", rest)) => (Packing::Plain, rest),
        Some((_, [compressor, rest @ ..])) => (Packing::from_name(compressor)?, rest),
        _ => return Err(malformed(name)),
    };
    let digest = match rest {
        [hash, size] => digest(Function::Sha256, hash, size),
        [function, hash, size] => digest(named(function)?, hash, size),
        _ => Err(malformed(name)),
    };
    Ok(Name { digest: digest?, packing })
}

/// `[instance/]uploads/uuid/blobs/[function/]hash/size[/anything]`, or the same with
/// `compressed-blobs/compressor`.
pub fn write_name(name: &str) -> Result<Name, Status> {
    let segments = split(name)?;
    for (at, _) in segments.iter().enumerate().filter(|(_, segment)| **segment == "uploads") {
        let (packing, rest) = match &segments[at + 1..] {
            [_, "blobs", rest @ ..] => (Packing::Plain, rest),
            [_, "compressed-blobs", compressor, rest @ ..] => (Packing::from_name(compressor)?, rest),
            _ => continue,
        };
        let digest = match rest {
            [function, hash, size, ..] if Function::from_name(function).is_some() => {
                digest(named(function)?, hash, size)
            }
            [hash, size, ..] => digest(Function::Sha256, hash, size),
            _ => continue,
        };
        return Ok(Name { digest: digest?, packing });
    }
    Err(malformed(name))
}

fn split(name: &str) -> Result<Vec<&str>, Status> {
    if name.len() > NAME {
        return Err(Status::invalid_argument("the resource name is too long"));
    }
    Ok(name.split('/').collect())
}

fn named(function: &str) -> Result<Function, Status> {
    // SHA-256 has no segment in the API's text; who writes it all the same means it.
    Function::from_name(function).ok_or_else(|| {
        Status::invalid_argument(format!("unknown digest function {:?} in the resource name", short(function)))
    })
}

fn digest(function: Function, hash: &str, size: &str) -> Result<Digest, Status> {
    let whole = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let size = size.parse().ok().filter(|_| whole);
    let size: i64 =
        size.ok_or_else(|| Status::invalid_argument("the size in the resource name is no size in bytes"))?;
    Digest::parse(function, hash, size).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn malformed(name: &str) -> Status {
    Status::invalid_argument(format!("{:?} names no blob", short(name)))
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let sha = Digest::of(Function::Sha256, b"x");
        let b3 = Digest::of(Function::Blake3, b"x");
        let reads = [
            (format!("blobs/{}/1", sha.hex()), sha),
            (format!("a/b/blobs/{}/1", sha.hex()), sha),
            (format!("blobs/blobs/{}/1", sha.hex()), sha),
            (format!("blobs/blake3/{}/1", b3.hex()), b3),
        ];
        for (name, digest) in &reads {
            assert_eq!(read_name(name).unwrap(), Name { digest: *digest, packing: Packing::Plain }, "{name}");
        }
        let writes = [
            (format!("uploads/u/blobs/{}/1", sha.hex()), sha),
            (format!("i/uploads/u/blobs/{}/1/extra/segments", sha.hex()), sha),
            (format!("uploads/uploads/u/blobs/blake3/{}/1/x", b3.hex()), b3),
        ];
        for (name, digest) in &writes {
            assert_eq!(write_name(name).unwrap(), Name { digest: *digest, packing: Packing::Plain }, "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn compressed_names_are_taken_apart() {
        let sha = Digest::of(Function::Sha256, b"x");
        let b3 = Digest::of(Function::Blake3, b"x");
        for (part, digest) in [(format!("zstd/{}/1", sha.hex()), sha), (format!("zstd/blake3/{}/1", b3.hex()), b3)] {
            let name = Name { digest, packing: Packing::Zstd };
            assert_eq!(read_name(&format!("i/compressed-blobs/{part}")).unwrap(), name);
            assert_eq!(write_name(&format!("i/uploads/u/compressed-blobs/{part}/extra")).unwrap(), name);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let hex = Digest::of(Function::Sha256, b"x").hex();
        for name in [
            String::new(),
            "blobs".into(),
            format!("blobs/{hex}"),
            format!("blobs/{hex}/-1"),
            format!("blobs/{hex}/+1"),
            format!("blobs/{hex}/99999999999999999999"),
            format!("blobs/{hex}/1/more"),
            format!("blobs/md5/{hex}/1"),
            format!("blobs/{}/1", hex.to_uppercase()),
            "blobs/../../etc/passwd/1".into(),
            format!("compressed-blobs/deflate/{hex}/1"),
            format!("compressed-blobs/{hex}/1"),
            "compressed-blobs".into(),
            "compressed-blobs/zstd".into(),
            "x/".repeat(5000),
        ] {
            assert_eq!(read_name(&name).unwrap_err().code(), tonic::Code::InvalidArgument, "{name:.80}");
            let write = format!("uploads/u/{name}");
            if !name.ends_with("/more") {
                assert_eq!(write_name(&write).unwrap_err().code(), tonic::Code::InvalidArgument, "{write:.80}");
            }
        }
    }
}
