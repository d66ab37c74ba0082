//! **Negotiation**: STARTTLS, SASL and resource binding ([RFC 6120] §5 to §7), and what has come after it (XEP-0388,
//! XEP-0386), for both roles.
//!
//! ```text
//!  initiating                                    receiving
//!  features ─▶ starttls ── <starttls/> ────────▶ starttls      then TLS, and a new stream
//!  features ─▶ sasl     ── <auth/> ────────────▶ sasl   ──▶ Request: is it so? ──▶ the caller
//!              sasl     ◀─ <success/> ────────── sasl   ◀── Answer ◀──────────────
//!  features ─▶ bind     ── <iq><bind/></iq> ───▶ bind          a new stream, then the resource
//!  features ─▶ sasl2    ── <authenticate/> ────▶ sasl2, bind2  all of it in one, no new stream
//! ```
//!
//! Small machines for each role, each fed with first-level elements and answering with elements to send.
//! What needs the outside is asked for: a key derivation, a decision about credentials, a resource.
//!
//! | module | initiating entity | receiving entity |
//! |---|---|---|
//! | [`starttls`] | [`starttls::Initiator`] | [`starttls::Receiver`] |
//! | [`sasl`] | [`sasl::Initiator`] | [`sasl::Receiver`] |
//! | [`sasl2`] | [`sasl2::Initiator`] | [`sasl2::Receiver`] |
//! | [`bind`] | [`bind::Initiator`] | [`bind::Receiver`] |
//! | [`bind2`] | [`bind2::Initiator`] | [`bind2::Receiver`] |
//!
//! # The order of calls
//!
//! 1. Features arrive: [`starttls::offer`], then [`sasl2::Offer`] or the mechanisms, of which [`sasl::choose`] takes one.
//! 2. `handle(env, input)` with `Start`, then with each element of the machine's namespace.
//! 3. After each of these, `poll_action` until there is nothing: send, derive a key, decide.
//! 4. What was decided goes in as the next input. While a decision is pending, what arrives has to wait.
//!
//! ```
//! use onetrip_negotiation::sasl::*;
//! # use onetrip_stream::{Env, Instant, Secret};
//! # let mut entropy = |out: &mut [u8]| out.fill(7);
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! let config = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
//! let choice = choose(&config, &["PLAIN".to_owned()], &[], None, 0).unwrap();
//! let mut client = Initiator::new(&config, choice, None);
//! let mut server = Receiver::new(&ReceiverConfig::new(vec![Mechanism::Plain]), None, false);
//!
//! client.handle(env, Input::Start)?;
//! let Some(Action::Send { element: auth, .. }) = client.poll_action() else { panic!() };
//! server.handle(env, ReceiverInput::Element(&auth))?;
//! let Some(ReceiverAction::Request(Request::Password { username, .. })) = server.poll_action() else { panic!() };
//! server.handle(env, ReceiverInput::Answer(Answer::Accept { identity: username }))?;
//! let Some(ReceiverAction::Send(success)) = server.poll_action() else { panic!() };
//! client.handle(env, Input::Element(&success))?;
//! assert!(matches!(client.poll_action(), Some(Action::Event(Event::Authenticated { .. }))));
//! # Ok::<(), Error>(())
//! ```
//!
//! # States
//!
//! The table of each machine stands on the page of its module: [`sasl`], [`sasl2`], [`bind`], [`bind2`]. Explored from the machines themselves, and
//! drawn, they are in `docs/states.md` of the repository.
//!
//! # Mechanisms
//!
//! PLAIN (RFC 4616), EXTERNAL (RFC 4422), ANONYMOUS (RFC 4505) and, with the feature `scram`, SCRAM-SHA-1 and
//! SCRAM-SHA-256 with their -PLUS forms over `tls-exporter` (RFC 5802, RFC 7677, RFC 9266), with SASLprep
//! (RFC 4013), and HT-SHA-256 with NONE, ENDP and EXPR (draft-schmaus-kitten-sasl-ht-09), whose secret is a token.
//! Iteration counts are bounded both ways, every comparison of secrets takes constant time, secrets
//! are wiped and never printed.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | bytes of a SASL message | 8 KiB, in base64 |
//! | iterations of SCRAM | 4096 to 1,000,000 asked for or taken, by default |
//! | failures on one stream | 3, then it ends (RFC 6120 §6.4.5) |
//!
//! # Features
//!
//! `scram` brings the SCRAM and HT mechanisms and the cryptography they need. Without it a program that
//! authenticates by certificates alone does not carry it; a client with a password wants it.
//!
//! # Requirements
//!
//! XEP-0388, XEP-0386, XEP-0440, XEP-0474, XEP-0509; QS-15, QS-21 to QS-24, QS-27, QS-28, QS-R4; digest §3.1, §7.1.
//!
//! [RFC 6120]: https://www.rfc-editor.org/rfc/rfc6120

pub mod bind;
pub mod bind2;
pub mod sasl;
pub mod sasl2;
pub mod starttls;
