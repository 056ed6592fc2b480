//! Processes that talk over MPI, started by `mpirun` or a cluster's scheduler.

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use super::error::{Result, TrainError};
use super::exchange::Exchange;

/// All processes that were started together.
///
/// When a process dies, MPI ends the others: the run goes on from its last checkpoint.
pub struct Mpi {
    world: SimpleCommunicator,
    /// Ends MPI when it is dropped.
    _universe: Universe,
}

impl Mpi {
    /// Joins the other processes. Call it once, from the main thread.
    ///
    /// # Errors
    ///
    /// [`TrainError::Exchange`] when MPI does not start.
    pub fn join() -> Result<Self> {
        // Only this thread talks; loader threads do not.
        let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| TrainError::Exchange {
                rank: 0,
                message: "MPI did not start: it is running already".into(),
            })?;
        let world = universe.world();
        if threading < Threading::Funneled {
            return Err(TrainError::Exchange {
                rank: world.rank() as usize,
                message: "this MPI library allows no other threads beside its own".into(),
            });
        }
        Ok(Self {
            world,
            _universe: universe,
        })
    }
}

impl Exchange for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn world(&self) -> usize {
        self.world.size() as usize
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let own = values.to_vec();
        self.world
            .all_reduce_into(&own[..], values, SystemOperation::sum());
        Ok(())
    }
}
