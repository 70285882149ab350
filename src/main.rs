//! The command `phalanx`.
fn main() {}
