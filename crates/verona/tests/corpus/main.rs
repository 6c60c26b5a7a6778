//! Plays a corpus of hostile input against the running gateway: SIP messages, stanzas and streams, CPIM bodies, session descriptions,
//! addresses, MSRP, calls. The corpus is no part of the project: `VERONA_CORPUS` names its directory, or it lies in `../shared/corpus` beside the
//! checkout. Where it is absent these tests say so and pass, because what they show is shown by the project's own torture tests too:
//! `grammar` in `verona-sip`, the tests of `verona-xml`, `verona-xmpp`, `verona-bodies` and `verona-stox`, `fuzz_corpus` in
//! `verona-rehearsal` and `hostile` beside this one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test that cannot be set up has failed")]

mod cpim;
mod jid;
mod jingle;
mod msrp;
mod pidf;
mod sdp;
mod sip_messages;
mod streams;
mod table;
#[path = "../hostile/world.rs"]
#[allow(dead_code, reason = "shared with the tests in hostile")]
mod world;
