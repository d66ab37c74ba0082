//! Which step of a negotiation needs, forbids and precedes which: the one table that knows more than one
//! specification.

use onetrip_stream::Condition;

/// What has been reached on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Facts(u8);

impl Facts {
    pub(crate) const NONE: Self = Self(0);
    /// The security layer is up, by STARTTLS or from the first byte.
    pub(crate) const SECURED: Self = Self(1);
    /// SASL has succeeded.
    pub(crate) const AUTHENTICATED: Self = Self(2);
    /// A resource is bound; between servers, the negotiation is over.
    pub(crate) const BOUND: Self = Self(4);
    /// Dialback has begun on this stream.
    pub(crate) const DIALED: Self = Self(8);

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reaches one more.
    pub(crate) const fn reach(&mut self, fact: Self) {
        self.0 |= fact.0;
    }

    /// Whether all of `other` has been reached.
    pub(crate) const fn have(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn have_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A step of a negotiation, as the receiving entity meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    StartTls,
    Sasl,
    Bind,
    Stanza,
    /// `<enable/>` of stream management.
    Enable,
    /// `<resume/>` of stream management.
    Resume,
    /// Counts and requests of stream management.
    Count,
}

struct Rule {
    step: Step,
    needs: Facts,
    forbids: Facts,
    /// The stream error for a peer that takes the step out of order.
    otherwise: Condition,
}

const TABLE: &[Rule] = &[
    // RFC 6120 §5.3.2: not twice, and not once authenticated.
    Rule {
        step: Step::StartTls,
        needs: Facts::NONE,
        forbids: Facts::SECURED.with(Facts::AUTHENTICATED),
        otherwise: Condition::UnsupportedStanzaType,
    },
    // RFC 6120 §6.3.4: after TLS; §6.3.3: not twice. Behind dialback its restart would take the stream id from under the
    // verifications that are on their way.
    Rule {
        step: Step::Sasl,
        needs: Facts::SECURED,
        forbids: Facts::AUTHENTICATED.with(Facts::DIALED),
        otherwise: Condition::NotAuthorized,
    },
    // RFC 6120 §7.2: after SASL; a second resource on a stream is not offered.
    Rule {
        step: Step::Bind,
        needs: Facts::SECURED.with(Facts::AUTHENTICATED),
        forbids: Facts::BOUND,
        otherwise: Condition::NotAuthorized,
    },
    // RFC 6120 §4.3.5: only when negotiation is complete.
    Rule {
        step: Step::Stanza,
        needs: Facts::SECURED.with(Facts::AUTHENTICATED).with(Facts::BOUND),
        forbids: Facts::NONE,
        otherwise: Condition::NotAuthorized,
    },
    // XEP-0198 §3: behind bind. The machine refuses what is out of order, and the stream goes on.
    Rule {
        step: Step::Enable,
        needs: Facts::SECURED.with(Facts::AUTHENTICATED).with(Facts::BOUND),
        forbids: Facts::NONE,
        otherwise: Condition::UnsupportedStanzaType,
    },
    // XEP-0198 §5, §10, QS-38: behind authentication, instead of bind.
    Rule {
        step: Step::Resume,
        needs: Facts::SECURED.with(Facts::AUTHENTICATED),
        forbids: Facts::BOUND,
        otherwise: Condition::UnsupportedStanzaType,
    },
    // RFC 6120 §4.3.5.
    Rule {
        step: Step::Count,
        needs: Facts::SECURED.with(Facts::AUTHENTICATED),
        forbids: Facts::NONE,
        otherwise: Condition::NotAuthorized,
    },
];

/// Whether a step is in order, or with which stream error it is answered.
pub(crate) fn check(step: Step, facts: Facts) -> Result<(), Condition> {
    match TABLE.iter().find(|rule| rule.step == step) {
        Some(rule) if facts.have(rule.needs) && !facts.have_any(rule.forbids) => Ok(()),
        Some(rule) => Err(rule.otherwise),
        None => Err(Condition::UndefinedCondition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_rule() {
        for step in [
            Step::StartTls,
            Step::Sasl,
            Step::Bind,
            Step::Stanza,
            Step::Enable,
            Step::Resume,
            Step::Count,
        ] {
            assert!(TABLE.iter().any(|rule| rule.step == step), "{step:?}");
        }
    }

    #[test]
    fn no_credentials_in_clear_and_no_stanza_before_bind() {
        let mut facts = Facts::NONE;
        assert_eq!(check(Step::Sasl, facts), Err(Condition::NotAuthorized));
        facts.reach(Facts::SECURED);
        assert_eq!(check(Step::Sasl, facts), Ok(()));
        assert_eq!(
            check(Step::StartTls, facts),
            Err(Condition::UnsupportedStanzaType)
        );
        assert_eq!(check(Step::Bind, facts), Err(Condition::NotAuthorized));
        assert!(check(Step::Resume, facts).is_err(), "QS-38");
        facts.reach(Facts::AUTHENTICATED);
        assert_eq!(check(Step::Bind, facts), Ok(()));
        assert_eq!(check(Step::Stanza, facts), Err(Condition::NotAuthorized));
        assert_eq!(check(Step::Resume, facts), Ok(()));
        assert!(check(Step::Enable, facts).is_err());
        facts.reach(Facts::BOUND);
        assert!(check(Step::Resume, facts).is_err());
        assert_eq!(check(Step::Enable, facts), Ok(()));
        assert_eq!(check(Step::Stanza, facts), Ok(()));
        assert_eq!(check(Step::Bind, facts), Err(Condition::NotAuthorized));
    }
}
