//! [`Tables`]: the router's tables and the lock around them; [`Lease`]: what the publishers of a route hold together, whose
//! end closes the route.
//!
//! ```text
//! last Publisher dropped ──> Lease::drop ──> `left` ──┬─ tables free: closed now
//!  (any thread, any lock held)                        └─ tables held: closed by whoever lets go of them
//! ```
//!
//! A publisher may be dropped where the tables are held by the very thread that drops it: in the destructor of something
//! that the router takes out, in a predicate. So a drop never waits for them. What the router takes out is dropped when the
//! tables are free again, for the same reason.
//!
//! **Invariant.** A route whose publishers are gone leaves the tables no later than they are free next, unless it was opened
//! again or keeps a history. Either whoever drops the lease finds the tables free, or whoever holds them looks at `left`
//! after it has let go: `left` has a lock of its own, so when that look misses the entry, it came before it, the tables were
//! free before it, and the drop, which tries them after it, finds them free, or held by somebody who will look later.

use std::{
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
};

use super::{
    entry::Entry,
    members::Member,
    predicate::{Predicate, refuse_inside},
    publisher::RouteCell,
    routes::Routes,
};
use crate::{agent::AgentId, inbox::Hub};

/// The router's tables.
pub(crate) struct Tables {
    routes: Mutex<Routes>,
    /// Routes whose publishers are gone. Nothing else is locked and nothing foreign runs while this is held.
    left: Mutex<Vec<u32>>,
}

/// What was taken out of the tables and is to be dropped when they are free: destructors are foreign.
#[derive(Default)]
pub(crate) struct Trash {
    pub(crate) entries: Vec<Entry>,
    pub(crate) members: Vec<Member>,
    pub(crate) predicates: Vec<Predicate>,
}

impl Trash {
    fn empty(self) {
        fn one_by_one<T>(held: Vec<T>) {
            for one in held {
                if catch_unwind(AssertUnwindSafe(|| drop(one))).is_err() {
                    tracing::error!("the destructor of something that left the routes panicked");
                }
            }
        }
        one_by_one(self.entries);
        one_by_one(self.members);
        one_by_one(self.predicates);
    }
}

impl Tables {
    pub(crate) fn new(hub: Arc<Hub>) -> Arc<Self> {
        Arc::new_cyclic(|tables| Self {
            routes: Mutex::new(Routes::new(hub, tables.clone())),
            left: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { tables: self, routes: Some(routes) }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Routes>> {
        match self.routes.try_lock() {
            Ok(routes) => Some(routes),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn left(&self) -> MutexGuard<'_, Vec<u32>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what its publishers left, as long as the tables are free.
    fn tidy(&self) {
        while !self.left().is_empty() {
            let Some(routes) = self.try_lock() else { return };
            self.let_go(routes);
        }
    }

    /// Closes what its publishers left, frees the tables, then drops what was taken out.
    fn let_go(&self, mut routes: MutexGuard<'_, Routes>) {
        let left = std::mem::take(&mut *self.left());
        for key in left {
            routes.close(key);
        }
        let trash = routes.take_trash();
        drop(routes);
        trash.empty();
    }
}

/// The tables, held.
pub(crate) struct Locked<'a> {
    tables: &'a Tables,
    routes: Option<MutexGuard<'a, Routes>>,
}

impl Deref for Locked<'_> {
    type Target = Routes;

    fn deref(&self) -> &Routes {
        self.routes.as_ref().expect("taken by the drop alone")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Routes {
        self.routes.as_mut().expect("taken by the drop alone")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(routes) = self.routes.take() {
            self.tables.let_go(routes);
            self.tables.tidy();
        }
    }
}

/// What the publishers of a route hold together.
pub(crate) struct Lease {
    /// Weak, because agents hold publishers and the tables hold agents.
    tables: Weak<Tables>,
    key: u32,
}

impl Lease {
    pub(crate) fn new(tables: Weak<Tables>, key: u32) -> Arc<Self> {
        Arc::new(Self { tables, key })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(tables) = self.tables.upgrade() {
            tables.left().push(self.key);
            tables.tidy();
        }
    }
}

/// A route that stays open as long as this is held.
#[derive(Clone)]
pub(crate) struct OpenRoute {
    cell: Arc<RouteCell>,
    lease: Arc<Lease>,
}

impl OpenRoute {
    pub(crate) fn new(cell: Arc<RouteCell>, lease: Arc<Lease>) -> Self {
        Self { cell, lease }
    }

    /// Those that the route's selector names by id and that do not exist.
    pub(crate) fn missing(&self) -> Vec<AgentId> {
        refuse_inside();
        self.lease.tables.upgrade().map_or_else(Vec::new, |tables| tables.lock().missing(self.lease.key))
    }

    /// Makes the pool of those from whom one can be chosen, unless it is there.
    pub(crate) fn open_pool(&self) {
        refuse_inside();
        if let Some(tables) = self.lease.tables.upgrade() {
            tables.lock().open_pool(self.lease.key);
        }
    }

    /// Whether the route's selector leads to agents none of whom accepts its message type. With everyone those who do not
    /// accept it are not meant.
    #[cold]
    pub(crate) fn is_misdirected(&self) -> bool {
        refuse_inside();
        self.lease.tables.upgrade().is_some_and(|tables| tables.lock().leads_to_others(self.lease.key))
    }
}

impl Deref for OpenRoute {
    type Target = RouteCell;

    #[inline]
    fn deref(&self) -> &RouteCell {
        &self.cell
    }
}
