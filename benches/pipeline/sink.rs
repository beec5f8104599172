//! The endpoints: one listener whose paths `/e0`, `/e1`, ... are endpoints of different temper.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{http, ledger::Ledger, order};

/// How an endpoint behaves. Only what quick ones get is in the book; a dead one is an address where nobody listens.
#[derive(Debug, Clone, Copy)]
pub enum Temper {
    /// Answers at once.
    Quick,
    /// Answers after a while.
    Slow(Duration),
    /// Takes the request and never answers.
    Hangs,
}

struct Shared {
    tempers: Vec<Temper>,
    /// The book of the phase that runs.
    ledger: RefCell<Rc<Ledger>>,
}

/// A running sink; its connections end with it.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Rc<Shared>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Starts endpoints of these tempers, on one free port.
    pub async fn start(tempers: Vec<Temper>, ledger: Rc<Ledger>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Rc::new(Shared {
            tempers,
            ledger: RefCell::new(ledger),
        });
        let task = tokio::task::spawn_local(accept(listener, Rc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// From now on arrivals go into another book.
    pub fn record(&self, ledger: Rc<Ledger>) {
        *self.shared.ledger.borrow_mut() = ledger;
    }

    /// The URL of an endpoint.
    pub fn url(&self, endpoint: usize) -> String {
        format!("http://{}/e{endpoint}", self.address)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            // The hub may close a connection at any time; that is no concern of the sink.
            serve(stream, &shared).await.ok();
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let frame = http::frame(buffer.get(..filled).unwrap_or_default())?;
        let Some(frame) = frame else {
            if filled == buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
            let room = buffer.get_mut(filled..).unwrap_or_default();
            match stream.read(room).await? {
                0 => return Ok(()),
                read => filled += read,
            }
            continue;
        };
        let endpoint = endpoint_of(&buffer);
        let body = buffer.get(frame.body..frame.end).unwrap_or_default();
        match shared.tempers.get(endpoint).copied() {
            Some(Temper::Quick) => {
                if let Some(n) = order::number_of(body) {
                    let ledger = Rc::clone(&shared.ledger.borrow());
                    ledger.arrive(n);
                }
            }
            Some(Temper::Slow(pause)) => tokio::time::sleep(pause).await,
            Some(Temper::Hangs) => return std::future::pending().await,
            None => {
                stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    .await?;
                return Ok(());
            }
        }
        let answer = answer(body);
        buffer.copy_within(frame.end..filled, 0);
        filled -= frame.end;
        stream.write_all(&answer).await?;
    }
}

/// The index in `POST /e12 HTTP/1.1`.
fn endpoint_of(request: &[u8]) -> usize {
    let path = http::find(request, b"/e").and_then(|at| request.get(at + 2..));
    let mut index = 0;
    for byte in path
        .unwrap_or_default()
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
    {
        index = index * 10 + usize::from(byte - b'0');
    }
    index
}

/// What an endpoint of the first dialect answers: the id it was sent.
fn answer(body: &[u8]) -> Vec<u8> {
    const ID: &[u8] = b"\"message_id\":\"";
    let id = http::find(body, ID)
        .and_then(|at| body.get(at + ID.len()..at + ID.len() + 24))
        .unwrap_or(b"000000000000000000000000");
    let mut answer = Vec::with_capacity(128);
    answer.extend_from_slice(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 41\r\n\r\n{\"message_id\":\"",
    );
    answer.extend_from_slice(id);
    answer.extend_from_slice(b"\"}");
    answer
}
