//! PI-FT against closed forms.

mod accelerated;
mod chain_law;
mod grids;
mod inner;
mod invariance;
mod linear_quadratic;
mod mixture;
mod problems;
mod regularity;
