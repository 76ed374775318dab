//! Parametric PI-FT against closed forms, exact recursions and exact PI-FT on grids.

mod ascent;
mod bad_input;
mod high_dimension;
mod linear_quadratic;
mod problems;
mod projection;
mod resume;
