//! [`Trace`]: every event as one JSON object a line, in order.
//!
//! **Invariant.** The first write that fails is kept and reported; nothing is written after it.

use std::{
    fmt,
    io::{self, BufWriter, Write},
    sync::{Arc, Mutex, PoisonError},
};

use phalanx_actors::monitor::Event;

struct Sink {
    out: BufWriter<Box<dyn Write + Send>>,
    written: u64,
    fault: Option<io::Error>,
}

/// Where events are written to, if anywhere.
#[derive(Clone, Default)]
pub(super) struct Trace(Option<Arc<Mutex<Option<Sink>>>>);

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.0.is_some())
    }
}

impl Trace {
    pub(super) fn to(out: Option<Box<dyn Write + Send>>) -> Self {
        let sink = |out| Sink { out: BufWriter::with_capacity(1 << 16, out), written: 0, fault: None };
        Self(out.map(|out| Arc::new(Mutex::new(Some(sink(out))))))
    }

    /// Writes an event, unless the trace has ended or a write failed before.
    pub(super) fn write(&self, event: &Event) {
        let Some(sink) = &self.0 else { return };
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sink) = sink.as_mut().filter(|sink| sink.fault.is_none()) else { return };
        let mut line = event.to_json();
        line.push('\n');
        match sink.out.write_all(line.as_bytes()) {
            Ok(()) => sink.written += 1,
            Err(fault) => sink.fault = Some(fault),
        }
    }

    /// Ends the trace: what is buffered is written, what comes later is not.
    ///
    /// # Errors
    /// How many events were taken, and why not all of them were written.
    pub(super) fn end(&self) -> Result<(), (u64, io::Error)> {
        let Some(sink) = &self.0 else { return Ok(()) };
        let sink = sink.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Sink { mut out, written, fault }) = sink else { return Ok(()) };
        let result = match fault {
            Some(fault) => Err(fault),
            None => out.flush(),
        };
        if result.is_err() {
            // What is left in the buffer would be tried again on drop.
            drop(out.into_parts());
        }
        result.map_err(|fault| (written, fault))
    }
}
