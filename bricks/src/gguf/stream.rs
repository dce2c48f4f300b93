//! The data of a GGUF file's tensors, written piece by piece: no tensor has to be in memory as a whole.

use std::io::{self, Write};

/// Takes the data of the tensors in the order in which they were declared, and pads between them.
#[must_use = "a file is whole only when it is finished"]
pub struct GgufStream<W> {
    out: W,
    /// Length of each tensor.
    lens: Vec<u64>,
    alignment: u64,
    /// Which tensor is being written.
    current: usize,
    /// Bytes of it that are.
    written: u64,
}

impl<W: Write> GgufStream<W> {
    pub(super) fn new(out: W, lens: Vec<u64>, alignment: u64) -> GgufStream<W> {
        let mut stream = GgufStream { out, lens, alignment, current: 0, written: 0 };
        stream.pass_empty();
        stream
    }

    /// Appends to the current tensor, which ends when it has all of its bytes.
    ///
    /// # Errors
    /// The output cannot be written, or these are more bytes than the tensor has left.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.lens.get(self.current).map_or(0, |len| len - self.written);
        if bytes.len() as u64 > left {
            let found = bytes.len();
            return Err(io::Error::other(format!("expected at most {left} bytes of tensor data, found {found}")));
        }
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if !bytes.is_empty() && self.written == self.lens[self.current] {
            let padding = self.written.next_multiple_of(self.alignment) - self.written;
            self.out.write_all(&vec![0; padding as usize])?;
            (self.current, self.written) = (self.current + 1, 0);
            self.pass_empty();
        }
        Ok(())
    }

    /// A tensor without bytes is whole from the start.
    fn pass_empty(&mut self) {
        while self.lens.get(self.current) == Some(&0) {
            self.current += 1;
        }
    }

    /// Ends the file and gives the output back.
    ///
    /// # Errors
    /// The output cannot be written, or data is still to come.
    pub fn finish(mut self) -> io::Result<W> {
        if self.current < self.lens.len() {
            let (whole, all) = (self.current, self.lens.len());
            return Err(io::Error::other(format!("expected the data of {all} tensors, found that of {whole}")));
        }
        self.out.flush()?;
        Ok(self.out)
    }
}
