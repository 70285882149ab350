//! [`Predicate`]: which messages of a type a subscription is for.

use std::{
    any::{Any, TypeId},
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::agent::short_type_name;

thread_local! {
    static TESTING: Cell<bool> = const { Cell::new(false) };
}

type Test = dyn Fn(&dyn Any) -> bool + Send + Sync;

/// Decides by its content whether a subscriber gets a message of one type.
///
/// It is asked on the publisher's thread while the routes are held, so it must be quick and must look at nothing but the
/// message. One that publishes, subscribes or looks somebody up panics; one that panics does not pass, which is logged.
#[derive(Clone)]
pub struct Predicate {
    message: TypeId,
    name: &'static str,
    test: Arc<Test>,
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({})", self.name)
    }
}

impl Predicate {
    /// Passes messages of type `M` that `test` answers true to, and all messages of other types.
    pub fn new<M: 'static>(test: impl Fn(&M) -> bool + Send + Sync + 'static) -> Self {
        Self {
            message: TypeId::of::<M>(),
            name: short_type_name::<M>(),
            test: Arc::new(move |message| message.downcast_ref().is_none_or(&test)),
        }
    }

    /// Whether it has a say about messages of this type.
    pub(crate) fn concerns(&self, message: TypeId) -> bool {
        self.message == message
    }

    pub(crate) fn passes(&self, message: &dyn Any) -> bool {
        let _outer = Testing(TESTING.replace(true));
        catch_unwind(AssertUnwindSafe(|| (self.test)(message))).unwrap_or_else(|_| {
            tracing::error!(
                message = self.name,
                "the predicate of a subscription panicked: it does not pass"
            );
            false
        })
    }
}

/// Puts the mark back as it was.
struct Testing(bool);

impl Drop for Testing {
    fn drop(&mut self) {
        TESTING.set(self.0);
    }
}

/// Called before anything is locked that may be held while predicates are asked.
///
/// # Panics
/// Inside a predicate.
#[inline]
pub(crate) fn refuse_inside() {
    assert!(
        !TESTING.get(),
        "the predicate of a subscription used the host: let it look at nothing but the message"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predicate_has_a_say_about_its_own_type_only_and_one_that_panics_does_not_pass() {
        let even = Predicate::new(|number: &u32| number.is_multiple_of(2));
        assert!(even.passes(&2u32) && !even.passes(&3u32) && even.passes(&"three"));
        assert!(even.concerns(TypeId::of::<u32>()) && !even.concerns(TypeId::of::<u64>()));
        let nested = Predicate::new(move |number: &u32| {
            even.passes(number);
            refuse_inside();
            true
        });
        assert!(!nested.passes(&2u32), "it used the host");
        refuse_inside();
    }
}
