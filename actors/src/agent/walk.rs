//! [`run`]: an agent's walk over a batch that it shares with others.
//!
//! ```text
//! Rc<Batch<M>> --position--> was it here before? overdue? objected to? --Passed--> the handler
//!                                      \--> lost, noted in the Stint
//! ```
//!
//! **Invariant.** The position moves on before each message, so that one at which the walk unwinds is not met again.

use std::{any::Any, rc::Rc, sync::Arc};

use super::{
    Batch, Objection, Parcel, Passage, Reason,
    envelope::{Stint, lost_parcel},
    intervention::Shown,
};

/// What of a message reaches the handler.
pub(super) enum Passed<M> {
    /// The message at this position of the batch.
    Original(u16),
    Rewritten(Parcel<M>),
}

pub(super) fn unpacked<M: Send + Sync + 'static>(batch: &Rc<dyn Any>) -> Rc<Batch<M>> {
    Rc::clone(batch).downcast().expect("a route carries one message type")
}

/// Walks over a batch until its end, the end of the stint, a preemption, or until `handle` says that its context waits.
#[inline]
pub(super) fn run<M>(
    batch: &Batch<M>,
    at: &mut u16,
    stint: &mut Stint<'_>,
    mut handle: impl FnMut(Passed<M>, &mut Stint<'_>) -> bool,
) where
    M: Send + Sync + 'static,
{
    let count = u32::try_from(batch.parcels.len()).expect("batches are bounded");
    let until = u16::try_from(count.min(u32::from(*at) + stint.left)).expect("batches are bounded");
    let plain =
        stint.interventions.is_empty() && stint.repeats.is_none() && !batch.may_expire(|| (stint.now)());
    while *at < until {
        let now = *at;
        stint.at = now;
        *at += 1;
        let passed = if plain {
            Passed::Original(now)
        } else {
            match inspect(batch, now, stint) {
                Some(passed) => passed,
                None => continue,
            }
        };
        if handle(passed, stint) || stint.preempt.get() {
            break;
        }
    }
}

/// What of a message reaches the handler: nothing when it was there before, is overdue or an intervention objects.
#[inline(never)]
fn inspect<M>(batch: &Batch<M>, at: u16, stint: &mut Stint<'_>) -> Option<Passed<M>>
where
    M: Send + Sync + 'static,
{
    let parcel = &batch.parcels[usize::from(at)];
    if stint.repeats.is_some_and(|repeats| repeats(at)) {
        stint.lose(lost_parcel(parcel, Reason::Duplicate, None));
        return None;
    }
    if stint.is_overdue(&parcel.meta) {
        stint.lose(lost_parcel(parcel, Reason::Expired, None));
        return None;
    }
    if stint.interventions.is_empty() {
        return Some(Passed::Original(at));
    }
    match intervene(parcel, stint) {
        Ok(None) => Some(Passed::Original(at)),
        Ok(Some(parcel)) => Some(Passed::Rewritten(parcel)),
        Err(objection) => {
            stint.lose(lost_parcel(parcel, Reason::Intervened, Some(objection)));
            None
        }
    }
}

fn intervene<M>(parcel: &Arc<Parcel<M>>, stint: &Stint<'_>) -> Result<Option<Parcel<M>>, Objection>
where
    M: Send + Sync + 'static,
{
    let mut replacement = None;
    let shown = Shown::Shared { message: &parcel.message, replacement: &mut replacement };
    stint.interventions.inbound(&mut Passage::new(Some(stint.me), None, &parcel.meta, shown))?;
    Ok(replacement.map(|message| {
        let message = *message.downcast::<M>().expect("only a message of the same type is taken");
        Parcel { meta: parcel.meta.clone(), message }
    }))
}
