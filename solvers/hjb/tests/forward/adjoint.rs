//! The exact adjoint: law, objective and value of given policies.

use crate::common::{Matrix, Problem, line, orders, square};
use crate::{ALL, bump, pairing, radius};
use hjbridge_hjb::{
    AdjointLaw, Face, Faces, FokkerPlanck, FokkerPlanckParams, HjbError, HjbParams, HjbSolver, Placement, Sense, Time,
    TimedLevelSet,
};
use hjbridge_model::{ControlSet, PointwiseFeedback};
use std::sync::Arc;

/// A controlled problem with everything that depends on time and space in it, d = 1 or 2.
fn rich(dim: usize, discount: f64) -> Problem {
    Problem {
        drift: Arc::new(|t, x, out| {
            let pull = x.iter().map(|x| x.sin()).sum::<f64>();
            out.iter_mut().zip(x).enumerate().for_each(|(i, (o, x))| *o = -x * (1.0 + t) + 0.5 * pull - 0.3 * i as f64);
        }),
        gain: Matrix::Field(Arc::new(move |t, x, out| {
            out.fill(0.0);
            (0..dim).for_each(|i| out[i * dim + i] = 1.0 + 0.3 * t + 0.2 * x[0].cos());
        })),
        sigma: Matrix::Field(Arc::new(move |t, x, out| {
            out.fill(0.0);
            (0..dim).for_each(|i| out[i * dim + i] = 0.8 + 0.3 * (x[i] + t).sin());
        })),
        running: Arc::new(|t, x| (2.0 * x[0] + t).cos()),
        terminal: Arc::new(|_, x| (x[0] - 0.3).abs() - 0.2 * x[x.len() - 1]),
        set: ControlSet::Box { lower: vec![-0.6; dim], upper: vec![0.9; dim] },
        discount,
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 0.7)
    }
}

#[test]
fn the_objective_along_the_law_is_the_value_of_the_policy_to_rounding() {
    for (grid, steps) in [(line(-3.0, 3.0, 61), 40), (square(2.5, 25), 12)] {
        let initial = bump(&grid);
        let d = grid.dim();
        for discount in [0.0, 0.8] {
            let problem = rich(d, discount);
            for time in ALL {
                for sense in [Sense::Maximise, Sense::Minimise] {
                    let params = HjbParams { time, steps, sense, ..Default::default() };
                    let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap();
                    let (optimal, _) = solver.solve_policies().unwrap();
                    let (value, _) = solver.solve().unwrap();
                    let adjoint = AdjointLaw::new(&problem, grid.clone(), params).unwrap();
                    let push = PointwiseFeedback::new(d, d, |t, x: &[f64], u: &mut [f64]| u.fill(0.4 * (t + x[0]).sin()));
                    let other = adjoint.policies_of(&push).unwrap();
                    let mut objectives = Vec::new();
                    for policies in [&optimal, &other] {
                        let v = adjoint.value(policies).unwrap();
                        let (path, j, info) = adjoint.law(policies, &initial, &[0.7, 0.0, 0.35]).unwrap();
                        let gap = (pairing(&v, &initial) - j.total).abs();
                        assert!(gap < 1e-13 * (1.0 + j.total.abs()), "{d} {discount} {time:?} {sense:?}: {gap:e} {j:?}");
                        assert!(j.control_cost > 0.0 && j.exit == 0.0, "{j:?}");
                        let sign = if sense == Sense::Minimise { 1.0 } else { -1.0 };
                        assert!((j.terminal + j.running + sign * j.control_cost - j.total).abs() < 1e-14);
                        assert_eq!(path.times(), &[0.0, 0.35, 0.7]);
                        assert_eq!(path.mass(0), initial);
                        let decay = (-discount * 0.7f64).exp();
                        let expected = if discount == 0.0 { 1e-12 } else { 0.02 };
                        assert!((info.remaining_mass - decay).abs() < expected, "{info:?}");
                        assert!(info.monotonicity.worst_row_sum < 1e-14 && info.monotonicity.worst_row.is_none(), "{info:?}");
                        if discount == 0.0 {
                            assert!((0..3).all(|k| (path.mass(k).iter().sum::<f64>() - 1.0).abs() < 1e-12));
                        }
                        objectives.push(j.total);
                    }
                    // The optimal policy attains the value of the nonlinear solver and beats the other one.
                    let best = pairing(value.value(0), &initial);
                    assert!((best - objectives[0]).abs() < 1e-9, "{best} {objectives:?}");
                    let better =
                        if sense == Sense::Maximise { objectives[0] - objectives[1] } else { objectives[1] - objectives[0] };
                    assert!(better > 1e-3, "{objectives:?}");
                }
            }
        }
    }
}

#[test]
fn duality_holds_with_cross_derivatives_finite_control_sets_and_every_face() {
    let plane = rich(2, 0.3);
    let problem = Problem {
        sigma: Matrix::Field(Arc::new(|t, x, out| {
            let s = 0.8 + 0.1 * (x[0] + t).sin();
            out.copy_from_slice(&[s, 0.0, 0.4 * s, 0.9]);
        })),
        set: ControlSet::Finite { controls: vec![vec![-0.5, 0.2], vec![0.0, 0.0], vec![0.6, 0.6], vec![0.3, -0.8]] },
        ..plane
    };
    let grid = square(2.0, 21);
    let initial = bump(&grid);
    for faces in [Faces::extrapolated(), Faces::reflecting(), Faces::reflecting().with(0, true, Face::Dirichlet)] {
        for time in ALL {
            let params = HjbParams { time, steps: 10, boundary: faces, ..Default::default() };
            let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap();
            let (policies, _) = solver.solve_policies().unwrap();
            let adjoint = AdjointLaw::new(&problem, grid.clone(), params).unwrap();
            let v = adjoint.value(&policies).unwrap();
            let (_, j, _) = adjoint.law(&policies, &initial, &[]).unwrap();
            let gap = (pairing(&v, &initial) - j.total).abs();
            assert!(gap < 1e-13 * (1.0 + j.total.abs()), "{faces:?} {time:?}: {gap:e}");
            let best = pairing(solver.solve().unwrap().0.value(0), &initial);
            assert!((best - j.total).abs() < 1e-9 && j.control_cost > 1e-3, "{faces:?} {time:?}: {best} {j:?}");
            assert_eq!(j.exit != 0.0, faces.face(0, true) == Face::Dirichlet);
        }
    }
}

#[test]
fn duality_holds_with_a_target_set_and_splits_off_the_exit_reward() {
    let level = |x: &[f64]| 1.3 - radius(x);
    let target = TimedLevelSet::new(level, |t: f64, x: &[f64]| 0.5 + t + 0.2 * x[0]);
    for (grid, steps) in [(line(-1.5, 1.5, 50), 30), (square(1.5, 30), 12)] {
        let problem = rich(grid.dim(), 0.4);
        let mut initial = bump(&grid);
        // Some mass starts on the target.
        initial[0] += 0.01;
        for time in ALL {
            for placement in [Placement::SubCell, Placement::Staircase] {
                let params = HjbParams { time, steps, ..Default::default() };
                let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap().with_target(&target, placement);
                let (policies, _) = solver.solve_policies().unwrap();
                let adjoint = AdjointLaw::new(&problem, grid.clone(), params).unwrap().with_target(&target, placement);
                let v = adjoint.value(&policies).unwrap();
                let (_, j, info) = adjoint.law(&policies, &initial, &[]).unwrap();
                let gap = (pairing(&v, &initial) - j.total).abs();
                assert!(gap < 1e-13 * (1.0 + j.total.abs()), "{time:?} {placement:?}: {gap:e}");
                let best = pairing(solver.solve().unwrap().0.value(0), &initial);
                assert!((best - j.total).abs() < 1e-9);
                assert!(j.exit > 0.05 && info.remaining_mass < 0.98, "{j:?} {info:?}");
            }
        }
    }
}

#[test]
fn the_adjoint_law_and_the_forward_equation_agree_at_chosen_times_to_the_order_of_the_scheme() {
    let problem = Problem { discount: 0.0, ..rich(1, 0.0) };
    let push = PointwiseFeedback::new(1, 1, |t, x: &[f64], u: &mut [f64]| u[0] = 0.4 * (t + x[0]).sin());
    let times = [0.35, 0.7];
    let grid = line(-4.0, 4.0, 161);
    let initial = bump(&grid);
    for (time, order) in [(Time::ImplicitEuler, 1.0), (Time::CrankNicolson, 2.0), (Time::TrBdf2, 2.0)] {
        let gaps: Vec<f64> = [20, 40, 80]
            .iter()
            .map(|&steps| {
                let boundary = FokkerPlanckParams::default().boundary;
                let params = HjbParams { time, steps, boundary, ..Default::default() };
                let adjoint = AdjointLaw::new(&problem, grid.clone(), params).unwrap();
                let (law, ..) = adjoint.law(&adjoint.policies_of(&push).unwrap(), &initial, &times).unwrap();
                let params = FokkerPlanckParams { time, steps, boundary, ..Default::default() };
                let forward = FokkerPlanck::new(&problem, &push, grid.clone(), params).unwrap();
                let (path, info) = forward.evolve_at(&initial, &times).unwrap();
                assert_eq!(path.times(), law.times());
                assert!(info.mass_error < 1e-13);
                (0..2).map(|k| law.mass(k).iter().zip(path.mass(k)).map(|(a, b)| (a - b).abs()).sum::<f64>()).sum()
            })
            .collect();
        println!("adjoint against forward, {time:?}: {gaps:?} {:?}", orders(&gaps));
        assert!((orders(&gaps)[1] - order).abs() < 0.2, "{time:?}: {gaps:?}");
    }
    let forward = FokkerPlanck::new(&problem, &push, grid.clone(), FokkerPlanckParams::default()).unwrap();
    for bad in [0.123456, -0.0035, 0.7035, f64::NAN] {
        assert!(matches!(forward.evolve_at(&initial, &[bad]).err(), Some(HjbError::Invalid { .. })), "{bad}");
    }
}

#[test]
fn the_adjoint_refuses_policies_of_another_scheme_and_stopping_problems() {
    let problem = rich(1, 0.0);
    let grid = line(-3.0, 3.0, 31);
    let params = HjbParams { steps: 10, ..Default::default() };
    let (policies, _) = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve_policies().unwrap();
    let with = |params: HjbParams| AdjointLaw::new(&problem, grid.clone(), params).unwrap();
    let initial = bump(&grid);
    let fewer = with(HjbParams { steps: 9, ..params });
    assert!(matches!(fewer.value(&policies).err(), Some(HjbError::Shape { .. })));
    let same_count = with(HjbParams { time: Time::ImplicitEuler, steps: 12, ..params });
    assert!(matches!(same_count.law(&policies, &initial, &[]).err(), Some(HjbError::Invalid { .. })));
    let adjoint = with(params);
    assert!(matches!(adjoint.law(&policies, &initial[1..], &[]).err(), Some(HjbError::Shape { .. })));
    assert!(matches!(adjoint.law(&policies, &[f64::NAN; 31], &[]).err(), Some(HjbError::Invalid { .. })));
    // Of no mass no part can remain.
    let nothing = adjoint.law(&policies, &[0.0; 31], &[]).err().unwrap().to_string();
    assert!(nothing.starts_with("initial masses = zero in all"), "{nothing}");
    assert!(matches!(adjoint.law(&policies, &initial, &[0.01]).err(), Some(HjbError::Invalid { .. })));
    let psi = |_: f64, _: &[f64]| 0.0;
    let stopping = HjbSolver::new(&problem, grid.clone(), params).unwrap().with_obstacle(&psi);
    assert!(matches!(stopping.solve_policies().err(), Some(HjbError::Invalid { .. })));
    let nan = PointwiseFeedback::new(1, 1, |t, _: &[f64], u: &mut [f64]| u[0] = if t > 0.5 { f64::NAN } else { 0.0 });
    assert!(matches!(adjoint.policies_of(&nan).err(), Some(HjbError::NonFinite { coefficient: "feedback", .. })));
}
