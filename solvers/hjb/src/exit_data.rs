//! Where a finite-horizon value is prescribed: a target set and the Dirichlet faces, with data that may depend on time.

use crate::error::HjbError;
use crate::exit::{FaceValues, Placement, TargetRows, TargetSet};
use crate::hamiltonian::Hamiltonian;
use crate::sense::Sense;
use hjbridge_model::ControlledDiffusion;

/// What the user prescribed; the values of Dirichlet faces default to the model's terminal reward.
#[derive(Clone, Copy, Default)]
pub(crate) struct ExitData<'a> {
    pub target: Option<(&'a dyn TargetSet, Placement)>,
    pub faces: Option<&'a dyn FaceValues>,
}

impl ExitData<'_> {
    /// Give the Hamiltonian its target rows, if there are any; the data are set by [`ExitData::update`].
    pub fn attach(&self, hamiltonian: &mut Hamiltonian<'_>) -> Result<(), HjbError> {
        let geometry = hamiltonian.geometry();
        let faces = geometry.dirichlet_nodes();
        if self.target.is_none() && faces.is_empty() {
            return match self.faces {
                None => Ok(()),
                Some(_) => Err(HjbError::invalid("face values", "given", "a Dirichlet face in `boundary`")),
            };
        }
        let mut rows = match self.target {
            Some((set, placement)) => TargetRows::place(set, geometry, placement, &hamiltonian.correlated())?,
            None => TargetRows::empty(geometry.dim()),
        };
        rows.add_nodes(geometry, &faces);
        hamiltonian.set_target(rows)
    }

    /// Evaluate the data at time t. `model` is the user's, not yet oriented.
    pub fn update(
        &self,
        hamiltonian: &mut Hamiltonian<'_>,
        model: &dyn ControlledDiffusion,
        sense: Sense,
        t: f64,
    ) -> Result<(), HjbError> {
        let Some(rows) = hamiltonian.target_mut() else { return Ok(()) };
        if let Some((set, _)) = self.target {
            rows.update(set, t, sense)?;
        }
        rows.update_added(t, sense, |x, out| match self.faces {
            Some(faces) => faces.value_at(t, x, out),
            None => model.terminal_reward(x, out),
        })
    }
}
