//! Where a domain's server is: RFC 6120 §3.2, with direct TLS (XEP-0368).

use crate::io::dns::Dns;
use base::dns::{Failure, Question, Srv, name};
use base::{Str, Tokens, format_compact, srv};
use xmpp::federation::{Target, Unlocated};

/// Where servers are found without SRV records (RFC 6120 §3.2.2).
const PORT: u16 = 5269;

/// The targets of a domain, in the order in which they are to be tried: those of both services mixed by their priorities (XEP-0368 §3), or the
/// domain itself where it has no such records.
pub(crate) async fn locate(dns: &Dns, domain: &str, mut tokens: Tokens) -> Result<Vec<Target>, Unlocated> {
    let bare = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')).unwrap_or(domain);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(vec![Target { host: bare.into(), port: PORT, direct_tls: false }]);
    }
    let ascii = xmpp::jid::domain_to_ascii(domain).map_err(|_| Unlocated::NotFound)?;
    let question = |service: &str| name(&format_compact!("{service}._tcp.{ascii}")).map(Question::Srv);
    let (Ok(direct), Ok(usual)) = (question("_xmpps-server"), question("_xmpp-server")) else {
        // Too long a name for a service, but perhaps not for a host.
        return itself(dns, &ascii).await;
    };
    let (direct, usual) = tokio::join!(dns.ask(&direct), dns.ask(&usual));
    let places = |answer: Result<&[Srv], Failure>, direct_tls| {
        let places = answer.unwrap_or_default().iter().filter(|place| !place.target.is_empty());
        places.cloned().map(|place| (place, direct_tls)).collect::<Vec<_>>()
    };
    let all = places(direct.srv(), true).into_iter().chain(places(usual.srv(), false));
    let ordered = srv::order_by(all, |(place, _)| (place.priority, place.weight), &mut tokens);
    if !ordered.is_empty() {
        let target = |(place, direct_tls): (Srv, bool)| Target { host: place.target, port: place.port, direct_tls };
        return Ok(ordered.into_iter().map(target).collect());
    }
    match usual.srv() {
        // A target of "." and nothing else.
        Ok(_) => Err(Unlocated::NotFound),
        Err(failure) if failure.is_certain() => itself(dns, &ascii).await,
        // RFC 6120 §3.2.1: what failed says nothing of whether there are records; whoever goes elsewhere then may be led there.
        Err(_) => Err(Unlocated::Failed),
    }
}

/// The domain itself, if it has addresses.
async fn itself(dns: &Dns, ascii: &str) -> Result<Vec<Target>, Unlocated> {
    match dns.addresses(ascii).await {
        Ok(_) => Ok(vec![Target { host: Str::from(ascii), port: PORT, direct_tls: false }]),
        Err(failure) if failure.is_certain() => Err(Unlocated::NotFound),
        Err(_) => Err(Unlocated::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::dns::{Coming, Lookup};
    use base::HashKey;
    use base::dns::Answer;
    use std::time::Duration;

    /// Knows `example.com` as its fields say, and the addresses of every host.
    #[derive(Clone)]
    struct Zone {
        direct: Answer,
        usual: Answer,
        addresses: Answer,
    }

    impl Lookup for Zone {
        fn look_up(&self, question: Question) -> Coming {
            let answer = match &question {
                Question::Srv(name) if name == "_xmpps-server._tcp.example.com" => self.direct.clone(),
                Question::Srv(name) if name == "_xmpp-server._tcp.example.com" => self.usual.clone(),
                Question::Addresses(name) if name == "example.com" => self.addresses.clone(),
                _ => Answer::none(Failure::NoName),
            };
            Box::pin(async { answer })
        }
    }

    fn srv(places: &[(u16, u16, &str)]) -> Answer {
        let places = places.iter().map(|(priority, port, target)| Srv {
            priority: *priority,
            weight: 1,
            port: *port,
            target: (*target).into(),
        });
        Answer::of_srv(places, Duration::from_secs(60))
    }

    async fn found(direct: Answer, usual: Answer, addresses: Answer) -> Result<Vec<String>, Unlocated> {
        let dns = Dns::new(Zone { direct, usual, addresses }, HashKey::new(1, 2));
        let found = locate(&dns, "example.com", Tokens::seeded(1)).await;
        found.map(|targets| targets.iter().map(ToString::to_string).collect())
    }

    fn address() -> Answer {
        Answer::of_addresses([[127, 0, 0, 1].into()], Duration::from_secs(60))
    }

    #[tokio::test]
    async fn both_services_are_one_list() {
        let direct = srv(&[(20, 5270, "b.example"), (1, 443, "d.example")]);
        let usual = srv(&[(10, 5269, "a.example"), (30, 5269, "c.example")]);
        let targets = found(direct, usual, address()).await.unwrap();
        assert_eq!(targets, ["d.example:443 (TLS)", "a.example:5269", "b.example:5270 (TLS)", "c.example:5269"]);
    }

    #[tokio::test]
    async fn without_records_it_is_the_domain_itself_and_with_failures_it_is_not() {
        let none = || Answer::none(Failure::NoName);
        assert_eq!(found(none(), none(), address()).await.unwrap(), ["example.com:5269"]);
        assert_eq!(found(none(), none(), none()).await, Err(Unlocated::NotFound));
        assert_eq!(found(none(), none(), Answer::none(Failure::Timeout)).await, Err(Unlocated::Failed));
        assert_eq!(found(none(), Answer::none(Failure::Failed), address()).await, Err(Unlocated::Failed));
        // No direct TLS there, says the first; no server at all, says the second.
        let nowhere = || srv(&[(0, 0, "")]);
        let usual = srv(&[(10, 5269, "a.example")]);
        assert_eq!(found(nowhere(), usual.clone(), address()).await.unwrap(), ["a.example:5269"]);
        assert_eq!(found(none(), nowhere(), address()).await, Err(Unlocated::NotFound));
        // One that failed hides nothing of the other.
        assert_eq!(found(Answer::none(Failure::Timeout), usual, address()).await.unwrap(), ["a.example:5269"]);
        let direct = srv(&[(10, 5270, "a.example")]);
        assert_eq!(found(direct, Answer::none(Failure::Timeout), address()).await.unwrap(), ["a.example:5270 (TLS)"]);
    }

    #[tokio::test]
    async fn addresses_and_names_that_are_none() {
        let dns = Dns::of_nothing();
        let at = async |domain: &str| locate(&dns, domain, Tokens::seeded(1)).await.map(|t| t[0].to_string());
        assert_eq!(at("127.0.0.1").await, Ok("127.0.0.1:5269".to_owned()));
        assert_eq!(at("[::1]").await, Ok("[::1]:5269".to_owned()));
        assert_eq!(at("nowhere.example").await, Err(Unlocated::NotFound));
        assert_eq!(at(&format!("{}.example", "a.".repeat(122))).await, Err(Unlocated::NotFound));
    }
}
