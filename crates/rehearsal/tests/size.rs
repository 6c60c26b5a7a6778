//! RFC 7572 §6, RFC 3428 §8: a MESSAGE has 1300 bytes at the most, and that many may be used.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use rehearsal::scene::{Player, Settings};

/// Sends a body of `length` bytes and gives back the size of the request, or nothing if it was refused.
fn request_bytes(length: usize, transport: &str) -> Option<usize> {
    let mut player = Player::new(Settings::default());
    player.part(&format!("set transport {transport}")).unwrap();
    let body = "x".repeat(length);
    let stanza =
        format!("<message from='juliet@example.com/b' to='romeo@example.net' id='m1'><body>{body}</body></message>");
    player.xmpp_sends("juliet", &stanza, false).unwrap();
    let got = player.sip_gets("romeo", "MESSAGE sip:romeo@example.net SIP/2.0", false);
    match got {
        Ok(()) => {
            let bytes = player.last_request("romeo").unwrap().to_bytes().len();
            player.part("romeo sends\n    SIP/2.0 200 OK").unwrap();
            player.end().unwrap();
            Some(bytes)
        }
        Err(_) => {
            let block = "<message type='error' id='m1'><error type='modify'>\
                <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
            player.xmpp_gets("juliet", block).unwrap();
            player.end().unwrap();
            None
        }
    }
}

#[test]
fn the_boundary_is_1300_bytes() {
    for transport in ["udp", "tcp"] {
        let fits: Vec<_> = (850..1150).map_while(|n| request_bytes(n, transport)).collect();
        let largest = *fits.last().unwrap();
        assert_eq!(largest, 1300, "by {transport}");
        assert_eq!(request_bytes(850 + fits.len(), transport), None);
    }
    assert_eq!(request_bytes(200_000, "udp"), None);
}
