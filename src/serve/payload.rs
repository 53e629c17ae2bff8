//! The body of an answer, in the parts it is made of: a list is written from where its Revisions are, without putting
//! them together first. Pure.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes in parts.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    parts: SmallVec<[Bytes; 1]>,
    /// The first part of which something is left.
    at: usize,
    left: usize,
}

impl Payload {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// All of it in one piece.
    pub fn joined(&self) -> Vec<u8> {
        self.rest().concat()
    }

    fn rest(&self) -> &[Bytes] {
        &self.parts[self.at..]
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(parts: I) -> Self {
        let parts: SmallVec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let left = parts.iter().map(Bytes::len).sum();
        Self { parts, at: 0, left }
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(whole: T) -> Self {
        Self::from_iter([whole.into()])
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.rest().first().map_or(&[], Bytes::as_ref)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let both = slices.iter_mut().zip(self.rest());
        both.map(|(slice, part)| *slice = IoSlice::new(part))
            .count()
    }

    fn advance(&mut self, mut count: usize) {
        self.left -= count;
        for first in &mut self.parts[self.at..] {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.at += 1;
        }
    }
}

/// A single frame: all parts are written by one call.
impl Body for Payload {
    type Data = Self;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let all = std::mem::take(&mut *self);
        Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    #[tokio::test]
    async fn it_is_one_frame_of_a_known_length() {
        let payload: Payload = ["a", "", "bc"].into_iter().map(Bytes::from).collect();
        assert_eq!(
            (payload.size_hint().exact(), payload.is_end_stream()),
            (Some(3), false)
        );
        assert_eq!(
            payload.collect().await.expect("infallible").to_bytes(),
            "abc"
        );
        assert!(Payload::from("").is_end_stream());
    }

    proptest! {
        #[test]
        fn it_reads_as_its_parts_joined(parts: Vec<Vec<u8>>, steps in proptest::collection::vec(1..9_usize, 0..99)) {
            let mut payload: Payload = parts.iter().cloned().map(Bytes::from).collect();
            let all = parts.concat();
            prop_assert_eq!(&payload.joined(), &all);
            let mut read = Vec::new();
            for step in steps.into_iter().chain([usize::MAX]) {
                let mut slices = [IoSlice::new(&[]); 3];
                let count = payload.chunks_vectored(&mut slices);
                let seen = slices[..count].iter().flat_map(|slice| slice.iter()).copied();
                let seen: Vec<_> = seen.take(step).collect();
                payload.advance(seen.len());
                read.extend(seen);
            }
            read.extend(payload.copy_to_bytes(payload.remaining()));
            prop_assert_eq!(read, all);
        }
    }
}
