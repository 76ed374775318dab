//! PI-FT against closed forms.

mod chain_law;
mod inner;
mod invariance;
mod linear_quadratic;
mod mixture;
mod problems;
mod regularity;
