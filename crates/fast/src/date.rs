//! Dates on the wire (XEP-0082 §3.2), as seconds since 1970.

use core::fmt;

const DAY: u64 = 86_400;

/// A moment in UTC, in whole seconds since 1970. Where it comes from is the caller's business, as with all time.
///
/// ```
/// # use onetrip_fast::DateTime;
/// let expiry = DateTime::parse("2020-03-12T14:36:15Z").unwrap();
/// assert_eq!(expiry.unix_seconds(), 1_584_023_775);
/// assert_eq!(expiry.to_string(), "2020-03-12T14:36:15Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DateTime(u64);

impl DateTime {
    /// The last moment that can be written: the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_799);

    /// So many seconds after 1970 began; at most [`DateTime::MAX`].
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        if seconds > Self::MAX.0 {
            Self::MAX
        } else {
            Self(seconds)
        }
    }

    /// Seconds since 1970 began.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0
    }

    /// So many seconds later.
    #[must_use]
    pub const fn after(self, seconds: u64) -> Self {
        Self::from_unix_seconds(self.0.saturating_add(seconds))
    }

    /// Reads `CCYY-MM-DDThh:mm:ss[.sss]TZD`, `TZD` being `Z` or `(+|-)hh:mm`; parts of a second are cut off. `None` for
    /// anything else, and for what lies before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let mut date = date.split('-');
        let year = number(date.next()?, 4)?;
        let month = number(date.next()?, 2)?;
        let day = number(date.next()?, 2)?;
        let at = time.find(['Z', '+', '-'])?;
        let (time, zone) = time.split_at_checked(at)?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        let mut clock = time.split(':');
        let hour = number(clock.next()?, 2)?;
        let minute = number(clock.next()?, 2)?;
        let second = number(clock.next()?, 2)?;
        let real = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        // 60 is a leap second.
        let fits = real && hour < 24 && minute < 60 && second <= 60 && digits;
        if !fits || date.next().is_some() || clock.next().is_some() {
            return None;
        }
        let local = days_before(year, month)?
            .checked_add(day.checked_sub(1)?)?
            .checked_mul(DAY)?
            .checked_add(seconds_of(hour, minute))?
            .checked_add(second)?;
        shifted(local, zone).map(Self::from_unix_seconds)
    }
}

/// Local time brought to UTC.
fn shifted(local: u64, zone: &str) -> Option<u64> {
    if zone == "Z" {
        return Some(local);
    }
    let (sign, offset) = zone.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let offset = (hours < 24 && minutes < 60).then(|| seconds_of(hours, minutes))?;
    match sign {
        "+" => local.checked_sub(offset),
        _ => local.checked_add(offset),
    }
}

fn seconds_of(hours: u64, minutes: u64) -> u64 {
    hours
        .saturating_mul(60)
        .saturating_add(minutes)
        .saturating_mul(60)
}

/// Exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

const fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to the first of a month; `None` before 1970.
fn days_before(year: u64, month: u64) -> Option<u64> {
    let years = year.checked_sub(1970)?;
    let leaps = (1970..year).filter(|year| is_leap(*year)).count() as u64;
    let months = (1..month).fold(0_u64, |days, month| {
        days.saturating_add(days_of(year, month))
    });
    let days = years.saturating_mul(365).saturating_add(leaps);
    Some(days.saturating_add(months))
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let mut year = 1970_u64;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            match days.checked_sub(length) {
                Some(left) => days = left,
                None => break,
            }
            year = year.saturating_add(1);
        }
        let mut month = 1_u64;
        while let Some(left) = days.checked_sub(days_of(year, month)) {
            days = left;
            month = month.saturating_add(1);
        }
        let day = days.saturating_add(1);
        let (hour, rest) = (rest.div_euclid(3600), rest.rem_euclid(3600));
        let (minute, second) = (rest.div_euclid(60), rest.rem_euclid(60));
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> Option<u64> {
        DateTime::parse(text).map(DateTime::unix_seconds)
    }

    /// XEP-0082 §3.2 and known moments.
    #[test]
    fn known_moments_in_every_form() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-07-21T02:56:15Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2020-03-12T14:36:15Z", 1_584_023_775),
            ("2020-03-12T16:36:15.123+02:00", 1_584_023_775),
            ("2020-03-12T09:06:15-05:30", 1_584_023_775),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let expected = (expected > 0 || text.starts_with("1970")).then_some(expected);
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for bad in [
            "",
            "2020-03-12",
            "2020-03-12 14:36:15Z",
            "2020-03-12T14:36:15",
            "2020-03-12T14:36Z",
            "2020-13-12T14:36:15Z",
            "2021-02-29T14:36:15Z",
            "1900-02-29T14:36:15Z",
            "2020-03-00T14:36:15Z",
            "2020-03-12T24:36:15Z",
            "2020-03-12T14:60:15Z",
            "2020-03-12T14:36:61Z",
            "2020-03-12T14:36:15.Z",
            "2020-03-12T14:36:15Zx",
            "2020-03-12T14:36:15+2:00",
            "2020-3-12T14:36:15Z",
            "+020-03-12T14:36:15Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_survives_the_wire(at in 0..=DateTime::MAX.0) {
            let at = DateTime::from_unix_seconds(at);
            prop_assert_eq!(DateTime::parse(&at.to_string()), Some(at));
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:+.-]{0,30}") {
            let _ = DateTime::parse(&text);
        }
    }
}
