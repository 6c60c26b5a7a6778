//! Over TLS.

use super::*;
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[tokio::test]
async fn over_tls_the_certificate_is_the_one_that_was_said() {
    let mut bench = Bench::new(LONG).await;
    let peer = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(peer.session_server());
    let (seen, mut certificates) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
            seen.send(crate::tls::fingerprints(&shown)[0].clone()).unwrap();
            tokio::spawn(async move {
                // What is said is said back.
                let mut buffer = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..n]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        }
    });
    let said =
        |fingerprint: &wire::Fingerprint| Some(wire::Tls { fingerprints: vec![fingerprint.clone()], name: "x".into() });
    let (right, wrong) = (said(&peer.fingerprint()), said(&tls().fingerprint()));
    let all = tickets(0, 6);
    bench.pool.open(all[0], hop(there, wrong));
    assert_eq!(bench.opened(0).await, (all[0], None));
    // Nobody vouches for it.
    bench.pool.open(all[1], hop(there, Some(wire::Tls { fingerprints: vec![], name: "127.0.0.1".into() })));
    assert_eq!(bench.opened(0).await, (all[1], None));
    bench.pool.open(all[2], hop(there, right.clone()));
    let connection = bench.opened(0).await.1.unwrap();
    assert_eq!(certificates.recv().await.unwrap(), bench.pool.inner.setup.tls.fingerprint());
    bench.pool.bind(0, connection);
    let frame = send("00", &"z".repeat(9000));
    bench.pool.write(connection, Bytes::from(frame));
    match bench.next(0).await {
        Input::MsrpSecured(on, hashes) => assert_eq!((on, &hashes[0]), (connection, &peer.fingerprint())),
        other => panic!("{other:?}"),
    }
    let (same, arrival) = bench.frame(0).await;
    assert_eq!((same, body(&arrival).len()), (connection, 9000));
    // The same certificate is the same way; a plain one, or another one, is not.
    bench.pool.open(all[3], hop(there, right));
    assert_eq!(bench.opened(0).await.1, Some(connection));
    bench.pool.open(all[4], hop(there, said(&tls().fingerprint())));
    assert_eq!(bench.opened(0).await.1, None);
    bench.pool.open(all[5], hop(there, None));
    assert_ne!(bench.opened(0).await.1, Some(connection));
    assert_eq!(bench.failures("tls"), 3);
}

#[tokio::test]
async fn who_connects_by_tls_is_known_by_the_certificate_shown() {
    let mut bench = Bench::new(BOUNDS).await;
    let client = tls();
    let ours = bench.pool.inner.setup.tls.fingerprint();
    let wanted = wire::Tls { fingerprints: vec![ours], name: "127.0.0.1".into() };
    let connector = TlsConnector::from(client.session_client(&wanted).unwrap());
    let stream = TcpStream::connect(bench.secure).await.unwrap();
    let mut stream = connector.connect(Tls::name(&wanted, [127, 0, 0, 1].into()).unwrap(), stream).await.unwrap();
    stream.write_all(&send("01", "hi")).await.unwrap();
    stream.flush().await.unwrap();
    let Input::MsrpSecured(on, shown) = bench.next(1).await else { panic!("the certificate comes first") };
    assert_eq!(shown[0], client.fingerprint());
    let (connection, arrival) = bench.frame(1).await;
    assert_eq!((body(&arrival), on), (&b"hi"[..], connection));
    bench.pool.bind(1, connection);
    // Once for each shard; who has none says so, too.
    stream.write_all(&[send("01", "again"), send("00", "you, too")].concat()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(body(&bench.frame(1).await.1), b"again");
    assert!(matches!(bench.next(0).await, Input::MsrpSecured(on, _) if on == connection));
    assert_eq!(body(&bench.frame(0).await.1), b"you, too");
    bench.pool.write(connection, Bytes::from_static(b"hello"));
    let mut word = [0; 5];
    stream.read_exact(&mut word).await.unwrap();
    // Who does not get to the end of the handshake has no long life, and no place in the tables.
    let mut mute = TcpStream::connect(bench.secure).await.unwrap();
    let mut plain = TcpStream::connect(bench.secure).await.unwrap();
    plain.write_all(&send("00", "in the clear")).await.unwrap();
    for stream in [&mut mute, &mut plain] {
        ends(stream).await;
    }
    assert_eq!(bench.pool.tables().lines.len(), 1);
    assert_eq!(bench.failures("tls"), 2);
    drop(stream);
    assert_eq!((bench.lost(1).await, bench.lost(0).await), (connection, connection), "it knows the certificate");
    bench.empty().await;
}
