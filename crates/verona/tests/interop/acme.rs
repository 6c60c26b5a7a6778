//! A certificate from an authority that gives them out by itself: ordered, proved, shown without a restart, kept over one.

use crate::world::BINARY;
use rehearsal::peers::{AcmeServer, Gateway, Place, Prosody, Settings, until};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Whether whoever connects is shown a certificate for this name, from this authority.
fn is_shown(socket: SocketAddr, name: &str, root: &Path) -> bool {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &socket.to_string(), "-servername", name, "-verify_hostname", name]);
    command.args(["-verify_return_error", "-CAfile"]).arg(root);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("openssl can be started").success()
}

#[test]
fn a_certificate_comes_and_is_shown() {
    let place = Place::new("acme");
    let (asked, msrp, proxy) = (place.free(), place.free(), place.free());
    let authority = AcmeServer::start(&place, asked, 90);
    let prosody = Prosody::start(&place, &["example.net"]);
    let more = format!(
        "[msrp]\nlisten = [\"tls:{msrp}\"]\n[tls.acme]\ndirectory = \"{}\"\nlisten = \"{asked}\"\n\
         domains = [\"chat.example.net\", \"www.example.net\"]\ncontact = [\"mailto:nurse@example.net\"]\ntrust = \"{}\"\n",
        authority.directory(),
        authority.root().display(),
    );
    let mut gateway = Gateway::start(&place, BINARY, &Settings { more, ..Settings::new(&prosody, proxy) });
    for name in ["chat.example.net", "www.example.net"] {
        until("the certificate is shown", SOON, || is_shown(msrp, name, &authority.root()));
    }
    assert!(!is_shown(msrp, "evil.example.net", &authority.root()));
    assert!(authority.has_said("order chat.example.net,www.example.net"));
    for name in ["chat.example.net", "www.example.net"] {
        assert!(authority.has_said(&format!("asked {name} valid")));
    }
    // It is kept, and so is the account.
    gateway.restart(&place);
    assert!(is_shown(msrp, "chat.example.net", &authority.root()));
    assert_eq!((authority.said("issued"), authority.said("account")), (1, 1));
    assert!(gateway.stop().success());
}

/// What the authority refuses is said, and the gateway goes on with what it has.
#[test]
fn a_refusal_is_said_and_nothing_stops() {
    let place = Place::new("acme-refused");
    let (asked, msrp, proxy) = (place.free(), place.free(), place.free());
    let authority = AcmeServer::start(&place, asked, 90);
    authority.refuse(true);
    let prosody = Prosody::start(&place, &["example.net"]);
    let more = format!(
        "[msrp]\nlisten = [\"tls:{msrp}\"]\n[tls.acme]\ndirectory = \"{}\"\nlisten = \"{asked}\"\n\
         domains = [\"chat.example.net\"]\ntrust = \"{}\"\n",
        authority.directory(),
        authority.root().display(),
    );
    let mut gateway = Gateway::start(&place, BINARY, &Settings { more, ..Settings::new(&prosody, proxy) });
    until("it is said", SOON, || gateway.process().log().contains("no certificate from the authority"));
    assert!(authority.has_said("asked chat.example.net invalid") && authority.said("issued") == 0);
    assert!(gateway.is_ready() && !is_shown(msrp, "chat.example.net", &authority.root()));
    // With what it has made itself it shakes hands all the same.
    let own = place.dir().join("acme/certificate.pem");
    assert!(is_shown(msrp, "chat.example.net", &own));
}
