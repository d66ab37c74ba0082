//! **Negotiation**: STARTTLS, SASL and resource binding ([RFC 6120] §5 to §7), and what has come after it (XEP-0388,
//! XEP-0386), for both roles.
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
//! # Mechanisms
//!
//! PLAIN (RFC 4616), EXTERNAL (RFC 4422), ANONYMOUS (RFC 4505) and, with the feature `scram`, SCRAM-SHA-1 and
//! SCRAM-SHA-256 with their -PLUS forms over `tls-exporter` (RFC 5802, RFC 7677, RFC 9266), with SASLprep
//! (RFC 4013), and HT-SHA-256 with NONE, ENDP and EXPR (draft-schmaus-kitten-sasl-ht-09), whose secret is a token.
//! Iteration counts are bounded both ways, every comparison of secrets takes constant time, secrets
//! are wiped and never printed.
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
//!
//! The states of its machines, and what leads from one to the other, are drawn in `docs/states.md` of the repository, explored
//! from the machines themselves.

pub mod bind;
pub mod bind2;
pub mod sasl;
pub mod sasl2;
pub mod starttls;
