//! How many connections other servers may have with us, in total and from one address.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use onetrip_core::stream::{Condition, StreamError};

/// How many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) total: usize,
    pub(super) from_one_address: usize,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are too many.
    Total,
    /// There are too many from this address.
    Address,
}

impl Refusal {
    /// What the other server is told (RFC 6120 §4.9.3.17, §4.9.3.14).
    pub(super) fn error(self) -> StreamError {
        let (condition, text) = match self {
            Self::Total => (
                Condition::ResourceConstraint,
                "too many connections with other servers",
            ),
            Self::Address => (
                Condition::PolicyViolation,
                "too many connections from this address",
            ),
        };
        StreamError::new(condition).with_text(text)
    }
}

/// Counts those that there are.
#[derive(Debug)]
pub(super) struct Admission {
    most: Most,
    taken: RefCell<BTreeMap<IpAddr, usize>>,
}

impl Admission {
    pub(super) fn new(most: Most) -> Rc<Self> {
        let taken = RefCell::default();
        Rc::new(Self { most, taken })
    }

    /// A place for a connection from this address, as long as it is kept.
    pub(super) fn admit(self: &Rc<Self>, address: IpAddr) -> Result<Admitted, Refusal> {
        let mut taken = self.taken.borrow_mut();
        if taken.values().sum::<usize>() >= self.most.total {
            return Err(Refusal::Total);
        }
        let from_there = taken.entry(address).or_default();
        if *from_there >= self.most.from_one_address {
            return Err(Refusal::Address);
        }
        *from_there += 1;
        Ok(Admitted {
            admission: Rc::clone(self),
            address,
        })
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Rc<Admission>,
    address: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.borrow_mut();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_come_back() {
        let admission = Admission::new(Most {
            total: 3,
            from_one_address: 2,
        });
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let first = admission.admit(one).unwrap();
        let second = admission.admit(one).unwrap();
        assert_eq!(admission.admit(one).unwrap_err(), Refusal::Address);
        let third = admission.admit(other).unwrap();
        assert_eq!(admission.admit(other).unwrap_err(), Refusal::Total);
        drop(first);
        let again = admission.admit(one).unwrap();
        drop((second, third, again));
        assert!(admission.taken.borrow().is_empty());
    }
}
