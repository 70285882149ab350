//! What this process uses of the machine, as far as the system says so under `/proc` (Linux).

use std::{fs, time::Duration};

/// Processor time is told in these parts of a second; the same on every Linux that Rust builds for today.
const TICK: Duration = Duration::from_millis(10);

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Resident memory \[bytes\].
    pub(super) resident: u64,
    /// Processor time of all its threads so far, in whole hundredths of a second.
    pub(super) cpu: Duration,
}

/// What this process uses; none where the system does not say.
pub(super) fn usage() -> Option<Usage> {
    let (status, stat) = (fs::read_to_string("/proc/self/status"), fs::read_to_string("/proc/self/stat"));
    Some(Usage { resident: resident(&status.ok()?)?, cpu: cpu(&stat.ok()?)? })
}

/// From the line `VmRSS:   1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// From the 14th and 15th field, the time in user and in system mode. The second field is the name of the program in
/// brackets, which may itself have spaces and brackets in it.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_ascii_whitespace().skip(11);
    let mut next = || -> Option<u32> { times.next()?.parse().ok() };
    TICK.checked_mul(next()?.checked_add(next()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t   1234 kB\nThreads:\t1\n"), Some(1_263_616));
        for odd in ["", "VmRSS:", "VmRSS: x kB", "VmRSS: 5 MB", "VmRSS: 18446744073709551615 kB"] {
            assert_eq!(resident(odd), None, "{odd}");
        }
    }

    #[test]
    fn processor_time_is_read_behind_any_name_of_a_program() {
        let stat = "12 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 150 25 13 14";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_750)));
        for odd in ["", "12 (a", "12 (a) S 1 2", "12 (a) S 1 2 3 4 5 6 7 8 9 10 x 25"] {
            assert_eq!(cpu(odd), None, "{odd}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory() {
        assert!(usage().unwrap().resident > 100_000);
    }
}
