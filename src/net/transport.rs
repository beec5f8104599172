//! The byte stream between awc and an endpoint.
//!
//! It passes everything through, except that it holds back the head of each answer until it is whole, drops interim
//! answers (RFC 9110, 15.2) and puts the final head right (`head.rs`). And it keeps the notes of the attempt
//! that uses it.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_rustls::client::TlsStream;

use super::{
    attempt::{Attempt, Reuse},
    failure::{Malformed, Phase},
    head::{Framing, Head, read_head},
};

/// A larger head is refused. Servers send at most 8 to 32 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// More interim answers than this before one final answer are refused.
const MAX_INTERIM: u32 = 16;

/// The connection itself.
pub(super) enum Io {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

/// A connection as the client sees it: shared with the [`Transport`] inside awc's pool, so that one that has been idle
/// too long can be closed from outside (awc looks at its idle connections only when it needs one).
pub(super) struct Link {
    /// `None` once closed.
    io: RefCell<Option<Io>>,
    /// The address connected to.
    pub(super) remote: SocketAddr,
    /// Requests begun on it.
    requests: Cell<u64>,
    /// Since when nobody uses it; `None` while in use.
    idle_since: Cell<Option<Instant>>,
}

impl Link {
    pub(super) fn new(io: Io, remote: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            io: RefCell::new(Some(io)),
            remote,
            requests: Cell::new(0),
            idle_since: Cell::new(None),
        })
    }

    /// Notes that its answer was read to the end.
    pub(super) fn rest(&self, now: Instant) {
        self.idle_since.set(Some(now));
    }

    /// Whether it has been idle since before `limit`.
    pub(super) fn is_idle_since(&self, limit: Instant) -> bool {
        self.idle_since.get().is_some_and(|since| since < limit)
    }

    /// Closes it at once.
    pub(super) fn close(&self) {
        self.io.borrow_mut().take();
    }

    fn with_io<T>(
        &self,
        work: impl FnOnce(&mut Io) -> Poll<io::Result<T>>,
        closed: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match self.io.borrow_mut().as_mut() {
            Some(io) => work(io),
            None => Poll::Ready(closed),
        }
    }
}

/// Where in an answer the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Waiting for the final head.
    Head,
    /// Behind it: bytes are passed through, whatever they are.
    Body,
}

/// What awc holds: one connection, with the head of each answer filtered.
pub(super) struct Transport {
    link: Rc<Link>,
    place: Place,
    /// Bytes read and not passed on: a partial head, or what follows an interim answer.
    held: BytesMut,
    interim: u32,
    /// Bytes of the body still to come, where its length is known.
    body_left: Option<u64>,
    /// The endpoint takes no more of the request; what it says about that is still read.
    is_deaf: bool,
    /// No further request may use this connection: it broke, or more came than the answer has.
    is_spoiled: bool,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("remote", &self.link.remote)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(link: Rc<Link>) -> Self {
        Self {
            link,
            place: Place::Body,
            held: BytesMut::new(),
            interim: 0,
            body_left: None,
            is_deaf: false,
            is_spoiled: false,
        }
    }

    /// Begins an exchange: the first byte of a request is about to be written.
    fn begin(&mut self, attempt: &Attempt) {
        let requests = self.link.requests.get();
        self.link.requests.set(requests + 1);
        self.link.idle_since.set(None);
        attempt.link_was_used.set(requests > 0);
        attempt.phase.set(Phase::Sending);
        // Only the first write of an attempt comes here, so the cell is empty.
        let _ = attempt.link.set(Rc::clone(&self.link));
        self.place = Place::Head;
        self.interim = 0;
        self.body_left = None;
        self.held.clear();
    }

    /// Reads from the connection into `buf`, and notes what that says about the attempt.
    fn read_some(
        &self,
        attempt: &Attempt,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        let read = ready!(self.link.with_io(|io| io.poll_read(cx, buf), Ok(())));
        let count = buf.filled().len() - before;
        if count > 0 {
            attempt.answer_began.set(true);
        } else {
            attempt.link_ended.set(true);
        }
        Poll::Ready(read.map(|()| count))
    }

    /// Reads until the final head is whole.
    fn read_head(
        &mut self,
        attempt: &Attempt,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.place == Place::Head {
            if self.held.is_empty() {
                // The usual way: one read has the whole final head, and awc gets it where it lies.
                let before = buf.filled().len();
                if ready!(self.read_some(attempt, cx, buf))? == 0 {
                    return Poll::Ready(Ok(()));
                }
                let found = self.judge(attempt, &mut buf.filled_mut()[before..])?;
                if self.place == Place::Body {
                    return Poll::Ready(Ok(()));
                }
                let rest = if let Head::Interim { bytes } = found {
                    bytes
                } else {
                    0
                };
                self.held.extend_from_slice(&buf.filled()[before + rest..]);
                buf.set_filled(before);
                if rest > 0 {
                    self.look_again(attempt)?;
                }
            } else {
                let mut room = [0; 4096];
                let mut piece = ReadBuf::new(&mut room);
                if ready!(self.read_some(attempt, cx, &mut piece))? == 0 {
                    return Poll::Ready(Ok(()));
                }
                self.held.extend_from_slice(piece.filled());
                // Only a line's end can complete a head, or spoil it; the beginning is looked at anyhow, since what is
                // no HTTP may never send one. So a head that drips in is not parsed at each byte.
                if piece.filled().contains(&b'\n') || self.held.len() <= 16 {
                    self.look_again(attempt)?;
                }
            }
            if self.place == Place::Head && self.held.len() > MAX_HEAD_BYTES {
                return Poll::Ready(Err(malformed(attempt, Malformed::HeadTooLarge)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Looks for heads at the beginning of what is held, dropping the interim ones.
    fn look_again(&mut self, attempt: &Attempt) -> io::Result<()> {
        while !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let found = self.judge(attempt, &mut held);
            self.held = held;
            match found? {
                Head::Interim { bytes } => self.held.advance(bytes),
                Head::Partial | Head::Final { .. } => break,
            }
        }
        Ok(())
    }

    /// Counts bytes of the body. What comes after its end answers nothing that was asked; awc would drop it if it came
    /// in the same read, and the next request would get it as its answer if the rest came later.
    fn count_body(&mut self, count: usize) {
        if let Some(left) = &mut self.body_left {
            let count = count as u64;
            self.is_spoiled |= count > *left;
            *left = left.saturating_sub(count);
        }
    }

    fn judge(&mut self, attempt: &Attempt, bytes: &mut [u8]) -> io::Result<Head> {
        let head = read_head(bytes).map_err(|reason| malformed(attempt, reason))?;
        match head {
            Head::Partial => {}
            Head::Interim { .. } => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(malformed(attempt, Malformed::TooManyInterim));
                }
            }
            Head::Final {
                framing,
                bytes: head_bytes,
            } => {
                attempt.framing.set(framing);
                attempt.phase.set(Phase::Reading);
                self.place = Place::Body;
                self.body_left = match framing {
                    Framing::Empty => Some(0),
                    Framing::Length(length) => Some(length),
                    Framing::Chunked | Framing::UntilClose => None,
                };
                self.count_body(bytes.len() - head_bytes);
            }
        }
        Ok(head)
    }
}

/// Notes the reason and gives an error to stop awc with; nobody reads its text.
fn malformed(attempt: &Attempt, reason: Malformed) -> io::Error {
    attempt.fail_malformed(reason);
    io::ErrorKind::InvalidData.into()
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(attempt) = Attempt::current() else {
            return this.link.with_io(|io| io.poll_read(cx, buf), Ok(()));
        };
        if !attempt.has_begun() {
            // awc looks whether this idle connection is alive: to say that it has ended makes it take the next.
            if this.is_spoiled || attempt.reuse == Reuse::FreshOnly {
                return Poll::Ready(Ok(()));
            }
            return this.link.with_io(|io| io.poll_read(cx, buf), Ok(()));
        }
        if attempt.phase.get() == Phase::Sending {
            attempt.phase.set(Phase::Waiting);
        }
        if this.place == Place::Head {
            ready!(this.read_head(&attempt, cx, buf))?;
            if this.held.is_empty() || this.place == Place::Head {
                return Poll::Ready(Ok(()));
            }
        }
        if this.held.is_empty() {
            let count = ready!(this.read_some(&attempt, cx, buf))?;
            this.count_body(count);
            return Poll::Ready(Ok(()));
        }
        let count = this.held.len().min(buf.remaining());
        buf.put_slice(&this.held.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(attempt) = Attempt::current()
            && !attempt.has_begun()
        {
            this.begin(&attempt);
        }
        if this.is_deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let closed = Err(io::ErrorKind::NotConnected.into());
        match ready!(this.link.with_io(|io| io.poll_write(cx, bytes), closed)) {
            // An endpoint may answer and close before it has read everything (413, 401). awc would give up here and the
            // answer be lost; so it is told that all is well, and finds the answer, or the end, when it reads.
            Err(_) => {
                this.is_deaf = true;
                this.is_spoiled = true;
                Poll::Ready(Ok(bytes.len()))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_deaf && ready!(this.link.with_io(|io| io.poll_flush(cx), Ok(()))).is_err() {
            this.is_deaf = true;
            this.is_spoiled = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.with_io(|io| io.poll_shutdown(cx), Ok(()))
    }
}

impl ActixStream for Transport {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let closed = Err(io::ErrorKind::NotConnected.into());
        self.link
            .with_io(|io| ActixStream::poll_read_ready(io.tcp(), cx), closed)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let closed = Err(io::ErrorKind::NotConnected.into());
        self.link
            .with_io(|io| ActixStream::poll_write_ready(io.tcp(), cx), closed)
    }
}
