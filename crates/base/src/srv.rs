//! The order of targets: RFC 2782.

use crate::Tokens;
use crate::dns::{MOST_RECORDS, Srv};

/// The places of a service in the order in which they are to be tried: lower priorities first, those of one priority by lot, to which
/// their weights lead (RFC 2782, "Usage rules"). The root, which is no place, is left out.
pub fn order(records: &[Srv], tokens: &mut Tokens) -> Vec<Srv> {
    let places = records.iter().filter(|record| !record.target.is_empty()).cloned();
    order_by(places, |record| (record.priority, record.weight), tokens)
}

/// The same for what has a priority and a weight, such as the places of two services of which either would do (XEP-0368 §3). At most
/// [`MOST_RECORDS`] come out, those of the lowest priorities.
pub fn order_by<T>(items: impl IntoIterator<Item = T>, rank: impl Fn(&T) -> (u16, u16), tokens: &mut Tokens) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    // What weighs nothing comes first, for a small chance to be chosen.
    items.sort_by_key(|item| {
        let (priority, weight) = rank(item);
        (priority, weight != 0)
    });
    items.truncate(MOST_RECORDS);
    let mut ordered: Vec<T> = Vec::with_capacity(items.len());
    while let Some(first) = items.first() {
        let (priority, _) = rank(first);
        let group = items.iter().take_while(|item| rank(item).0 == priority).count();
        let weight = |item: &T| u64::from(rank(item).1);
        let sum: u64 = items[..group].iter().map(weight).sum();
        let drawn = tokens.below(sum + 1);
        let mut running = 0;
        let chosen = items[..group].iter().position(|item| {
            running += weight(item);
            running >= drawn
        });
        ordered.push(items.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5269, target: target.into() }
    }

    fn names(ordered: &[Srv]) -> Vec<&str> {
        ordered.iter().map(|record| record.target.as_str()).collect()
    }

    #[test]
    fn lower_priorities_come_first_and_the_root_never() {
        let records = [srv(20, 0, "c"), srv(10, 5, "b"), srv(0, 0, "a"), srv(5, 0, "")];
        assert_eq!(names(&order(&records, &mut Tokens::seeded(1))), ["a", "b", "c"]);
        assert!(order(&[srv(0, 0, "")], &mut Tokens::seeded(1)).is_empty());
    }

    /// Each is in it once, and comes first about as often as its weight says.
    #[test]
    fn weights_are_shares() {
        let records = [srv(1, 60, "a"), srv(1, 30, "b"), srv(1, 10, "c"), srv(1, 0, "d")];
        let mut tokens = Tokens::seeded(7);
        let mut first = [0; 4];
        for _ in 0..10_000 {
            let ordered = order(&records, &mut tokens);
            let mut all = names(&ordered);
            first[usize::from(all[0].as_bytes()[0] - b'a')] += 1;
            all.sort_unstable();
            assert_eq!(all, ["a", "b", "c", "d"]);
        }
        assert!((5_700..6_300).contains(&first[0]), "{first:?}");
        assert!((2_700..3_300).contains(&first[1]), "{first:?}");
        assert!((800..1_200).contains(&first[2]), "{first:?}");
        assert!((1..300).contains(&first[3]), "{first:?}");
    }

    #[test]
    fn many_are_cut_at_the_end() {
        let records: Vec<Srv> = (0..1000).rev().map(|n| srv(n, u16::MAX, "a")).collect();
        let ordered = order(&records, &mut Tokens::seeded(1));
        assert!(ordered.iter().map(|record| usize::from(record.priority)).eq(0..MOST_RECORDS));
    }
}
