//! What all that was seen comes to: how many round trips a login takes there, and a client's coming back.

use onetrip_core::quickstart::{Features, Level, Transport};
use onetrip_core::stream::Content;
use onetrip_simulator::{Answers, Comeback, Lab, Login, Proof, Settings, Strategy};
use onetrip_tls::rustls::Versions;
use serde_json::{Value, json};

use super::features::{EARLY, TOKENS, offered};
use super::places::Place;
use super::set;
use super::tried::{Shown, Together, version};

/// How much is known of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// The server has been seen to take it.
    Taken,
    /// Nothing speaks against it.
    Perhaps,
    /// Something does, or the server does not announce what it would have to.
    Hardly,
}

/// A way to connect or to come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) strategy: Strategy,
    /// Whether a client comes back by it.
    back: bool,
    known: Known,
}

/// The boldest level that what was seen allows: what comes behind `<auth/>` cannot be tried without a login.
fn level(transport: Transport, announced: bool, taken: &[Together]) -> Level {
    let all = |units: &[Together]| units.iter().all(|units| taken.contains(units));
    let direct = transport == Transport::DirectTls;
    if !all(&[Together::Auth]) {
        Level::Off
    } else if announced && (direct || all(&[Together::Hello])) {
        Level::Full
    } else if direct || all(&[Together::HelloLater]) {
        Level::Paced
    } else if all(&[Together::StartTls]) {
        Level::Safe
    } else {
        Level::Off
    }
}

/// The ways that there may be, the plainest first.
pub(super) fn ways(place: &Place, shown: &Shown, taken: &[Together]) -> Vec<Way> {
    let features = Features::read(&shown.secured);
    let transport = place.transport;
    let best = level(transport, features.pipelining(), taken);
    let known = |level| match level {
        _ if level > best => Known::Hardly,
        Level::Off | Level::Safe => Known::Taken,
        Level::Paced | Level::Full => Known::Perhaps,
    };
    let mechanisms = features.mechanisms();
    let scram = mechanisms.iter().any(|name| name.starts_with("SCRAM-"));
    let login = if scram { Login::Scram } else { Login::Plain };
    let client = place.content == Content::Client;
    let by_level = |level| Way {
        strategy: match client {
            true => Strategy::Login {
                level,
                transport,
                login,
            },
            false => Strategy::Servers {
                level,
                transport,
                proof: Proof::External,
                answers: Answers::Bidi,
            },
        },
        back: false,
        known: known(level),
    };
    let mut ways: Vec<Way> = Level::ALL.into_iter().map(by_level).collect();
    if client {
        ways.extend(back_by_level(
            transport,
            best,
            offered(&shown.secured).contains(&TOKENS),
        ));
        // There is no restart behind it: that it was answered is all that has to be seen.
        if taken.contains(&Together::Authenticate) {
            let early = taken.contains(&Together::Early);
            ways.extend(by_sasl2(transport, login, &offered(&shown.secured), early));
        }
    }
    ways
}

/// The ways to come back that need no SASL2.
fn back_by_level(transport: Transport, best: Level, tokens: bool) -> impl Iterator<Item = Way> {
    let full = match best {
        Level::Full => Known::Perhaps,
        _ => Known::Hardly,
    };
    // On direct TLS a token goes out behind the header at every level (ISR-12).
    let levels = tokens && transport == Transport::StartTls;
    let ways = [
        (true, Level::Off, Comeback::Resume, Known::Taken),
        (true, Level::Full, Comeback::Resume, full),
        (tokens, Level::Off, Comeback::Token, Known::Perhaps),
        (levels, Level::Full, Comeback::Token, full),
    ];
    let there = ways.into_iter().filter(|(there, ..)| *there);
    there.map(move |(_, level, comeback, known)| Way {
        strategy: Strategy::Comeback {
            level,
            transport,
            comeback,
        },
        back: true,
        known,
    })
}

/// What there is by SASL2, with the password and by token, with a resource and with a session.
fn by_sasl2(transport: Transport, login: Login, offered: &[&str], early: bool) -> Vec<Way> {
    let mut ways = Vec::new();
    for (resumes, needs) in [(false, "Bind 2"), (true, "inline resumption")] {
        let level = Level::Safe;
        let token = |early| Strategy::Fast {
            level,
            transport,
            resumes,
            early,
        };
        let password = Strategy::Sasl2 {
            level,
            transport,
            login,
            resumes,
        };
        // Whoever has a token was there before.
        let all = [
            (password, "SASL2", resumes, true),
            (token(false), "FAST", true, true),
            (token(true), EARLY, true, early),
        ];
        for (strategy, needs_too, back, taken) in all {
            if taken && offered.contains(&needs) && offered.contains(&needs_too) {
                ways.push(Way {
                    strategy,
                    back,
                    known: Known::Taken,
                });
            }
        }
    }
    ways
}

/// Logins have shown what the server takes, and what not.
pub(super) fn judge(ways: &mut Vec<Way>, rows: &[Value]) {
    ways.retain_mut(|way| {
        let name = way.strategy.name();
        let row = rows.iter().find(|row| row["strategy"] == name.as_str());
        if row.is_some() {
            way.known = Known::Taken;
        }
        row.is_none_or(taken)
    });
}

/// Whether a strategy did what it is about: a login that only came about in the end is none of its own.
pub(super) fn taken(row: &Value) -> bool {
    row["ok"] == true && row["reason"].is_null()
}

/// Round trips until a stanza may be sent, and by what.
pub(super) fn verdict(ways: &[Way], shown: &Shown, lab: &Lab) -> Value {
    let tls = if version(&shown.tls) == "1.2" {
        Versions::Tls12
    } else {
        Versions::Tls13
    };
    let trips = |way: &Way| {
        let settings = Settings {
            tls,
            ..Settings::default()
        };
        let run = lab.run(&way.strategy, &settings).ok()?;
        run.to_send.map(|(_, halves)| halves)
    };
    let counted: Vec<(&Way, u32)> = ways
        .iter()
        .filter(|way| way.known < Known::Hardly)
        .filter_map(|way| Some((way, trips(way)?)))
        .collect();
    // Among equals, what is known best; no race; what is plainest.
    let fewest = |wanted: &dyn Fn(&Way) -> bool| {
        let those = counted.iter().filter(|(way, _)| wanted(way));
        let found = those
            .min_by_key(|(way, trips)| (*trips, way.known, way.strategy.level() == Level::Paced));
        found.map(|(way, trips)| (f64::from(*trips) / 2.0, way.strategy.name()))
    };
    let mut verdict = json!({});
    let mut say = |key: &str, found: Option<(f64, String)>| {
        let (trips, by) = found.unzip();
        set(&mut verdict, key, json!(trips));
        set(&mut verdict, &format!("{key}_by"), json!(by));
    };
    let classic = |way: &Way| way.strategy == way.strategy.classic();
    say("connect_classic", fewest(&|way| !way.back && classic(way)));
    say(
        "connect_safe",
        fewest(&|way| !way.back && way.known == Known::Taken),
    );
    say("connect_best", fewest(&|way| !way.back));
    if ways.iter().any(|way| way.back) {
        let resumed = |way: &Way| way.strategy.comeback() == Some(Comeback::Resume);
        say(
            "reconnect_classic",
            fewest(&|way| way.back && classic(way) && resumed(way)),
        );
        let kept = |way: &Way| way.back && way.strategy.comeback().is_some();
        say("reconnect_best", fewest(&kept));
    }
    let plain = counted.iter().map(|(way, _)| way).filter(|way| {
        matches!(
            way.strategy,
            Strategy::Login { .. } | Strategy::Servers { .. }
        )
    });
    let level = plain.map(|way| way.strategy.level()).max();
    let level = match level.unwrap_or(Level::Off) {
        Level::Off => "classic",
        Level::Safe => "safe",
        Level::Paced => "paced",
        Level::Full => "quickstart",
    };
    set(&mut verdict, "level", json!(level));
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QS-R10: a server that announces pipelining and does not take what it announces is not believed.
    #[test]
    fn the_level_is_what_was_seen() {
        use Together::{Auth, Hello, HelloLater, StartTls};
        let cases: [(&[Together], [Level; 2]); 6] = [
            (
                &[StartTls, HelloLater, Hello, Auth],
                [Level::Paced, Level::Full],
            ),
            (&[StartTls, HelloLater, Auth], [Level::Paced, Level::Paced]),
            (&[StartTls, Auth], [Level::Safe, Level::Safe]),
            (&[StartTls, Hello, Auth], [Level::Safe, Level::Full]),
            (&[StartTls, HelloLater, Hello], [Level::Off, Level::Off]),
            (&[Auth], [Level::Off, Level::Off]),
        ];
        for (taken, [silent, announced]) in cases {
            assert_eq!(
                level(Transport::StartTls, false, taken),
                silent,
                "{taken:?}"
            );
            assert_eq!(
                level(Transport::StartTls, true, taken),
                announced,
                "{taken:?}"
            );
        }
        assert_eq!(level(Transport::DirectTls, false, &[Auth]), Level::Paced);
        assert_eq!(level(Transport::DirectTls, true, &[Auth]), Level::Full);
        assert_eq!(level(Transport::DirectTls, true, &[]), Level::Off);
    }
}
