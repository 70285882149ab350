//! [`simulate`]: a program in virtual time.

use super::{Host, HostError};

/// Runs a program on a host in virtual time: one thread, a paused clock that jumps to the next timer when nothing is left
/// to do, all randomness from the seed. An hour of timers passes in milliseconds, and the same seed gives the same run.
///
/// # Errors
/// What the program answers, or that the host did not start.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let hour = phalanx::simulate(7, |host| async move {
///     host.sleep(Duration::from_secs(3_600)).await;
///     Ok::<_, phalanx::HostError>(host.now())
/// })?;
/// assert!(hour.since_start() >= Duration::from_secs(3_600));
/// # Ok::<(), phalanx::HostError>(())
/// ```
pub fn simulate<T, E, P>(seed: u64, program: impl FnOnce(Host) -> P) -> Result<T, E>
where
    P: Future<Output = Result<T, E>>,
    E: From<HostError>,
{
    let runtime = paused_runtime().map_err(HostError::Runtime)?;
    let system = actix_rt::System::with_tokio_rt(move || runtime);
    system.block_on(async move {
        let host = Host::simulated(seed).await?;
        program(host).await
    })
}

/// A runtime of one thread whose clock stands still from its very start.
///
/// Pausing a clock that has run leaves it at a fraction of a millisecond that differs from run to run.
pub(crate) fn paused_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
}
