//! The program as a person or a service manager sees it: what it prints, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use rehearsal::peers::{Dnsmasq, Place, TestCa, Zone};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use xmpp::stream::component::{self, ServerOutput};

fn verona(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_verona")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file of its own for each test.
fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("verona-cli-{}-{name}", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    path
}

fn config(sip: u16, xmpp: u16) -> String {
    format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"127.0.0.1:{xmpp}\"\nsecret = \"s3cret\"\n[sip]\n\
         domains = [\"example.com\"]\nlisten = [\"udp:127.0.0.1:{sip}\"]\noutbound_proxy = \"sip:127.0.0.1:5080;lr\"\n\
         [store]\nurl = \"memory:\"\n"
    )
}

#[test]
fn the_version_and_the_wrong_command_line() {
    let version = verona(&["--version"]);
    assert_eq!(text(&version.stdout), concat!("verona ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(verona(&["check"]).status.code(), Some(2));
    assert_eq!(verona(&["run", "--nonsense"]).status.code(), Some(2));
}

#[test]
fn a_wrong_configuration_is_explained_and_not_run() {
    let path = file("wrong.toml", "[sip]\nlisten = [\"udp:here\"]\n");
    let name = path.to_str().unwrap();
    for command in ["check", "run"] {
        let out = verona(&[command, "-c", name]);
        assert_eq!(out.status.code(), Some(78), "{command}");
        let said = text(&out.stderr);
        assert!(
            said.contains(&format!("{name}:2:11: sip.listen[0] = \"udp:here\": not an IP address with a port")),
            "{said}"
        );
        assert!(said.contains(&format!("{name}:1:1: sip.domains: missing")), "{said}");
        assert_eq!(text(&out.stdout), "");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(verona(&["check", "-c", name]).status.code(), Some(78), "a file that is not there");
}

#[test]
fn a_right_configuration_is_tried_out_on_request() {
    // A socket that is taken, and an XMPP server that is not there.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = file("right.toml", &config(taken.local_addr().unwrap().port(), gone));
    let name = path.to_str().unwrap();
    let checked = verona(&["check", "-c", name]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(0), format!("{name}: right\n")));

    let tried = verona(&["check", "-c", name, "--connect"]);
    assert_eq!(tried.status.code(), Some(1));
    let said = text(&tried.stderr);
    assert!(said.contains("cannot be bound: Address already in use"), "{said}");
    assert!(said.contains(&format!("xmpp example.net at 127.0.0.1:{gone}: Connection refused")), "{said}");
    std::fs::remove_file(path).unwrap();
}

/// An XMPP server that accepts one component stream with this secret, works it off, and ends.
fn server(secret: &'static str) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut tokens = base::Tokens::seeded(1);
        let secret = component::Secret::new(secret);
        let mut server =
            component::Server::new("example.net", secret, Default::default(), &mut tokens, base::Time::ZERO);
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).unwrap_or(0);
            if n == 0 {
                return;
            }
            server.received(&buffer[..n]);
            while let Some(output) = server.poll() {
                match output {
                    ServerOutput::Bytes(bytes) => stream.write_all(&bytes).unwrap(),
                    ServerOutput::Close(_) => return,
                    _ => {}
                }
            }
        }
    });
    (port, served)
}

#[test]
fn the_component_handshake_is_tried_out() {
    for (secret, code, said) in [("s3cret", 0, "the component is accepted"), ("another", 1, "not-authorized")] {
        let (port, served) = server(secret);
        let path = file("connect.toml", &config(0, port));
        let out = verona(&["check", "-c", path.to_str().unwrap(), "--connect"]);
        let all = text(&out.stdout) + &text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{all}");
        assert!(all.contains(&format!("xmpp example.net at 127.0.0.1:{port}: ")) && all.contains(said), "{all}");
        assert!(all.contains("sip udp:127.0.0.1:0: can be bound"), "{all}");
        assert!(!all.contains("s3cret"), "{all}");
        served.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

/// A server over TLS for one visitor, with a certificate of this name.
fn over_tls(place: &Place, ca: &TestCa, name: &str) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let files = ca.issue(place, name, &[name]);
    let chain = CertificateDer::pem_file_iter(&files.chain).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((place.ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut tls = rustls::ServerConnection::new(config).unwrap();
        while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
        let _ = stream.read(&mut [0; 16]);
    });
    (address, served)
}

#[test]
fn the_way_of_other_servers_and_to_the_proxy_is_tried_out() {
    let place = Place::new("check-outside");
    let ca = TestCa::new(&place);
    let own = ca.issue(&place, "own", &["example.net"]);
    let (ours, tls) = (place.free(), place.free());
    let zone = Zone::new().host("proxy.example.net", place.ip()).host("xmpp.example.net", place.ip());
    let zone = zone.srv("_xmpp-server._tcp.example.net", "xmpp.example.net", ours.port(), 0, 0);
    let dns = Dnsmasq::start(&place, &zone);
    for (name, code, said) in
        [("proxy.example.net", 0, "can be reached"), ("other.example.net", 1, "certificate for another name")]
    {
        let (proxy, served) = over_tls(&place, &ca, name);
        let text = format!(
            "[xmpp.federation]\ndomains = [\"example.net\"]\nlisten = [\"tcp:{ours}\"]\n[sip]\ndomains = [\"*\"]\n\
             listen = [\"tls:{tls}\"]\noutbound_proxy = \"sips:proxy.example.net:{};lr\"\n[dns]\nserver = \"{}\"\n\
             [tls]\ncertificates = [{}]\ntrust = [{:?}]\n[store]\nurl = \"memory:\"\n",
            proxy.port(),
            dns.address(),
            own.toml(),
            ca.root().display().to_string(),
        );
        let path = place.write("outside.toml", &text);
        let out = verona(&["check", "-c", path.to_str().unwrap(), "--connect"]);
        let all = crate::text(&out.stdout) + &crate::text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{all}");
        let found = format!("xmpp federation example.net: is looked for at xmpp.example.net:{}", ours.port());
        assert!(all.contains(&found) && all.contains(said), "{all}");
        assert!(all.contains(&format!("xmpp federation tcp:{ours}: can be bound")), "{all}");
        served.join().unwrap();
    }
}

#[test]
fn addresses_are_mapped_with_their_steps() {
    let out = verona(&["map", "sip:m&m@example.com;gr=desk"]);
    assert_eq!(out.status.code(), Some(0));
    let said = text(&out.stdout);
    assert!(said.contains("6.4 step 5:"), "{said}");
    assert!(said.ends_with("\nm\\26m@example.com/desk\n"), "{said}");

    let out = verona(&["map", "juliet@example.com/balcony"]);
    assert!(text(&out.stdout).ends_with("\nsip:juliet@example.com;gr=balcony\n"));

    let out = verona(&["map", "tel:+15551234"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).starts_with("no counterpart: "));
    let out = verona(&["map", "tel:+15551234", "--phone-domain", "example.net"]);
    assert!(text(&out.stdout).ends_with("\n+15551234@example.net\n"));

    for wrong in ["sip:", "a@b@c", "", "sip:a@b..c"] {
        let out = verona(&["map", wrong]);
        assert_eq!((out.status.code(), out.stderr.is_empty()), (Some(1), false), "{wrong}");
    }
}

#[test]
fn messages_are_mapped_from_files() {
    let sip = "MESSAGE sip:juliet@example.com SIP/2.0\nVia: SIP/2.0/UDP a.example.net;branch=z9hG4bKeskdgs\n\
               Max-Forwards: 70\nFrom: Romeo <sip:romeo@example.net>;tag=1\nTo: sip:juliet@example.com\n\
               Call-ID: M4spr4vdu\nCSeq: 1 MESSAGE\nContent-Type: text/plain\nContent-Length: 12\n\nHi, Juliet\n\n";
    let path = file("message.sip", sip);
    let out = verona(&["map", path.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(said.contains("<message from='romeo@example.net' to='juliet@example.com'"), "{said}");
    assert!(said.contains("<body>Hi, Juliet"), "{said}");
    assert!(said.contains("SIP/2.0 200 OK"), "{said}");
    assert_eq!(text(&out.stderr), "to XMPP:\nto SIP:\n");
    std::fs::remove_file(path).unwrap();

    let stanza = "<message from='juliet@example.com/balcony' to='romeo@example.net'><body>Hi, Romeo</body></message>\n";
    let path = file("message.xml", stanza);
    let out = verona(&["map", path.to_str().unwrap()]);
    let said = text(&out.stdout);
    assert!(said.starts_with("MESSAGE sip:romeo@example.net SIP/2.0\r\n"), "{said}");
    assert!(said.contains("\r\nFrom: <sip:juliet@example.com;gr=balcony>;tag="), "{said}");
    assert!(said.ends_with("\r\n\r\nHi, Romeo\n"), "{said}");
    assert_eq!(text(&verona(&["map", path.to_str().unwrap()]).stdout), said, "the same each time");
    std::fs::remove_file(path).unwrap();

    for (content, why) in [
        ("<message/>", "the stanza lacks from or to"),
        ("<message from='a@b' to='c@b'/>", "both ends are in b"),
        ("<!DOCTYPE x><message/>", "not XML"),
        ("<iq xmlns='urn:x'/>", "not a stanza"),
        ("SIP/2.0 200 OK\r\n\r\n", "a SIP response: map the request"),
        ("hello", "not a SIP message"),
    ] {
        let path = file("wrong", content);
        let out = verona(&["map", path.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(1), "{content}");
        assert!(text(&out.stderr).contains(why), "{content}: {}", text(&out.stderr));
        std::fs::remove_file(path).unwrap();
    }
}

/// The lines of a store with a record of each kind, as `store export` prints them.
fn records() -> String {
    let usage = |role: &str| {
        format!(
            "{{\"accept\":\"\",\"contact\":\"sip:juliet@192.0.2.1:5060\",\"dialog\":{{\"call_id\":\"a84b4c76\",\"local_cseq\":10001,\
             \"local_tag\":\"l\",\"local_uri\":\"<sip:juliet@example.com>\",\"remote_cseq\":1,\
             \"remote_tag\":\"r\",\"remote_target\":\"sip:romeo@192.0.2.2:5060\",\"remote_uri\":\"<sip:romeo@example.net>\",\
             \"route_set\":[\"<sip:edge.example.net;lr>\"]}},\"event_id\":null,\"expires\":3600,\"expires_in\":1800,\
             \"package\":\"presence\",\"role\":\"{role}\",\"source\":null,\"state\":\"active\"}}"
        )
    };
    format!(
        "{{\"kind\":\"presence\",\"record\":{{\"asked\":true,\"dialogs\":[{{\"expires\":1800000000,\"usage\":{}}}],\"granted\":true}},\
         \"sip\":\"romeo@example.net\",\"watcher\":\"sip\",\"xmpp\":\"juliet@example.com\"}}\n\
         {{\"kind\":\"presence\",\"record\":{{\"dialog\":{{\"expires\":1800000000,\"usage\":{}}},\"granted\":true,\
         \"online\":[\"orchard\"]}},\"sip\":\"romeo@example.net\",\"watcher\":\"xmpp\",\"xmpp\":\"juliet@example.com\"}}\n",
        usage("notifier"),
        usage("subscriber"),
    )
}

/// `verona store import` with these lines.
fn import(config: &str, lines: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verona"));
    command.args(["store", "import", "-c", config]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn a_store_is_exported_and_imported() {
    let folder = std::env::temp_dir().join(format!("verona-cli-{}-import", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let place = |name: &str, url: &str| {
        let path = folder.join(name);
        std::fs::write(&path, config(5060, 5347).replace("memory:", url)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let export = |config: &str| text(&verona(&["store", "export", "-c", config]).stdout);
    let (one, other) = (place("one.toml", "redb:one.redb"), place("other.toml", "redb:new/other.redb"));

    let (code, said, complaints) = import(&one, &records());
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    assert!(said.ends_with("one.redb: 2 records are imported\n"), "{said}");
    assert_eq!(export(&one), records());
    assert_eq!(import(&other, &export(&one)).0, Some(0));
    assert_eq!(export(&other), records());
    assert_eq!(verona(&["store", "check", "-c", &other]).status.code(), Some(0));

    // What is there is replaced, what is not named stays.
    let changed = records().lines().next().unwrap().replace("\"granted\":true", "\"granted\":false");
    assert_eq!(import(&other, &format!("\n{changed}\n")).0, Some(0));
    assert_eq!(export(&other), format!("{changed}\n{}\n", records().lines().nth(1).unwrap()));

    // One wrong line, and nothing of what came with it is taken.
    let before = export(&other);
    for (wrong, why) in [
        ("{\"kind\":", "line 3: no JSON"),
        ("[]", "line 3: kind is missing, or no string"),
        ("{\"kind\":\"register\"}", "line 3: kind is \"register\""),
        ("{\"kind\":\"presence\",\"watcher\":\"both\"}", "line 3: watcher is \"both\""),
        (
            "{\"key\":\"x\",\"value\":\"\",\"broken\":\"why\"}",
            "line 3: this record could not be read where it was exported",
        ),
        ("{\"kind\":\"presence\",\"watcher\":\"sip\",\"sip\":\"@x\",\"xmpp\":\"a@b\"}", "line 3: sip: "),
        (
            "{\"kind\":\"presence\",\"watcher\":\"sip\",\"sip\":\"a@b\",\"xmpp\":\"a@b/c\"}",
            "line 3: xmpp: an address with a",
        ),
        ("{\"kind\":\"presence\",\"watcher\":\"sip\",\"sip\":\"a@b\",\"xmpp\":\"c@d\"}", "line 3: record is missing"),
        (
            "{\"kind\":\"presence\",\"watcher\":\"sip\",\"sip\":\"a@b\",\"xmpp\":\"c@d\",\"record\":{\"dialogs\":[{}]}}",
            "line 3: the value cannot be read: missing field",
        ),
    ] {
        let (code, said, complaints) = import(&other, &format!("{}{wrong}\n", records()));
        assert_eq!((code, said.as_str()), (Some(1), ""), "{wrong}");
        assert!(complaints.starts_with(why), "{wrong}: {complaints}");
        assert!(
            complaints.ends_with("other.redb: 0 records are imported, and nothing from there on\n"),
            "{complaints}"
        );
        assert_eq!(export(&other), before, "{wrong}");
    }

    // The gateway has it open.
    let held = verona::store::open(&verona::config::Store::Redb(folder.join("one.redb"))).unwrap();
    let (code, _, complaints) = import(&one, &records());
    assert_eq!(code, Some(1));
    assert!(complaints.ends_with("another process has it open: stop the gateway first\n"), "{complaints}");
    drop(held);
    let (code, _, complaints) = import(&place("memory.toml", "memory:"), &records());
    assert_eq!(code, Some(1));
    assert!(complaints.contains("nothing of it is on disk"), "{complaints}");
    std::fs::remove_dir_all(folder).unwrap();
}
