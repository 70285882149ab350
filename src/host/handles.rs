//! What all clones of a [`Host`] share, and what follows when the last of them is dropped.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Weak, atomic::Ordering},
};

use super::{Host, Inner};

/// Shared by all clones of a host, but not by the host's own parts: dropped with the last clone.
pub(super) struct Handles(Arc<Inner>);

impl Handles {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl Deref for Handles {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        self.closing.store(true, Ordering::Release);
        let inner = self.0.clone();
        self.arbiters.run_on_first(move || {
            actix_rt::spawn(async move { inner.stop_at_once().await });
        });
    }
}

/// A host that is not kept running by this: for agents, and for what they hold.
///
/// # Examples
/// ```
/// phalanx::simulate(7, |host| async move {
///     let weak = host.downgrade();
///     assert!(weak.upgrade().is_some());
///     drop(host);
///     assert!(weak.upgrade().is_none());
///     Ok::<_, phalanx::HostError>(())
/// })?;
/// # Ok::<(), phalanx::HostError>(())
/// ```
#[derive(Clone)]
pub struct WeakHost {
    inner: Weak<Handles>,
}

impl WeakHost {
    /// The host, unless its last clone was dropped.
    pub fn upgrade(&self) -> Option<Host> {
        Some(Host { inner: self.inner.upgrade()? })
    }
}

impl fmt::Debug for WeakHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakHost")
    }
}

impl Host {
    /// The same host for those that must not keep it running.
    pub fn downgrade(&self) -> WeakHost {
        WeakHost { inner: Arc::downgrade(&self.inner) }
    }
}
