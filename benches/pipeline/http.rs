//! The least HTTP/1.1 that a load generator and a sink need: a keep-alive connection, and finding where a message ends.
//!
//! Written by hand so that what is measured is the hub: a request is bytes prepared once, an answer is a status and a length.
//! It understands `Content-Length` and nothing else; anything beyond that is an error, never a guess.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Room for a head and a small body; grows when a body is larger.
const BUFFER_BYTES: usize = 16 * 1024;

/// Where a message lies in a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Where the body begins.
    pub body: usize,
    /// Where the message ends.
    pub end: usize,
}

/// Finds a whole message at the start of `bytes`; `None` when more must be read.
pub fn frame(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let Some(body) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let length = content_length(bytes.get(..body).unwrap_or_default())?;
    let end = body + length;
    Ok((bytes.len() >= end).then_some(Frame { body, end }))
}

/// Where `needle` begins in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value.get(1..).unwrap_or_default()).unwrap_or("");
            return digits
                .trim()
                .parse()
                .map_err(|_| bad("a content length that is no number"));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(bad("a chunked body, which the benchmark does not read"));
        }
    }
    Ok(0)
}

fn bad(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// One keep-alive connection of a client.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    answer: Frame,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            answer: Frame { body: 0, end: 0 },
        })
    }

    /// Sends a prepared request and reads the whole answer. Returns its status.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        loop {
            if let Some(frame) = frame(self.buffer.get(..self.filled).unwrap_or_default())? {
                self.answer = frame;
                return self.status();
            }
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(room).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.filled += read,
            }
        }
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        self.buffer
            .get(self.answer.body..self.answer.end)
            .unwrap_or_default()
    }

    fn status(&self) -> io::Result<u16> {
        let text = std::str::from_utf8(self.buffer.get(9..12).unwrap_or_default()).unwrap_or("");
        text.parse().map_err(|_| bad("no status line"))
    }
}

/// A request, ready to send. `body` is at the end.
pub fn request(
    method: &str,
    path: &str,
    address: SocketAddr,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
