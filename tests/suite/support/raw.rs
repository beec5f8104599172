//! An endpoint that speaks bytes, for answers that no web server would give.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A listener whose connections are each served by `serve` on a thread of its own, once a request was read.
pub struct RawSink {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    written: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
}

/// A connection, counting what was written to it.
pub struct Line {
    stream: TcpStream,
    written: Arc<AtomicU64>,
}

impl RawSink {
    /// Starts it.
    pub fn start(serve: impl Fn(Line) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (written, served) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (serve, counted, done) = (Arc::new(serve), Arc::clone(&written), Arc::clone(&served));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (serve, written) = (Arc::clone(&serve), Arc::clone(&counted));
                let done = Arc::clone(&done);
                std::thread::spawn(move || {
                    let mut line = Line { stream, written };
                    if line.read_request() {
                        serve(line);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self {
            url,
            written,
            served,
        }
    }

    /// Connections that are over.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// Bytes that were written to all connections.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

impl Line {
    /// Reads a request whole, by its `Content-Length`.
    fn read_request(&mut self) -> bool {
        let mut request = Vec::new();
        let mut buffer = [0; 16_384];
        loop {
            let text = String::from_utf8_lossy(&request).to_lowercase();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .map_or(0, |length| length.trim().parse().unwrap());
                if request.len() >= head.len() + 4 + length {
                    return true;
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(read) => request.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// Writes; false when the other side has gone.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let written = self.stream.write_all(bytes).is_ok();
        if written {
            self.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        written
    }

    /// Waits until the other side goes.
    pub fn wait(&mut self) {
        let mut buffer = [0; 1024];
        while matches!(self.stream.read(&mut buffer), Ok(read) if read > 0) {}
    }
}
