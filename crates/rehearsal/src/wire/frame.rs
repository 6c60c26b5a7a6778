//! MSRP frames as the people of a rehearsal see them. On purpose not the parser of the gateway, like [`super::SipText`].

use std::fmt;

/// An MSRP request or response, read leniently: what is wrong with it, [`MsrpText::fault`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MsrpText {
    /// `MSRP`, the transaction id, and the method or the status.
    pub start: String,
    /// Names and values as they came, in order.
    pub headers: Vec<(String, String)>,
    /// The body; `None` is not the same as an empty one.
    pub body: Option<Vec<u8>>,
    /// The last character of the end-line: `$`, `+` or `#`.
    pub flag: char,
}

impl MsrpText {
    /// Takes the first frame out of `bytes`. `None`: it is not there as a whole yet.
    ///
    /// # Errors
    /// What `bytes` begins with can never become a frame.
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<MsrpText>, String> {
        let Some(first) = find(bytes, b"\r\n") else {
            let wrong = bytes.len() > 200 || !b"MSRP ".starts_with(&bytes[..bytes.len().min(5)]);
            return if wrong { Err(format!("no MSRP: {}", String::from_utf8_lossy(bytes))) } else { Ok(None) };
        };
        let start = String::from_utf8_lossy(&bytes[..first]).into_owned();
        let Some(id) = start.strip_prefix("MSRP ").and_then(|rest| rest.split(' ').next()) else {
            return Err(format!("no MSRP: {start}"));
        };
        let marker = format!("\r\n-------{id}");
        let mut from = first;
        loop {
            let Some(at) = find(&bytes[from..], marker.as_bytes()).map(|at| at + from) else { return Ok(None) };
            let flag = at + marker.len();
            let Some(end) = bytes.get(flag..flag + 3) else { return Ok(None) };
            if !(matches!(end[0], b'$' | b'+' | b'#') && &end[1..] == b"\r\n") {
                from = at + 1;
                continue;
            }
            let flag_char = char::from(end[0]);
            let frame = bytes[..at].to_vec();
            bytes.drain(..flag + 3);
            return MsrpText::of(start, &frame[first..], flag_char).map(Some);
        }
    }

    /// `rest` is what stands between the start line and the end-line, from the CRLF that ends the one.
    fn of(start: String, rest: &[u8], flag: char) -> Result<MsrpText, String> {
        let (head, body) = match find(rest, b"\r\n\r\n") {
            // An empty body ends with the CRLF that belongs to the end-line.
            Some(at) => (&rest[..at], Some(rest[at + 4..].to_vec())),
            None if rest.ends_with(b"\r\n") => (&rest[..rest.len() - 2], Some(Vec::new())),
            None => (rest, None),
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let headers = head.split("\r\n").skip(1).map(|line| {
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("no header: {line}"))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        Ok(MsrpText { start, headers: headers.collect::<Result<_, String>>()?, body, flag })
    }

    /// The transaction id.
    pub fn id(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        self.start.split(' ').nth(2).filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(2)?.parse().ok()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()).into_owned()
    }

    /// The frame as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(body) = &self.body {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("-------{}{}\r\n", self.id(), self.flag).as_bytes());
        out
    }

    /// The response to this request of one hop: RFC 4975 §7.2.
    pub fn response(&self, code: u16, comment: &str) -> MsrpText {
        let path = |name| self.header(name).and_then(|path| path.split(' ').next()).unwrap_or_default().to_owned();
        MsrpText {
            start: format!("MSRP {} {code} {comment}", self.id()),
            headers: vec![("To-Path".to_owned(), path("From-Path")), ("From-Path".to_owned(), path("To-Path"))],
            body: None,
            flag: '$',
        }
    }

    /// What RFC 4975 §9 does not let anybody send, if there is such a thing.
    pub fn fault(&self) -> Option<String> {
        let id = self.id();
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-+%=".contains(c);
        if !(4..=32).contains(&id.len())
            || !id.chars().all(legal)
            || id.starts_with(|c: char| !c.is_ascii_alphanumeric())
        {
            return Some(format!("has the transaction id {id}"));
        }
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        if !names.starts_with(&["To-Path", "From-Path"]) {
            return Some(format!("begins with the headers {names:?}"));
        }
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(*name)) {
            return Some(format!("has {} twice", twice.1));
        }
        match (&self.body, names.last(), self.status()) {
            (Some(_), _, Some(_)) => Some("is a response with a body".to_owned()),
            (Some(_), Some(&"Content-Type"), _) => None,
            (Some(_), _, _) => Some("has a body, and Content-Type is not the last header".to_owned()),
            (None, _, Some(_)) if self.flag != '$' => Some(format!("is a response that ends with {}", self.flag)),
            (None, _, _) => None,
        }
    }
}

impl fmt::Display for MsrpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.to_bytes()).replace("\r\n", "\n"))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: &str = "MSRP abcd SEND\r\nTo-Path: msrp://b;tcp\r\nFrom-Path: msrp://a;tcp\r\nContent-Type: text/plain\r\n\r\n\
        one\r\n-------abcd\r\n-------abcde$\r\n-------abcd+\r\n";

    #[test]
    fn frames_come_out_of_a_stream() {
        let bytes = [SEND.as_bytes(), b"MSRP abcd 200 OK\r\nTo-Path: a\r\nFrom-Path: b\r\n-------abcd$\r\nMS"].concat();
        for cut in 0..bytes.len() {
            let mut buffer = bytes[..cut].to_vec();
            let mut frames = Vec::new();
            while let Some(frame) = MsrpText::take(&mut buffer).unwrap() {
                frames.push(frame);
            }
            buffer.extend_from_slice(&bytes[cut..]);
            while let Some(frame) = MsrpText::take(&mut buffer).unwrap() {
                frames.push(frame);
            }
            assert_eq!((frames.len(), &buffer[..]), (2, &b"MS"[..]), "cut at {cut}");
            assert_eq!(frames[0].to_bytes(), SEND.as_bytes());
            assert_eq!(frames[0].text(), "one\r\n-------abcd\r\n-------abcde$");
            assert_eq!((frames[0].flag, frames[0].fault(), frames[1].status()), ('+', None, Some(200)));
        }
        assert!(MsrpText::take(&mut b"GET / HTTP/1.1".to_vec()).is_err());
        assert!(MsrpText::take(&mut b"GET / HTTP/1.1\r\n".to_vec()).is_err());
    }

    #[test]
    fn bodies_there_and_not_there() {
        for body in [None, Some(Vec::new()), Some(b"\r\n".to_vec()), Some(b"x".to_vec())] {
            let mut frame = MsrpText::take(&mut SEND.as_bytes().to_vec()).unwrap().unwrap();
            frame.body = body.clone();
            assert_eq!(MsrpText::take(&mut frame.to_bytes()).unwrap().unwrap(), frame, "{body:?}");
        }
    }

    #[test]
    fn faults_are_found() {
        let good = MsrpText::take(&mut SEND.as_bytes().to_vec()).unwrap().unwrap();
        let with = |change: &dyn Fn(&mut MsrpText)| {
            let mut frame = good.clone();
            change(&mut frame);
            frame.fault()
        };
        assert!(with(&|f| f.headers.swap(0, 1)).is_some(), "example 5 of RFC 7573");
        assert!(with(&|f| f.headers.push(("To-Path".to_owned(), String::new()))).is_some());
        assert!(with(&|f| drop(f.headers.pop())).is_some());
        assert!(with(&|f| f.start = "MSRP abc SEND".to_owned()).is_some());
        assert!(with(&|f| f.start = "MSRP abcd 200 OK".to_owned()).is_some());
        assert_eq!(good.response(200, "OK").fault(), None);
    }
}
