//! A chat session of a phone: an INVITE dialog and its MSRP connection, as RFC 7573 §5 has them.

use super::Phone;
use crate::wire::{SipText, uri_of};
use bytes::BytesMut;
use msrp::{Arrival, ByteRange, Decoder, FailureReport, Frame, Limits, Method, Path};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A session that stands.
#[derive(Debug)]
pub struct Session {
    gateway: SocketAddr,
    from: String,
    to: String,
    contact: String,
    target: String,
    call_id: String,
    cseq: u32,
    stream: TcpStream,
    decoder: Decoder,
    ours: Path,
    theirs: Path,
    said: u32,
}

/// What a phone asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The phone's user, with a name in front where he has one.
    pub(super) from: &'a str,
    /// Whom, or what, he calls.
    pub(super) to: &'a str,
    pub(super) subject: Option<&'a str>,
    /// The session's name in our path.
    pub(super) session: &'a str,
    /// What the description says of the session besides.
    pub(super) attributes: &'a [&'a str],
}

impl Session {
    /// Opens a session with the XMPP user `to` through the gateway: INVITE, ACK, and the connection.
    ///
    /// # Errors
    /// The gateway refuses, does not answer, or describes no session.
    pub async fn open(phone: &Phone, gateway: SocketAddr, from: &str, to: &str) -> io::Result<Session> {
        let wish = Wish {
            from: &format!("<{from}>"),
            to,
            subject: Some("Open chat with Romeo?"),
            session: "romeoslute4s3ss10n",
            attributes: &["accept-types:text/plain application/im-iscomposing+xml"],
        };
        Session::call(phone, gateway, wish).await
    }

    /// Asks for a session, and connects to whoever grants it.
    pub(super) async fn call(phone: &Phone, gateway: SocketAddr, wish: Wish<'_>) -> io::Result<Session> {
        let address = phone.address();
        let ours = format!("msrp://{address}/{};tcp", wish.session);
        let attributes: String = wish.attributes.iter().map(|attribute| format!("a={attribute}\r\n")).collect();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
             {attributes}a=path:{ours}\r\n",
            ip = address.ip(),
            port = address.port()
        );
        let caller = uri_of(wish.from);
        let contact = format!("<{};gr=orchard>", caller.replacen(host(caller), &address.to_string(), 1));
        let mut headers = vec![
            ("From", wish.from.to_owned()),
            ("To", format!("<{}>", wish.to)),
            ("Contact", contact.clone()),
            ("Content-Type", "application/sdp".to_owned()),
        ];
        headers.extend(wish.subject.map(|subject| ("Subject", subject.to_owned())));
        let invite = request("INVITE", wish.to, &headers, &sdp);
        let ok = phone.request(gateway, invite).await?;
        if ok.status() != Some(200) {
            return Err(io::Error::other(format!("the INVITE was answered {:?}", ok.status())));
        }
        let header = |message: &SipText, name: &str| message.header(name).unwrap_or_default().to_owned();
        let target = header(&ok, "Contact").trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
        let (from, to, call_id) = (header(&ok, "From"), header(&ok, "To"), header(&ok, "Call-ID"));
        let ack = request(
            "ACK",
            &target,
            &[("From", from.clone()), ("To", to.clone()), ("Call-ID", call_id.clone()), ("CSeq", "1 ACK".to_owned())],
            "",
        );
        phone.acknowledge(gateway, ack).await?;
        let path = ok.text().lines().find_map(|line| line.strip_prefix("a=path:").map(str::to_owned));
        let theirs = path.and_then(|path| Path::parse(path.trim()).ok()).ok_or(io::ErrorKind::InvalidData)?;
        let (host, port) = (theirs.first().host().to_string(), theirs.first().port().unwrap_or(2855));
        let stream = TcpStream::connect(format!("{host}:{port}")).await?;
        let ours = Path::parse(&ours).map_err(|_| io::ErrorKind::InvalidData)?;
        let decoder = Decoder::new(Limits::default());
        Ok(Session { gateway, from, to, contact, target, call_id, cseq: 1, stream, decoder, ours, theirs, said: 0 })
    }

    /// Says something, and waits for the answer to it.
    ///
    /// # Errors
    /// The connection's own, or an answer other than 200.
    pub async fn say(&mut self, phone: &Phone, text: &str, patience: Duration) -> io::Result<()> {
        match self.send(phone, "text/plain", text.to_owned(), patience).await? {
            200 => Ok(()),
            code => Err(io::Error::other(format!("the SEND was answered {code}"))),
        }
    }

    /// Sends a message, and waits for the answer to it: its code.
    pub(super) async fn send(
        &mut self,
        phone: &Phone,
        content_type: &str,
        body: String,
        patience: Duration,
    ) -> io::Result<u16> {
        let mut send = self.frame(Method::Send);
        let size = body.len() as u64;
        send.message_id = Some(format!("orchard.{}", self.said).into());
        send.range = Some(ByteRange { start: 1, end: Some(size), total: Some(size) });
        send.failure_report = FailureReport::Yes;
        send.content_type = Some(content_type.into());
        send.body = Some(body.into());
        self.exchange(phone, send, patience).await
    }

    /// A request of ours.
    pub(super) fn frame(&mut self, method: Method) -> msrp::Request {
        self.said += 1;
        let transaction = format!("d93kswow{}", self.said);
        msrp::Request::new(&transaction, method, self.theirs.clone(), self.ours.clone())
    }

    /// Sends a request, and waits for the answer to it: its code.
    pub(super) async fn exchange(
        &mut self,
        phone: &Phone,
        request: msrp::Request,
        patience: Duration,
    ) -> io::Result<u16> {
        self.write(phone, &Frame::Request(request)).await?;
        match self.next(phone, patience).await? {
            Frame::Response(response) => Ok(response.code),
            other => Err(io::Error::other(format!("not an answer: {other:?}"))),
        }
    }

    /// The next text, which is answered 200. What has no text is answered and passed over.
    ///
    /// # Errors
    /// The connection's own, or none came in time.
    pub async fn hear(&mut self, phone: &Phone, patience: Duration) -> io::Result<String> {
        loop {
            let request = self.take(phone, patience).await?;
            if let (Some("text/plain"), Some(body)) = (request.content_type.as_deref(), &request.body) {
                return Ok(String::from_utf8_lossy(body).into_owned());
            }
        }
    }

    /// The next request, which is answered 200.
    pub(super) async fn take(&mut self, phone: &Phone, patience: Duration) -> io::Result<msrp::Request> {
        loop {
            let Frame::Request(request) = self.next(phone, patience).await? else { continue };
            let mut answer = BytesMut::new();
            request.head().encode_response(&mut answer, 200, "OK");
            phone.ladder().msrp(true, &String::from_utf8_lossy(&answer));
            self.stream.write_all(&answer).await?;
            return Ok(request);
        }
    }

    /// Hangs up.
    ///
    /// # Errors
    /// The BYE is not answered 200.
    pub async fn bye(mut self, phone: &Phone) -> io::Result<()> {
        self.within(phone, "BYE", &[]).await
    }

    /// A request in the dialog.
    ///
    /// # Errors
    /// It is not answered 200 or 202.
    pub(super) async fn within(&mut self, phone: &Phone, method: &str, headers: &[(&str, String)]) -> io::Result<()> {
        self.cseq += 1;
        let mut all = vec![
            ("From", self.from.clone()),
            ("To", self.to.clone()),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{} {method}", self.cseq)),
        ];
        if method != "BYE" {
            all.push(("Contact", self.contact.clone()));
        }
        all.extend_from_slice(headers);
        let request = request(method, &self.target, &all, "");
        match phone.request(self.gateway, request).await?.status() {
            Some(200 | 202) => Ok(()),
            other => Err(io::Error::other(format!("the {method} was answered {other:?}"))),
        }
    }

    async fn write(&mut self, phone: &Phone, frame: &Frame) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        phone.ladder().msrp(true, &String::from_utf8_lossy(&bytes));
        self.stream.write_all(&bytes).await
    }

    async fn next(&mut self, phone: &Phone, patience: Duration) -> io::Result<Frame> {
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.next() {
                Some(Ok(Arrival::Frame(frame))) => {
                    let mut bytes = BytesMut::new();
                    frame.encode(&mut bytes);
                    phone.ladder().msrp(false, &String::from_utf8_lossy(&bytes));
                    return Ok(frame);
                }
                Some(other) => return Err(io::Error::other(format!("not a frame: {other:?}"))),
                None => {}
            }
            let read =
                timeout(patience, self.stream.read(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.push(&buffer[..read]);
        }
    }
}

fn request(method: &str, uri: &str, headers: &[(&str, String)], body: &str) -> SipText {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    SipText { start: format!("{method} {uri} SIP/2.0"), headers, body: body.as_bytes().to_vec() }
}

fn host(uri: &str) -> &str {
    uri.split('@').nth(1).unwrap_or_default()
}
