//! Several processes under one command (feature `mpi`): who writes, and how all end together.

use super::common::complain;
use crate::run::RunError;
#[cfg(feature = "mpi")]
use hjbridge_rollout::ranks::MpiRank;
#[cfg(not(feature = "mpi"))]
use hjbridge_rollout::ranks::OneRank;
use hjbridge_rollout::ranks::{Ranks, conclude};
use std::process::ExitCode;
use std::sync::Arc;

/// This process among its like.
#[cfg(feature = "mpi")]
pub(super) fn start() -> Result<Arc<dyn Ranks>, RunError> {
    Ok(Arc::new(MpiRank::start()?))
}

/// This process, alone.
///
/// # Errors
/// `mpirun` started several of us, which without MPI would all do and write the same.
#[cfg(not(feature = "mpi"))]
pub(super) fn start() -> Result<Arc<dyn Ranks>, RunError> {
    let several = |name: &str| std::env::var(name).is_ok_and(|n| n.trim().parse::<u64>().is_ok_and(|n| n > 1));
    if let Some(name) = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find(|name| several(name)) {
        let what = format!(
            "mpirun started several processes ({name}), and this program was built without MPI; build it with `--features mpi`"
        );
        return Err(RunError::Unsupported(what));
    }
    Ok(Arc::new(OneRank))
}

/// End with the others. Rank 0's code is the job's: the others end with 0, so that nobody is stopped while it writes.
pub(super) fn end(ranks: &dyn Ranks, outcome: &Result<(), RunError>, code: ExitCode) -> ExitCode {
    let failure = outcome.as_ref().err().map(ToString::to_string);
    match conclude(ranks, failure.as_deref()) {
        Ok(_) if ranks.rank() > 0 => ExitCode::SUCCESS,
        Ok(Some((rank, reason))) if outcome.is_ok() => {
            complain(&format!("error: rank {rank}: {reason}"));
            ExitCode::FAILURE
        }
        Ok(_) => code,
        Err(e) => {
            complain(&format!("error: {e}"));
            ExitCode::FAILURE
        }
    }
}
