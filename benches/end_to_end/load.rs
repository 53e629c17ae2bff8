//! Requests as fast as they are answered, over connections that stay: a load generator that costs little itself.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

pub(crate) const CONNECTIONS: usize = 32;
/// Short, so that what else the machine does meets both sides of a comparison.
const TIME: Duration = Duration::from_secs(1);

/// Where requests go: a port on loopback, with TLS or without.
#[derive(Clone)]
pub(crate) struct Target {
    port: u16,
    tls: Option<TlsConnector>,
}

/// A connection, whatever it is made of.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Target {
    pub(crate) fn plain(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// Whatever certificate it shows.
    pub(crate) fn tls(port: u16) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let config =
            config.expect("TLS").dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)));
        Self { port, tls: Some(TlsConnector::from(Arc::new(config.with_no_client_auth()))) }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected");
        stream.set_nodelay(true).expect("set");
        let Some(tls) = &self.tls else { return Box::new(stream) };
        let name = ServerName::try_from("localhost").expect("a name");
        Box::new(tls.connect(name, stream).await.expect("a handshake"))
    }
}

/// Trusts every certificate: who is asked is known by its port.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A request as it is sent.
#[derive(Clone)]
pub(crate) struct Request(Arc<[u8]>);

impl Request {
    pub(crate) fn new(path: &str, token: &str) -> Self {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        Self(text.into_bytes().into())
    }
}

/// Sends `requests` in turn; answers a second, and seconds of each.
pub(crate) async fn run(target: &Target, requests: &[Request]) -> (f64, Vec<f64>) {
    let requests: Arc<[Request]> = requests.into();
    let (started, until) = (Instant::now(), Instant::now() + TIME);
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (requests, target) = (requests.clone(), target.clone());
        tasks.spawn(async move {
            let mut stream = target.connect().await;
            let mut buffer = Vec::with_capacity(64 << 10);
            let (mut times, mut next) = (Vec::new(), connection * 127);
            while Instant::now() < until {
                let sent = Instant::now();
                answer(&mut *stream, &requests[next % requests.len()], &mut buffer).await;
                times.push(sent.elapsed().as_secs_f64());
                next += 1;
            }
            times
        });
    }
    let times = tasks.join_all().await.concat();
    #[allow(clippy::cast_precision_loss)]
    let count = times.len() as f64;
    (count / started.elapsed().as_secs_f64(), times)
}

/// The body of one answer.
pub(crate) async fn once(target: &Target, request: &Request) -> Vec<u8> {
    let mut stream = target.connect().await;
    let mut buffer = Vec::new();
    let head = answer(&mut *stream, request, &mut buffer).await;
    buffer.split_off(head)
}

/// Leaves an answer in `buffer`; where its body begins.
async fn answer(stream: &mut dyn Stream, request: &Request, buffer: &mut Vec<u8>) -> usize {
    stream.write_all(&request.0).await.expect("sent");
    buffer.clear();
    let mut end = None;
    loop {
        assert!(stream.read_buf(buffer).await.expect("an answer") > 0, "the connection was ended");
        if end.is_none() {
            end = head(buffer);
        }
        match end {
            Some((body, Some(length))) if buffer.len() >= body + length => return body,
            // The last chunk. JSON has no such bytes.
            Some((body, None)) if buffer.ends_with(b"\r\n0\r\n\r\n") => return body,
            _ => {}
        }
    }
}

/// Where the body begins and how long it is unless it comes in chunks, once the head is complete. The longer heads of
/// real answers must not cost this side much, or it would count against them.
fn head(buffer: &[u8]) -> Option<(usize, Option<usize>)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(buffer).expect("a head") {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial => return None,
    };
    assert_eq!(response.code, Some(200), "{}", String::from_utf8_lossy(buffer));
    let value = |wanted: &str| {
        let mut named = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(wanted));
        named.next().map(|header| std::str::from_utf8(header.value).expect("text"))
    };
    let length = value("content-length").map(|length| length.parse().expect("a number"));
    assert!(length.is_some() || value("transfer-encoding") == Some("chunked"), "{response:?}");
    Some((end, length))
}
