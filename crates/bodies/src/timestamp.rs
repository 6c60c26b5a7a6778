//! The moments that bodies carry: RFC 3339 in CPIM, IMDN and is-composing, XEP-0082 on the XMPP side.

use std::fmt;

/// A moment in UTC, within the years 0000 to 9999, to the nanosecond. Prints as XEP-0082 has it
/// (`2002-09-10T23:41:07Z`), with a fraction only where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds of the Unix epoch.
const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl Timestamp {
    /// Seconds of the Unix epoch; None outside the years 0000 to 9999.
    pub fn from_unix(seconds: i64) -> Option<Timestamp> {
        YEARS.contains(&seconds).then_some(Timestamp { seconds, nanos: 0 })
    }

    /// Seconds of the Unix epoch, the fraction cut off.
    pub fn unix(self) -> i64 {
        self.seconds
    }

    /// Reads RFC 3339 §5.6 `date-time`. None for what is no date in the calendar, for a missing offset (a local time
    /// is no moment). Of a fraction nine digits count. A leap second is read as the second before it.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let b = text.as_bytes();
        // 19 for the date and time, 65 for the fraction, 6 for the offset.
        if b.len() < 20 || b.len() > 90 {
            return None;
        }
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if separators.iter().any(|&(at, c)| b[at] != c) || !matches!(b[10], b'T' | b't') {
            return None;
        }
        let (year, month, day) = (number(&b[..4])?, number(&b[5..7])?, number(&b[8..10])?);
        let (hour, minute, second) = (number(&b[11..13])?, number(&b[14..16])?, number(&b[17..19])?);
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = &b[19..];
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let nine = (0..9).map(|i| if i < digits { fraction[i] - b'0' } else { 0 });
            nanos = nine.fold(0u32, |n, d| n * 10 + u32::from(d));
            rest = &fraction[digits..];
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (h, m) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
                if h > 23 || m > 59 {
                    return None;
                }
                let minutes = h * 60 + m;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        let of_day = hour * 3600 + minute * 60 + second.min(59);
        let seconds = days_from_civil(year, month, day) * 86_400 + of_day - offset * 60;
        Timestamp::from_unix(seconds).map(|t| Timestamp { nanos, ..t })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let mut text = *b"0000-00-00T00:00:00";
        for (at, digits, mut number) in
            [(0, 4, year), (5, 2, month), (8, 2, day), (11, 2, hour), (14, 2, minute), (17, 2, second)]
        {
            // The year has four digits, as `YEARS` has it; this is done for each message.
            for digit in text[at..at + digits].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or_default();
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
        if self.nanos != 0 {
            let nine = format!("{:09}", self.nanos);
            write!(f, ".{}", nine.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years begin in March, so that February comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> Option<String> {
        Timestamp::parse(text).map(|t| t.to_string())
    }

    #[test]
    fn offsets_become_utc() {
        assert_eq!(utc("2000-12-13T13:40:00-08:00").as_deref(), Some("2000-12-13T21:40:00Z"));
        assert_eq!(utc("2004-03-01T00:30:00.1200+01:00").as_deref(), Some("2004-02-29T23:30:00.12Z"));
        assert_eq!(utc("1990-12-31t23:59:60z").as_deref(), Some("1990-12-31T23:59:59Z"));
        assert_eq!(Timestamp::parse("1970-01-01T00:00:00Z").unwrap().unix(), 0);
        assert_eq!(Timestamp::parse("2026-11-22T02:09:00Z").unwrap().unix(), 1_795_313_340);
    }

    #[test]
    fn what_is_no_moment() {
        for bad in [
            "",
            "2026-02-30T25:61:61Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "+026-01-01T00:00:00Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-01-01T00:00:00Z ",
            "٢026-01-01T00:00:00Z",
        ] {
            assert_eq!(utc(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_prints_parses_back(seconds in YEARS) {
            let t = Timestamp::from_unix(seconds).unwrap();
            prop_assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
        }

        #[test]
        fn anything_may_come(text in "\\PC{0,30}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})") {
            if let Some(t) = Timestamp::parse(&text) {
                prop_assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
            }
        }
    }
}
