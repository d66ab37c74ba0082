//! A server with a store, a client with a wallet, and the mechanism between them.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use minidom::Element;
use onetrip_fast::{
    Action, Attempt, DateTime, Feature, Initiator, Login, Policy, Receiver, Refused, Terms, Tokens,
    Wallet,
};
use onetrip_stream::{Env, Instant, Jid, Prover, ResponderProof, Secret, TokenProof};

pub(crate) const CLIENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";
pub(crate) const NONE: &str = "HT-SHA-256-NONE";
pub(crate) const EXPORTER: &str = "HT-SHA-256-EXPR";
/// What the channel yields where the mechanism binds to it.
const CHANNEL: &[u8] = b"channel";

pub(crate) fn at(seconds: u64) -> DateTime {
    DateTime::from_unix_seconds(1_600_000_000).after(seconds)
}

/// Bytes that are never the same for two numbers.
fn numbered(number: u64) -> impl FnMut(&mut [u8]) {
    move |out| {
        for (byte, of) in out.iter_mut().zip(number.to_be_bytes().iter().cycle()) {
            *byte = *of;
        }
    }
}

pub(crate) fn juliet() -> Jid {
    "juliet@capulet.lit".parse().unwrap()
}

/// Tokens for 100 seconds, replaced in the last 50.
pub(crate) fn terms() -> Terms {
    Terms::new(100, 50)
}

pub(crate) struct World {
    pub(crate) tokens: Tokens,
    pub(crate) feature: Feature,
    pub(crate) policy: Policy,
    pub(crate) wallet: Wallet,
    pub(crate) now: DateTime,
    seed: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            tokens: Tokens::new(terms()),
            feature: Feature::new([EXPORTER, NONE]).with_early_data(),
            policy: Policy::new([NONE]).with_early_data(),
            wallet: Wallet::default(),
            now: at(0),
            seed: 0,
        }
    }

    /// A client that has logged in by password and got a token.
    pub(crate) fn with_token() -> Self {
        let mut world = Self::new();
        let kept = world.password();
        assert!(kept);
        world
    }

    pub(crate) fn client(&self) -> Initiator {
        let mut wallet = self.wallet.clone();
        wallet.set_early(self.feature.early);
        Initiator::new(wallet, self.policy.clone())
    }

    /// A login by password that asks for a token; whether one was kept.
    pub(crate) fn password(&mut self) -> bool {
        let mut client = self.client();
        let asked: Vec<Element> = client.request(&self.feature).into_iter().collect();
        let mut server = Receiver::new(self.feature.clone());
        let answers = self.finish(&mut server, &asked);
        let kept = client.handle(&answers).unwrap();
        self.wallet = Wallet::from_bytes(&client.into_wallet().to_bytes()).unwrap();
        kept
    }

    pub(crate) fn finish(&mut self, server: &mut Receiver, inline: &[Element]) -> Vec<Element> {
        let account = juliet();
        let now = self.now;
        self.seed = self.seed.saturating_add(1);
        let seed = self.seed;
        let mut entropy = numbered(seed);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        server.authenticated(env, &Attempt::new(&account, Some(CLIENT), inline));
        loop {
            match server.poll_action().unwrap() {
                Action::Issue(issue) => server.issued(self.tokens.issue(&issue, now)),
                Action::Answer(answers) => return answers,
                other => panic!("{other:?}"),
            }
        }
    }

    /// What the server makes of a login by token: the proof and the answers, or why not.
    pub(crate) fn serve(
        &mut self,
        login: &Login,
        inline: &[Element],
        early: bool,
    ) -> Result<(ResponderProof, Vec<Element>), Refused> {
        let account: Jid = "juliet@capulet.lit/balcony".parse().unwrap();
        let attempt = Attempt::new(&account, Some(CLIENT), inline);
        let attempt = if early { attempt.early() } else { attempt };
        self.seed = self.seed.saturating_add(1);
        let seed = self.seed;
        let mut entropy = numbered(seed);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let mut server = Receiver::new(self.feature.clone());
        server.login(env, &attempt, &login.mechanism, proof(login));
        loop {
            match server.poll_action().unwrap() {
                Action::Swap(swap) => {
                    assert!(server.is_deciding());
                    server.swapped(self.tokens.swap(&swap, self.now));
                    self.tokens = Tokens::from_bytes(&self.tokens.to_bytes()).unwrap();
                }
                Action::Refused(refused) => return Err(refused),
                Action::Proved(proof) => return Ok((proof, self.finish(&mut server, inline))),
                other => panic!("{other:?}"),
            }
        }
    }

    /// A whole login by token, whose answer arrives or is lost; whether a new token was kept.
    pub(crate) fn token(&mut self, arrives: bool) -> Result<bool, Refused> {
        let mut client = self.client();
        let login = client.login(self.now).unwrap();
        self.wallet = client.wallet().clone();
        let inline = [login.element.clone()];
        let served = self.serve(&login, &inline, login.early);
        let kept = match served {
            Err(refused) => {
                client.refused();
                Err(refused)
            }
            Ok(_) if !arrives => return Ok(false),
            Ok((proof, answers)) => {
                assert!(proof.is_of(login.token.secret(), bound(&login)));
                Ok(client.handle(&answers).unwrap())
            }
        };
        self.wallet = Wallet::from_bytes(&client.into_wallet().to_bytes()).unwrap();
        kept
    }
}

fn bound(login: &Login) -> &'static [u8] {
    match login.mechanism.as_str() {
        NONE => b"",
        _ => CHANNEL,
    }
}

pub(crate) fn proof(login: &Login) -> TokenProof {
    let bound = bound(login);
    let mac = TokenProof::prove(login.token.secret(), Prover::Initiator, bound);
    TokenProof::new(Secret::new(mac.to_vec()), Secret::new(bound.to_vec()))
}
