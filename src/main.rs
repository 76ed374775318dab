//! The `hjbridge` program; see [`hjbridge::cli`].

fn main() -> std::process::ExitCode {
    hjbridge::cli::main()
}
