//! hjbridge-hjb
