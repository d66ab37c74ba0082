//! The store: one swap for each token, whatever else happens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use core::time::Duration;

use onetrip_isr::{Claim, Refused, Rotation, Token, TokenHash, Tokens};
use onetrip_stream::stored::StoredError;
use onetrip_stream::{Instant, Jid};

const END: Instant = Instant::from_millis(1_000);
const NOW: Instant = Instant::from_millis(0);

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

fn juliet() -> Jid {
    jid("juliet@capulet.lit")
}

fn hash(text: &str) -> TokenHash {
    Token::read(text).unwrap().hash()
}

fn claim(text: &str) -> Claim {
    Claim::Token(hash(text))
}

fn one(rotation: Rotation) -> Tokens {
    let mut tokens = Tokens::new(rotation);
    tokens.issue(hash("t0"), &juliet(), "s1", END);
    tokens
}

/// Shows a token as its owner would, in time.
fn show(tokens: &mut Tokens, old: &str, new: &str) -> Result<String, Refused> {
    tokens.swap(&claim(old), hash(new), Some(&juliet()), NOW)
}

fn s1() -> Result<String, Refused> {
    Ok("s1".to_owned())
}

#[test]
fn isr_24_a_token_dies_when_it_is_used() {
    let mut tokens = one(Rotation::default());
    assert_eq!(show(&mut tokens, "t0", "t1"), s1());
    assert_eq!(show(&mut tokens, "t0", "t2"), Err(Refused::Unknown));
    assert_eq!(show(&mut tokens, "t1", "t2"), s1());
    assert_eq!(tokens.len(), 1);
}

#[test]
fn isr_20_a_token_that_was_never_issued_is_unknown_and_touches_nothing() {
    let mut tokens = one(Rotation::default());
    let before = tokens.clone();
    assert_eq!(show(&mut tokens, "guess", "t1"), Err(Refused::Unknown));
    assert_eq!(tokens, before);
}

#[test]
fn isr_27_the_account_must_be_named_and_be_the_owner_or_the_token_dies() {
    let wrong = [
        None,
        Some(jid("romeo@capulet.lit")),
        Some(jid("juliet@montague.lit")),
        Some(jid("capulet.lit")),
    ];
    for account in wrong {
        let mut tokens = one(Rotation::default());
        let refused = tokens.swap(&claim("t0"), hash("t1"), account.as_ref(), NOW);
        assert_eq!(refused, Err(Refused::Account));
        assert!(tokens.is_empty());
        assert_eq!(show(&mut tokens, "t0", "t1"), Err(Refused::Unknown));
    }
    for account in ["juliet@capulet.lit", "Juliet@Capulet.lit/balcony"] {
        let mut tokens = one(Rotation::default());
        let account = jid(account);
        assert_eq!(
            tokens.swap(&claim("t0"), hash("t1"), Some(&account), NOW),
            s1()
        );
    }
}

#[test]
fn isr_30_between_servers_the_account_is_a_domain() {
    let mut tokens = Tokens::default();
    tokens.issue(hash("t0"), &jid("montague.lit"), "s1", END);
    let account = jid("montague.lit");
    assert_eq!(
        tokens.swap(&claim("t0"), hash("t1"), Some(&account), NOW),
        s1()
    );
}

#[test]
fn isr_29_a_token_is_good_until_its_time_and_dead_when_shown_after_it() {
    let just_in_time = Instant::from_millis(999);
    let mut tokens = one(Rotation::default());
    let owner = juliet();
    assert_eq!(
        tokens.swap(&claim("t0"), hash("t1"), Some(&owner), just_in_time),
        s1()
    );
    let mut tokens = one(Rotation::default());
    let session = "s1".to_owned();
    assert_eq!(
        tokens.swap(&claim("t0"), hash("t1"), Some(&owner), END),
        Err(Refused::Expired { session })
    );
    // Neither the clock nor its owner brings it back.
    tokens.prolong("s1", END + Duration::from_secs(1));
    assert_eq!(show(&mut tokens, "t0", "t1"), Err(Refused::Unknown));
}

#[test]
fn isr_29_expired_tokens_are_forgotten_and_prolonged_ones_are_not() {
    let mut tokens = Tokens::default();
    let forever = Instant::from_epoch(Duration::MAX);
    tokens.issue(hash("a"), &juliet(), "s1", forever);
    tokens.issue(hash("b"), &juliet(), "s2", forever);
    tokens.prolong("s1", END);
    tokens.prolong("nobody", END);
    tokens.expire(Instant::from_millis(999));
    assert!(tokens.len() == 2 && !tokens.is_empty());
    tokens.expire(END);
    assert_eq!(tokens.len(), 1);
    assert_eq!(show(&mut tokens, "a", "c"), Err(Refused::Unknown));
    assert_eq!(show(&mut tokens, "b", "c"), Ok("s2".to_owned()));
}

#[test]
fn isr_r3_with_grace_the_previous_token_is_good_until_the_new_one_is_confirmed() {
    let mut tokens = one(Rotation::GraceUntilConfirmed);
    // The answers with t1 and t2 were lost.
    assert_eq!(show(&mut tokens, "t0", "t1"), s1());
    assert_eq!(show(&mut tokens, "t0", "t2"), s1());
    assert_eq!(show(&mut tokens, "t1", "t3"), Err(Refused::Unknown));
    // The one with t3 was not: showing t3 is a confirmation, too.
    assert_eq!(show(&mut tokens, "t0", "t3"), s1());
    assert_eq!(show(&mut tokens, "t3", "t4"), s1());
    assert_eq!(show(&mut tokens, "t0", "t5"), Err(Refused::Unknown));
    tokens.confirm("s1");
    tokens.confirm("nobody");
    assert_eq!(show(&mut tokens, "t3", "t5"), Err(Refused::Unknown));
    assert_eq!(show(&mut tokens, "t4", "t5"), s1());
}

#[test]
fn isr_r5_whichever_token_is_exposed_all_of_its_session_die() {
    for exposed in ["t0", "t1"] {
        let mut tokens = one(Rotation::GraceUntilConfirmed);
        tokens.issue(hash("other"), &juliet(), "s2", END);
        assert_eq!(show(&mut tokens, "t0", "t1"), s1());
        tokens.revoke(&claim(exposed));
        assert_eq!(show(&mut tokens, "t0", "t2"), Err(Refused::Unknown));
        assert_eq!(show(&mut tokens, "t1", "t2"), Err(Refused::Unknown));
        assert_eq!(tokens.len(), 1);
        tokens.revoke(&claim("never issued"));
        assert_eq!(tokens.len(), 1);
    }
}

#[test]
fn revoking_takes_a_session_or_an_account_and_leaves_the_others() {
    let full = || {
        let mut tokens = one(Rotation::default());
        tokens.issue(hash("j2"), &juliet(), "s2", END);
        tokens.issue(hash("r"), &jid("romeo@montague.lit/x"), "s3", END);
        tokens
    };
    let mut tokens = full();
    tokens.revoke_session("s2");
    assert_eq!(show(&mut tokens, "j2", "n"), Err(Refused::Unknown));
    assert_eq!(show(&mut tokens, "t0", "n"), s1());
    let mut tokens = full();
    tokens.revoke_account(&jid("juliet@capulet.lit/balcony"));
    assert_eq!(tokens.len(), 1);
    let romeo = jid("romeo@montague.lit");
    let swapped = tokens.swap(&claim("r"), hash("n"), Some(&romeo), NOW);
    assert_eq!(swapped, Ok("s3".to_owned()));
}

#[test]
fn a_token_stands_for_one_session_and_a_session_has_one() {
    let mut tokens = one(Rotation::default());
    tokens.issue(hash("again"), &juliet(), "s1", END);
    assert_eq!(show(&mut tokens, "t0", "n"), Err(Refused::Unknown));
    tokens.issue(hash("again"), &juliet(), "s2", END);
    assert_eq!(tokens.len(), 1);
    assert_eq!(show(&mut tokens, "again", "n"), Ok("s2".to_owned()));
}

#[test]
fn isr_15_a_fresh_token_that_is_known_is_not_fresh_and_nothing_changes() {
    for rotation in [Rotation::SingleUse, Rotation::GraceUntilConfirmed] {
        let mut tokens = one(rotation);
        tokens.issue(hash("other"), &juliet(), "s2", END);
        let before = tokens.clone();
        for known in ["t0", "other"] {
            assert_eq!(show(&mut tokens, "t0", known), Err(Refused::NotFresh));
        }
        assert_eq!(tokens, before);
    }
}

#[test]
fn the_peer_is_told_the_same_for_every_claim_that_is_no_good() {
    let session = "s1".to_owned();
    for refused in [
        Refused::Unknown,
        Refused::Account,
        Refused::Expired { session },
    ] {
        assert_eq!(refused.condition(), "item-not-found");
    }
    assert_eq!(Refused::NotFresh.condition(), "internal-server-error");
}

#[test]
fn a_store_comes_back_from_its_bytes_and_from_no_others() {
    let mut tokens = one(Rotation::GraceUntilConfirmed);
    show(&mut tokens, "t0", "t1").unwrap();
    let forever = Instant::from_epoch(Duration::MAX);
    tokens.issue(hash("other"), &jid("romeo@montague.lit"), "s2", forever);
    let bytes = tokens.to_bytes();
    assert_eq!(Tokens::from_bytes(&bytes), Ok(tokens));
    for cut in 0..bytes.len() {
        assert!(Tokens::from_bytes(&bytes[..cut]).is_err());
    }
    assert_eq!(
        Tokens::from_bytes(b"OTIS\x09"),
        Err(StoredError::Version(9))
    );
    let empty = Tokens::default();
    assert_eq!(Tokens::from_bytes(&empty.to_bytes()), Ok(empty));
}

/// What this store never writes is not read: of two records of one session, or two that one token opens, one is a forgery.
#[test]
fn a_store_with_a_session_or_a_token_twice_is_refused() {
    let mut tokens = Tokens::default();
    for (token, session) in [("a", "s1"), ("b", "s2")] {
        tokens.issue(hash(token), &juliet(), session, END);
    }
    let bytes = tokens.to_bytes();
    let with = |old: &[u8], new: &[u8]| {
        let mut bytes = bytes.to_vec();
        let at = bytes.windows(old.len()).position(|part| part == old);
        bytes[at.unwrap()..][..old.len()].copy_from_slice(new);
        Tokens::from_bytes(&bytes)
    };
    assert_eq!(with(b"s2", b"s3").map(|read| read.len()), Ok(2));
    assert_eq!(with(b"s2", b"s1"), Err(StoredError::Foreign));
    let (a, b) = (hash("a"), hash("b"));
    assert_eq!(with(b.as_bytes(), a.as_bytes()), Err(StoredError::Foreign));
}
