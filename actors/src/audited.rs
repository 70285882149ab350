//! The only unsafe code of the crate: values bound to one arbiter's thread, and the exchange of an actor's instance.
//!
//! Both exist because an actix arbiter is one thread: what belongs to an arbiter needs no lock there, and an actor
//! that panicked must be replaced inside the `ContextFut` that owns its mailbox, which offers no door to it.
//!
//! **Invariant.** A [`ArbiterBound`] value is read only on the thread that made it; [`exchange_instance`] writes only
//! where an instance of the same type was seen by the future that is being written to.

#![expect(unsafe_code, reason = "see the safety comments; everything else in the crate is safe")]

use std::{
    cell::Cell,
    mem::{ManuallyDrop, size_of},
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering},
};

use actix::{Actor, Context, dev::ContextFut};

/// Identifies one thread for the life of the process; never used again after the thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ThreadToken(NonZeroU64);

impl ThreadToken {
    /// The token of the calling thread.
    #[inline]
    pub(crate) fn current() -> Self {
        thread_local! {
            static TOKEN: Cell<Option<NonZeroU64>> = const { Cell::new(None) };
        }
        #[cold]
        fn assign() -> ThreadToken {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            let token =
                NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed)).expect("2^64 threads never exist");
            TOKEN.set(Some(token));
            ThreadToken(token)
        }
        match TOKEN.get() {
            Some(token) => Self(token),
            None => assign(),
        }
    }
}

/// A value that lives with one arbiter's thread but may be *held* by any.
///
/// Dropping it elsewhere leaks the value instead of running its destructor there; owners empty it first.
pub(crate) struct ArbiterBound<T> {
    owner: ThreadToken,
    value: ManuallyDrop<T>,
}

// SAFETY: `value` is reached only through `get`, which checks that the calling thread is the one that made it, and
// through `drop`, which checks the same. Other threads only ever move or compare `owner`.
unsafe impl<T> Send for ArbiterBound<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for ArbiterBound<T> {}

impl<T> ArbiterBound<T> {
    /// Binds a value to the calling thread.
    pub(crate) fn new(value: T) -> Self {
        Self { owner: ThreadToken::current(), value: ManuallyDrop::new(value) }
    }

    /// The value, when called on its own thread.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        (self.owner == ThreadToken::current()).then(|| &*self.value)
    }
}

impl<T> Drop for ArbiterBound<T> {
    fn drop(&mut self) {
        if self.owner == ThreadToken::current() {
            // SAFETY: dropped once, here, and on its own thread.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// Where inside its `ContextFut` an actor's instance lies, as seen by something that was polled with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InstanceAddress(usize);

impl InstanceAddress {
    /// Notes the address of a live instance.
    #[inline]
    pub(crate) fn of<A>(instance: &A) -> Self {
        Self(std::ptr::from_ref(instance) as usize)
    }
}

/// Puts `fresh` in place of the instance inside `future` and gives the old one back.
///
/// `seen` is the address at which a future spawned on this very context last saw its actor. Answers `Err(fresh)` when
/// that address does not lie inside `future`, in which case nothing was changed.
pub(crate) fn exchange_instance<A>(
    future: &mut ContextFut<A, Context<A>>,
    seen: InstanceAddress,
    fresh: A,
) -> Result<A, A>
where
    A: Actor<Context = Context<A>>,
{
    let base = std::ptr::from_mut(future);
    let inside = seen
        .0
        .checked_sub(base as usize)
        .filter(|offset| offset + size_of::<A>() <= size_of::<ContextFut<A, Context<A>>>());
    match inside {
        Some(offset) => {
            // The offset was checked above; `wrapping_byte_add` itself promises nothing.
            let place = base.wrapping_byte_add(offset).cast::<A>();
            // SAFETY: `seen` was taken from a `&mut A` that `ContextFut::poll` lent to a future of this context, so an
            // initialised `A` lies at that address; the future has not moved since (it is pinned in its task, and the
            // check above finds the address inside it). `base` comes from an exclusive borrow, so nothing else refers
            // to the instance, and the offset stays within the one allocation that `base` points to.
            let old = unsafe { place.replace(fresh) };
            Ok(old)
        }
        None => Err(fresh),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_bound_value_is_reached_only_on_its_own_thread() {
        let bound = std::sync::Arc::new(ArbiterBound::new(Cell::new(7)));
        assert_eq!(bound.get().map(Cell::get), Some(7));
        let elsewhere = bound.clone();
        std::thread::spawn(move || assert!(elsewhere.get().is_none())).join().unwrap();
    }

    #[test]
    fn a_bound_value_dropped_on_another_thread_is_not_destroyed_there() {
        let value = Rc::new(());
        let bound = ArbiterBound::new(value.clone());
        std::thread::spawn(move || drop(bound)).join().unwrap();
        assert_eq!(Rc::strong_count(&value), 2, "the destructor must not run on a foreign thread");
        drop(ArbiterBound::new(value.clone()));
        assert_eq!(Rc::strong_count(&value), 2);
    }

    #[test]
    fn threads_never_share_a_token() {
        let here = ThreadToken::current();
        let there = std::thread::spawn(ThreadToken::current).join().unwrap();
        assert_ne!(here, there);
        assert_eq!(here, ThreadToken::current());
    }

    struct Probe(u32);
    impl Actor for Probe {
        type Context = Context<Self>;
    }

    #[test]
    fn an_address_outside_the_future_is_refused() {
        actix_rt::System::new().block_on(async {
            let mut future = Context::new().into_future(Probe(1));
            let stray = Probe(2);
            let answer = exchange_instance(&mut future, InstanceAddress::of(&stray), Probe(3));
            assert!(matches!(answer, Err(Probe(3))));
            assert_eq!(stray.0, 2);
        });
    }
}
