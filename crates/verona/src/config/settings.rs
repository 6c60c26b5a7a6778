//! The plain settings: numbers, switches and lengths of time, each with its default and its bounds in one line.

use super::read::Reader;
use super::value::show_duration;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A type that a plain setting may have.
pub(crate) trait Setting: Sized {
    /// What bounds it.
    type Bounds;
    fn read(reader: &mut Reader<'_>, key: &str, bounds: &Self::Bounds) -> Option<Self>;
    /// As TOML.
    fn show(&self) -> String;
}

impl Setting for usize {
    type Bounds = RangeInclusive<u64>;
    fn read(reader: &mut Reader<'_>, key: &str, bounds: &Self::Bounds) -> Option<Self> {
        reader.number(key, bounds).and_then(|n| usize::try_from(n).ok())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for bool {
    type Bounds = ();
    fn read(reader: &mut Reader<'_>, key: &str, (): &()) -> Option<Self> {
        reader.flag(key)
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    type Bounds = RangeInclusive<Duration>;
    fn read(reader: &mut Reader<'_>, key: &str, bounds: &Self::Bounds) -> Option<Self> {
        reader.duration(key, bounds)
    }
    fn show(&self) -> String {
        format!("\"{}\"", show_duration(*self))
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn h(n: u64) -> Duration {
    s(n * 3600)
}

/// Makes a struct of plain settings, its reader, and the list of its keys with their values.
macro_rules! settings {
    ($(#[$doc:meta])* pub struct $name:ident in $table:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr, $bounds:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            pub(crate) fn read(reader: &mut Reader<'_>) -> $name {
                let default = $name::default();
                reader.table($table);
                $name {
                    $($field: <$type as Setting>::read(reader, concat!($table, ".", stringify!($field)), &$bounds)
                        .unwrap_or(default.$field),)*
                }
            }

            /// Every key with its value as TOML.
            pub(crate) fn keys(&self) -> Vec<(&'static str, String)> {
                vec![$((concat!($table, ".", stringify!($field)), Setting::show(&self.$field)),)*]
            }
        }
    };
}

settings! {
    /// The times of the component streams (XEP-0114).
    pub struct XmppTimes in "xmpp" {
        /// How long a batch of stanzas may wait for the answer to the ping behind it before it counts as taken.
        barrier_timeout: Duration = s(2), ms(100)..=s(25);
        /// A silent stream is pinged after this time (XEP-0199).
        ping_interval: Duration = s(60), s(1)..=s(3600);
        /// A stream whose ping gets no answer for so long is closed.
        ping_timeout: Duration = s(20), s(1)..=s(300);
        /// From the TCP connection to the end of the handshake.
        handshake_timeout: Duration = s(10), s(1)..=s(60);
        /// From the first byte of a stanza to its last; a stream that takes longer is closed.
        half_stanza: Duration = s(30), s(1)..=s(300);
        /// The first wait before a lost stream is opened again.
        reconnect_min: Duration = s(1), ms(100)..=s(60);
        /// The longest wait before a lost stream is opened again.
        reconnect_max: Duration = s(30), s(1)..=s(3600);
    }
}

settings! {
    /// The times and bounds of the streams with other XMPP servers. Numbers are for the whole process.
    pub struct FederationSettings in "xmpp.federation" {
        /// How long one target may take to be connected to.
        connect: Duration = s(10), ms(100)..=s(60);
        /// From the connection to the proof of who is there.
        handshake: Duration = s(20), s(1)..=s(120);
        /// How long a stanza may wait for a stream; then its sender gets remote-server-timeout.
        wait: Duration = s(20), s(1)..=s(60);
        /// A stream over which nothing was said for so long is closed.
        idle: Duration = s(600), s(10)..=h(24);
        /// A silent stream is asked whether its other end is still there after this time; it has `xmpp.ping_timeout` to answer.
        ping_interval: Duration = s(120), s(5)..=h(1);
        /// The first wait before a server that could not be reached is tried again. Meanwhile what is for it comes back at once.
        retry_min: Duration = s(2), ms(100)..=s(60);
        /// The longest such wait.
        retry_max: Duration = s(300), s(1)..=h(24);
        /// Streams, those of strangers among them; beyond: new ones are refused, and what waits for one comes back.
        streams: usize = 20_000, 2..=1_000_000;
        /// Streams that one domain has opened with one of ours; beyond: the one that was silent for longest is closed.
        streams_per_pair: usize = 8, 1..=1_000;
        /// Streams that came and have not proved yet who they are; beyond: new ones are refused.
        strangers: usize = 2_000, 1..=1_000_000;
        /// Stanzas from one of our domains to another that wait for a stream; beyond: resource-constraint.
        queue: usize = 2_000, 1..=1_000_000;
        /// Bytes of those; beyond likewise.
        queue_bytes: usize = 2_097_152, 65_536..=67_108_864;
        /// Bytes of all that wait so, for all servers; beyond likewise.
        queued_bytes: usize = 67_108_864, 1_048_576..=4_294_967_296;
    }
}

settings! {
    /// SIP accounts that XMPP users link, but for who may and where they are registered.
    pub struct AccountSettings in "xmpp.accounts" {
        /// Whether they may at all.
        enabled: bool = false, ();
        /// For how long the gateway registers an account, which is refreshed before that has passed.
        expires: Duration = h(1), s(60)..=h(24);
        /// Accounts; beyond: resource-constraint.
        accounts: usize = 10_000, 1..=1_000_000;
        /// How often one user may try to link an account in an hour, and how often one account may be tried; beyond: policy-violation.
        attempts: usize = 10, 1..=10_000;
        /// Whether accounts may be linked whose registrar does not ask for the password, as it trusts the gateway's address: then any user may link any.
        unproved: bool = false, ();
    }
}

settings! {
    /// The times of SIP transactions.
    pub struct SipTimes in "sip" {
        /// T1, the estimate of a round trip (RFC 3261 §17.1.1.1). A request is given up after 64 times as long.
        t1: Duration = ms(500), ms(50)..=s(4);
        /// The longest that a connection of ours is silent which the other side uses, too, or which we have registered over: then it is asked whether
        /// it is still there (RFC 5626 §4.4), and more often where the registrar says so. 0: never, where none does, and it is closed as others are.
        keep_alive: Duration = s(120), s(0)..=s(3600);
    }
}

settings! {
    /// Phones that register here (RFC 3261 §10).
    pub struct RegistrarSettings in "sip.registrar" {
        /// The shortest registration; a phone that wants a shorter one is told this.
        min_expires: Duration = s(60), s(1)..=h(1);
        /// One that says nothing of how long it is to be.
        expires: Duration = h(1), s(1)..=h(24 * 7);
        /// The longest; whoever asks for more gets this.
        max_expires: Duration = h(1), s(1)..=h(24 * 7);
        /// The contacts that one account may have. One more takes the place of the one that would expire first.
        contacts_per_account: usize = 10, 1..=100;
        /// The contacts of all accounts; beyond: 503.
        contacts: usize = 100_000, 1..=10_000_000;
        /// How long a phone may leave its connection without a sign of life (RFC 5626 §10).
        flow_timer: Duration = s(120), s(10)..=h(1);
        /// How long a challenge may be answered before it is too old (RFC 7616 §3.3).
        nonce_lifetime: Duration = s(300), s(5)..=h(24);
    }
}

settings! {
    /// How single messages are translated (RFC 7572).
    pub struct Message in "message" {
        /// HTML <-> XHTML-IM (XEP-0071), beside the plain text. False: the plain text alone.
        rich: bool = true, ();
        /// Disposition notifications (RFC 5438) <-> receipts (XEP-0184).
        receipts: bool = true, ();
        /// Is-composing (RFC 3994) <-> chat states (XEP-0085).
        chat_states: bool = true, ();
    }
}

settings! {
    /// How chat sessions are translated (RFC 7573), but for the mode.
    pub struct ChatSettings in "chat" {
        /// A session in which nobody has said anything for so long is ended (RFC 7573 §6.1); 0: never.
        idle: Duration = s(600), s(0)..=h(24 * 7);
        /// How long a SIP user may take to answer a session that an XMPP user has opened.
        ring: Duration = s(30), s(1)..=s(180);
        /// How long a SIP user who has refused a session gets single messages.
        remember: Duration = h(1), s(0)..=h(24 * 7);
        /// Whether the SIP side is asked to tell of failures. False: as RFC 7573 §7 would have it, and nobody knows of a message that is lost.
        failure_reports: bool = true, ();
        /// Reports and disposition notifications (RFC 5438) <-> receipts (XEP-0184).
        receipts: bool = true, ();
        /// Is-composing (RFC 3994) <-> chat states (XEP-0085).
        chat_states: bool = true, ();
        /// Sessions of one SIP user with one XMPP user at one time; beyond: the last one serves, and INVITEs get 486.
        sessions_per_pair: usize = 8, 1..=1_000;
    }
}

settings! {
    /// How rooms are translated (RFC 7702), but for which there are.
    pub struct RoomSettings in "rooms" {
        /// How many messages of the past a SIP user is shown on entering a room, at most (XEP-0045 §7.2.13).
        history: usize = 20, 0..=1_000;
        /// Whether a SIP user makes a room that is not there by entering it. False: the INVITE gets 404.
        create: bool = true, ();
        /// How long a room may take to let a SIP user in, or a SIP conference an XMPP user.
        join: Duration = s(30), s(1)..=s(180);
        /// People in one room. A room with more cannot be entered; who comes later than that is not shown.
        roster: usize = 10_000, 2..=100_000;
        /// Bytes of messages of a room that wait for one SIP user; beyond: that user is out of the room.
        backlog: usize = 1_048_576, 65_536..=67_108_864;
        /// Places of one user in one room at one time; beyond: 486, or resource-constraint.
        seats_per_pair: usize = 8, 1..=1_000;
    }
}

settings! {
    /// How calls are translated (draft-ietf-stox-media), but for the relays.
    pub struct MediaSettings in "media" {
        /// Whether they are at all. False: calls from either side are refused.
        enabled: bool = false, ();
        /// How long a telephone or a client may ring.
        ring: Duration = s(120), s(5)..=s(600);
        /// The longest that a Jingle client's candidates are waited for before a SIP user is called.
        gather: Duration = s(3), ms(100)..=s(20);
        /// How long the client must have named none for those to be all.
        gather_quiet: Duration = ms(500), ms(50)..=s(10);
        /// How often a client is asked whether it still knows of its call; 0: never.
        check: Duration = s(60), s(0)..=h(1);
        /// Calls of one SIP user with one XMPP user at one time; beyond: 486, or busy.
        calls_per_pair: usize = 4, 1..=1_000;
        /// Calls of one user at one time, with all others together; beyond likewise.
        calls_per_user: usize = 64, 1..=100_000;
        /// How long a relay may be silent before another is asked. Datagrams that are lost are sent again meanwhile.
        relay_silence: Duration = ms(2100), ms(200)..=s(10);
        /// How often the relay of a call is asked whether it still knows of it. One that was started anew knows nothing.
        relay_check: Duration = s(20), s(5)..=s(600);
        /// How long it is remembered that a SIP user's telephone takes calls only through a relay.
        remember: Duration = h(1), s(0)..=h(24 * 7);
    }
}

settings! {
    /// The bounds of MSRP (RFC 4975).
    pub struct MsrpSettings in "msrp" {
        /// Bytes of one message from SIP; beyond: 413. What `a=max-size` says.
        max_size: usize = 65_536, 2_048..=16_777_216;
    }
}

settings! {
    /// How presence is translated (RFC 8048).
    pub struct PresenceConfig in "presence" {
        /// Whether it is at all. False: subscriptions from either side are refused.
        enabled: bool = true, ();
        /// The Expires of our own SUBSCRIBE requests, which are sent again before it has passed.
        refresh: Duration = h(1), s(60)..=h(24);
        /// A SUBSCRIBE that asks for less is answered 423 with this Min-Expires.
        min_expires: Duration = s(60), s(1)..=h(1);
        /// A SUBSCRIBE that asks for more gets this.
        max_expires: Duration = h(24), s(60)..=h(24 * 7);
        /// RPID (RFC 4480) beyond activities, such as moods and places. False: those are nobody's business.
        rich: bool = false, ();
        /// How long the answer to a probe is waited for before a watcher is told what is known, or a dialog is refreshed.
        probe_wait: Duration = s(2), ms(100)..=s(20);
        /// A watcher gets a NOTIFY no more often, but for the first few (RFC 3856 §6.10).
        notify_interval: Duration = s(5), s(0)..=s(300);
        /// How long an XMPP user's subscription is refreshed without any sign of a presence session of that user.
        keep: Duration = h(24 * 7), h(1)..=h(24 * 365);
        /// SIP users who watch one XMPP user; beyond: 503.
        watchers_per_contact: usize = 1_000, 1..=1_000_000;
        /// Dialogs of one SIP user with one XMPP user; beyond: 503.
        dialogs_per_pair: usize = 8, 1..=1_000;
    }
}

settings! {
    /// Certificates from an authority that gives them out by itself (RFC 8555).
    pub struct AcmeSettings in "tls.acme" {
        /// How long before its end a certificate is renewed; at the earliest when two thirds of its life are over.
        renew: Duration = h(24 * 30), h(1)..=h(24 * 365);
    }
}

settings! {
    /// How fast a source may come, and when it is shut out. A source is an IPv4 address or a /64 of IPv6; those in `abuse.allow` are friends, for whom nothing of
    /// this counts.
    pub struct AbuseSettings in "abuse" {
        /// Points that a source may have before it is shut out: 1 for a connection that never says who it is, 2 for bytes that are nothing of the protocol, 3 for
        /// wrong credentials, 5 for speaking as somebody else. 0: nobody is shut out.
        patience: usize = 60, 0..=1_000_000;
        /// The time in which half of the points are forgotten.
        forget: Duration = s(300), s(1)..=h(24);
        /// How long a source is shut out the first time. Doubled each time, until it has behaved for as long.
        ban: Duration = s(60), s(1)..=h(24);
        /// The doubling ends here.
        ban_max: Duration = h(24), s(1)..=h(24 * 30);
        /// Connections that a source may open in a second; beyond: closed at once. 0: no bound.
        connections_per_source: usize = 50, 0..=1_000_000;
        /// Connections that it may open at once before the rate counts.
        connections_burst: usize = 500, 1..=1_000_000;
        /// SIP messages and stanzas of a source in a second; beyond: what came by UDP is dropped, and comes again; a SIP connection or a stream with a
        /// server is closed. 0: no bound.
        messages_per_source: usize = 0, 0..=1_000_000;
        /// Those that it may send at once before the rate counts.
        messages_burst: usize = 1_000, 1..=1_000_000;
        /// Connections that have not shown yet who they are, of one source a quarter of that; beyond: new ones are closed at once.
        strangers: usize = 2_048, 1..=1_000_000;
    }
}

settings! {
    /// The bounds of what the gateway keeps and takes. Numbers are for the whole process.
    pub struct Limits in "limits" {
        /// Workers that share the conversations; 0: one for each processor.
        shards: usize = 0, 0..=64;
        /// Bytes of one SIP message; beyond: 513, and a TCP connection is closed.
        message_bytes: usize = 65_536, 4_096..=1_048_576;
        /// Bytes of one stanza; beyond: the stream is closed with a policy violation (RFC 6120 asks for 10,000 at least).
        stanza_bytes: usize = 262_144, 10_000..=4_194_304;
        /// SIP connections; beyond: new ones are closed.
        connections: usize = 4_096, 1..=1_000_000;
        /// SIP connections from one address; beyond: new ones are closed.
        connections_per_address: usize = 256, 1..=1_000_000;
        /// MSRP connections, both ways together; beyond: new ones are closed, or not made.
        msrp_connections: usize = 32_768, 1..=1_000_000;
        /// MSRP connections with one address; beyond: new ones are closed, or not made.
        msrp_connections_per_address: usize = 1_024, 1..=1_000_000;
        /// Chat sessions that are open or being opened; beyond: 503, or resource-constraint.
        sessions: usize = 50_000, 1..=10_000_000;
        /// Places in rooms, for each direction; beyond: 503, or resource-constraint.
        seats: usize = 50_000, 1..=10_000_000;
        /// Calls, those that ring among them; beyond: 503, or resource-constraint.
        calls: usize = 50_000, 1..=1_000_000;
        /// Open SIP transactions, for each side; beyond: 503, or resource-constraint.
        transactions: usize = 8_192, 16..=1_000_000;
        /// SIP requests whose answer is remembered for retransmissions, about 20 bytes each; beyond: 503.
        answers: usize = 1_500_000, 1_024..=100_000_000;
        /// SIP requests that wait until the XMPP server took their stanza; beyond: 503 with Retry-After.
        held: usize = 8_192, 16..=1_000_000;
        /// How long one of them may wait; then 503 with Retry-After. Less than the 32 s of timer F.
        held_for: Duration = s(25), s(1)..=s(31);
        /// Messages from one XMPP user to one SIP user that wait for those before them; beyond: resource-constraint.
        queue_per_pair: usize = 64, 1..=65_536;
        /// All messages that wait so; beyond: resource-constraint.
        queued: usize = 8_192, 1..=1_000_000;
        /// Live subscription dialogs, both ways together; beyond: 503, or resource-constraint.
        subscriptions: usize = 200_000, 16..=10_000_000;
        /// Those of them that one SIP address opened; beyond: 503.
        subscriptions_per_source: usize = 20_000, 1..=10_000_000;
        /// Presence authorizations that are remembered; beyond: 503, or resource-constraint.
        authorizations: usize = 2_000_000, 16..=100_000_000;
        /// Those of them that one user asked for, in one worker; beyond: 503, or resource-constraint.
        authorizations_per_user: usize = 1_000, 1..=1_000_000;
        /// Bytes that wait to be written to one XMPP server or MSRP connection; beyond: 503, or the connection is closed.
        write_bytes: usize = 1_048_576, 65_536..=67_108_864;
        /// Bytes that wait to be written to one SIP connection; from a half of them on it is not read, beyond: 503, or it is closed.
        sip_write_bytes: usize = 4_194_304, 65_536..=67_108_864;
        /// Messages that one bare address may send in a second; beyond: 503, or resource-constraint. 0: no bound.
        rate_per_sender: usize = 0, 0..=1_000_000;
        /// Messages that it may send at once before the rate counts.
        burst_per_sender: usize = 50, 1..=1_000_000;
        /// Messages that all addresses of one domain may send in a second, on either side; beyond likewise. 0: no bound.
        rate_per_domain: usize = 0, 0..=1_000_000;
        /// Messages that they may send at once before the rate counts.
        burst_per_domain: usize = 1_000, 1..=1_000_000;
        /// What every Retry-After says.
        retry_after: Duration = s(5), s(1)..=s(3600);
        /// From the first byte of a SIP message or MSRP frame on a connection to its last, to the first SIP message of a new connection, and to
        /// the first session of an MSRP connection.
        half_message: Duration = s(10), s(1)..=s(300);
        /// A SIP connection without traffic is closed after this time.
        idle_connection: Duration = s(300), s(1)..=s(86_400);
        /// How long SIGTERM waits for open transactions.
        drain: Duration = s(30), ms(100)..=s(600);
    }
}
