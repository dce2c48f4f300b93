//! A file server on this machine, plain or encrypted, that can cut its first answer.
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

/// Serves one file to whoever asks; its threads end with the test process.
pub struct FileServer {
    address: SocketAddr,
    scheme: &'static str,
    /// The certificate of the authority that vouches for the server, in PEM; empty for a plain one.
    pub authority: String,
}

impl FileServer {
    /// A plain server. The first answer breaks off after `cut_first_at` bytes.
    pub fn plain(content: Vec<u8>, cut_first_at: Option<usize>) -> FileServer {
        let address = listen(content, cut_first_at, |stream| Box::new(stream));
        FileServer { address, scheme: "http", authority: String::new() }
    }

    /// An encrypted server for `localhost`, with an authority that nobody knows yet.
    pub fn encrypted(content: Vec<u8>) -> FileServer {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let config = Arc::new(config);
        let encrypt = move |stream| -> Box<dyn Stream> {
            Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
        };
        let address = listen(content, None, encrypt);
        FileServer { address, scheme: "https", authority: authority_pem }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn listen(
    content: Vec<u8>,
    mut cut_at: Option<usize>,
    wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up, or does not trust the certificate, is what some tests are about.
            if serve(wrap(stream), &content, cut_at).is_ok() {
                cut_at = None;
            }
        }
    });
    address
}

fn serve(stream: Box<dyn Stream>, content: &[u8], cut_at: Option<usize>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut start = 0;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            start = range.trim_end().trim_end_matches('-').parse().unwrap_or(0);
        }
        line.clear();
    }
    let (length, rest) = (content.len(), &content[start..]);
    let status = match start {
        0 => "200 OK".to_owned(),
        _ => format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{length}", length - 1),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nETag: \"v1\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(&rest[..cut_at.unwrap_or(rest.len())])?;
    stream.flush()
}
