//! What the runtime says of itself: log lines and panics, on standard error.

use std::{
    any::Any,
    panic::{self, PanicHookInfo},
    thread,
};

use tracing::Level;
use tracing_subscriber::{EnvFilter, fmt::time};

use super::{console::Output, screen::Screen};
use crate::manifest::Palette;

/// The variable that chooses what is logged when no option does.
const VARIABLE: &str = "RUST_LOG";

/// What is logged: what the options ask for, then what the variable does, else warnings.
fn filter(output: Output, variable: Option<&str>) -> EnvFilter {
    let chosen = match (output.quiet, output.verbose) {
        (true, _) => "error",
        (false, 0) => variable.filter(|text| !text.is_empty()).unwrap_or("warn"),
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    EnvFilter::builder().parse_lossy(chosen)
}

/// From now on, log lines and panics go to the screen.
pub(super) fn install(output: Output, screen: &Screen, palette: Palette) {
    let variable = std::env::var(VARIABLE).ok();
    // Where something else has set up logging already, that stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter(output, variable.as_deref()))
        .with_timer(time::uptime())
        .with_ansi(palette == Palette::Colours)
        .with_writer(screen.clone())
        .try_init();
    let before = panic::take_hook();
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let screen = screen.clone();
    panic::set_hook(Box::new(move |panic| {
        if backtrace {
            elsewhere(|| screen.clear());
            before(panic);
        } else {
            tell(panic);
        }
    }));
}

/// One line for a panic. Agents may panic on purpose; their supervisors account for it, so it is no warning.
fn tell(panic: &PanicHookInfo<'_>) {
    const TARGET: &str = "phalanx::panic";
    if tracing::enabled!(target: TARGET, Level::INFO) {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        let (thread, text) = (thread.name().unwrap_or("unnamed"), text(panic.payload()));
        elsewhere(|| tracing::info!(target: TARGET, thread, at, "panicked: {text}"));
    }
}

/// Does something on another thread and waits for it: bars are not taken off the screen by a thread that panics.
fn elsewhere(doing: impl FnOnce() + Send) {
    thread::scope(|scope| {
        if let Ok(done) = thread::Builder::new().spawn_scoped(scope, doing) {
            // A panic while one is told of: there is nothing better to say.
            let _ = done.join();
        }
    });
}

/// What a panic says.
pub(super) fn text(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_what_is_logged_before_the_variable_does() {
        let level = |quiet, verbose, variable| {
            let output = Output { json: false, quiet, verbose };
            filter(output, variable).to_string()
        };
        assert_eq!(level(false, 0, None), "warn");
        assert_eq!(level(false, 0, Some("")), "warn");
        assert_eq!(level(false, 0, Some("phalanx=trace")), "phalanx=trace");
        assert_eq!([1, 2, 9].map(|verbose| level(false, verbose, Some("off"))), ["info", "debug", "trace"]);
        assert_eq!(level(true, 0, Some("trace")), "error");
    }

    #[test]
    fn the_text_of_a_panic_is_found_whatever_its_type() {
        let caught = |payload: Box<dyn Any + Send>| text(&*payload).to_owned();
        assert_eq!(caught(Box::new("a")), "a");
        assert_eq!(caught(Box::new("b".to_owned())), "b");
        assert_eq!(caught(Box::new(7)), "it does not say why");
    }
}
