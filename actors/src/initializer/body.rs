//! [`StartupBody`]: what a start-up task does, and how that is undone.

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::Value;

use crate::{
    agent::{TaskId, Timestamp},
    support::panic_text,
};

/// What a body is told.
#[derive(Debug, Clone)]
pub struct BodyContext {
    /// Its task.
    pub task: TaskId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the attempt will be given up.
    pub deadline: Option<Timestamp>,
    /// What the completed tasks before it returned, in the order the task names them; null is left out.
    pub inputs: Vec<(TaskId, Arc<Value>)>,
}

/// Work that ends well or with an error for people.
type Work<T> = Pin<Box<dyn Future<Output = Result<T, String>>>>;

/// A body at work.
pub type BodyFuture = Work<Value>;

/// What a start-up task does: called anew for every attempt, on the arbiter of the initializer, where its future stays. When
/// the attempt is given up, its future is dropped at its next await.
pub type Body = Arc<dyn Fn(BodyContext) -> BodyFuture + Send + Sync>;

/// What is told to whoever undoes a task.
#[derive(Debug, Clone)]
pub struct UndoContext {
    /// The task.
    pub task: TaskId,
    /// Which attempt to undo it this is, from 1.
    pub attempt: u32,
    /// When the attempt will be given up.
    pub deadline: Option<Timestamp>,
    /// What its body returned.
    pub result: Arc<Value>,
}

/// A body being undone.
pub type UndoFuture = Work<()>;

/// How what a task has done is undone, as [`Body`].
pub type Undo = Arc<dyn Fn(UndoContext) -> UndoFuture + Send + Sync>;

/// What a start-up task does, and how that is undone where start-up rolls back.
///
/// # Examples
/// ```
/// use phalanx_actors::initializer::StartupBody;
/// let body = StartupBody::new(|_| async { Ok(serde_json::json!({"port": 8080})) })
///     .undone_by(|undo| async move { Err(format!("{} cannot be undone", undo.result["port"])) });
/// assert!(body.is_reversible());
/// ```
#[derive(Clone)]
pub struct StartupBody {
    pub(super) body: Body,
    pub(super) undo: Option<Undo>,
}

impl StartupBody {
    /// A body that is not undone.
    pub fn new<F>(body: impl Fn(BodyContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, String>> + 'static,
    {
        Self { body: Arc::new(move |context| Box::pin(body(context))), undo: None }
    }

    /// The same body, undone so.
    pub fn undone_by<F>(self, undo: impl Fn(UndoContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        Self { undo: Some(Arc::new(move |context| Box::pin(undo(context)))), ..self }
    }

    /// Whether there is a way to undo it.
    pub fn is_reversible(&self) -> bool {
        self.undo.is_some()
    }
}

impl From<Body> for StartupBody {
    fn from(body: Body) -> Self {
        Self { body, undo: None }
    }
}

impl fmt::Debug for StartupBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartupBody").field("is_reversible", &self.is_reversible()).finish_non_exhaustive()
    }
}

/// Work whose panics are errors. It is begun by the call that makes it, so that this may panic as well.
pub(super) struct Guarded<T>(Option<Work<T>>, Option<String>);

pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    format!("body panicked: {}", panic_text(panic))
}

impl<T> Guarded<T> {
    pub(super) fn new(begin: impl FnOnce() -> Work<T>) -> Self {
        match catch_unwind(AssertUnwindSafe(begin)) {
            Ok(work) => Self(Some(work), None),
            Err(panic) => Self(None, Some(panicked(&*panic))),
        }
    }
}

impl<T> Future for Guarded<T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(Err(self.1.take().unwrap_or_else(|| "it has ended before".to_owned())));
        };
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
    }
}
