//! Fine-tuning a one-dimensional mixture: the simulated optimum against the closed form.
#![allow(missing_docs)]

use hjbridge_model::exact::{ClosedForm, ClosedFormSlice, closed_form};
use hjbridge_model::{
    Feedback, FineTuning, GaussianMixture, InitialLaw, KlWeight, PointBlock, Points, PointsMut, QuadraticTerm, Reward, Schedule,
    VectorField, ZeroFeedback,
};
use hjbridge_rollout::{Ensemble, Estimate, InitialState, Record, RolloutParams};

/// v = U* - s.
struct OptimalShift<'a>(&'a dyn ClosedForm, &'a FineTuning);

struct Slice<'a>(Box<dyn ClosedFormSlice + 'a>, Box<dyn VectorField + 'a>);

impl VectorField for Slice<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let mut score = PointBlock::zeros(x.dim(), x.len());
        self.1.eval(x, score.as_mut());
        self.0.control(x, out.reborrow());
        for (u, s) in out.coord_mut(0).iter_mut().zip(score.coord(0)) {
            *u -= s;
        }
    }
}

impl Feedback for OptimalShift<'_> {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(Slice(self.0.at(t), self.1.score().at(t)))
    }
}

fn problem() -> FineTuning {
    let prior =
        GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
    let terms = vec![
        QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1).unwrap(),
        QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3).unwrap(),
    ];
    let (schedule, kl) = (Schedule::linear(2.0, 0.5, 3.0).unwrap(), KlWeight::constant(0.7).unwrap());
    FineTuning::new(schedule, prior, Reward::log_sum_exp(terms, 0.7).unwrap(), kl, InitialLaw::Optimal).unwrap()
}

#[test]
fn the_optimal_control_earns_the_value_to_first_order() {
    let problem = problem();
    let exact = closed_form(&problem).unwrap().unwrap();
    let optimal = OptimalShift(exact.as_ref(), &problem);
    let mut value = [0.0];
    exact.at(0.0).value(Points::new(&[0.0], 1), &mut value);
    let objective = |feedback: &dyn Feedback, paths, steps| {
        let params = RolloutParams { paths, steps, seed: 1, level: steps as u32, ..Default::default() };
        let ensemble = Ensemble::new(&problem, feedback, InitialState::Point(vec![0.0]), params).unwrap();
        ensemble.run().unwrap().0.objective
    };
    let (coarse, fine) = (objective(&optimal, 200_000, 25), objective(&optimal, 200_000, 50));
    // The bias is O(h) and negative; its first term is seen, and removed by extrapolation.
    assert!(coarse.z_score(value[0]) < -8.0, "{coarse:?} {value:?}");
    let extrapolated = 2.0 * fine.mean - coarse.mean;
    let standard_error = (4.0 * fine.standard_error.powi(2) + coarse.standard_error.powi(2)).sqrt();
    assert!((extrapolated - value[0]).abs() < 4.0 * standard_error, "{extrapolated} {value:?} {standard_error}");
    // Without control the objective is less, by far more than that bias.
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    assert!(objective(&zero, 50_000, 50).z_score(coarse.mean) < -8.0);
}

#[test]
fn the_final_law_is_the_tilted_law() {
    let problem = problem();
    let exact = closed_form(&problem).unwrap().unwrap();
    let optimal = OptimalShift(exact.as_ref(), &problem);
    let params = RolloutParams { paths: 100_000, steps: 100, seed: 5, ..Default::default() };
    let start = InitialState::Law(problem.initial_law());
    let record = Record { final_states: true, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &optimal, start, params).unwrap().with_record(record).unwrap();
    let summary = ensemble.run().unwrap().0;
    // Mean and variance of p exp(r/beta)/Z; the bias of 100 steps is below 0.002 in both.
    let (mean, variance) = (-0.438703704536, 1.792199499816);
    assert!(summary.mean[0].z_score(mean).abs() < 4.0, "{:?}", summary.mean);
    let squares: Vec<f64> = summary.final_states.unwrap().data().iter().map(|x| (x - mean).powi(2)).collect();
    let estimate = Estimate::from_samples(&squares).unwrap();
    assert!(estimate.z_score(variance).abs() < 4.0, "{estimate:?}");
    // The prior, where the uncontrolled process would end, is another law: mean 0.
    assert!(summary.mean[0].z_score(0.0).abs() > 20.0);
}
