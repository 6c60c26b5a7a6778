//! Against a model that keeps every byte in a place of its own.

use super::*;
use proptest::prelude::*;

fn assembly() -> Assembly {
    Assembly::new("message".into(), "text/plain".into(), Vec::new())
}

#[test]
fn chunks_in_any_order_become_the_message() {
    let mut one = assembly();
    one.add(3, b"lo", Some(5), true).unwrap();
    assert_eq!((one.whole(), one.held()), (None, 2));
    one.add(0, b"Hel", Some(5), false).unwrap();
    assert_eq!(one.whole().as_deref(), Some(&b"Hello"[..]));

    let mut overlap = assembly();
    overlap.add(0, b"abc", Some(4), false).unwrap();
    overlap.add(1, b"XYZ", Some(4), true).unwrap();
    assert_eq!((overlap.held(), overlap.whole().as_deref()), (4, Some(&b"aXYZ"[..])));
}

#[test]
fn holes_take_no_memory_and_pieces_are_counted() {
    let mut one = assembly();
    one.add(1_000_000_000, b"z", None, true).unwrap();
    assert_eq!(one.held(), 1);
    for place in 1..PIECES {
        one.add(place * 10, b"x", None, false).unwrap();
    }
    assert_eq!(one.add(5, b"x", None, false), Err(Misfit::TooLarge));
    // What goes on where a piece ends needs none of its own.
    one.add(11, b"y", None, false).unwrap();
}

#[test]
fn contradictions_are_found() {
    let mut one = assembly();
    one.add(0, b"abc", Some(5), false).unwrap();
    assert_eq!(one.add(3, b"d", Some(6), false), Err(Misfit::Contradiction));
    assert_eq!(one.add(0, b"ab", None, true), Err(Misfit::Contradiction), "more than that is here");
    assert_eq!(one.add(4, b"ef", None, false), Err(Misfit::Contradiction), "beyond the end");
    assert_eq!(one.add(usize::MAX, b"ef", None, false), Err(Misfit::TooLarge));
    // RFC 4975 §7.3.1: the last chunk says it, whatever was promised.
    one.add(3, b"d", Some(5), true).unwrap();
    assert_eq!(one.whole().as_deref(), Some(&b"abcd"[..]));
}

#[test]
fn ranges_say_what_is_news() {
    let mut ranges = Ranges::default();
    assert!(ranges.add(5, 8));
    assert!(!ranges.add(5, 8) && !ranges.add(6, 7) && !ranges.covers(8));
    assert!(ranges.add(1, 4) && ranges.covers(8) && !ranges.covers(9));
    assert!(!ranges.add(2, 8) && !ranges.add(9, 8) && ranges.add(4, 9) && ranges.covers(9));
    assert!(ranges.add(12, 14) && ranges.add(12, 20) && ranges.add(10, 11) && ranges.covers(20));
    let mut many = Ranges::default();
    let news = (1..1000).filter(|n| many.add(n * 10, n * 10 + 1)).count();
    assert_eq!(news, PIECES);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// The last bytes at each place hold, each byte that is here is counted once.
    #[test]
    fn as_if_every_byte_had_its_place(chunks in prop::collection::vec((0usize..60, 0usize..20), 1..40)) {
        let mut one = assembly();
        let mut model = [None; 100];
        for (number, (at, length)) in chunks.into_iter().enumerate() {
            let bytes = vec![u8::try_from(number).unwrap(); length];
            prop_assert_eq!(one.add(at, &bytes, None, false), Ok(()));
            model[at..at + length].fill(Some(bytes.first().copied().unwrap_or(0)));
            prop_assert_eq!(one.held(), model.iter().flatten().count());
            prop_assert_eq!(one.front(), model.iter().take_while(|b| b.is_some()).count());
        }
        let end = 99 - model.iter().rev().position(Option::is_some).unwrap_or(99);
        let hole = model[..end].iter().position(Option::is_none).unwrap_or(end);
        one.add(end, &[], None, true).unwrap_or(());
        one.add(hole, &vec![99; end - hole], None, false).unwrap();
        let front: Vec<u8> = model[..hole].iter().flatten().copied().collect();
        prop_assert_eq!(&one.front[..hole], &front[..]);
    }
}
