//! The program. Everything is in the library, where tests reach it.

/// The gateway allocates small things at a high rate from few threads and must give memory back after a flood.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    verona::cli::main()
}
