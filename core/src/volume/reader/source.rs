//! A byte source that may be gzip-compressed, with any number of members.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

use crate::volume::VolumeError;

/// Bytes asked of the underlying reader at once.
const CHUNK: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A buffered reader that can look ahead and knows whether its inner reader failed.
struct Input<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    failed: bool,
}

impl<R: Read> Input<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            failed: false,
        }
    }

    fn fetch(&mut self) -> io::Result<usize> {
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                // A reader that claims more than it was given room for is broken.
                Ok(n) if n <= self.buffer.len() - self.end => {
                    self.end += n;
                    return Ok(n);
                }
                Ok(_) => {
                    self.failed = true;
                    return Err(io::Error::other(
                        "the reader returned more than was asked for",
                    ));
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.failed = true;
                    return Err(e);
                }
            }
        }
    }

    /// The next `n` bytes without taking them; fewer at the end.
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < n {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < n {
            if self.fetch()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + n)])
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && out.len() >= self.buffer.len() {
            return self.inner.read(out).inspect_err(|e| {
                self.failed |= e.kind() != ErrorKind::Interrupted;
            });
        }
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.fetch()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

enum State<R> {
    Plain(Input<R>),
    Gzip(Box<GzDecoder<Input<R>>>),
    /// After the last gzip member.
    End,
}

/// Bytes of a file, decompressed where it starts like gzip.
pub(super) struct Source<R>(State<R>);

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Result<Self, VolumeError> {
        let mut input = Input::new(inner);
        let gzip = input.peek(2).map_err(VolumeError::Read)? == GZIP_MAGIC;
        Ok(Self(if gzip {
            State::Gzip(Box::new(GzDecoder::new(input)))
        } else {
            State::Plain(input)
        }))
    }

    /// Fills `out` as far as the source reaches and returns how far that is.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, VolumeError> {
        let mut done = 0;
        while done < out.len() {
            match self.read(&mut out[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A gzip stream that stops short: what came out of it counts.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof && !self.reader_failed() => break,
                Err(e) => return Err(self.error(e)),
            }
        }
        Ok(done)
    }

    /// Reads and forgets up to `n` bytes; returns how many there were.
    pub(super) fn skip(&mut self, n: u64) -> Result<u64, VolumeError> {
        let mut scratch = [0; 16 << 10];
        let mut done = 0;
        while done < n {
            let want = (n - done).min(scratch.len() as u64) as usize;
            let got = self.fill(&mut scratch[..want])?;
            done += got as u64;
            if got < want {
                break;
            }
        }
        Ok(done)
    }

    /// After the last byte that is needed: checks the checksum of a gzip stream, where it ends
    /// within `slack` more bytes. What follows otherwise is left alone.
    pub(super) fn finish(&mut self, slack: usize) -> Result<(), VolumeError> {
        if matches!(self.0, State::Plain(_)) {
            return Ok(());
        }
        let mut scratch = [0; 16 << 10];
        let mut left = slack + 1;
        while left > 0 {
            let want = left.min(scratch.len());
            match self.read(&mut scratch[..want]) {
                Ok(0) => break,
                Ok(n) => left -= n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error(e)),
            }
        }
        Ok(())
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.0 {
                State::Plain(input) => return input.read(out),
                State::End => return Ok(0),
                State::Gzip(decoder) => {
                    let n = decoder.read(out)?;
                    if n > 0 || out.is_empty() {
                        return Ok(n);
                    }
                    // Anything after a member that is not another one is padding.
                    if decoder.get_mut().peek(2)? != GZIP_MAGIC {
                        self.0 = State::End;
                    } else if let State::Gzip(decoder) = std::mem::replace(&mut self.0, State::End)
                    {
                        self.0 = State::Gzip(Box::new(GzDecoder::new(decoder.into_inner())));
                    }
                }
            }
        }
    }

    fn reader_failed(&self) -> bool {
        match &self.0 {
            State::Plain(input) => input.failed,
            State::Gzip(decoder) => decoder.get_ref().failed,
            State::End => false,
        }
    }

    fn error(&self, e: io::Error) -> VolumeError {
        match &self.0 {
            State::Gzip(_) if !self.reader_failed() => VolumeError::Gzip(e),
            _ => VolumeError::Read(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut e = GzEncoder::new(Vec::new(), Compression::fast());
        e.write_all(bytes).expect("memory");
        e.finish().expect("memory")
    }

    /// Gives one byte at a time, with an interruption before each.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let n = out.len().min(1);
            self.0.read(&mut out[..n])
        }
    }

    fn all(bytes: &[u8], n: usize) -> Result<Vec<u8>, VolumeError> {
        let mut source = Source::new(Trickle(bytes, false))?;
        let mut out = vec![0; n];
        let got = source.fill(&mut out)?;
        source.finish(0)?;
        out.truncate(got);
        Ok(out)
    }

    #[test]
    fn plain_and_gzip_and_members_and_padding() -> Result<(), VolumeError> {
        let data: Vec<u8> = (0..5000u32).map(|i| (i * i % 251) as u8).collect();
        assert_eq!(all(&data, 9000)?, data);
        assert_eq!(all(&gzip(&data), 9000)?, data);
        let mut members: Vec<u8> = Vec::new();
        for part in data.chunks(1234) {
            members.extend(gzip(part));
            members.extend(gzip(&[]));
        }
        assert_eq!(all(&members, 9000)?, data);
        members.extend([0; 40]);
        assert_eq!(all(&members, 9000)?, data);
        members.extend(b"and other things");
        assert_eq!(all(&members, 5000)?, data);
        assert!(all(&[], 10)?.is_empty());
        assert_eq!(all(&[0x1f], 10)?, [0x1f]);
        Ok(())
    }

    #[test]
    fn skipping_stops_at_the_end() -> Result<(), VolumeError> {
        let data = vec![7; 40_000];
        let mut source = Source::new(&data[..])?;
        assert_eq!(source.skip(39_999)?, 39_999);
        assert_eq!(source.skip(5)?, 1);
        Ok(())
    }

    #[test]
    fn a_wrong_checksum_is_found_after_the_last_byte() {
        let data = [3; 1000];
        let mut file = gzip(&data);
        let n = file.len();
        file[n - 5] ^= 1;
        assert!(matches!(all(&file, 1000), Err(VolumeError::Gzip(_))));
        let mut file = gzip(&data);
        file.truncate(n - 3);
        assert!(matches!(all(&file, 1000), Err(VolumeError::Gzip(_))));
        // Not reached: more data follow than are asked for.
        assert!(all(&file, 900).is_ok());
    }

    #[test]
    fn a_failing_reader_is_not_a_damaged_file() {
        struct Fail<'a>(&'a [u8]);
        impl Read for Fail<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                match self.0.read(out)? {
                    0 => Err(ErrorKind::UnexpectedEof.into()),
                    n => Ok(n),
                }
            }
        }
        let file = gzip(&[1; 1000]);
        for bytes in [&file[..20], &[1, 2, 3, 4]] {
            let mut source = Source::new(Fail(bytes)).expect("starts");
            let error = source.fill(&mut [0; 1000]);
            assert!(matches!(error, Err(VolumeError::Read(_))), "{error:?}");
        }
    }
}
