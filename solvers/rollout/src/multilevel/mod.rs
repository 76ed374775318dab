//! Multilevel Monte Carlo: a mean to a requested standard error, bias included, at a cost of order eps^-2.
//!
//! With P_l the payoff of a run of N_l = N_0 M^l steps,
//!   E P_L = E P_0 + sum_{l=1}^{L} E Y_l,   Y_l = P_l - P_{l-1} on the same Brownian paths,
//! each term from its own independent paths. With variances V_l and costs C_l (steps per sample) the numbers of samples
//!   n_l = eps^-2 sqrt(V_l / C_l) sum_k sqrt(V_k C_k)
//! give the standard error eps at the least cost, eps^-2 (sum sqrt(V_l C_l))^2, where a plain run at the finest level costs
//! eps^-2 V(P_L) C_L. A strong order 1/2 gives V_l ~ 1/N_l (cost eps^-2 log^2 eps); additive noise, or strong order 1, gives
//! V_l ~ 1/N_l^2 and a cost of eps^-2, that of sampling P_0. Levels are added until the remaining bias, estimated from the
//! last differences and their decay, is below its bound.
//!
//! Everything is decided from the sums themselves, never from measured times: results do not depend on threads or machine.
//!
//! Reference: Giles, *Multilevel Monte Carlo methods*, Acta Numerica 24 (2015); Giles, *Multilevel Monte Carlo path
//! simulation*, Oper. Res. 56 (2008), for the extrapolated estimator.

mod estimator;
pub(crate) mod pair;
mod params;

pub use estimator::{MultilevelEstimate, MultilevelInfo, MultilevelLevel, multilevel, multilevel_watched};
pub use pair::Payoff;
pub use params::MultilevelParams;
