//! HT-SHA-256: a token is proved by a hash, in one round trip (draft-schmaus-kitten-sasl-ht).

use onetrip_stream::{Prover, ResponderProof, Secret, TokenProof};

use super::{ChannelBinding, Error, Mechanism, Refusal};

/// How the messages are laid out. Later drafts put more into them; a server and its clients have to mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HtVersion {
    /// `authcid NUL HMAC(token, "Initiator" || data)`, answered by `HMAC(token, "Responder" || data)` (draft -09).
    #[default]
    Draft09,
}

/// What a mechanism binds to: nothing, or what the TLS session yields; `None` when it yields nothing.
fn bound(mechanism: Mechanism, binding: Option<&ChannelBinding>) -> Option<Secret> {
    match mechanism.binding_type() {
        None => Some(Secret::default()),
        Some(kind) => binding?.data(kind).cloned(),
    }
}

/// The client, which waits for the server's proof.
#[derive(Debug)]
pub(crate) struct Client {
    token: Secret,
    bound: Secret,
    version: HtVersion,
    proved: bool,
}

impl Client {
    /// `None` when the channel does not yield what the mechanism binds to.
    pub(crate) fn new(
        version: HtVersion,
        mechanism: Mechanism,
        token: Secret,
        binding: Option<&ChannelBinding>,
    ) -> Option<Self> {
        Some(Self {
            token,
            bound: bound(mechanism, binding)?,
            version,
            proved: false,
        })
    }

    /// The only message.
    pub(crate) fn first(&self, username: &str) -> Secret {
        let HtVersion::Draft09 = self.version;
        let proof = TokenProof::prove(&self.token, Prover::Initiator, self.bound.expose());
        Secret::new([username.as_bytes(), b"\0", &proof].concat())
    }

    /// Checks that the server knows the token too.
    pub(crate) fn server_final(&mut self, message: &[u8]) -> Result<(), Error> {
        let HtVersion::Draft09 = self.version;
        let proof = ResponderProof::read(message);
        self.proved = proof.is_some_and(|proof| proof.is_of(&self.token, self.bound.expose()));
        self.proved.then_some(()).ok_or(Error::ServerSignature)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.proved
    }
}

/// Reads the client's message: who it says it is, and its proof.
pub(crate) fn read(
    version: HtVersion,
    mechanism: Mechanism,
    message: &[u8],
    binding: Option<&ChannelBinding>,
) -> Result<(String, TokenProof), Refusal> {
    let HtVersion::Draft09 = version;
    let mut parts = message.splitn(2, |byte| *byte == 0);
    let (Some(username), Some(mac)) = (parts.next(), parts.next()) else {
        return Err(Refusal::MalformedRequest);
    };
    let username = core::str::from_utf8(username)
        .ok()
        .filter(|username| !username.is_empty());
    let (Some(username), 32) = (username, mac.len()) else {
        return Err(Refusal::MalformedRequest);
    };
    // Promised before the handshake ended, and then there was nothing to bind to.
    let bound = bound(mechanism, binding).ok_or(Refusal::TemporaryAuthFailure)?;
    let proof = TokenProof::new(Secret::new(mac.to_vec()), bound);
    Ok((username.to_owned(), proof))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use onetrip_stream::Token;

    const TOKEN: &str = "a0b9162d-0981-4c7d-9174-1f55aedd1f52";

    fn binding() -> ChannelBinding {
        ChannelBinding::tls_exporter(Secret::new((0..32).collect()))
            .with_tls_server_end_point(Secret::from("certificate"))
    }

    fn client(mechanism: Mechanism) -> Client {
        let token = Secret::from(TOKEN);
        Client::new(HtVersion::Draft09, mechanism, token, Some(&binding())).unwrap()
    }

    /// Digest §7.1.
    #[test]
    fn vectors_of_draft_09() {
        let first = client(Mechanism::HtSha256None).first("juliet");
        assert_eq!(
            STANDARD.encode(first.expose()),
            "anVsaWV0APy5FcnXSF//dEgzUXjvtyVor3fVFhIpbdfJJzJ/5WkA"
        );
        let bound = client(Mechanism::HtSha256Exporter).first("juliet");
        assert_eq!(
            STANDARD.encode(&bound.expose()[7..]),
            "cas2YKjbxQnoasTO2+c2MzZAulVrjjlcEPktyOwItQg="
        );
    }

    #[test]
    fn each_end_proves_the_token_to_the_other() {
        for mechanism in Mechanism::TOKEN {
            let mut client = client(mechanism);
            let first = client.first("juliet");
            let (username, proof) = read(
                HtVersion::Draft09,
                mechanism,
                first.expose(),
                Some(&binding()),
            )
            .unwrap();
            assert_eq!(username, "juliet");
            let answer = proof.check(&Token::read(TOKEN).unwrap()).unwrap();
            assert!(!client.is_done());
            assert_eq!(client.server_final(answer.as_bytes()), Ok(()));
            assert!(client.is_done());
        }
    }

    #[test]
    fn a_wrong_responder_proof_is_an_error_and_the_clients_own_is_wrong_too() {
        let own = client(Mechanism::HtSha256None).first("j").expose()[2..].to_vec();
        for wrong in [&b""[..], &own, &[0; 32], &[0; 33]] {
            let mut client = client(Mechanism::HtSha256None);
            assert_eq!(client.server_final(wrong), Err(Error::ServerSignature));
            assert!(!client.is_done());
        }
    }

    #[test]
    fn a_proof_for_one_channel_is_none_for_another() {
        let token = Token::read(TOKEN).unwrap();
        let first = client(Mechanism::HtSha256Exporter).first("juliet");
        for other in [Mechanism::HtSha256None, Mechanism::HtSha256EndPoint] {
            let version = HtVersion::Draft09;
            let (_, proof) = read(version, other, first.expose(), Some(&binding())).unwrap();
            assert!(proof.check(&token).is_none(), "{other}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let read =
            |message: &[u8]| read(HtVersion::Draft09, Mechanism::HtSha256None, message, None);
        let with = |name: &[u8], length: usize| [name, b"\0", &vec![1; length]].concat();
        assert!(read(&with(b"juliet", 32)).is_ok());
        // The proof is whatever bytes it is, NUL among them.
        assert!(read(&[&b"juliet"[..], &[0; 33]].concat()).is_ok());
        for bad in [
            with(b"", 32),
            with(b"juliet", 31),
            with(b"juliet", 33),
            with(b"\xff", 32),
            vec![],
            vec![1; 40],
        ] {
            assert_eq!(read(&bad).unwrap_err(), Refusal::MalformedRequest);
        }
        let unbound = super::read(
            HtVersion::Draft09,
            Mechanism::HtSha256Exporter,
            &with(b"juliet", 32),
            None,
        );
        assert_eq!(unbound.unwrap_err(), Refusal::TemporaryAuthFailure);
    }
}
