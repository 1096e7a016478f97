//! preon-init
fn main() {}
