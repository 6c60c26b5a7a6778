//! Real programs for the interop tests: started, driven and stopped from Rust.
//!
//! A test makes a [`Place`] first: a folder and a loopback address of its own, so that tests run beside each other. Each
//! program then runs in that place; its output goes to a log that is shown when the test fails. Nothing sleeps blindly:
//! whatever must be ready is asked until it is ([`until`]). A program that is missing fails the test and says how to get
//! it; nothing is skipped.
//!
//! ```no_run
//! use rehearsal::peers::{Place, Prosody, XmppClient};
//! let place = Place::new("hello");
//! let prosody = Prosody::start(&place, &["example.net"]);
//! let juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
//! # drop(juliet);
//! ```
#![expect(
    clippy::panic,
    reason = "this module serves tests alone, and a peer that fails ends the test that asked for it"
)]

mod acme;
mod baresip;
mod dnsmasq;
mod driver;
mod ejabberd;
mod gateway;
mod jingle_device;
mod jssip;
mod kamailio;
mod kamailio_edge;
mod linphone;
mod msrp_peer;
mod name_server;
mod place;
mod process;
mod prosody;
mod recording;
mod rtpengine;
mod sip_dialog;
mod sip_phone;
mod sipp;
mod template;
mod test_ca;
mod xmpp_client;
mod xmpp_crowd;
mod xmpp_server;

pub use acme::AcmeServer;
pub use baresip::{Baresip, Media, Sound};
pub use dnsmasq::{Dnsmasq, Zone};
pub use driver::Driver;
pub use ejabberd::Ejabberd;
pub use gateway::{Gateway, Settings};
pub use jingle_device::JingleDevice;
pub use jssip::{JsMessage, JsSip};
pub use kamailio::{Kamailio, MsrpRelay};
pub use kamailio_edge::{Edge, KamailioEdge};
pub use linphone::Linphone;
pub use msrp_peer::{MsrpMessage, MsrpPeer, MsrpWrapper};
pub use name_server::{NameServer, Weather};
pub use place::Place;
pub use process::{Process, until};
pub use prosody::Prosody;
pub use recording::Recording;
pub use rtpengine::Rtpengine;
pub use serde_json::{Value, json};
pub use sip_dialog::SipDialog;
pub use sip_phone::{SipMessage, SipPhone};
pub use sipp::{Answer, Sipp, SippMessage};
pub use test_ca::{Certificate, Credentials, TestCa};
pub use xmpp_client::{IqAnswer, XmppClient, XmppError, XmppMessage, XmppPresence};
pub use xmpp_crowd::XmppCrowd;
pub use xmpp_server::{Servers, XmppServer};
