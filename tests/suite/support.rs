//! What several tests need.

use std::sync::Once;

use phalanx::prelude::*;

/// Keeps panics that are part of a test from filling the output; others are printed as ever.
pub(crate) fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let on_test_thread = std::thread::current().name().is_some_and(|name| name.contains("::"));
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let injected = text
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .is_some_and(|text| text.contains("killed by the test") || text == "the end" || text == "x");
            if on_test_thread && !injected {
                usual(panic);
            }
        }));
    });
}

/// Runs a program on a host with so many arbiters, in real time.
pub(crate) fn threads<P: Future<Output = ()>>(arbiters: usize, program: impl FnOnce(Host) -> P) {
    System::new().block_on(async move {
        let host = Host::builder().arbiters(arbiters).seed(1).start().await.unwrap();
        program(host).await;
    });
}

/// Does any task at once.
pub(crate) struct Worker;

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

impl Handler<Work> for Worker {
    type Result = Result<serde_json::Value, String>;
    fn handle(&mut self, _: Work, _: &mut Context<Self>) -> Self::Result {
        Ok(serde_json::Value::Null)
    }
}

impl Agent for Worker {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Work>()
    }
}
