//! Our own torture messages. Lines end in LF here and in CRLF on the wire; `\r` and `\n` that a message is about are
//! written as `<CR>` and `<LF>`, NUL as `<NUL>`.

use bytes::Bytes;

/// What must become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is read and valid.
    Sound,
    /// It is read, and validation says this.
    Invalid(&'static str),
    /// It is not read: this code, and whether there is an answer.
    Rejected(u16, bool),
}

use Verdict::{Invalid, Rejected, Sound};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    text: &'static str,
}

impl Case {
    pub(crate) fn bytes(&self) -> Bytes {
        let text = self.text.replace('\n', "\r\n");
        Bytes::from(text.replace("<CR>", "\r").replace("<LF>", "\n").replace("<NUL>", "\0").into_bytes())
    }
}

const fn case(name: &'static str, verdict: Verdict, text: &'static str) -> Case {
    Case { name, verdict, text }
}

pub(crate) const CASES: &[Case] = &[
    case(
        "plain",
        Sound,
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKplain;rport\nMax-Forwards: 70\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: plain@198.51.100.7\nCSeq: 7 MESSAGE\nContent-Type: text/plain\nContent-Length: 5\n\nAnon!",
    ),
    case(
        "compact",
        Sound,
        "MESSAGE sip:nurse@verona.example SIP/2.0\nv:SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKcompact\nf:<sip:peter@capulet.example>;tag=p1\nt:<sip:nurse@verona.example>\ni:compact\nCSeq:1 MESSAGE\nc:text/plain\nl:5\n\nAnon!",
    ),
    case(
        "folded everywhere",
        Sound,
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVIA :\n  SIP /\n 2.0 / TCP \n   host.example:5060\n ;branch = z9hG4bKfold ,SIP/2.0/UDP\n\t[2001:db8::7]\n ;received=2001:db8::8\nto\t:\n \"Nurse,\n of Juliet\"\n <sip:nurse@verona.example>\n ;\n tag = t1\nfrom : Peter\n   <sip:peter@capulet.example>;tag=p1\nCall-ID:\n folded@host.example\ncseq:\n 0000000000000000000000042\n OPTIONS\nMax-Forwards: 000000000255\nSubject:\nX-Long:   a\n   b   \n\tc  \n\n",
    ),
    case(
        "token methods and unknown headers",
        Sound,
        "!m.e-t%h*o_d+`'~ sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/X-carrier-pigeon loft.example;branch=z9hG4bK~`'!\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: (<[{:\\/\"?>]})@'`~\nCSeq: 1 !m.e-t%h*o_d+`'~\n%54o: not the To of this message\nX-:\n\n",
    ),
    case(
        "escapes in a user part",
        Sound,
        "MESSAGE sip:a%3b%40%00;b=c&d=e,f/g?h@verona.example;gr=%F0%9F%8C%B9 SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKesc\nFrom: <sip:%25zy@capulet.example>;tag=p1\nTo: <sip:a%3b%40%00@verona.example>\nCall-ID: esc\nCSeq: 1 MESSAGE\n\n",
    ),
    case(
        "quoted pairs",
        Sound,
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKquot;x=\"a\\\"; b=,\"\nFrom: \"\\\\\\\"<sip:tybalt@x.example>;tag=no\\<NUL>\" <sip:peter@capulet.example>;tag=p1\nTo: \"\"<sip:nurse@verona.example>\nCall-ID: quot\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "text beyond ASCII",
        Sound,
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKutf\nFrom: Pétrus <sip:peter@capulet.example>;tag=p1\nTo: \"Amme \u{1F339}\" <sip:nurse@verona.example>\nCall-ID: utf\nCSeq: 1 MESSAGE\nSubject: ✉ \u{FEFF}x\n\n",
    ),
    case(
        "a response with an empty phrase",
        Sound,
        "SIP/2.0 299 \nVia: SIP/2.0/UDP a.example;branch=z9hG4bKr\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: r\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n",
    ),
    case(
        "a response with a long phrase",
        Sound,
        "sip/2.0 404 Nö: \"nobody\" at <home>; gone, since = 1597 (%zz)\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKr\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>;tag=n\nCall-ID: r\nCSeq: 1 MESSAGE\n\n",
    ),
    case(
        "a From without brackets",
        Sound,
        "OPTIONS sip:verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKaddr\nFrom: sip:peter@capulet.example;tag=p1;x\nTo: tel:+390452222\nCall-ID: addr\nCSeq: 1 OPTIONS\nContact: *\n\n",
    ),
    case(
        "other schemes",
        Sound,
        "OPTIONS pres:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKscheme\nFrom: <http://capulet.example/~peter?x=y>;tag=p1\nTo: urn:service:nurse\nCall-ID: scheme\nCSeq: 1 OPTIONS\nRoute: <sip:[::ffff:198.51.100.1]:5060;lr>, <sips:b.example;lr>\n\n",
    ),
    case(
        "the highest numbers",
        Sound,
        "SUBSCRIBE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example:65535;branch=z9hG4bKmax;ttl=255;rport=65535\nMax-Forwards: 255\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: max\nCSeq: 2147483647 SUBSCRIBE\nExpires: 4294967295\nEvent: presence.winfo;id=0\nContact: <sip:peter@198.51.100.7>;expires=4294967295\n\n",
    ),
    case(
        "octets behind the body",
        Sound,
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKbehind\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: behind\nCSeq: 1 MESSAGE\nContent-Type: text/plain\nContent-Length: 5\n\nAnon!BYE sip:nurse@verona.example SIP/2.0\n\n",
    ),
    case(
        "line ends before the start line",
        Sound,
        "\n\nMESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKlead\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: lead\nCSeq: 1 MESSAGE\n\n",
    ),
    case(
        "an underscore in a host",
        Sound,
        "OPTIONS sip:my_pbx.verona.example SIP/2.0\nVia: SIP/2.0/UDP my_pbx;branch=z9hG4bKunder\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: under\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "no tag in From",
        Invalid("Malformed From: no tag"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example;tag=inside>\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a quoted tag",
        Invalid("Malformed From: tag"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=\"p\"\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "an empty branch",
        Invalid("Malformed Via: branch"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a comma too much in Via",
        Invalid("Malformed Via: empty value in a list"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx,\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a semicolon too much in Contact",
        Invalid("Malformed Contact: parameter without a name"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\nContact: <sip:peter@198.51.100.7>;;q=1\n\n",
    ),
    case(
        "a star beside a contact",
        Invalid("Malformed Contact: * beside others"),
        "REGISTER sip:verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 REGISTER\nContact: *\nContact: <sip:peter@198.51.100.7>\n\n",
    ),
    case(
        "an open quote",
        Invalid("Malformed To: unterminated quoted-string"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: \"Nurse \\\" <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "two To, long and compact",
        Invalid("Repeated To"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nt : <sip:juliet@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "another method in CSeq",
        Invalid("Malformed CSeq: not the method of the request"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 options\n\n",
    ),
    case(
        "a number beyond 2^31",
        Invalid("CSeq Out Of Range"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 2147483648 OPTIONS\n\n",
    ),
    case(
        "forwards beyond a byte",
        Invalid("Max-Forwards Out Of Range"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\nMax-Forwards: 300\n\n",
    ),
    case(
        "a negative expiry",
        Invalid("Malformed Expires: number"),
        "PUBLISH sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 PUBLISH\nExpires: -5\n\n",
    ),
    case(
        "no Call-ID",
        Invalid("Missing Call-ID"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a Call-ID of two words with a space",
        Invalid("Malformed Call-ID: no word"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x y\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "an IPv6 sent-by without brackets",
        Invalid("Malformed Via: host name"),
        "OPTIONS sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP 2001:db8::7;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a content type without a subtype",
        Invalid("Malformed Content-Type: media type"),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nContent-Type: text\n\n",
    ),
    case(
        "a space before the version",
        Rejected(400, true),
        "OPTIONS sip:nurse@verona.example  SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a version of our grandchildren",
        Rejected(505, true),
        "OPTIONS sip:nurse@verona.example SIP/12.0\nVia: SIP/12.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "headers in the Request-URI",
        Rejected(400, true),
        "OPTIONS sip:nurse@verona.example?Via=x SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a broken escape in the Request-URI",
        Rejected(400, true),
        "OPTIONS sip:nurse%4g@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
    ),
    case(
        "a bare CR in a value",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nSubject: a<CR>Route: <sip:evil.example;lr>\n\n",
    ),
    case(
        "a bare LF in a quoted pair",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: \"\\<LF>\" <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\n\n",
    ),
    case(
        "a NUL in a subject",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nSubject: a<NUL>b\n\n",
    ),
    case(
        "a header line without a colon",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nSubject\n\n",
    ),
    case(
        "a continuation of nothing",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\n Via: SIP/2.0/UDP b.example\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\n\n",
    ),
    case(
        "two equal lengths",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nl: 0\nContent-Length: 0\n\n",
    ),
    case(
        "a length in hexadecimal",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nContent-Length: 0x0\n\n",
    ),
    case(
        "a length beyond the datagram",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nContent-Length: 6\n\nAnon!",
    ),
    case(
        "a length beyond every machine",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\nContent-Length: 340282366920938463463374607431768211461\n\nAnon!",
    ),
    case(
        "no empty line",
        Rejected(400, true),
        "MESSAGE sip:nurse@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\n",
    ),
    case(
        "a broken ACK",
        Rejected(400, false),
        "ACK sip:nurse@@verona.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 ACK\n\n",
    ),
    case(
        "a code of four digits",
        Rejected(400, false),
        "SIP/2.0 2000 OK\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\n\n",
    ),
    case(
        "a code of the seventh class",
        Rejected(400, false),
        "SIP/2.0 700 Beyond\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\nFrom: <sip:peter@capulet.example>;tag=p1\nTo: <sip:nurse@verona.example>\nCall-ID: x\nCSeq: 1 MESSAGE\n\n",
    ),
    case("HTTP", Rejected(400, false), "GET / HTTP/1.1\nHost: verona.example\nVia: 1.1 proxy\n\n"),
    case("XMPP", Rejected(400, false), "<?xml version='1.0'?><stream:stream to='verona.example'>\n\n"),
    case("nothing", Rejected(400, false), ""),
    case("a keep-alive", Rejected(400, false), "\n\n"),
];
