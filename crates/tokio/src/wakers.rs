//! The two tasks that may wait for one connection: whoever takes events and whoever sends stanzas.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Which of the two.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Events,
    Stanzas,
}

/// Wakes both: either drives all of the connection, so neither may take the other's place in what wakes it.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<[Option<Waker>; 2]>);

impl Wakers {
    /// Takes note of who waits, and gives what wakes both.
    pub(crate) fn waiting(self: &Arc<Self>, side: Side, waker: &Waker) -> Waker {
        let mut sides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [events, stanzas] = &mut *sides;
        let place = match side {
            Side::Events => events,
            Side::Stanzas => stanzas,
        };
        match place {
            Some(known) => known.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
        Waker::from(Arc::clone(self))
    }

    /// Something has happened that the other side may be waiting for.
    pub(crate) fn wake_other(&self, side: Side) {
        let mut sides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [events, stanzas] = &mut *sides;
        let other = match side {
            Side::Events => stanzas.take(),
            Side::Stanzas => events.take(),
        };
        drop(sides);
        if let Some(waker) = other {
            waker.wake();
        }
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        let sides = {
            let mut sides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *sides)
        };
        for waker in sides.into_iter().flatten() {
            waker.wake();
        }
    }
}
