//! Which trunk carries what, what its account looks like, and where it sends from.

use super::*;
use base::dns::Srv;
use sip::{Message, Method, Name};

fn uri(text: &str) -> SipUri {
    SipUri::parse(text).expect("a SIP URI")
}

fn trunk(name: &str, domains: &[&str], numbers: &[&str]) -> Trunk {
    let server = uri("sip:198.51.100.1");
    Trunk {
        name: name.into(),
        domains: domains.iter().copied().map(Str::from).collect(),
        numbers: numbers.iter().copied().map(Str::from).collect(),
        place: Place::of(&server).expect("a place"),
        route: None,
        account: Some(Account::new("4930123", "secret")),
        address: uri("sip:4930123@carrier.example"),
        speaks: true,
        user: Some(Jid::parse("reception@example.com").expect("a JID")),
        register: Some(Register {
            registrar: Uri::parse("sip:carrier.example").expect("a URI"),
            expires: 600,
            retry: Duration::from_secs(30),
            instance: None,
        }),
        sources: Vec::new(),
    }
}

#[test]
fn the_longest_beginning_counts_and_of_several_the_first() {
    let all = [
        trunk("a", &["carrier.example"], &["+49", "+4930"]),
        trunk("b", &["carrier.example"], &["+49301"]),
        trunk("c", &["carrier.example", "pbx.example"], &[]),
        trunk("d", &["pbx.example"], &[]),
    ];
    for (to, name) in [
        ("sip:+4930123@carrier.example", Some("b")),
        ("sip:+49302@CARRIER.example", Some("a")),
        ("sip:%2b4940@carrier.example;user=phone", Some("a")),
        ("sip:+4312@carrier.example", Some("c")),
        ("sip:romeo@pbx.example", Some("c")),
        ("sip:pbx.example", Some("c")),
        ("sip:+4930123@elsewhere.example", None),
        ("sip:+4930123@192.0.2.1", None),
    ] {
        assert_eq!(Trunk::of(&all, &uri(to)).map(|trunk| trunk.name.as_str()), name, "{to}");
    }
    assert_ne!(all[0].account_id(), all[1].account_id());
    assert_eq!(all[0].place().account, Some(all[0].account_id()));
}

struct Site {
    trunks: Trunks,
    agent: Agent,
    tokens: Tokens,
    out: VecDeque<Output>,
    now: Time,
    next_save: SaveToken,
}

impl Site {
    fn new(registers: bool) -> Site {
        let mut tokens = Tokens::seeded(1);
        let host = Host::parse("gw.example.com").expect("a host");
        let config = sip::agent::Config { sent_by: vec![(Transport::Udp, host, None)], ..Default::default() };
        let agent = Agent::new(config, tokens.fork());
        let trunks = Trunks::new(registers, HashKey::new(1, 2));
        Site { trunks, agent, tokens, out: VecDeque::new(), now: Time::from_secs(100), next_save: 1 }
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Trunks, &mut Yard<'_>) -> R) -> R {
        let Site { trunks, agent, tokens, out, now, next_save } = self;
        act(trunks, &mut Yard { now: *now, agent, tokens, out, next_save })
    }

    fn configure(&mut self, trunks: &[Trunk]) {
        self.act(|all, yard| all.configure(yard, trunks));
    }

    /// What was sent.
    fn sent(&mut self) -> Vec<Request> {
        let mut sent = Vec::new();
        while let Some(output) = self.agent.poll() {
            if let sip::agent::Output::Send { bytes, .. } = output
                && let Ok(Message::Request(request)) = sip::parse_datagram(&bytes, &sip::Limits::default())
            {
                sent.push(request);
            }
        }
        sent
    }

    fn asked(&mut self) -> Vec<(u64, Question)> {
        let lookup = |output| match output {
            Output::Lookup { id, question } => Some((id, question)),
            _ => None,
        };
        self.out.drain(..).filter_map(lookup).collect()
    }
}

#[test]
fn one_shard_registers_and_what_stays_the_same_is_left_alone() {
    let mut other = Site::new(false);
    other.configure(&[trunk("a", &["carrier.example"], &[])]);
    assert!(other.sent().is_empty() && other.trunks.seen(other.now).is_empty());
    assert_eq!(other.agent.wallet().len(), 1, "it answers challenges all the same");
    let mut site = Site::new(true);
    let own = trunk("a", &["carrier.example"], &[]);
    site.configure(std::slice::from_ref(&own));
    let sent = site.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].method, Method::Register);
    assert_eq!(sent[0].headers.get(Name::Contact), Some("<sip:reception@gw.example.com>"));
    assert_eq!(sent[0].headers.get(Name::To), Some("<sip:4930123@carrier.example>"));
    site.configure(std::slice::from_ref(&own));
    assert!(site.sent().is_empty(), "nothing has changed");
    let elsewhere = Trunk { address: uri("sip:other@carrier.example"), ..own };
    site.configure(&[elsewhere]);
    assert_eq!(site.sent().len(), 1, "another account");
    site.configure(&[]);
    assert!(site.trunks.seen(site.now).is_empty());
}

#[test]
fn what_comes_from_its_addresses_comes_from_it() {
    let mut site = Site::new(false);
    let named =
        Trunk { place: Place::of(&uri("sip:edge.carrier.example")).unwrap(), ..trunk("a", &["carrier.example"], &[]) };
    let listed = Trunk { sources: vec![Network::of([203, 0, 113, 7].into())], ..trunk("b", &["pbx.example"], &[]) };
    site.configure(&[named, listed]);
    let at = |site: &Site, ip: [u8; 4], names: &[Str]| {
        site.trunks.behind(ip.into(), names).map(|t| t.name.to_string()).next()
    };
    assert_eq!(at(&site, [198, 51, 100, 1], &[]).as_deref(), Some("b"), "its place is an address");
    assert_eq!(at(&site, [203, 0, 113, 7], &[]).as_deref(), Some("b"));
    assert_eq!(at(&site, [192, 0, 2, 10], &[]), None);
    assert_eq!(
        at(&site, [192, 0, 2, 10], &["EDGE.carrier.example".into()]).as_deref(),
        Some("a"),
        "by its certificate"
    );
    assert_eq!(at(&site, [192, 0, 2, 10], &["other.example".into()]), None);
    let asked = site.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for (id, question) in &asked {
        let answer = match question {
            Question::Srv(name) if name.starts_with("_sip._udp") => {
                let target = Srv { priority: 1, weight: 1, port: 5060, target: "p1.carrier.example".into() };
                Answer::of_srv([target], Duration::from_secs(60))
            }
            Question::Addresses(_) => Answer::of_addresses([[192, 0, 2, 9].into()], Duration::from_secs(60)),
            Question::Srv(_) | Question::Naptr(_) => Answer::none(base::dns::Failure::NoName),
        };
        assert!(site.act(|trunks, yard| trunks.looked(yard, *id, &answer)));
    }
    // RFC 3263: where there are SRV records, what is at the name itself is something else.
    assert_eq!(at(&site, [192, 0, 2, 9], &[]), None);
    site.now = site.now + Duration::from_secs(1);
    site.act(Trunks::timeout);
    let next = site.asked();
    let target = next.iter().find(|(_, question)| question.name() == "p1.carrier.example").expect("the target");
    let answer = Answer::of_addresses([[192, 0, 2, 10].into()], Duration::from_secs(60));
    assert!(site.act(|trunks, yard| trunks.looked(yard, target.0, &answer)));
    assert_eq!(at(&site, [192, 0, 2, 10], &[]).as_deref(), Some("a"));
    site.now = site.now + Duration::from_secs(3601);
    site.act(Trunks::timeout);
    assert_eq!(at(&site, [192, 0, 2, 10], &[]), None, "an address that was not seen for an hour");
    assert!(!site.act(|trunks, yard| trunks.looked(yard, 7, &answer)), "a question of somebody else's");
}

/// RFC 3263 §4.2: the name's own addresses are those of a place without SRV records, or with a port.
#[test]
fn a_name_without_srv_records_is_where_it_is() {
    for (server, srv, trusted) in [
        ("sip:edge.carrier.example", None, true),
        ("sip:edge.carrier.example", Some("EDGE.carrier.example"), true),
        ("sip:edge.carrier.example", Some("p1.carrier.example"), false),
        ("sip:edge.carrier.example", Some(""), true),
        ("sip:edge.carrier.example:5070", Some("p1.carrier.example"), true),
    ] {
        let mut site = Site::new(false);
        site.configure(&[Trunk { place: Place::of(&uri(server)).unwrap(), ..trunk("a", &["carrier.example"], &[]) }]);
        for (id, question) in &site.asked() {
            let answer = match (question, srv) {
                (Question::Srv(name), Some(target)) if name.starts_with("_sip._tcp") => {
                    let target = Srv { priority: 1, weight: 1, port: 5060, target: target.into() };
                    Answer::of_srv([target], Duration::from_secs(60))
                }
                (Question::Addresses(_), _) => Answer::of_addresses([[192, 0, 2, 9].into()], Duration::from_secs(60)),
                (Question::Srv(_) | Question::Naptr(_), _) => Answer::none(base::dns::Failure::NoName),
            };
            assert!(site.act(|trunks, yard| trunks.looked(yard, *id, &answer)));
        }
        let is = site.trunks.behind([192, 0, 2, 9].into(), &[]).next().is_some();
        assert_eq!(is, trusted, "{server} {srv:?}");
    }
}

#[test]
fn a_number_elsewhere_is_one_of_its_own() {
    let trunk = trunk("a", &["carrier.example", "pbx.example"], &[]);
    let said = |text: &str| number_at([&trunk].into_iter(), &Jid::parse(text).unwrap()).map(|jid| jid.to_string());
    assert_eq!(said("+4930123@198.51.100.1").as_deref(), Some("+4930123@carrier.example"));
    assert_eq!(said("+4930123@pbx.example"), None);
    assert_eq!(said("romeo@198.51.100.1"), None, "a name is somebody's");
    let request = |to: &str| Request::new(Method::Invite, Uri::Sip(uri(to)));
    assert!(user_of(&trunk, &request("sip:reception@gw.example.com:5060;transport=udp")).is_some());
    assert!(user_of(&trunk, &request("sip:juliet@gw.example.com")).is_none());
    assert!(user_of(&trunk, &request("sip:gw.example.com")).is_none());
}
