//! Draft §10: the parameters of a format, one line in SDP and a list of names and values in Jingle.

use base::Str;
use bodies::sdp::rtp::{is_line, is_token};
use xmpp::ext::jingle::{MAX_LIST, Parameter};

/// The events that a telephone takes where its description does not say which (RFC 4733 §2.5.1.1).
const EVENTS: &str = "0-15";

/// Formats whose line is one value without a name, and the name that Jingle has for it (draft §10).
const UNNAMED: [(&str, &str); 2] = [("telephone-event", "events"), ("red", "pt")];

/// The line as parameters. A format that nobody here knows is taken apart at semicolons, or else at commas where all between them has the
/// form of `name=value`; what has not is a value without a name.
pub(super) fn parameters(encoding: &str, line: Option<&str>) -> Vec<Parameter> {
    let Some(line) = line.filter(|line| line.contains(|c| !matches!(c, ';' | ' '))) else {
        let events = encoding.eq_ignore_ascii_case("telephone-event");
        return if events { vec![Parameter::new("events", EVENTS)] } else { Vec::new() };
    };
    let tokens: Vec<&str> = tokens(encoding, line);
    if tokens.len() > MAX_LIST {
        return vec![Parameter::new("", line.trim())];
    }
    let unnamed = unnamed(encoding).unwrap_or_default();
    let parameter = |token: &str| match pair(token) {
        Some((name, value)) => Parameter::new(name, value),
        // RFC 3555 §4.1.21: slashes in SDP, commas elsewhere.
        None if unnamed == "pt" => Parameter::new(unnamed, token.replace('/', ",")),
        None => Parameter::new(unnamed, token),
    };
    tokens.into_iter().map(parameter).collect()
}

/// The parameters as a line; None for none. One that would be read as another one, or as several, is left out.
pub(super) fn line(encoding: &str, parameters: &[Parameter]) -> Option<Str> {
    let unnamed = unnamed(encoding);
    let mut line = Str::default();
    for Parameter { name, value } in parameters {
        let (name, value) = (name.trim(), value.trim());
        let text = match (name, value) {
            ("" | "pt", value) if unnamed == Some("pt") => value.replace(", ", ",").replace(',', "/"),
            (name, value) if name.is_empty() || unnamed == Some(name) => value.to_owned(),
            // Programs differ in which half of a flag is empty.
            (name, "") => name.to_owned(),
            (name, value) if is_token(name) && !value.contains(';') => format!("{name}={value}"),
            _ => continue,
        };
        if !is_line(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str("; ");
        }
        line.push_str(&text);
    }
    // A value with commas in it, and nothing that follows it.
    if tokens(encoding, &line).len() > 1 && !line.contains(';') {
        line.push(';');
    }
    (!line.is_empty()).then_some(line)
}

/// The name of the value that has none in SDP.
fn unnamed(encoding: &str) -> Option<&'static str> {
    UNNAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(encoding)).map(|(_, name)| *name)
}

fn tokens<'a>(encoding: &str, line: &'a str) -> Vec<&'a str> {
    let split = |delimiter| line.split(delimiter).map(str::trim).filter(|token| !token.is_empty()).collect::<Vec<_>>();
    if line.contains(';') || !line.contains(',') || unnamed(encoding).is_some() {
        return split(';');
    }
    let tokens = split(',');
    // Keys and sets of modes hold commas, and what is in base 64 ends with a sign of equality.
    let pairs = tokens.iter().all(|token| pair(token).is_some_and(|(_, value)| !value.contains('=')));
    if pairs { tokens } else { vec![line.trim()] }
}

/// `name=value`, neither of them empty.
fn pair(token: &str) -> Option<(&str, &str)> {
    let (name, value) = token.split_once('=').map(|(name, value)| (name.trim_end(), value.trim_start()))?;
    (is_token(name) && !value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(encoding: &str, line: &str) -> Vec<(String, String)> {
        let pair = |parameter: Parameter| (parameter.name.to_string(), parameter.value.to_string());
        parameters(encoding, Some(line)).into_iter().map(pair).collect()
    }

    fn written(encoding: &str, pairs: &[(&str, &str)]) -> Option<String> {
        let pairs: Vec<Parameter> = pairs.iter().map(|(name, value)| Parameter::new(*name, *value)).collect();
        line(encoding, &pairs).map(|line| line.to_string())
    }

    fn both(encoding: &str, line: &str, pairs: &[(&str, &str)]) {
        let owned: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read(encoding, line), owned, "{line}");
        assert_eq!(written(encoding, pairs).as_deref(), Some(line));
    }

    #[test]
    fn the_drafts_examples() {
        both("telephone-event", "0-15,66,70", &[("events", "0-15,66,70")]);
        both("RED", "0/103", &[("pt", "0,103")]);
        both("G729D", "annexb=yes", &[("annexb", "yes")]);
    }

    #[test]
    fn events_are_said_even_where_the_description_does_not() {
        assert_eq!(parameters("telephone-event", None), [Parameter::new("events", "0-15")]);
        assert_eq!(parameters("TELEPHONE-EVENT", None).len(), 1);
        assert_eq!(parameters("opus", None), []);
        assert_eq!(read("telephone-event", "events=0-11"), [("events".into(), "0-11".into())]);
    }

    #[test]
    fn formats_of_the_field() {
        both("opus", "minptime=10; useinbandfec=1", &[("minptime", "10"), ("useinbandfec", "1")]);
        both(
            "H264",
            "level-asymmetry-allowed=1; packetization-mode=1; profile-level-id=42e01f",
            &[("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f")],
        );
        // Keys with commas and signs of equality, sets of modes.
        both(
            "H264",
            "sprop-parameter-sets=Z0IACpZTBYmI,aMljiA==",
            &[("sprop-parameter-sets", "Z0IACpZTBYmI,aMljiA==")],
        );
        both("AMR", "mode-set=0,2,4,7; octet-align=1", &[("mode-set", "0,2,4,7"), ("octet-align", "1")]);
        both("AMR", "mode-set=0,2,4,7", &[("mode-set", "0,2,4,7")]);
        both("x-new", "a=1,b=2;", &[("a", "1,b=2")]);
        both("rtx", "apt=96", &[("apt", "96")]);
        both("x-word", "word", &[("", "word")]);
        both("x-words", "a few words", &[("", "a few words")]);
        both("x-mixed", "flag; a=1", &[("", "flag"), ("a", "1")]);
        assert_eq!(read("opus", "minptime=10;useinbandfec=1;"), read("opus", "minptime=10; useinbandfec=1"));
        assert_eq!(read("H263", "CIF=1,QCIF=2"), [("CIF".into(), "1".into()), ("QCIF".into(), "2".into())]);
        assert_eq!(
            read("x", "a b=1; =2; c="),
            [("", "a b=1"), ("", "=2"), ("", "c=")].map(|(n, v)| (n.into(), v.into()))
        );
    }

    #[test]
    fn programs_differ_in_what_has_no_name() {
        assert_eq!(written("telephone-event", &[("", "0-15")]).as_deref(), Some("0-15"));
        assert_eq!(written("red", &[("", "111/111")]).as_deref(), Some("111/111"));
        assert_eq!(written("red", &[("pt", "0, 103")]).as_deref(), Some("0/103"));
        assert_eq!(written("x", &[("flag", "")]).as_deref(), Some("flag"));
    }

    #[test]
    fn nothing_comes_out_as_something_else() {
        assert_eq!(written("x", &[]), None);
        for (name, value) in
            [("a b", "1"), ("a=b", "1"), ("a;b", "1"), ("a", "1;b=2"), ("a", "1\r\na=x"), ("a\n", "\r\n1\n2"), ("", "")]
        {
            assert_eq!(written("x", &[(name, value)]), None, "{name:?} {value:?}");
        }
        assert_eq!(written("x", &[("a", "1;b=2"), ("c", "3")]).as_deref(), Some("c=3"));
    }

    #[test]
    fn more_parameters_than_there_may_be_are_one() {
        let many = vec!["a=1"; 65].join(";");
        assert_eq!(read("x", &many), [(String::new(), many.clone())]);
        assert_eq!(read("x", &vec!["a=1"; 64].join(";")).len(), 64);
    }
}
