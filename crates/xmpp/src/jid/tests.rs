use super::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

#[test]
fn parts_are_found_and_prepared() {
    let j = jid("Juliet@EXAMPLE.com./Balcony");
    assert_eq!((j.local(), j.domain(), j.resource()), (Some("juliet"), "example.com", Some("Balcony")));
}
