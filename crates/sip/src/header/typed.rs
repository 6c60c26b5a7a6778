//! Typed reading of the headers of a message. Each call reads its value anew: keep what you need twice.

use crate::header::{
    CSeq, Contacts, Event, Fault, HeaderError, Headers, MediaType, Name, NameAddr, SubscriptionState, Via,
    check_call_id, cseq, elements, package, raw_tag,
};
use crate::lex::{self, Syntax};
use crate::method::Method;
use base::Str;

/// A value or why there is none.
type Result<T> = std::result::Result<T, HeaderError>;

fn malformed(name: Name) -> impl Fn(Syntax) -> HeaderError {
    move |syntax| HeaderError::new(name, Fault::Malformed(syntax.0))
}

impl Headers {
    fn required(&self, name: Name) -> Result<&str> {
        self.get(name).ok_or(HeaderError::new(name, Fault::Missing))
    }

    /// A value of a comma list across all lines of this name: each one trimmed, or where the list is broken.
    pub fn elements(&self, name: Name) -> impl Iterator<Item = Result<&str>> {
        self.all(name).flat_map(elements).map(move |element| element.map_err(malformed(name)))
    }

    /// All values of a comma list of tokens: Require, Supported, Unsupported, Allow-Events, Content-Encoding, ...
    pub fn tokens(&self, name: Name) -> Result<Vec<&str>> {
        self.elements(name)
            .map(|element| {
                let element = element?;
                if lex::all(element, lex::TOKEN) { Ok(element) } else { Err(malformed(name)(Syntax("no token"))) }
            })
            .collect()
    }

    /// The top Via: RFC 3261 §20.42.
    pub fn via(&self) -> Result<Via> {
        let line = self.required(Name::Via)?;
        let first = elements(line).next().unwrap_or(Err(Syntax("empty")));
        first.and_then(Via::parse).map_err(malformed(Name::Via))
    }

    /// Every Via from the top.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via>> {
        self.elements(Name::Via).map(|element| Via::parse(element?).map_err(malformed(Name::Via)))
    }

    /// Replaces the top Via, in its place.
    pub fn set_via(&mut self, via: &Via) {
        self.set_first_element(Name::Via, via);
    }

    /// From: RFC 3261 §20.20.
    pub fn from(&self) -> Result<NameAddr> {
        NameAddr::parse(self.required(Name::From)?).map_err(malformed(Name::From))
    }

    /// To: RFC 3261 §20.39.
    pub fn to(&self) -> Result<NameAddr> {
        NameAddr::parse(self.required(Name::To)?).map_err(malformed(Name::To))
    }

    /// From's tag, without reading the rest of From. Of meaning only in a message that was validated.
    pub fn from_tag(&self) -> Option<&str> {
        raw_tag(self.get(Name::From)?)
    }

    /// To's tag, without reading the rest of To. Of meaning only in a message that was validated.
    pub fn to_tag(&self) -> Option<&str> {
        raw_tag(self.get(Name::To)?)
    }

    /// Call-ID: RFC 3261 §20.8. Compared byte by byte.
    pub fn call_id(&self) -> Result<&str> {
        let value = self.required(Name::CallId)?;
        check_call_id(value).map_err(malformed(Name::CallId))?;
        Ok(value)
    }

    /// CSeq: RFC 3261 §20.16.
    pub fn cseq(&self) -> Result<CSeq> {
        CSeq::parse(self.required(Name::CSeq)?).map_err(|syntax| {
            let fault = if syntax == cseq::OUT_OF_RANGE { Fault::OutOfRange } else { Fault::Malformed(syntax.0) };
            HeaderError::new(Name::CSeq, fault)
        })
    }

    /// Max-Forwards, 0 to 255: RFC 3261 §20.22. `None` if there is none, as from elements of RFC 2543.
    pub fn max_forwards(&self) -> Result<Option<u8>> {
        let number = self.number(Name::MaxForwards, 255)?;
        Ok(number.and_then(|n| u8::try_from(n).ok()))
    }

    /// Content-Length as the peer stated it. Of no use to who has the message: the body has its length.
    pub fn content_length(&self) -> Result<Option<u32>> {
        self.seconds(Name::ContentLength)
    }

    /// Expires in seconds: RFC 3261 §20.19.
    pub fn expires(&self) -> Result<Option<u32>> {
        self.seconds(Name::Expires)
    }

    /// Min-Expires in seconds: RFC 3261 §20.23.
    pub fn min_expires(&self) -> Result<Option<u32>> {
        self.seconds(Name::MinExpires)
    }

    fn seconds(&self, name: Name) -> Result<Option<u32>> {
        let number = self.number(name, u64::from(u32::MAX))?;
        Ok(number.and_then(|n| u32::try_from(n).ok()))
    }

    fn number(&self, name: Name, max: u64) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match lex::number(value, max) {
            Some(number) => Ok(Some(number)),
            None if lex::number(value, u64::MAX).is_some()
                || value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() =>
            {
                Err(HeaderError::new(name, Fault::OutOfRange))
            }
            None => Err(HeaderError::new(name, Fault::Malformed("number"))),
        }
    }

    /// Content-Type: RFC 3261 §20.15.
    pub fn content_type(&self) -> Result<Option<MediaType>> {
        self.get(Name::ContentType)
            .map(|value| MediaType::parse(value).map_err(malformed(Name::ContentType)))
            .transpose()
    }

    /// Event: RFC 6665 §8.2.1.
    pub fn event(&self) -> Result<Option<Event>> {
        self.get(Name::Event).map(|value| Event::parse(value).map_err(malformed(Name::Event))).transpose()
    }

    /// Subscription-State: RFC 6665 §8.2.3.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>> {
        let read = |value| SubscriptionState::parse(value).map_err(malformed(Name::SubscriptionState));
        self.get(Name::SubscriptionState).map(read).transpose()
    }

    /// Info-Package without its parameters: RFC 6086 §7.2.
    pub fn info_package(&self) -> Result<Option<&str>> {
        let Some(value) = self.get(Name::InfoPackage) else { return Ok(None) };
        package::read(value).map_err(malformed(Name::InfoPackage))?;
        Ok(value.split(';').next().map(str::trim))
    }

    /// Every Contact: RFC 3261 §20.10. `*` must stand alone.
    pub fn contacts(&self) -> Result<Contacts> {
        let mut all = Vec::new();
        let mut star = false;
        for element in self.elements(Name::Contact) {
            match element? {
                "*" => star = true,
                element => all.push(NameAddr::parse(element).map_err(malformed(Name::Contact))?),
            }
        }
        match (star, all.is_empty()) {
            (true, true) => Ok(Contacts::All),
            (true, false) => Err(malformed(Name::Contact)(Syntax("* beside others"))),
            (false, _) => Ok(Contacts::Some(all)),
        }
    }

    /// The first Contact that is an address: where a dialog's requests go (RFC 3261 §12.1).
    pub fn contact(&self) -> Result<Option<NameAddr>> {
        match self.contacts()? {
            Contacts::All => Ok(None),
            Contacts::Some(all) => Ok(all.into_iter().next()),
        }
    }

    /// Every address of Route, Record-Route, Path or Service-Route from the top: RFC 3261 §20.30, §20.34.
    pub fn routes(&self, name: Name) -> Result<Vec<NameAddr>> {
        self.elements(name).map(|element| NameAddr::parse_bracketed(element?).map_err(malformed(name))).collect()
    }

    /// Every address of a header that is one address or a list of them: Reply-To, Refer-To, P-Asserted-Identity, ...
    pub fn addresses(&self, name: Name) -> Result<Vec<NameAddr>> {
        self.elements(name).map(|element| NameAddr::parse(element?).map_err(malformed(name))).collect()
    }

    /// Refer-To: RFC 3515 §2.1. `Err` if there is more than one.
    pub fn refer_to(&self) -> Result<Option<NameAddr>> {
        self.one_address(Name::ReferTo)
    }

    /// Referred-By: RFC 3892 §3. What it says is as true as who sent it. `Err` if there is more than one.
    pub fn referred_by(&self) -> Result<Option<NameAddr>> {
        self.one_address(Name::ReferredBy)
    }

    /// The one address of a header.
    fn one_address(&self, name: Name) -> Result<Option<NameAddr>> {
        let mut elements = self.elements(name);
        let Some(first) = elements.next() else { return Ok(None) };
        let address = NameAddr::parse(first?).map_err(malformed(name))?;
        if elements.next().is_some() { Err(HeaderError::new(name, Fault::Repeated)) } else { Ok(Some(address)) }
    }

    /// Refer-Sub: RFC 4488 §4. `Some(false)`: no subscription is wanted, or none was made.
    pub fn refer_sub(&self) -> Result<Option<bool>> {
        let Some(value) = self.get(Name::ReferSub) else { return Ok(None) };
        match package::read(value).map_err(malformed(Name::ReferSub))?.0 {
            yes if yes.eq_ignore_ascii_case("true") => Ok(Some(true)),
            no if no.eq_ignore_ascii_case("false") => Ok(Some(false)),
            _ => Err(malformed(Name::ReferSub)(Syntax("neither true nor false"))),
        }
    }

    /// Allow: RFC 3261 §20.5.
    pub fn allow(&self) -> Result<Vec<Method>> {
        self.elements(Name::Allow)
            .map(|element| Method::parse(element?).ok_or(malformed(Name::Allow)(Syntax("no token"))))
            .collect()
    }

    /// Subject: RFC 3261 §20.36. An empty one is none.
    pub fn subject(&self) -> Option<&str> {
        self.get(Name::Subject).filter(|subject| !subject.is_empty())
    }

    /// Content-Language: RFC 3261 §20.13.
    pub fn content_languages(&self) -> Result<Vec<Str>> {
        self.elements(Name::ContentLanguage)
            .map(|element| {
                let element = element?;
                crate::header::check_language(element).map_err(malformed(Name::ContentLanguage))?;
                Ok(Str::new(element))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3515 §2.1, RFC 3892 §3, RFC 4488 §4, long and compact.
    #[test]
    fn referrals() {
        let mut headers = Headers::new();
        assert_eq!((headers.refer_to(), headers.referred_by(), headers.refer_sub()), (Ok(None), Ok(None), Ok(None)));
        headers.push("r", "\"Nurse\" <sip:nurse@example.net;method=INVITE?Subject=x>;x=y");
        headers.push("b", "sip:juliet@example.com;cid=\"1@example.com\"");
        headers.push("Refer-Sub", "False ; x=\"y\"");
        let refer_to = headers.refer_to().expect("well-formed").expect("an address");
        assert_eq!(refer_to.uri.to_string(), "sip:nurse@example.net;method=INVITE?Subject=x");
        let by = headers.referred_by().expect("well-formed").expect("an address");
        assert_eq!(
            (by.uri.to_string().as_str(), by.params.value("cid").as_deref()),
            ("sip:juliet@example.com", Some("1@example.com"))
        );
        assert_eq!(headers.refer_sub(), Ok(Some(false)));
        headers.set(Name::ReferSub, "true");
        assert_eq!(headers.refer_sub(), Ok(Some(true)));
        for text in ["", "maybe", "true, false", "true false"] {
            headers.set(Name::ReferSub, text);
            assert!(headers.refer_sub().is_err(), "{text}");
        }
        headers.push(Name::ReferTo, "<sip:b@example.net>");
        assert_eq!(headers.refer_to(), Err(HeaderError::new(Name::ReferTo, Fault::Repeated)));
        headers.set(Name::ReferTo, "<sip:a@example.net>, <sip:b@example.net>");
        assert_eq!(headers.refer_to(), Err(HeaderError::new(Name::ReferTo, Fault::Repeated)));
        headers.set(Name::ReferTo, "nobody");
        assert!(headers.refer_to().is_err());
    }
}
