use super::*;
use proptest::prelude::*;

fn body(html: &str) -> String {
    inner(&Html::parse(html).unwrap().body)
}

/// The XML of a body's content, read back strictly.
fn inner(body: &Element) -> String {
    let mut out = Vec::new();
    xml::write(body, XHTML_NS, &mut out);
    let text = String::from_utf8(out).unwrap().replace('\'', "\"");
    let (_, rest) = text.split_once('>').unwrap();
    rest.strip_suffix("</body>").unwrap_or_default().to_owned()
}

fn plain(html: &str) -> String {
    to_text(html).unwrap()
}

#[test]
fn the_example_of_rfc_7572() {
    let html = "<html><head><title>x</title></head><body><p style='font-weight:bold; background: url(http://x/)'>hi!</p></body></html>";
    let mut out = Vec::new();
    xml::write(&to_xhtml_im(html).unwrap().unwrap(), "jabber:client", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap().replace('\'', "\""),
        "<html xmlns=\"http://jabber.org/protocol/xhtml-im\"><body xmlns=\"http://www.w3.org/1999/xhtml\">\
         <p style=\"font-weight: bold\">hi!</p></body></html>"
    );
    assert_eq!(plain(html), "hi!");
}

#[test]
fn what_is_kept_and_what_it_becomes() {
    for (html, xhtml) in [
        ("Tom &amp; <b>J&eacute;r&#244;me</b> &lt;3", "<p>Tom &amp; <strong>Jérôme</strong> &lt;3</p>"),
        ("<i style='color:red'>a</i><u>b</u>", "<p><em>a</em><span style=\"text-decoration: underline\">b</span></p>"),
        (
            "<font color=red face='Arial' size=7>a</font>",
            "<p><span style=\"color: red; font-family: Arial\">a</span></p>",
        ),
        ("<font color='url(x)'>a</font>", "<p>a</p>"),
        (
            "<a href=\"https://x/?a&b\" target=_blank onclick=x type=text/html>a</a>",
            "<p><a href=\"https://x/?a&amp;b\" type=\"text/html\">a</a></p>",
        ),
        ("<a href='javascript:x'>a</a> <a name=x>b</a>", "<p>a b</p>"),
        ("a<br>b<br/>c<hr>", "<p>a<br/>b<br/>c<br/></p>"),
        ("<img src=http://x/ alt='a &quot;cat&quot;'> <img src=http://x/>!", "<p>a \"cat\" !</p>"),
        ("<h1 class=x id=y title=z onload=w>a</h1><pre>\n b\n  c</pre>", "<h1>a</h1><pre> b\n  c</pre>"),
        ("<dl><dt>a<dd>b</dl>", "<ul><li>a</li><li>b</li></ul>"),
        ("<table><tr><th>a</th><td>b<tr><td>c</table>", "<div><div>a b</div><div>c</div></div>"),
        ("  a \n\t b  <p>  c  </p> ", "<p>a b</p><p>c</p>"),
        ("<span> a</span> b <em> c</em>", "<p><span>a</span> b <em>c</em></p>"),
        ("a&nbsp;&nbsp;b\0c&#0;d&#x1f;e&#xFFFF;", "<p>a\u{a0}\u{a0}bc\u{FFFD}d\u{FFFD}e\u{FFFD}</p>"),
    ] {
        assert_eq!(body(html).replace("&quot;", "\""), xhtml.replace("&quot;", "\""), "{html}");
    }
}

#[test]
fn what_goes_with_its_content() {
    for html in [
        "<script>alert(1)</script>",
        "<script>document.write('</p>')</script>",
        "<style>p { color: red }</style>",
        "<title>x</title>",
        "<svg onload=alert(1)><script>x</script><a href=http://x>y</a></svg>",
        "<svg><svg></svg>x</svg>",
        "<math><mtext><style>x</style></mtext></math>",
        "<iframe src=http://x>x</iframe><object data=x>x</object><template><b>x</b></template>",
        "<!-- x --><!DOCTYPE x [<!ENTITY a 'b'>]><?x y?>",
        "<p></p><div><b></b></div><ul><li></ul>&#32;",
        "<script>never closed",
        "<noscript></noscript><form><input value=x></form>",
    ] {
        let entity = if html.contains("ENTITY") { "<p>]&gt;</p>" } else { "" };
        assert_eq!(body(html), entity, "{html}");
    }
    assert_eq!(body("a<svg/>b</script></svg>c"), "<p>abc</p>");
    assert_eq!(to_xhtml_im("<p> </p>"), Ok(None));
    assert_eq!(from_xhtml_im(&Element::new("html", XHTML_IM_NS)), None);
}

#[test]
fn tags_in_any_order_become_a_tree() {
    for (html, xhtml) in [
        ("<b><i>x</b>y</i>z", "<p><strong><em>x</em></strong><em>y</em>z</p>"),
        ("<p>a<p>b<ul><li>c<li>d</ul>e", "<p>a</p><p>b</p><ul><li>c</li><li>d</li></ul><p>e</p>"),
        ("<b>a<p>b</p>c</b>d", "<p><strong>a</strong></p><p><strong>b</strong></p><p>cd</p>"),
        ("<a href=http://x>a<a href=http://y>b</a>c", "<p><a href=\"http://x\">a</a><a href=\"http://y\">b</a>c</p>"),
        ("<li>a<li>b", "<ul><li>a</li><li>b</li></ul>"),
        ("<ul>a<p>b</p></ul>", "<ul><li>a<p>b</p></li></ul>"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        (
            "<blockquote>a<div>b</div></blockquote></div></p></b>c",
            "<blockquote><p>a</p><div>b</div></blockquote><p>c</p>",
        ),
        ("<p><b>a</p>b", "<p><strong>a</strong></p><p>b</p>"),
        ("<h1>a<h2>b</h1>c", "<h1>a</h1><h2>bc</h2>"),
        ("<div>a<p>b</div>c", "<div>a<p>b</p></div><p>c</p>"),
    ] {
        assert_eq!(body(html), xhtml, "{html}");
    }
}

#[test]
fn the_plain_alternative() {
    for (html, text) in [
        ("<p>a</p><p>b <b>c</b></p>", "a\n\nb c"),
        ("<div>a</div><div>b</div>c<br>d<br><br>e", "a\nb\nc\nd\n\ne"),
        ("a<ul><li>b<li>c<ol><li>d<br>e<li>f</ol></ul>g", "a\n- b\n- c\n  1. d\n     e\n  2. f\ng"),
        ("a<blockquote><p>b</p><p>c<br>d</p></blockquote>e", "a\n\n> b\n>\n> c\n> d\n\ne"),
        ("<a href='https://x.example/'>here</a>!", "here <https://x.example/>!"),
        ("<a href='https://x.example/'>https://x.example</a> <a href=mailto:a@b>a@b</a>", "https://x.example a@b"),
        ("<a href='https://evil.example'>https://good.example</a>", "https://good.example <https://evil.example>"),
        ("<pre>a  b\n\n c</pre>d", "a  b\n\n c\n\nd"),
        ("<q>a</q><img alt=':-)' src=http://x/>", "\u{201C}a\u{201D}:-)"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
        ("", ""),
        ("&lt;b&gt; &amp;amp;", "<b> &amp;"),
    ] {
        assert_eq!(plain(html), text, "{html}");
    }
}

#[test]
fn from_a_stanza_to_a_phone() {
    let xml = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml' xml:lang='fr' style='color:red;top:0'>\
        <p onclick='x'>a &lt; \"b\" <img src='http://x/' alt='c'/><x xmlns='urn:y'>gone</x><script>gone</script></p><pre>\n d</pre>\
        <a href='https://x/?a&amp;&quot;b'>e</a></body><body xmlns='http://www.w3.org/1999/xhtml'>second</body></html>";
    let element = Element::parse(xml.as_bytes(), &xml::Limits::default()).unwrap();
    assert_eq!(
        from_xhtml_im(&element).unwrap(),
        "<!DOCTYPE html><html lang=\"fr\"><body style=\"color: red\"><p>a &lt; \"b\" c</p><pre>\n\n d</pre>\
         <p><a href=\"https://x/?a&amp;%22b\">e</a></p></body></html>"
    );
    let html = Html::from_xhtml_im(&element).unwrap();
    assert_eq!(html.to_xhtml_im().child("body", XHTML_NS).unwrap().lang(), Some("fr"));
    let second = element.elements().nth(1).unwrap();
    assert_eq!(Html::from_xhtml_im(second).unwrap().to_text(), "second");
    assert!(Html::from_xhtml_im(&Element::new("body", "jabber:client").with_text("x")).is_none());
}

#[test]
fn what_is_hostile_stays_small_and_shallow() {
    let case = |html: String| {
        assert!(html.len() <= MAX_BYTES);
        let html = Html::parse(&html).unwrap();
        let (mut elements, mut bytes) = (0, 0);
        let deep = measure(&html.body, &mut elements, &mut bytes);
        // The paragraph, the item and its list that a document leaves out come on top.
        assert!(
            deep <= MAX_DEPTH + 4 && elements <= MAX_ELEMENTS + 4 && bytes <= 2 * MAX_BYTES,
            "{deep} {elements} {bytes}"
        );
        let document = html.to_document();
        assert!(document.len() < 1 << 20 && html.to_text().len() < 1 << 20);
    };
    case("<div>".repeat(12_000));
    case("<ul><li>x".repeat(6_000));
    case("<blockquote>".repeat(40) + &"x<br>".repeat(12_000));
    case((0..1_000).map(|i| format!("<b id={i}>")).collect::<String>() + &"</p><p>x".repeat(6_000));
    case(
        (0..20).map(|i| format!("<a{} style='font-family:{}'>", "", "x".repeat(100 + i))).collect::<String>()
            + &"<p>x".repeat(9_000),
    );
    case(
        (0..20).map(|i| format!("<span style='font-family:{}'>", "x".repeat(100 + i))).collect::<String>()
            + &"<p>x".repeat(9_000),
    );
    case("<i><b>".repeat(10) + &"</i>x<i>".repeat(7_000));
    case(format!("<a href='http://x' {}>", (0..7_000).map(|i| format!("a{i:x} ")).collect::<String>()));
    case("<!--".repeat(16_000));
    case("&#x26;&amp&lt".repeat(5_000));
    case("<".repeat(65_000));
    case("<svg>".repeat(13_000));
    case("x".repeat(65_536));
    assert_eq!(Html::parse(&"x".repeat(65_537)), Err(Error::TooBig { what: "bytes of HTML", limit: MAX_BYTES }));
    // The text of what lies too deep is not lost.
    assert!(plain(&("<div>".repeat(1_000) + "deep")).ends_with("deep"));
    assert!(plain(&("<p>x</p>".repeat(3_000) + "late")).ends_with("late"));
}

#[test]
fn a_tree_of_any_depth_from_a_stanza() {
    let mut element = Element::new("div", XHTML_NS).with_text("deep");
    for _ in 0..200 {
        element = Element::new("div", XHTML_NS).with_child(element);
    }
    let body = Element::new("body", XHTML_NS).with_child(element);
    assert_eq!(Html::from_xhtml_im(&body).unwrap().to_text(), "deep");
}

fn measure(e: &Element, elements: &mut usize, bytes: &mut usize) -> usize {
    *elements += 1;
    *bytes += e.attrs.iter().map(|a| a.value.len()).sum::<usize>();
    let inner = e.elements().map(|c| measure(c, elements, bytes)).max();
    1 + inner.unwrap_or_default()
}

const NAMES: [&str; 31] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "blockquote",
    "br",
    "cite",
    "code",
    "dfn",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "span",
    "strong",
    "ul",
    "var",
    "body",
    "html",
    "none",
];

/// XHTML's content models (XEP-0071 §6), and nothing but what is allowed.
fn check(e: &Element) {
    assert!(NAMES.contains(&e.name.as_str()) && e.ns == XHTML_NS, "{}", e.name);
    for a in &e.attrs {
        let good = matches!((e.name.as_str(), a.name.as_str()), ("a", "href" | "type") | (_, "style"));
        assert!(good && a.ns.is_empty(), "{} {}", e.name, a.name);
        assert!(a.name != "style" || style::clean("", &a.value).as_deref() == Some(a.value.as_str()), "{}", a.value);
        assert!(a.name != "href" || link::clean(&a.value).as_deref() == Some(a.value.as_str()), "{}", a.value);
    }
    for node in &e.children {
        let child = match node {
            Node::Text(_) => "text",
            Node::Element(e) => {
                check(e);
                e.name.as_str()
            }
        };
        let line = matches!(child, "p" | "pre" | "address" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6");
        let block = line || matches!(child, "div" | "blockquote" | "ul" | "ol");
        let good = match e.name.as_str() {
            "body" | "blockquote" => block,
            "ul" | "ol" => child == "li",
            "div" | "li" => child != "li",
            "br" => false,
            _ => !block && child != "li",
        };
        assert!(good, "{child} in {}", e.name);
    }
}

/// What a browser's parser makes of our document is the document, again with nothing in it that we do not allow.
fn oracle(html: &Html) {
    let document = html.to_document();
    let body =
        document.split_once("<body").unwrap().1.split_once('>').unwrap().1.strip_suffix("</body></html>").unwrap();
    let mut cleaner = ammonia::Builder::empty();
    cleaner.add_tags(NAMES).add_generic_attributes(["style"]).add_tag_attributes("a", ["href", "type"]).link_rel(None);
    cleaner.add_url_schemes(["http", "https", "mailto", "xmpp", "sip", "sips", "tel"]);
    // The line end that we put behind `<pre>` for the reader to drop is dropped.
    let expected = body.replace("<pre>\n", "<pre>").replace('\u{a0}', "&nbsp;");
    assert_eq!(cleaner.clean(body).to_string(), expected);
}

fn pieces() -> impl Strategy<Value = String> {
    let tag = proptest::sample::select(vec![
        "a href=https://x/?a&amp;b",
        "a href='sip:a@b' style='color:red'",
        "a",
        "b",
        "i",
        "em",
        "u",
        "font color=red",
        "span style='font-size: 2em'",
        "p",
        "div",
        "ul",
        "ol",
        "li",
        "dl",
        "dd",
        "blockquote",
        "pre",
        "h1",
        "h3",
        "br",
        "hr",
        "img alt='x<y' src=http://x",
        "script",
        "style",
        "svg",
        "title",
        "table",
        "tr",
        "td",
        "body style='color:red'",
        "center",
        "q",
        "code",
        "address",
        "x-y",
        "textarea",
        "xmp",
        "select",
    ]);
    let text = prop_oneof![
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("x".to_owned()),
        Just("&lt;&nbsp;&amp;".to_owned()),
        Just("<!--".to_owned()),
        Just("-->".to_owned()),
        Just("]]>".to_owned()),
        Just("<".to_owned()),
        "\\PC{0,4}",
    ];
    let piece = prop_oneof![
        3 => tag.clone().prop_map(|t| format!("<{t}>")),
        2 => tag.prop_map(|t| format!("</{}>", t.split(' ').next().unwrap_or_default())),
        3 => text,
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_comes_out_is_strict_xml_of_allowed_names(html in pieces()) {
        let html = Html::parse(&html).unwrap();
        check(&html.body);
        let mut bytes = Vec::new();
        let element = html.to_xhtml_im();
        xml::write(&element, "jabber:client", &mut bytes);
        prop_assert_eq!(&Element::parse(&bytes, &xml::Limits::default()).unwrap(), &element);
        // Clean is clean, on either way.
        prop_assert_eq!(&Html::from_xhtml_im(&element).unwrap(), &html);
        oracle(&html);
        let again = Html::parse(&html.to_document()).unwrap();
        prop_assert_eq!(again, html);
    }

    #[test]
    fn anything_may_come(html in "\\PC{0,60}|[<>a-z/='\" &;!-]{0,80}") {
        let html = Html::parse(&html).unwrap();
        check(&html.body);
        oracle(&html);
        let _ = html.to_text();
    }
}
