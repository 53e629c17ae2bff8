//! gzip of whole buffers in memory. Pure.
//!
//! A compressor's tables are half a megabyte, and most of what is compressed here is a few kilobytes: making them anew
//! each time costs more than compressing does, so each thread keeps its own.

use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};
use std::cell::RefCell;
use std::io;

thread_local! {
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new(CompressionLvl::default()));
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// No header, no compression and no byte is shorter.
const SHORTEST: usize = 18;

/// Compresses `data`.
///
/// # Errors
/// Never in practice: the buffer is as long as the longest result.
pub fn compress(data: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
        let length = compressor
            .gzip_compress(data, &mut out)
            .map_err(io::Error::other)?;
        out.truncate(length);
        out.shrink_to_fit();
        Ok(out)
    })
}

/// Decompresses `data`, to at most `limit` bytes.
///
/// # Errors
/// When `data` is damaged, or decompresses to more.
pub fn decompress(data: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let length = data
        .last_chunk()
        .filter(|_| data.len() >= SHORTEST)
        .map(|bytes| u32::from_le_bytes(*bytes) as usize)
        .ok_or_else(|| damaged("it is too short for gzip"))?;
    if length > limit {
        return Err(io::Error::other(format!(
            "unpacks to {length} bytes; at most {limit} are expected"
        )));
    }
    let mut out = vec![0; length];
    let unpacked =
        DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.gzip_decompress(data, &mut out));
    match unpacked {
        Ok(unpacked) if unpacked == length => Ok(out),
        Ok(_) | Err(DecompressionError::InsufficientSpace) => {
            Err(damaged("its length is not what it says"))
        }
        Err(DecompressionError::BadData) => Err(damaged("it is not gzip")),
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged data: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn what_others_compressed_is_read() {
        let mut encoder = flate2::GzBuilder::new()
            .filename("name")
            .write(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, b"hello").expect("memory");
        let data = encoder.finish().expect("memory");
        assert_eq!(decompress(&data, 5).expect("reads"), b"hello");
        assert!(decompress(&data, 4).is_err());
    }

    #[test]
    fn a_length_that_lies_is_an_error_and_no_allocation() {
        for length in [0, 4, 6, u32::MAX] {
            let mut data = compress(b"hello").expect("memory");
            let end = data.len() - 4;
            data[end..].copy_from_slice(&length.to_le_bytes());
            assert!(decompress(&data, 100).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn gunzip_reads_what_is_written(data: Vec<u8>) {
            let gzip = compress(&data).expect("memory");
            let mut read = Vec::new();
            GzDecoder::new(&gzip[..]).read_to_end(&mut read).expect("gzip");
            prop_assert_eq!(&read, &data);
            prop_assert_eq!(decompress(&gzip, data.len()).expect("reads"), data);
        }

        #[test]
        fn junk_is_an_error(data: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            prop_assert!(decompress(&data, 1 << 20).is_err() || data.len() >= SHORTEST);
            let mut gzip = compress(b"some text, some text").expect("memory");
            // The first ten bytes say only when and by which program it was compressed.
            let damaged = 10 + at.index(gzip.len() - 10);
            gzip[damaged] ^= 1_u8 << bit;
            let read = decompress(&gzip, 1 << 20);
            // The last byte of the stream may have bits to spare.
            prop_assert!(read.is_err() || read.is_ok_and(|read| read == b"some text, some text"));
        }
    }
}
