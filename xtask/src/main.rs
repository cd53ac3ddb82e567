//! Tasks of the project that are programs: `cargo xtask tidy` and `cargo xtask features`.

mod features;
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy::run(),
        ["features"] => features::run(),
        _ => {
            eprintln!("usage: cargo xtask tidy | features");
            ExitCode::FAILURE
        }
    }
}
