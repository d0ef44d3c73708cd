//! The hot loops of the collector, one at a time, for a counter of instructions: scripts/hot_loops.sh runs this program.
//!
//! The same arguments execute the same instructions: input, hash seeds and ids are fixed, and nothing reads a clock. What
//! the start costs is subtracted by running each loop for a number of passes and for twice as many.

mod input;
mod loops;

use std::process::ExitCode;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: hot-loops           prints the names of the loops
       hot-loops NAME PASSES   runs one loop, prints how many items a pass has";

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the answers of a command-line tool"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            for (name, _) in loops::ALL {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        [name, passes] => match run(name, passes) {
            Ok(items) => {
                println!("{items}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

/// How many items a pass of the loop has.
fn run(name: &str, passes: &str) -> Result<u64, String> {
    let (_, run) = loops::ALL
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("there is no loop {name}"))?;
    let passes = passes
        .parse()
        .map_err(|_| format!("{passes} is no number of passes"))?;
    run(passes)
}
