//! SIP over WebSockets, RFC 7118: with a library of others at the far end.

use super::*;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

const MESSAGE: &str = "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\n\
    From: <sip:romeo@example.net>;tag=1\r\nTo: <sip:juliet@example.com>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\
    Max-Forwards: 70\r\n\r\nhi";

async fn connect(
    address: SocketAddr,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let mut request = format!("ws://{address}/anywhere").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    timeout(PATIENCE, client_async(request, stream)).await.expect("an answer").map(|(stream, _)| stream)
}

const SIP: (&str, &str) = ("sec-websocket-protocol", "xmpp, sip");

async fn heard(inboxes: &mut [mpsc::Receiver<Batch>]) -> Input {
    let [one, other] = inboxes else { panic!("two shards") };
    tokio::select! { input = next(one) => input, input = next(other) => input }
}

async fn said(stream: &mut WebSocketStream<TcpStream>) -> Message {
    timeout(PATIENCE, stream.next()).await.expect("something comes").expect("no end").unwrap()
}

#[tokio::test]
async fn messages_come_and_go_whole_as_text_and_as_octets() {
    let (connections, mut inboxes) = connections(BOUNDS);
    let address = listen(&connections, Transport::Ws);
    let mut stream = connect(address, &[SIP]).await.unwrap();
    let cut = |from, to, opcode, last| Message::Frame(Frame::message(MESSAGE[from..to].to_owned(), opcode, last));
    let pieces =
        [cut(0, 50, OpCode::Data(Data::Text), false), cut(50, MESSAGE.len(), OpCode::Data(Data::Continue), true)];
    for sent in [vec![Message::text(MESSAGE)], vec![Message::binary(MESSAGE)], pieces.into()] {
        for message in sent {
            stream.send(message).await.unwrap();
        }
        let input = heard(&mut inboxes).await;
        let Input::Sip(message, flow) = input else { panic!("{input:?}") };
        assert_eq!((flow.transport, &message.body()[..]), (Transport::Ws, &b"hi"[..]));
        let id = flow.connection.unwrap();
        assert!(connections.send(id, Bytes::from_static("\u{e9}".as_bytes()), None));
        assert!(connections.send(id, Bytes::from_static(b"\xe9"), None));
        assert_eq!(said(&mut stream).await, Message::text("\u{e9}"));
        assert_eq!(said(&mut stream).await, Message::binary(&b"\xe9"[..]));
    }
    // Keep-alives of either kind (RFC 7118 §6).
    stream.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(said(&mut stream).await, Message::Pong("x".into()));
    stream.send(Message::text("\r\n\r\n")).await.unwrap();
    assert_eq!(said(&mut stream).await, Message::text("\r\n"));
    // What is no message is refused, and the next one is heard.
    stream.send(Message::text("no SIP at all")).await.unwrap();
    assert!(matches!(heard(&mut inboxes).await, Input::SipRejected(..)));
    stream.send(Message::text(MESSAGE)).await.unwrap();
    assert!(matches!(heard(&mut inboxes).await, Input::Sip(..)));
    stream.close(None).await.unwrap();
    assert!(matches!(said(&mut stream).await, Message::Close(_)));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_and_no_shard_hears_of_it() {
    let (connections, mut inboxes) = connections(BOUNDS);
    let address = listen(&connections, Transport::Ws);
    let page = |origin| ("origin", origin);
    assert!(connect(address, &[SIP, page("https://www.example.com")]).await.is_ok());
    for (headers, status) in [
        (vec![], 400),
        (vec![("sec-websocket-protocol", "xmpp")], 400),
        (vec![SIP, page("https://evil.example")], 403),
        (vec![SIP, page("null")], 403),
        (vec![SIP, page("https://www.example.com.evil.example")], 403),
        (vec![SIP, ("sec-websocket-version", "8")], 426),
    ] {
        match connect(address, &headers).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status().as_u16(), status, "{headers:?}"),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
    let cookies = "x".repeat(9 << 10);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        (&long, ""),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        (MESSAGE, ""),
        ("\u{16}\u{3}\u{1}", ""),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut all = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("it ends");
        assert!(all.starts_with(answer.as_bytes()) && (all.is_empty() == answer.is_empty()), "{all:?}");
    }
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert!(ends(&mut half).await >= BOUNDS.unfinished);
    assert!(inboxes.iter_mut().all(|inbox| inbox.try_recv().is_err()));
    // Another list of pages counts from the next one on.
    connections.reconfigure(Origins { any: true, these: Vec::new() });
    assert!(connect(address, &[SIP, page("https://evil.example")]).await.is_ok());
}

#[tokio::test]
async fn what_breaks_the_framing_ends_with_the_code_that_says_so() {
    let (connections, _inboxes) = connections(BOUNDS);
    let address = listen(&connections, Transport::Ws);
    let text = |text: &str| Frame::message(text.to_owned(), OpCode::Data(Data::Text), true);
    let not_text = Frame::message(&b"\xff"[..], OpCode::Data(Data::Text), true);
    for (frame, code) in [
        (text(&"x".repeat(66_000)), CloseCode::Size),
        (not_text, CloseCode::Invalid),
        (Frame::message("x", OpCode::Data(Data::Continue), true), CloseCode::Protocol),
    ] {
        let mut stream = connect(address, &[SIP]).await.unwrap();
        stream.send(Message::Frame(frame)).await.unwrap();
        match said(&mut stream).await {
            Message::Close(Some(CloseFrame { code: said, .. })) => assert_eq!(said, code),
            other => panic!("{other:?}"),
        }
    }
    // Not masked (RFC 6455 §5.1): the library would not send it.
    let mut stream = connect(address, &[SIP]).await.unwrap().into_inner();
    stream.write_all(b"\x81\x02hi").await.unwrap();
    let mut close = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut close)).await.expect("an answer").unwrap();
    assert_eq!(close, [0x88, 2, 0x03, 0xea]);
}

#[tokio::test]
async fn where_we_connect_the_same_holds_the_other_way_round() {
    let (connections, mut inboxes) = connections(BOUNDS);
    for speaks_sip in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(Transport::Ws, listener.local_addr().unwrap());
        let id = clients(1)[0];
        assert!(connections.send_to(&target, Bytes::from_static(MESSAGE.as_bytes()), Some((1, id))));
        let (stream, _) = listener.accept().await.unwrap();
        let mut asked = None;
        #[expect(clippy::result_large_err, reason = "the library's")]
        let callback = |request: &Request, mut response: Response| {
            asked = request.headers().get("sec-websocket-protocol").cloned();
            if speaks_sip {
                response.headers_mut().insert("sec-websocket-protocol", "sip".parse().unwrap());
            }
            Ok(response)
        };
        let mut stream = accept_hdr_async(stream, callback).await.unwrap();
        assert_eq!(asked.unwrap(), "sip");
        if !speaks_sip {
            assert!(
                matches!(next(&mut inboxes[1]).await, Input::SipConnectionLost(lost, unsent) if lost == target && unsent == [id])
            );
            continue;
        }
        assert_eq!(said(&mut stream).await, Message::text(MESSAGE));
        stream.send(Message::text(MESSAGE)).await.unwrap();
        let input = heard(&mut inboxes).await;
        let Input::Sip(_, flow) = input else { panic!("{input:?}") };
        // It uses our connection: so we see to it that it stays (RFC 5626 §4.4), with pings.
        for _ in 0..3 {
            assert!(matches!(said(&mut stream).await, Message::Ping(_)));
        }
        assert!(connections.is_open(flow.connection.unwrap()));
        drop(stream);
        let lost = [heard(&mut inboxes).await, heard(&mut inboxes).await];
        assert!(lost.iter().any(|input| matches!(input, Input::SipConnectionLost(..))), "{lost:?}");
        while let Ok(Input::SipConnectionLost(..) | Input::SipClosed(_)) =
            timeout(Duration::from_millis(200), next(&mut inboxes[1])).await
        {}
    }
}
