//! What the figures depend on: the class of machine, and the versions of the peers.

use serde::Serialize;

/// The class of machine; nothing that names the machine itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// How many processors this process may use.
    pub(crate) processors: usize,
    /// Their model, as the system calls it.
    pub(crate) model: String,
    /// The operating system and the architecture.
    pub(crate) system: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        Self {
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            model: std::fs::read_to_string("/proc/cpuinfo")
                .ok()
                .and_then(|text| model(&text))
                .unwrap_or_else(|| "unknown".to_owned()),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// The model of the first processor in the system's list.
fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version of a package that this program was built with: the newest one, should there be several.
pub(crate) fn version_of(package: &str) -> Option<String> {
    version_in(include_str!("../../../Cargo.lock"), package)
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    let mut found = None;
    while let Some(line) = lines.next() {
        if line == name {
            let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
            // The lock file is sorted, the newest comes last.
            found = Some(version.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers;

    #[test]
    fn the_version_is_the_one_of_the_lock_file() {
        let lock = "[[package]]\nname = \"ab\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"a\"\nversion = \"0.4.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"0.5.0\"\ndependencies = [\n \"ab\",\n]\n";
        assert_eq!(version_in(lock, "a").as_deref(), Some("0.5.0"));
        assert_eq!(version_in(lock, "ab").as_deref(), Some("1.2.3"));
        assert_eq!(version_in(lock, "b"), None);
    }

    #[test]
    fn every_package_of_a_peer_has_a_version() {
        for package in peers::ALL.iter().filter_map(|peer| peer.package()) {
            assert!(version_of(package).is_some(), "{package}");
        }
    }

    #[test]
    fn the_model_is_read_from_the_list_of_processors() {
        let text = "processor\t: 0\nmodel\t\t: 49\nmodel name\t: A CPU @ 2.0 GHz\n";
        assert_eq!(model(text).as_deref(), Some("A CPU @ 2.0 GHz"));
        assert_eq!(model(""), None);
    }
}
