//! The promises of this module, against whatever comes.

use super::*;
use proptest::prelude::*;
use sip::uri::encode_user;
use xmpp::jid::username_fold;

/// User names made of what causes trouble: escapes in all spellings, what must be escaped, marks that compose, wide forms.
fn user_names() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-gA-G2-5.]{1,2}",
        4 => r#"[\\/@:<>&'" %#;=?+]"#,
        3 => r"\\(2[0267fF]|3[aAcCeE]|40|5[cC])",
        2 => "[\u{300}-\u{304}\u{307}\u{327}\u{338}\u{345}\u{3b1}\u{3c2}]",
        2 => "[\u{ff0f}\u{ff06}\u{ff12}\u{ff15}\u{ff26}\u{ff23}\u{ff3c}\u{ff41}\u{ff21}]",
        1 => "[éÉßİıſK\u{200d}\u{1e1e}\u{1e1f}א]",
        1 => "\\PC",
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn sip(user: &str, host: &str) -> Uri {
    let host = Host::parse(host).unwrap();
    Uri::Sip(SipUri::new(host).with_user(user.as_bytes()))
}

fn map(user: &str) -> Result<Jid, AddressError> {
    to_jid(&sip(user, "sip.example"), &Options::default())
}

fn jids() -> impl Strategy<Value = Jid> {
    let local = prop_oneof![user_names(), "[a-z2-5\\\\]{1,12}", "\\PC{1,8}"];
    let domain = prop_oneof![
        Just("sip.example"),
        Just("bücher.example"),
        Just("例え.example"),
        Just("192.0.2.7"),
        Just("[2001:db8::7]"),
        Just("ff.example.")
    ];
    let resource = prop_oneof![user_names(), "\\PC{1,8}"];
    (proptest::option::of(local), domain, proptest::option::of(resource))
        .prop_filter_map("no address", |(l, d, r)| Jid::new(l.as_deref(), d, r.as_deref()).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_address_comes_back_as_itself(jid in jids()) {
        match to_uri(&jid, Scheme::Sip) {
            Ok(uri) => {
                // It is a URI that others read, too.
                let uri = Uri::parse(&uri.to_string()).unwrap();
                prop_assert_eq!(to_jid(&uri, &Options::default()), Ok(jid.clone()));
                for form in [Form::Im, Form::Pres] {
                    if let Ok(uri) = to_form(&jid, form) {
                        let uri = Uri::parse(&uri.to_string()).unwrap();
                        prop_assert_eq!(to_jid(&uri, &Options::default()), Ok(jid.bare()));
                    }
                }
            }
            // The only addresses that stay behind are escaped forms of nobody.
            Err(e) => prop_assert_eq!(e, AddressError::NoEscape),
        }
    }

    #[test]
    fn every_address_of_a_user_leads_back_to_the_user(user in user_names()) {
        if let Ok(jid) = map(&user) {
            let back = to_uri(&jid, Scheme::Sip).unwrap();
            let back = String::from_utf8(back.user_octets().unwrap()).unwrap();
            prop_assert_eq!(username_fold(&back), username_fold(&user));
            prop_assert_eq!(map(&back), Ok(jid));
        }
    }

    #[test]
    fn two_users_never_become_one(a in user_names(), b in user_names()) {
        if let (Ok(x), Ok(y)) = (map(&a), map(&b)) {
            prop_assert_eq!(x == y, username_fold(&a) == username_fold(&b), "{:?} {:?}", a, b);
        }
    }

    #[test]
    fn nor_do_neighbours(a in user_names(), at in any::<prop::sample::Index>(), c in any::<prop::sample::Index>()) {
        // One character of a name changed for one that looks like part of an escape.
        let alphabet: Vec<char> = "\\/2fF5cC\u{307}\u{338}\u{ff3c}".chars().collect();
        let mut chars: Vec<char> = a.chars().collect();
        let place = at.index(chars.len());
        chars[place] = alphabet[c.index(alphabet.len())];
        let b: String = chars.into_iter().collect();
        if let (Ok(x), Ok(y)) = (map(&a), map(&b)) {
            prop_assert_eq!(x == y, username_fold(&a) == username_fold(&b), "{:?} {:?}", a, b);
        }
    }

    #[test]
    fn nothing_panics(rest in "[a-zA-Z0-9%@:;=?.+\\[\\]()*#-]{0,30}", scheme in "sip|sips|im|pres|tel|x") {
        let options = Options { phone_domain: Some(Str::const_new("phone.example")) };
        // Also what a careful parser would never let through.
        let other = Uri::Other { scheme: Str::from(&scheme), rest: Str::from(&rest) };
        let _ = explain_jid(&other, &options);
        let jid = Uri::parse(&format!("{scheme}:{rest}")).ok().and_then(|uri| explain_jid(&uri, &options).result.ok());
        for form in [Form::Sip(Scheme::Sips), Form::Im, Form::Pres, Form::Tel] {
            let _ = jid.as_ref().map(|jid| explain_uri(jid, form));
        }
    }

    #[test]
    fn numbers_have_one_spelling(number in "\\+?[0-9][0-9.()-]{0,12}", ext in "[0-9]{1,3}", lower in any::<bool>()) {
        let options = Options { phone_domain: Some(Str::const_new("phone.example")) };
        let ext = if lower { format!(";ext={ext}") } else { format!(";EXT={ext}") };
        let context = if number.starts_with('+') { "" } else { ";phone-context=+4" };
        let one = to_jid(&Uri::parse(&format!("tel:{number}{ext}{context};x")).unwrap(), &options).unwrap();
        let plain: String = number.chars().filter(|c| !".()-".contains(*c)).collect();
        let two = to_jid(&Uri::parse(&format!("tel:{plain};y=1{context}{ext}")).unwrap(), &options).unwrap();
        prop_assert_eq!(&one, &two);
        let tel = to_form(&one, Form::Tel).unwrap();
        prop_assert_eq!(to_jid(&tel, &options), Ok(one));
    }
}

#[test]
fn a_user_part_is_encoded_as_the_grammar_has_it() {
    // The table of RFC 7247 §6.2 once more, from the other end: every ASCII character goes there and back.
    for c in (0x21..0x7f_u8).map(char::from) {
        let user = format!("x{c}y");
        let jid = map(&user).unwrap();
        let uri = to_uri(&jid, Scheme::Sip).unwrap();
        assert_eq!(uri.user.as_deref(), Some(encode_user(user.to_lowercase().as_bytes()).as_str()), "{c}");
    }
}
