use super::*;
use proptest::prelude::*;

#[test]
fn documents_of_rtpengine() {
    let pong = Value::parse(b"d6:result4:ponge").unwrap();
    assert_eq!(pong.get("result").unwrap().as_str(), Some("pong"));
    assert_eq!(pong.get("sdp"), None);
    let answer = Value::parse(b"d7:createdi1402064116e4:tagsd0:d6:mediasleee6:result2:oke").unwrap();
    assert_eq!(answer.get("created").unwrap().as_integer(), Some(1_402_064_116));
    assert_eq!(answer.get("tags").unwrap().get("").unwrap().get("medias").unwrap().items(), []);
    assert_eq!(answer.get("result").unwrap().as_bytes(), Some(&b"ok"[..]));
    assert_eq!(Value::texts(&["a", "bc"]).to_bytes(), b"l1:a2:bce");
    assert_eq!(Value::Integer(i64::MIN).to_bytes(), b"i-9223372036854775808e");
}

#[test]
fn what_is_no_document_is_refused() {
    for (bytes, why) in [
        (&b""[..], Malformed::Short),
        (b"d", Malformed::Short),
        (b"4:spa", Malformed::Short),
        (b"99999999999:spam", Malformed::Short),
        (b"9223372036854775807:spam", Malformed::Short),
        (b"12", Malformed::Short),
        (b"i12", Malformed::Short),
        (b"99999999999999999999999:spam", Malformed::Number),
        (b"9999999999999999999:spam", Malformed::Number),
        (b"04:spam", Malformed::Number),
        (b"4spam", Malformed::Short),
        (b"4-:spam", Malformed::Number),
        (b"-4:spam", Malformed::Byte),
        (b"ie", Malformed::Number),
        (b"i-e", Malformed::Number),
        (b"i-0e", Malformed::Number),
        (b"i007e", Malformed::Number),
        (b"i+7e", Malformed::Number),
        (b"i9223372036854775808e", Malformed::Number),
        (b"i1e1:x", Malformed::Long),
        (b"x", Malformed::Byte),
        (b"e", Malformed::Byte),
        (b"di1ei2ee", Malformed::Byte),
        (b"d1:ae", Malformed::Byte),
        (b"d1:a", Malformed::Short),
    ] {
        assert_eq!(Value::parse(bytes), Err(why), "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(Value::parse(b"d1:ai1e1:ai2ee").unwrap().get("a"), Some(&Value::Integer(1)), "the first counts");
}

#[test]
fn bombs_are_refused() {
    let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert!(Value::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(Value::parse(&nested(MAX_DEPTH + 1)), Err(Malformed::Deep));
    assert_eq!(Value::parse(&vec![b'l'; 65_000]), Err(Malformed::Deep));
    assert_eq!(Value::parse(&[&b"l"[..], &b"le".repeat(MAX_VALUES), b"e"].concat()), Err(Malformed::Many));
    assert!(Value::parse(&[&b"l"[..], &b"0:".repeat(MAX_VALUES - 1), b"e"].concat()).is_ok());
}

#[derive(Debug, Clone)]
enum Tree {
    Bytes(Vec<u8>),
    Integer(i64),
    List(Vec<Tree>),
    Dictionary(Vec<(Vec<u8>, Tree)>),
}

impl Tree {
    fn value(&self) -> Value<'_> {
        match self {
            Tree::Bytes(bytes) => Value::Bytes(bytes),
            Tree::Integer(n) => Value::Integer(*n),
            Tree::List(items) => Value::List(items.iter().map(Tree::value).collect()),
            Tree::Dictionary(entries) => {
                Value::Dictionary(entries.iter().map(|(key, tree)| (key.as_slice(), tree.value())).collect())
            }
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![bytes().prop_map(Tree::Bytes), any::<i64>().prop_map(Tree::Integer)];
    leaf.prop_recursive(6, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            proptest::collection::vec((bytes(), inner), 0..6).prop_map(Tree::Dictionary),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(tree in trees()) {
        let value = tree.value();
        let document = value.to_bytes();
        prop_assert_eq!(Value::parse(&document), Ok(value));
    }

    #[test]
    fn what_is_read_is_written(bytes in proptest::collection::vec(prop_oneof![
        Just(b'd'), Just(b'l'), Just(b'i'), Just(b'e'), Just(b':'), Just(b'0'), Just(b'1'), Just(b'2'), any::<u8>()
    ], 0..40)) {
        if let Ok(value) = Value::parse(&bytes) {
            prop_assert_eq!(value.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_document_that_was_cut_is_none(tree in trees(), cut in 1usize..20) {
        let bytes = tree.value().to_bytes();
        let cut = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert!(Value::parse(cut).is_err());
    }
}
