//! Blobs on the wire as zstd frames, for `compressed-blobs` and the batch calls. The store keeps
//! blobs as they are; a hostile frame costs at most its window and the size that was declared.

use shared::reapi::v2::compressor;
use tonic::Status;

/// How a blob's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Zstd,
}

impl Packing {
    /// The compressor of a batch call.
    pub fn from_proto(value: i32) -> Result<Self, Status> {
        let found = [Packing::Plain, Packing::Zstd].into_iter().find(|packing| packing.to_proto() == value);
        found.filter(|packing| packing.is_offered()).ok_or_else(refused)
    }

    /// The word in a resource name.
    pub fn from_name(name: &str) -> Result<Self, Status> {
        Some(Packing::Zstd).filter(|packing| name == "zstd" && packing.is_offered()).ok_or_else(refused)
    }

    pub fn to_proto(self) -> i32 {
        match self {
            Packing::Plain => compressor::Value::Identity as i32,
            Packing::Zstd => compressor::Value::Zstd as i32,
        }
    }

    fn is_offered(self) -> bool {
        self == Packing::Plain || offered().contains(&self)
    }
}

fn refused() -> Status {
    Status::invalid_argument("this compressor is not among those that the capabilities of this store name")
}

/// A blob of `size` bytes out of a batch call.
pub fn unpack(bytes: &[u8], size: u64) -> Result<Vec<u8>, Status> {
    let mut whole = Vec::with_capacity(size as usize);
    let mut unpacker = Unpacker::new(Packing::Zstd)?;
    unpacker.feed(bytes, |piece| {
        if (whole.len() + piece.len()) as u64 > size {
            return Err(Status::invalid_argument(format!("more than the {size} bytes announced were unpacked")));
        }
        whole.extend_from_slice(piece);
        Ok(())
    })?;
    unpacker.end()?;
    Ok(whole)
}

#[cfg(target_os = "linux")]
pub use frames::{Packer, Unpacker, offered, pack};
#[cfg(not(target_os = "linux"))]
pub use plain::{Packer, Unpacker, offered, pack};

#[cfg(target_os = "linux")]
mod frames {
    use tonic::Status;
    use zstd::stream::raw::{DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

    use super::Packing;

    /// Largest window that a frame may ask for, as a power of two: the 8 MiB that RFC 8878 wants
    /// every decoder to grant. Each upload may hold one.
    const WINDOW_LOG: u32 = 23;
    /// The fastest; client and store share a machine.
    const LEVEL: i32 = 1;
    /// Unpacked or packed at one go.
    const PIECE: usize = 256 << 10;

    /// What the capabilities name beside plain bytes.
    pub fn offered() -> &'static [Packing] {
        &[Packing::Zstd]
    }

    /// One blob as one frame.
    pub fn pack(bytes: &[u8]) -> Result<Vec<u8>, Status> {
        zstd::bulk::compress(bytes, LEVEL).map_err(failed)
    }

    /// Unpacks a sequence of frames as it comes.
    pub struct Unpacker(Option<Frames>);

    struct Frames {
        decoder: Decoder<'static>,
        output: Vec<u8>,
        at: At,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum At {
        FrameEnd,
        WithinFrame,
    }

    impl Unpacker {
        pub fn new(packing: Packing) -> Result<Self, Status> {
            if packing == Packing::Plain {
                return Ok(Unpacker(None));
            }
            let mut decoder = Decoder::new().map_err(failed)?;
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(failed)?;
            Ok(Unpacker(Some(Frames { decoder, output: vec![0; PIECE], at: At::FrameEnd })))
        }

        /// Hands what `bytes` hold to `sink`, piece by piece.
        pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8]) -> Result<(), Status>) -> Result<(), Status> {
            let Some(frames) = &mut self.0 else { return sink(bytes) };
            let mut input = InBuffer::around(bytes);
            while !bytes.is_empty() {
                let mut output = OutBuffer::around(&mut frames.output[..]);
                let hint = frames.decoder.run(&mut input, &mut output);
                let hint = hint.map_err(|error| Status::invalid_argument(format!("no zstd data: {error}")))?;
                let written = output.pos();
                sink(&frames.output[..written])?;
                frames.at = if hint == 0 { At::FrameEnd } else { At::WithinFrame };
                if input.pos() == bytes.len() && (hint == 0 || written < PIECE) {
                    break;
                }
            }
            Ok(())
        }

        /// No more comes: the last frame must have ended.
        pub fn end(&self) -> Result<(), Status> {
            match &self.0 {
                Some(frames) if frames.at == At::WithinFrame => {
                    Err(Status::invalid_argument("the zstd data end within a frame"))
                }
                _ => Ok(()),
            }
        }
    }

    /// Packs one blob as it is read.
    pub struct Packer(Option<(Encoder<'static>, Vec<u8>)>);

    impl Packer {
        pub fn new(packing: Packing) -> Result<Self, Status> {
            Ok(Packer(match packing {
                Packing::Plain => None,
                Packing::Zstd => Some((Encoder::new(LEVEL).map_err(failed)?, vec![0; PIECE])),
            }))
        }

        /// What goes out for the next bytes; maybe nothing yet.
        pub fn feed(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
            let Some((encoder, piece)) = &mut self.0 else { return Ok(bytes) };
            let mut packed = Vec::new();
            let mut input = InBuffer::around(&bytes[..]);
            while input.pos() < bytes.len() {
                let mut output = OutBuffer::around(&mut piece[..]);
                encoder.run(&mut input, &mut output).map_err(failed)?;
                packed.extend_from_slice(output.as_slice());
            }
            Ok(packed)
        }

        /// What is left when all was fed.
        pub fn end(&mut self) -> Result<Vec<u8>, Status> {
            let Some((encoder, piece)) = &mut self.0 else { return Ok(Vec::new()) };
            let mut packed = Vec::new();
            loop {
                let mut output = OutBuffer::around(&mut piece[..]);
                let left = encoder.finish(&mut output, true).map_err(failed)?;
                packed.extend_from_slice(output.as_slice());
                if left == 0 {
                    return Ok(packed);
                }
            }
        }
    }

    fn failed(error: std::io::Error) -> Status {
        Status::internal(format!("zstd: {error}"))
    }
}

/// Where zstd's C code is not part of the program, blobs travel as they are.
#[cfg(not(target_os = "linux"))]
mod plain {
    use tonic::Status;

    use super::Packing;

    pub fn offered() -> &'static [Packing] {
        &[]
    }

    pub fn pack(bytes: &[u8]) -> Result<Vec<u8>, Status> {
        Ok(bytes.to_vec())
    }

    pub struct Unpacker;

    impl Unpacker {
        pub fn new(_: Packing) -> Result<Self, Status> {
            Ok(Unpacker)
        }

        pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8]) -> Result<(), Status>) -> Result<(), Status> {
            sink(bytes)
        }

        pub fn end(&self) -> Result<(), Status> {
            Ok(())
        }
    }

    pub struct Packer;

    impl Packer {
        pub fn new(_: Packing) -> Result<Self, Status> {
            Ok(Packer)
        }

        pub fn feed(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
            Ok(bytes)
        }

        pub fn end(&mut self) -> Result<Vec<u8>, Status> {
            Ok(Vec::new())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn unpack_pieces(packed: &[u8], piece: usize) -> Result<Vec<u8>, Status> {
        let mut unpacker = Unpacker::new(Packing::Zstd)?;
        let mut whole = Vec::new();
        for piece in packed.chunks(piece) {
            unpacker.feed(piece, |bytes| {
                whole.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        unpacker.end().map(|()| whole)
    }

    #[test]
    fn frames_of_any_cut_come_back() {
        for size in [0, 1, 1000, 262_144, 1_000_000] {
            let bytes: Vec<u8> = (0..size).map(|n: u32| (n.wrapping_mul(n) >> 7) as u8).collect();
            let mut packer = Packer::new(Packing::Zstd).unwrap();
            let mut packed: Vec<u8> =
                bytes.chunks(300_000).flat_map(|piece| packer.feed(piece.to_vec()).unwrap()).collect();
            packed.extend(packer.end().unwrap());
            let twice = [&packed[..], &pack(&bytes).unwrap()].concat();
            for piece in [7, 4096, usize::MAX] {
                assert_eq!(unpack_pieces(&packed, piece).unwrap(), bytes);
                assert_eq!(unpack_pieces(&twice, piece).unwrap(), bytes.repeat(2), "two frames");
            }
            assert_eq!(unpack(&packed, bytes.len() as u64).unwrap(), bytes);
            assert!(unpack_pieces(&packed[..packed.len() - 1], 4096).is_err(), "an unfinished frame");
        }
    }

    #[test]
    fn bombs_and_other_bytes_are_refused() {
        let bomb = pack(&vec![0; 50_000_000]).unwrap();
        assert!(bomb.len() < 10_000);
        assert!(unpack(&bomb, 1000).is_err());
        assert!(unpack(b"no zstd at all", 14).is_err());
        // A frame header that asks for a window of 16 MiB.
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x70, 0x01, 0x00, 0x00];
        assert!(unpack(&wide, 0).unwrap_err().message().contains("zstd"));
    }
}
