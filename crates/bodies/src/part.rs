//! A MIME entity: headers and a body (RFC 2045 §3). Multipart bodies are made of them, and each CPIM message wraps one.

use crate::mime::{ContentType, Disposition, is_token};
use crate::{Error, charset, multipart, transfer};
use base::Str;
use memchr::memmem;

/// What is taken of MIME, whatever the format around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole body.
    pub bytes: usize,
    /// Parts of a multipart, those of inner multiparts counted in.
    pub parts: usize,
    /// Multiparts within each other; the outermost is the first.
    pub depth: usize,
    /// Headers of one part.
    pub headers: usize,
    /// Bytes of one part's headers.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 1_048_576, parts: 32, depth: 4, headers: 32, header_bytes: 8_192 }
    }
}

/// One entity. Its transfer encoding is undone, and Content-Length is dropped: both speak of the way here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is. A multipart's boundary is not kept: it is chosen anew when the part is written.
    pub content_type: ContentType,
    /// Content-Language, as written: a list of tags (RFC 3282).
    pub language: Option<Str>,
    /// What it is for.
    pub disposition: Option<Disposition>,
    /// The other headers, in their order, unfolded.
    pub headers: Vec<(Str, Str)>,
    /// What it holds.
    pub content: Content,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A body of any type but multipart.
    Bytes(Vec<u8>),
    /// The parts of a multipart.
    Parts(Vec<Part>),
}

impl Part {
    /// A part without other headers.
    pub fn new(content_type: ContentType, body: impl Into<Vec<u8>>) -> Part {
        let content = Content::Bytes(body.into());
        Part { content_type, language: None, disposition: None, headers: Vec::new(), content }
    }

    /// A `text/plain; charset=utf-8` part.
    pub fn text_plain(text: &str) -> Part {
        Part::new(ContentType::text_plain(), text)
    }

    /// The same with this disposition.
    #[must_use]
    pub fn with_disposition(mut self, disposition: Disposition) -> Part {
        self.disposition = Some(disposition);
        self
    }

    /// A header that has no field of its own, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body; empty for a multipart.
    pub fn body(&self) -> &[u8] {
        match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::Parts(_) => &[],
        }
    }

    /// The body as text, in the charset that its type names.
    ///
    /// # Errors
    /// As [`charset::decode`].
    pub fn text(&self) -> Result<String, Error> {
        charset::decode(self.body(), self.content_type.charset())
    }

    /// This part, if it is of that type, or else the first such part within it.
    pub fn find(&self, type_: &str, subtype: &str) -> Option<&Part> {
        if self.content_type.is(type_, subtype) {
            return Some(self);
        }
        match &self.content {
            Content::Bytes(_) => None,
            Content::Parts(parts) => parts.iter().find_map(|p| p.find(type_, subtype)),
        }
    }

    /// Reads an entity that must say what it is, as CPIM asks (RFC 3862 §2.4).
    pub(crate) fn parse(data: &[u8], limits: &Limits) -> Result<Part, Error> {
        read(data, limits, 0, &mut limits.parts.clone(), None)
    }

    /// Writes the entity: headers, an empty line, the body. Of an inner multipart the boundary is derived from the
    /// given one. None when a boundary occurs in what it must bound, or for more than `depth` multiparts in each other.
    pub(crate) fn write(&self, boundary: &str, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let (body, content_type) = match &self.content {
            Content::Bytes(bytes) => (bytes.as_slice().into(), self.content_type.clone()),
            Content::Parts(parts) => {
                let depth = depth.checked_sub(1)?;
                // In front, so that the inner delimiter never contains the outer one.
                let inner = format!("{depth}.{boundary}");
                let body = multipart::write_nested(parts, &inner, depth)?;
                (std::borrow::Cow::Owned(body), self.content_type.clone().with_param("boundary", &inner))
            }
        };
        header(out, "Content-Type", &content_type.to_string());
        if let Some(language) = &self.language {
            header(out, "Content-Language", language);
        }
        if let Some(disposition) = &self.disposition {
            header(out, "Content-Disposition", &disposition.to_string());
        }
        for (name, value) in &self.headers {
            // A header of ours by another door would stand twice.
            if !name.is_empty() && name.bytes().all(is_token) && !Known::is(name) {
                header(out, name, value);
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
        Some(())
    }
}

const BLANK: [char; 2] = [' ', '\t'];

fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    // RFC 3261 has the same rule for its own headers: nothing that ends a line can come out of a value.
    let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    out.extend_from_slice(clean.trim_matches(BLANK).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The headers that a part keeps in fields, or not at all.
#[derive(Default)]
struct Known {
    content_type: Option<ContentType>,
    language: Option<Str>,
    disposition: Option<Disposition>,
    encoding: Option<Str>,
    length: Option<Str>,
}

impl Known {
    fn is(name: &str) -> bool {
        Known::default().slot(name, "").is_some()
    }

    /// Takes the header if it is one of the known ones; says whether it stood there before.
    fn slot(&mut self, name: &str, value: &str) -> Option<Result<bool, Error>> {
        fn put<T>(slot: &mut Option<T>, value: Result<T, Error>) -> Result<bool, Error> {
            Ok(slot.replace(value?).is_some())
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        Some(match () {
            () if is("content-type") => put(&mut self.content_type, ContentType::parse(value)),
            () if is("content-language") => put(&mut self.language, Ok(value.into())),
            () if is("content-disposition") => put(&mut self.disposition, Disposition::parse(value)),
            () if is("content-transfer-encoding") => put(&mut self.encoding, Ok(value.into())),
            () if is("content-length") => put(&mut self.length, Ok(value.into())),
            () => return None,
        })
    }
}

/// Reads one entity. `depth` multiparts are around it; `parts` more may come; without a `default` the type must be said.
pub(crate) fn read(
    data: &[u8],
    limits: &Limits,
    depth: usize,
    parts: &mut usize,
    default: Option<ContentType>,
) -> Result<Part, Error> {
    let (head, body) = split(data);
    if head.len() > limits.header_bytes {
        return Err(Error::TooBig { what: "bytes in the headers of a part", limit: limits.header_bytes });
    }
    let head = std::str::from_utf8(head).map_err(|_| Error::Malformed("part header is not UTF-8"))?;
    let mut known = Known::default();
    let mut headers = Vec::new();
    let mut count = 0;
    let mut lines = head.split("\r\n").filter(|l| !l.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let (name, value) = line.split_once(':').ok_or(Error::Malformed("part header without a colon"))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::Malformed("bad name of a part header"));
        }
        count += 1;
        if count > limits.headers {
            return Err(Error::TooBig { what: "headers in a part", limit: limits.headers });
        }
        let mut unfolded = Str::from(value.trim_matches(BLANK));
        while let Some(more) = lines.next_if(|l| l.starts_with(BLANK)) {
            unfolded.push(' ');
            unfolded.push_str(more.trim_matches(BLANK));
        }
        if unfolded.chars().any(|c| c.is_control() && c != '\t') {
            return Err(Error::Malformed("control character in a part header"));
        }
        // Nearly all are as they should be.
        let unfolded: Str = match unfolded.trim_matches(BLANK) {
            trimmed if trimmed.contains('\t') => trimmed.replace('\t', " ").into(),
            trimmed if trimmed.len() < unfolded.len() => Str::from(trimmed),
            _ => unfolded,
        };
        match known.slot(name, &unfolded) {
            Some(Ok(false)) => {}
            Some(Ok(true)) => return Err(Error::Malformed("part header given twice")),
            Some(Err(e)) => return Err(e),
            None => headers.push((name.into(), unfolded)),
        }
    }
    let content_type = known.content_type.or(default).ok_or(Error::Malformed("part without Content-Type"))?;
    let body = transfer::decode(body, known.encoding.as_deref())?;
    let (content_type, content) = if content_type.type_() == "multipart" {
        if known
            .encoding
            .is_some_and(|e| e.eq_ignore_ascii_case("base64") || e.eq_ignore_ascii_case("quoted-printable"))
        {
            // RFC 2045 §6.4: no encoding on a multipart but 7bit, 8bit, binary.
            return Err(Error::Malformed("encoded multipart"));
        }
        let inner = multipart::read_nested(&content_type, &body, limits, depth, parts)?;
        (content_type.without_param("boundary"), Content::Parts(inner))
    } else {
        (content_type, Content::Bytes(body.into_owned()))
    };
    Ok(Part { content_type, language: known.language, disposition: known.disposition, headers, content })
}

/// Headers and body. An entity may begin with the empty line (no headers) or lack it (no body).
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = data.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    match memmem::find(data, b"\r\n\r\n") {
        Some(at) => (&data[..at], &data[at + 4..]),
        None => (data, &[]),
    }
}
