//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` says.
pub const HELP: &str = "verona-load: messages through a gateway between SIP and XMPP, and what became of each

It plays the SIP side (127.0.0.1:5080) and the XMPP server that the gateway is a component of (127.0.0.1:5347, domain example.net,
secret \"secret\"). One line of JSON comes out.

  --way s2x|x2s|both   which way the messages go               s2x
  --count N            how many, each way                      10000
  --rate R             so many a second, whatever comes back;  0
                       0: as many as --window lets
  --window W           so many under way at once               64
  --users N            on each side                            100
  --body N             bytes of a message's text               64
  --tcp                SIP over TCP                            UDP
  --gateway A:P        where the gateway listens for SIP       127.0.0.1:5060
  --listen A:P         where it sends to                       127.0.0.1:5080
  --server A:P         where it finds its XMPP server          127.0.0.1:5347
  --secret S           its secret                              secret
  --sip-domain D       the component's domain                  example.net
  --xmpp-domain D      the XMPP users' domain                  example.com
  --patience S         how long nothing may happen             35
  --watch PID          report this process's CPU and memory
  --tls FOLDER         SIP over TLS, with the certificates there  -
  --federation A:P     it is the server of the XMPP users' domain, and  -
                       the gateway one that takes streams there (direct
                       TLS); --server is where it takes the gateway's
  --names A:P          where it plays the name server for that  127.0.0.1:5053
  --domains N          XMPP users of so many domains; answers to  1
                       each come on its own stream (XEP-0288)

verona-load certificates      makes the certificates for --tls FOLDER: an authority, `load` with the names of the generator, `gateway` with those of the
                              gateway (--sip-domain)
verona-load handshakes        makes --count TLS connections to --gateway, --window at a time, and streams between servers to --federation

verona-load presence fill     presence authorizations, a line of JSON each, for `verona store import`; SIP users watch XMPP users and the
                              other way round, in turns; of --users N authorizations the first --live N have a dialog
verona-load presence run      plays both sides of these: takes the gateway's stream, answers its probes and SUBSCRIBEs until it has
                              nothing more to ask, then has the XMPP users change their presence --count times, and send
                              --messages N single messages in the same way (--rate, --window), so that the one can be held against the other

verona-load sessions run      has --users N chat sessions opened (--opened s2x|x2s|both, --window), each with a connection of its own as far as
                              --lines N lets; does nothing for --settle S seconds and then for --idle S, while processor time is counted;
                              sends --count messages through them, each way of --way in its turn (--rate, --window); with --end 1 the
                              phones end all of them. The phones listen for MSRP on 127.0.0.0/8, --port 25285
verona-load sessions forward  sends the same messages through `nullmsrp`, at --gateway A:P

verona-load rooms run         plays a MUC service with --rooms N rooms, in each --xmpp N XMPP users, and --sip N phones that enter each (--entering N at once,
                              --port as above) and subscribe to who is there; when all know of all it does nothing for --settle S seconds; then
                              --rounds N times, each way of --way in its turn, so many texts that there are --count deliveries (--window), and at half
                              of that rate for --half S seconds; with --end 1 the phones leave

verona-load calls run         has --users N calls set up (--begun s2x|x2s|both, --media browser|plain|both, --rate, --window); does nothing for --settle S
                              seconds and then for --idle S, while processor time is counted; with --end 1 whoever has called hangs up
verona-load calls forward     the same between phones, through a proxy or `nullb2bua` at --gateway A:P, from the port after that of --listen to --listen
verona-load calls sipp        --count N calls between two of sipp, the same way; its files go to --folder F";

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From SIP to XMPP.
    SipToXmpp,
    /// From XMPP to SIP.
    XmppToSip,
}

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ways in use.
    pub ways: Vec<Way>,
    /// Messages each way.
    pub count: usize,
    /// Messages a second each way; 0 for a closed loop.
    pub rate: f64,
    /// Messages under way at once in a closed loop.
    pub window: u64,
    /// Users on each side.
    pub users: usize,
    /// Bytes of a text.
    pub body: usize,
    /// Whether SIP goes over TCP.
    pub tcp: bool,
    /// The gateway's SIP address.
    pub gateway: SocketAddr,
    /// Ours.
    pub listen: SocketAddr,
    /// Where the gateway finds its XMPP server.
    pub server: SocketAddr,
    /// Its secret there.
    pub secret: String,
    /// The domain of the SIP users.
    pub sip_domain: String,
    /// The domain of the XMPP users.
    pub xmpp_domain: String,
    /// How long nothing may happen until the rest is given up.
    pub patience: Duration,
    /// A process to watch.
    pub watch: Option<u32>,
    /// The folder of the certificates, if SIP goes over TLS.
    pub tls: Option<PathBuf>,
    /// Where the gateway takes streams of other servers (direct TLS), if it is one of them and no component.
    pub federation: Option<SocketAddr>,
    /// Where the gateway finds its name server.
    pub names: SocketAddr,
    /// Over how many domains the XMPP users are spread.
    pub domains: usize,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut options = Options {
            ways: vec![Way::SipToXmpp],
            count: 10_000,
            rate: 0.0,
            window: 64,
            users: 100,
            body: 64,
            tcp: false,
            gateway: local(5060),
            listen: local(5080),
            server: local(5347),
            secret: "secret".to_owned(),
            sip_domain: "example.net".to_owned(),
            xmpp_domain: "example.com".to_owned(),
            patience: Duration::from_secs(35),
            watch: None,
            tls: None,
            federation: None,
            names: local(5053),
            domains: 1,
        };
        while let Some(word) = words.next() {
            if word == "--tcp" {
                options.tcp = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value, or is unknown"))?;
            match word.as_str() {
                "--way" => {
                    options.ways = match value.as_str() {
                        "s2x" => vec![Way::SipToXmpp],
                        "x2s" => vec![Way::XmppToSip],
                        "both" => vec![Way::SipToXmpp, Way::XmppToSip],
                        _ => return Err(format!("--way {value}: s2x, x2s or both")),
                    }
                }
                "--count" => options.count = number(&word, &value)?,
                "--rate" => options.rate = number(&word, &value)?,
                "--window" => options.window = number::<u64>(&word, &value)?.max(1),
                "--users" => options.users = number::<usize>(&word, &value)?.max(1),
                "--body" => options.body = number(&word, &value)?,
                "--gateway" => options.gateway = number(&word, &value)?,
                "--listen" => options.listen = number(&word, &value)?,
                "--server" => options.server = number(&word, &value)?,
                "--secret" => options.secret = value,
                "--sip-domain" => options.sip_domain = value,
                "--xmpp-domain" => options.xmpp_domain = value,
                "--patience" => options.patience = Duration::from_secs(number(&word, &value)?),
                "--watch" => options.watch = Some(number(&word, &value)?),
                "--tls" => (options.tls, options.tcp) = (Some(value.into()), true),
                "--federation" => options.federation = Some(number(&word, &value)?),
                "--names" => options.names = number(&word, &value)?,
                "--domains" => options.domains = number::<usize>(&word, &value)?.max(1),
                _ => return Err(format!("{word} is unknown")),
            }
        }
        if [options.gateway, options.listen, options.server, options.names]
            .iter()
            .chain(&options.federation)
            .any(|a| !a.ip().is_loopback())
        {
            return Err("loopback addresses only: this is no tool to be pointed at others".to_owned());
        }
        Ok(options)
    }
}

pub(crate) fn number<T: std::str::FromStr>(word: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{word} {value}: not what it takes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line() {
        let options = parse("--way both --rate 100.5 --tcp --watch 7").unwrap();
        assert_eq!((options.ways.len(), options.rate, options.tcp, options.watch), (2, 100.5, true, Some(7)));
        assert!(parse("--way up").is_err());
        assert!(parse("--count").is_err());
        assert!(parse("--count x").is_err());
        assert!(parse("--gateway 192.0.2.1:5060").is_err());
    }
}
