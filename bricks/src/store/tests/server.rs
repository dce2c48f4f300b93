//! An HTTP server on this machine that misbehaves on request.
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use nanomind_hal::Clock;
use parking_lot::Mutex;

/// What a client asked for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    headers: Vec<(String, String)>,
    /// How many requests came before.
    pub(super) before: usize,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The start of the range asked for.
    fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    cut_after: Option<usize>,
    /// Pause after each tenth of the body.
    pause: Duration,
    /// Never answers, keeps the connection.
    silent: bool,
}

impl Reply {
    pub(super) fn status(status: u16) -> Reply {
        let (headers, body) = (Vec::new(), Vec::new());
        Reply { status, headers, body, cut_after: None, pause: Duration::ZERO, silent: false }
    }

    pub(super) fn silence() -> Reply {
        Reply { silent: true, ..Reply::status(200) }
    }

    pub(super) fn whole(content: &[u8]) -> Reply {
        Reply { body: content.into(), ..Reply::status(200) }
    }

    /// What a good file server answers for a file of this version.
    pub(super) fn file(request: &Request, content: &[u8], etag: &str) -> Reply {
        let quoted = format!("\"{etag}\"");
        let same = request.header("if-range").is_none_or(|tag| tag == quoted);
        let length = content.len();
        let reply = match request.range_start().filter(|_| same) {
            Some(start) if start >= length => Reply::status(416).with("Content-Range", format!("bytes */{length}")),
            Some(start) => Reply { status: 206, ..Reply::whole(&content[start..]) }
                .with("Content-Range", format!("bytes {start}-{}/{length}", length - 1)),
            None => Reply::whole(content),
        };
        reply.with("ETag", quoted)
    }

    pub(super) fn redirect(to: impl Into<String>) -> Reply {
        Reply::status(302).with("Location", to)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn cut_after(self, bytes: usize) -> Reply {
        Reply { cut_after: Some(bytes), ..self }
    }

    pub(super) fn with_pauses(self, pause: Duration) -> Reply {
        Reply { pause, ..self }
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", self.status);
        head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let body = &self.body[..self.cut_after.unwrap_or(self.body.len())];
        for piece in body.chunks(body.len().div_ceil(10).max(1)) {
            stream.write_all(piece)?;
            Clock::system().sleep_blocking(self.pause);
        }
        stream.flush()
    }
}

/// A running server; its threads end with the test process.
pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every request with what `answer` says.
    pub(super) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (requests.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Server { address, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let Some(mut request) = read_request(&stream) else { return };
    {
        let mut log = log.lock();
        request.before = log.len();
        log.push(request.clone());
    }
    let reply = answer(&request);
    if reply.silent {
        // Held open until the client goes away.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    } else {
        // A client that hangs up early is its own business.
        let _ = reply.send(&mut stream);
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Request { path, headers, before: 0 })
}
